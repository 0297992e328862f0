//! kind, which creates clusters in Docker containers.

pub mod configuration;
pub mod node_pulls;
pub mod node_scripts;

use std::path::{Path, PathBuf};

use semver::Version;
use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};
use crate::domain::{
    Problem,
    causes::{self, CauseSource},
};

/// The oldest version of kind that supports all settings that cmdr writes.
const OLDEST: Version = Version::new(0, 27, 0);

/// The minor version of kind and the Kubernetes version of its default node image (from kind's release notes).
const DEFAULT_KUBERNETES: &[(u64, Version)] = &[
    (27, Version::new(1, 32, 2)),
    (28, Version::new(1, 33, 0)),
    (29, Version::new(1, 33, 1)),
    (30, Version::new(1, 34, 0)),
    (31, Version::new(1, 35, 0)),
    (32, Version::new(1, 36, 1)),
];

/// Prints what a container of the node does, as `ContainerBehavior::parse` reads it; its argument is the ID of the container.
pub const CONTAINER_BEHAVIOR: &str = include_str!("node/container-behavior.sh");

/// kind in a supported version, configured for one Docker engine.
#[derive(Debug, Clone)]
pub struct Kind {
    program: PathBuf,
    /// The variables that make kind's docker commands use this engine.
    engine: Vec<(&'static str, String)>,
    version: Version,
}

/// A cluster to create.
#[derive(Debug)]
pub struct NewCluster<'a> {
    pub name: &'a str,
    /// kind's configuration, as YAML.
    pub configuration: &'a str,
    /// The file that kind writes.
    pub kubeconfig: &'a Path,
    /// The proxy variables, which kind passes to the node.
    pub proxy: &'a [(&'static str, String)],
}

#[derive(Debug, thiserror::Error)]
pub enum KindError {
    #[error("kind is not installed, or not on PATH")]
    NotFound,
    #[error("kind {0} is too old: {OLDEST} or later is required")]
    TooOld(Version),
    #[error("cannot parse the version of kind: '{0}'")]
    UnknownVersion(String),
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl KindError {
    /// Returns what happened and how to fix it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Process(ProcessError::Failed { stderr, .. }) => diagnose(stderr),
            Self::NotFound | Self::TooOld(_) | Self::UnknownVersion(_) => {
                Problem::new(self.to_string()).help(format!("install kind {OLDEST} or later"))
            }
            Self::Process(error) => Problem::of(error),
        }
    }
}

impl Kind {
    /// Runs kind to get its version.
    ///
    /// # Errors
    /// If kind is missing or too old.
    pub async fn find(program: &Path, engine: Vec<(&'static str, String)>) -> Result<Self, KindError> {
        let asked = Tool::new(program).arg("version").run(&CancellationToken::new()).await;
        let text = match asked {
            Err(ProcessError::NotFound { .. }) => return Err(KindError::NotFound),
            other => other?.stdout,
        };
        let version = parse_version(&text)?;
        Ok(Self { program: program.to_owned(), engine, version })
    }

    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Returns the Kubernetes version of kind's default node image; `None` for a kind that is newer than this table.
    pub fn default_node(&self) -> Option<Version> {
        let own = |(minor, _): &&(u64, Version)| *minor == self.version.minor && self.version.major == 0;
        DEFAULT_KUBERNETES.iter().find(own).map(|(_, kubernetes)| kubernetes.clone())
    }

    /// Creates a cluster and writes its kubeconfig. `on_stage` is called for each stage that kind reports.
    ///
    /// # Errors
    /// If kind fails or the run is cancelled; kind then leaves containers behind.
    pub async fn create(
        &self,
        cluster: &NewCluster<'_>,
        cancel: &CancellationToken,
        mut on_stage: impl FnMut(&str) + Send,
    ) -> Result<(), KindError> {
        let NewCluster { name, configuration, kubeconfig, proxy } = *cluster;
        let tool = self.tool().args(["create", "cluster", "--config", "-", "--name", name, "--kubeconfig"]);
        let tool = tool.arg(kubeconfig).input(configuration);
        let tool = proxy.iter().fold(tool, |tool, (variable, value)| tool.env(variable, value));
        tool.run_with_lines(cancel, |line| {
            if let Some(stage) = stage(line) {
                on_stage(&stage);
            }
        })
        .await?;
        Ok(())
    }

    /// Deletes a cluster, even an unfinished one.
    ///
    /// # Errors
    /// If kind fails.
    pub async fn delete(&self, name: &str, kubeconfig: &Path, cancel: &CancellationToken) -> Result<(), KindError> {
        let tool = self.tool().args(["delete", "cluster", "--name", name, "--kubeconfig"]).arg(kubeconfig);
        tool.run(cancel).await?;
        Ok(())
    }

    /// Writes the kubeconfig of an existing cluster; its port may have changed when Docker restarted.
    ///
    /// # Errors
    /// If kind does not find the cluster.
    pub async fn export_kubeconfig(
        &self,
        name: &str,
        kubeconfig: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), KindError> {
        let tool = self.tool().args(["export", "kubeconfig", "--name", name, "--kubeconfig"]).arg(kubeconfig);
        tool.run(cancel).await?;
        Ok(())
    }

    fn tool(&self) -> Tool {
        let tool = Tool::new(&self.program).without_env("KIND_CLUSTER_NAME").without_env("KUBECONFIG");
        // podman and nerdctl would use a different engine from the one that was found.
        let tool = tool.env("KIND_EXPERIMENTAL_PROVIDER", "docker");
        self.engine.iter().fold(tool, |tool, (variable, value)| tool.env(variable, value))
    }
}

/// Parses a stage, which kind prints as ` • Starting control-plane 🕹️  ...` without a terminal.
fn stage(line: &str) -> Option<String> {
    let text = line.trim().strip_prefix('•')?.trim_end_matches('.');
    let plain: String = text.chars().filter(char::is_ascii).collect();
    Some(plain.trim().to_lowercase())
}

fn parse_version(text: &str) -> Result<Version, KindError> {
    let word = text.split_whitespace().find(|word| word.starts_with('v')).unwrap_or_default();
    let version =
        Version::parse(word.trim_start_matches('v')).map_err(|_| KindError::UnknownVersion(text.trim().to_owned()))?;
    if version < OLDEST { Err(KindError::TooOld(version)) } else { Ok(version) }
}

/// The number of last lines of a command's output that are shown if no rule matches.
const LAST_LINES: usize = 3;

fn diagnose(stderr: &str) -> Problem {
    let lines = || stderr.lines().map(|line| line.trim().trim_start_matches("ERROR:").trim());
    if let Some(cause) = causes::find(CauseSource::Kind, stderr) {
        let detail = lines().rfind(|line| cause.matches(CauseSource::Kind, "", line)).unwrap_or_default();
        return cause.problem(&[]).detail(detail.trim_start_matches("Command Output:").trim());
    }
    let detail = stderr.lines().rfind(|line| line.contains("ERROR")).unwrap_or(stderr);
    let detail = detail.trim().trim_start_matches("ERROR:").trim();
    let mut problem = Problem::new(format!("kind failed: {detail}")).help("run cmdr doctor for details");
    let output: Vec<&str> =
        lines().skip_while(|line| !line.starts_with("Command Output:")).filter(|line| !line.is_empty()).collect();
    let last = &output[output.len().saturating_sub(LAST_LINES)..];
    problem.details = last.iter().map(|line| line.trim_start_matches("Command Output:").trim().to_owned()).collect();
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_checked() {
        assert_eq!(parse_version("kind v0.30.0 go1.26.8 linux/amd64\n").unwrap(), Version::new(0, 30, 0));
        assert!(matches!(parse_version("kind v0.20.0 go1.20"), Err(KindError::TooOld(_))));
        assert!(matches!(parse_version("?"), Err(KindError::UnknownVersion(_))));
    }

    #[test]
    fn stages_are_reported_without_pictures() {
        assert_eq!(stage(" • Starting control-plane 🕹️  ...").as_deref(), Some("starting control-plane"));
        assert_eq!(stage("Creating cluster \"x\" ..."), None);
    }

    #[test]
    fn failures_get_a_remedy() {
        let report =
            diagnose("x\nERROR: failed to create cluster: Bind for 127.0.0.1:80 failed: port is already allocated\n");
        assert_eq!(report.message, "a port that the cluster publishes is already in use");
        assert!(report.details[0].contains("127.0.0.1:80"));
    }
}
