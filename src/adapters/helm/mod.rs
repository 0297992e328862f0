//! Helm, driven by its command line: found once, its version checked, plugins and user settings kept out.

mod charts;
mod failures;
mod kept;

pub use charts::{ChartCache, FetchedChart};
pub use kept::pack;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use semver::Version;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};
use crate::domain::{Diagnosis, Values, labels};

/// Older ones lack `--skip-schema-validation` together with labels that upgrades keep.
const OLDEST: Version = Version::new(3, 20, 0);
/// From this version on the API server merges what Helm applies, and refuses fields that others have.
const SERVER_SIDE: Version = Version::new(4, 0, 0);
/// It hangs when it deletes and waits (helm/helm#32214).
const REFUSED: &[Version] = &[Version::new(4, 2, 1)];
/// How long Helm may end by itself after a cancel; only a hook takes longer. The API server keeps the node port of a
/// Service whose request is cut off, and frees it when it has found it without an owner three times, every 3 minutes.
const RESPITE: Duration = Duration::from_secs(10);
/// How many revisions of a release the cluster keeps.
const HISTORY: &str = "5";
/// Variables by which a user's shell would change what Helm does.
const USER_VARIABLES: &[&str] = &[
    "HELM_NAMESPACE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEAPISERVER",
    "HELM_KUBETOKEN",
    "HELM_KUBECAFILE",
    "HELM_KUBEASUSER",
    "HELM_KUBEASGROUPS",
    "HELM_DRIVER",
    "HELM_DEBUG",
    "HELM_MAX_HISTORY",
    "KUBECONFIG",
];

/// A Helm of an accepted version.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    version: Version,
    /// Where Helm keeps what it looked up about the cluster and its repositories.
    cache: PathBuf,
    /// A folder with certificates that are trusted beside the system's.
    certificates: Option<PathBuf>,
}

/// The cluster that Helm speaks to.
#[derive(Debug, Clone)]
pub struct HelmTarget {
    pub kubeconfig: PathBuf,
    pub context: Option<String>,
}

/// A release as it should become.
#[derive(Debug)]
pub struct Upgrade<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub chart: &'a Path,
    pub values: &'a Values,
    /// On the release's Secret, beside Helm's own.
    pub labels: &'a BTreeMap<String, String>,
    pub description: &'a str,
    pub adopt: bool,
    /// Takes fields back that another manager has changed.
    pub repair: bool,
}

/// What Helm made of it.
#[derive(Debug, Clone)]
pub struct Upgraded {
    pub revision: u32,
    pub manifest: String,
}

#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    #[error("helm is not installed, or not on PATH")]
    NotFound,
    #[error("helm {found} is not accepted: {why}")]
    Version { found: Version, why: String },
    #[error("helm says of its version: '{0}'")]
    UnknownVersion(String),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("helm printed something else than its JSON: {0}")]
    Output(String),
    #[error("{0}")]
    Chart(String),
    /// With what helm said.
    #[error("the chart cannot be fetched: {0}")]
    Pull(String),
}

impl HelmError {
    /// Whether the same may work a moment later: the API server was away, or at its limit.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Failed { stderr, .. }) if failures::is_transient(stderr))
    }

    /// What happened and what to do about it.
    pub fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Process(ProcessError::Failed { stderr, .. }) => failures::diagnose(stderr),
            Self::Pull(stderr) => failures::diagnose_pull(stderr),
            Self::NotFound | Self::Version { .. } | Self::UnknownVersion(_) => {
                Diagnosis::new(self.to_string()).remedy(format!("install Helm 4, or {OLDEST} and later"))
            }
            other => Diagnosis::new(other.to_string()),
        }
    }
}

/// The part of `helm upgrade -o json` that is read.
#[derive(Deserialize)]
struct Printed {
    version: u32,
    #[serde(default)]
    manifest: String,
}

impl Helm {
    /// Asks a helm for its version.
    ///
    /// # Errors
    /// When it is missing, too old, or known to be broken.
    pub async fn find(program: &Path, cache: &Path) -> Result<Self, HelmError> {
        let never = CancellationToken::new();
        let asked = Tool::new(program).args(["version", "--template", "{{.Version}}"]).run(&never).await;
        let text = match asked {
            Err(ProcessError::NotFound { .. }) => return Err(HelmError::NotFound),
            other => other?.stdout,
        };
        let version = accepted(&text)?;
        Ok(Self { program: program.to_owned(), version, cache: cache.to_owned(), certificates: None })
    }

    /// Trusts a company's certificate authority (PEM) when it fetches charts, beside the system's own.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn trusting(mut self, certificate_authority: &str) -> Result<Self, HelmError> {
        let folder = self.cache.join("certificates");
        let written =
            fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("ca.crt"), certificate_authority));
        written.map_err(|error| HelmError::Chart(format!("cannot write to {}: {error}", folder.display())))?;
        self.certificates = Some(folder);
        Ok(self)
    }

    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Installs the release or upgrades it. Does not wait for pods: cmdr watches them itself.
    ///
    /// # Errors
    /// When Helm refuses or fails, or is interrupted; Helm then marks the release as failed.
    pub async fn upgrade(
        &self,
        target: &HelmTarget,
        upgrade: &Upgrade<'_>,
        cancel: &CancellationToken,
    ) -> Result<Upgraded, HelmError> {
        let labels: Vec<String> =
            upgrade.labels.iter().map(|(key, value)| format!("{key}={}", labels::value(value))).collect();
        let mut tool = self
            .tool(target)
            .args(["upgrade", "--install", upgrade.name])
            .arg(upgrade.chart)
            .args(["--namespace", upgrade.namespace, "--values", "-", "--output", "json"])
            .args(["--history-max", HISTORY, "--labels", &labels.join(","), "--description", upgrade.description])
            // Checked before anything ran; the API server checks again.
            .args(["--skip-schema-validation", "--disable-openapi-validation"]);
        if upgrade.adopt {
            tool = tool.arg("--take-ownership");
        }
        // Helm 3 merges over what it finds, and knows no such word.
        if upgrade.repair && self.version >= SERVER_SIDE {
            tool = tool.arg("--force-conflicts");
        }
        let output = tool.input(json(upgrade.values)).run(cancel).await?;
        let printed: Printed =
            serde_json::from_str(&output.stdout).map_err(|error| HelmError::Output(error.to_string()))?;
        Ok(Upgraded { revision: printed.version, manifest: printed.manifest })
    }

    /// Renders a chart without a cluster.
    ///
    /// # Errors
    /// When the chart does not take the values.
    pub async fn template(
        &self,
        name: &str,
        namespace: &str,
        chart: &Path,
        values: &Values,
        cancel: &CancellationToken,
    ) -> Result<String, HelmError> {
        let output = self
            .bare()
            .args(["template", name])
            .arg(chart)
            .args(["--namespace", namespace, "--values", "-", "--skip-schema-validation", "--skip-tests"])
            .input(json(values))
            .run(cancel)
            .await?;
        Ok(output.stdout)
    }

    /// Brings a revision of a release back, as a new one. Does not wait for pods.
    ///
    /// # Errors
    /// When Helm has that revision no more, fails, or is interrupted.
    pub async fn rollback(
        &self,
        target: &HelmTarget,
        namespace: &str,
        name: &str,
        revision: u32,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let revision = revision.to_string();
        let tool = self.tool(target).args(["rollback", name, &revision, "--namespace", namespace]);
        tool.args(["--history-max", HISTORY]).run(cancel).await?;
        Ok(())
    }

    /// Takes a release out of the cluster; volumes stay, where the chart says so.
    ///
    /// # Errors
    /// When Helm fails or is interrupted.
    pub async fn uninstall(
        &self,
        target: &HelmTarget,
        namespace: &str,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        self.tool(target).args(["uninstall", name, "--namespace", namespace, "--ignore-not-found"]).run(cancel).await?;
        Ok(())
    }

    fn tool(&self, target: &HelmTarget) -> Tool {
        let tool = self.bare().respite(RESPITE).arg("--kubeconfig").arg(&target.kubeconfig);
        match &target.context {
            Some(context) => tool.args(["--kube-context", context]),
            None => tool,
        }
    }

    fn bare(&self) -> Tool {
        let tool = Tool::new(&self.program)
            .env("HELM_NO_PLUGINS", "1")
            .env("HELM_CACHE_HOME", self.cache.join("helm"))
            .env("HELM_REPOSITORY_CONFIG", self.cache.join("helm/repositories.yaml"));
        let tool = USER_VARIABLES.iter().fold(tool, |tool, variable| tool.without_env(variable));
        match &self.certificates {
            // Go reads these folders and the system's one file; Helm's own --ca-file would take the system's place.
            Some(folder) => tool.env("SSL_CERT_DIR", folder),
            None => tool,
        }
    }
}

fn json(values: &Values) -> Vec<u8> {
    serde_json::Value::Object(values.clone()).to_string().into_bytes()
}

fn accepted(text: &str) -> Result<Version, HelmError> {
    let text = text.trim();
    let version =
        Version::parse(text.trim_start_matches('v')).map_err(|_| HelmError::UnknownVersion(text.to_owned()))?;
    let why = if version < OLDEST {
        Some(format!("{OLDEST} is the oldest that works"))
    } else if REFUSED.contains(&version) {
        Some("it hangs when it deletes; take the next one".to_owned())
    } else {
        None
    };
    match why {
        Some(why) => Err(HelmError::Version { found: version, why }),
        None => Ok(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_checked() {
        assert_eq!(accepted("v4.3.1\n").unwrap(), Version::new(4, 3, 1));
        assert!(accepted("v3.20.0").is_ok());
        for (text, told) in [("v3.19.4", "3.20.0 is the oldest"), ("v4.2.1", "it hangs")] {
            assert!(accepted(text).unwrap_err().to_string().contains(told));
        }
        assert!(matches!(accepted("Client: v2"), Err(HelmError::UnknownVersion(_))));
    }
}
