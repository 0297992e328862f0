//! How the image of a project is built.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;
use serde_json::json;

use super::digest::sha256;

/// A build of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The build context, or the folder in which the command runs, as an absolute path.
    pub context: PathBuf,
    pub method: BuildMethod,
}

/// What builds the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildMethod {
    /// `docker build`.
    Docker(DockerBuild),
    /// A command for the shell, which pushes or loads the image that `CMDR_IMAGE` names.
    Command(String),
}

/// The options of `docker build`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DockerBuild {
    /// An absolute path; default: `Dockerfile` in the context.
    pub dockerfile: Option<PathBuf>,
    /// The stage to build; default: the last one.
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// By the ID that the Dockerfile mounts.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// Whether the build uses the SSH agent.
    pub ssh: bool,
    /// `linux/amd64`; empty: that of the engine.
    pub platforms: Vec<String>,
    /// Where BuildKit reads its cache: `type=registry,ref=ghcr.io/org/shop:cache`.
    pub cache_from: Vec<String>,
    /// Where BuildKit writes its cache.
    pub cache_to: Vec<String>,
}

/// The source of a build secret. Its content is never read by cmdr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildSecret {
    /// The absolute path of a file.
    File(PathBuf),
    /// The name of an environment variable.
    Env(String),
}

impl Build {
    /// The Dockerfile; `None` for a command.
    pub fn dockerfile(&self) -> Option<PathBuf> {
        match &self.method {
            BuildMethod::Docker(docker) => {
                Some(docker.dockerfile.clone().unwrap_or_else(|| self.context.join("Dockerfile")))
            }
            BuildMethod::Command(_) => None,
        }
    }

    /// A hash of how the image is built, without the content of its folder and of secrets.
    pub fn options(&self) -> String {
        sha256(json!(self.method).to_string().as_bytes())
    }
}

impl DockerBuild {
    /// The keys of this build that only `BuildKit` supports.
    pub fn buildkit_keys(&self) -> Vec<&'static str> {
        let keys = [
            ("secrets", !self.secrets.is_empty()),
            ("ssh", self.ssh),
            ("platforms", self.platforms.len() > 1),
            ("cache-from", !self.cache_from.is_empty()),
            ("cache-to", !self.cache_to.is_empty()),
        ];
        keys.into_iter().filter(|(_, is_used)| *is_used).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_option_is_a_change() {
        let plain = DockerBuild::default();
        let build = |docker: &DockerBuild| Build { context: "/a".into(), method: BuildMethod::Docker(docker.clone()) };
        let text = || "x".to_owned();
        let changed = [
            DockerBuild { target: Some(text()), ..plain.clone() },
            DockerBuild { args: BTreeMap::from([(text(), text())]), ..plain.clone() },
            DockerBuild { secrets: BTreeMap::from([(text(), BuildSecret::Env(text()))]), ..plain.clone() },
            DockerBuild { ssh: true, ..plain.clone() },
            DockerBuild { platforms: vec![text(), text()], ..plain.clone() },
            DockerBuild { cache_to: vec![text()], ..plain.clone() },
        ];
        assert!(changed.iter().all(|other| build(other).options() != build(&plain).options()));
        let keys: Vec<Vec<&str>> = changed.iter().map(DockerBuild::buildkit_keys).collect();
        assert_eq!(keys, [vec![], vec![], vec!["secrets"], vec!["ssh"], vec!["platforms"], vec!["cache-to"]]);
        let command = Build { context: "/a".into(), method: BuildMethod::Command(text()) };
        assert_ne!(command.options(), build(&plain).options());
    }
}
