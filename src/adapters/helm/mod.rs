//! Runs the `helm` command, after checking its version, without plugins and the user's settings.

mod charts;
mod definitions;
mod dependencies;
mod failures;
mod folder;
mod kept;
mod pull;
mod schema;
mod subcharts;

pub use charts::{ChartCache, FetchedChart};
pub use definitions::{ChartDefinitions, Definition, definitions};
pub use failures::Missing;
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
use crate::domain::{Problem, ReleaseKey, Values, labels};

/// Older versions do not support both `--skip-schema-validation` and labels that are kept during upgrades.
const OLDEST: Version = Version::new(3, 20, 0);
/// From this version on, Helm uses server-side apply, which rejects changes to fields of other managers.
const SERVER_SIDE: Version = Version::new(4, 0, 0);
/// This version hangs when it deletes and waits (helm/helm#32214).
const REFUSED: &[Version] = &[Version::new(4, 2, 1)];
/// How long Helm may continue after a cancel; only a hook takes longer. If a request is interrupted, the API server
/// keeps the node port of the Service reserved. It checks every 3 minutes, and releases a port that has no owner at
/// three checks.
const RESPITE: Duration = Duration::from_secs(10);
/// The number of revisions of a release that are kept in the cluster.
const HISTORY: &str = "5";
/// How long a hook may take at least, in seconds: Helm's own default.
const HOOK_SECONDS: u64 = 300;
/// Go collects garbage when the heap has grown by so many percent, by default 100. Helm ends soon: this saves a tenth
/// to a fifth of its processor time, for less than 10 % more memory.
const COLLECTOR: (&str, &str) = ("GOGC", "400");
/// Variables in the user's shell that would change Helm's behaviour.
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

/// Helm in a supported version.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    version: Version,
    /// The folder in which Helm caches API discovery and repository indexes.
    cache: PathBuf,
    /// A folder with certificates that are trusted in addition to the system's.
    certificates: Option<PathBuf>,
}

/// The cluster that Helm uses.
#[derive(Debug, Clone)]
pub struct HelmTarget {
    pub kubeconfig: PathBuf,
    pub context: Option<String>,
}

/// The desired state of a release.
#[derive(Debug)]
pub struct Upgrade<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub chart: &'a Path,
    pub values: &'a Values,
    /// Labels of the release's Secret, in addition to Helm's own.
    pub labels: &'a BTreeMap<String, String>,
    pub description: &'a str,
    pub adopt: bool,
    /// Overwrites fields that another manager has changed.
    pub repair: bool,
    /// How long each hook may take; at least 5 minutes.
    pub timeout_seconds: u64,
}

/// A revision of a release to restore.
#[derive(Debug)]
pub struct HelmRollback<'a> {
    pub release: &'a ReleaseKey,
    pub revision: u32,
    /// How long each hook may take; at least 5 minutes.
    pub timeout_seconds: u64,
}

/// A chart to render.
#[derive(Debug)]
pub struct Template<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub chart: &'a Path,
    pub values: &'a Values,
    /// The cluster that answers `lookup` and `.Capabilities`; `None` renders with Helm's defaults.
    pub cluster: Option<TemplateCluster<'a>>,
}

/// The cluster for which a chart is rendered.
#[derive(Debug)]
pub struct TemplateCluster<'a> {
    pub target: &'a HelmTarget,
    /// Whether the release exists there: sets `.Release.IsUpgrade`.
    pub is_upgrade: bool,
}

/// The result of an upgrade.
#[derive(Debug, Clone)]
pub struct Upgraded {
    pub revision: u32,
    pub manifest: String,
}

#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    #[error("helm is not installed, or not on PATH")]
    NotFound,
    #[error("helm {found} is not supported: {why}")]
    Version { found: Version, why: String },
    #[error("cannot parse the version of helm: '{0}'")]
    UnknownVersion(String),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("cannot parse the JSON output of helm")]
    Output(#[source] serde_json::Error),
    #[error("{0}")]
    Chart(String),
    /// The chart's folder, and the dependencies that it does not contain.
    #[error("the chart {} lacks its dependencies: {}", .0.display(), .1.join(", "))]
    Dependencies(PathBuf, Vec<String>),
    /// Contains the standard error of helm.
    #[error("cannot fetch the chart: {0}")]
    Pull(String),
}

impl HelmError {
    /// Returns whether a retry may succeed: the API server was temporarily unavailable or overloaded.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Failed { stderr, .. }) if failures::is_transient(stderr))
    }

    /// Returns whether a hook of the chart has failed.
    pub fn is_about_hooks(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Failed { stderr, .. }) if failures::is_about_hooks(stderr))
    }

    /// Returns what was missing in the cluster, if a release of the platform may still provide it.
    pub fn missing(&self) -> Option<Missing> {
        match self {
            Self::Process(ProcessError::Failed { stderr, .. }) => failures::missing(stderr),
            _ => None,
        }
    }

    /// Returns what happened and how to fix it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Process(ProcessError::Failed { stderr, .. }) => failures::diagnose(stderr),
            Self::Pull(stderr) => failures::diagnose_pull(stderr),
            Self::NotFound | Self::Version { .. } | Self::UnknownVersion(_) => {
                Problem::new(self.to_string()).help(format!("install Helm {OLDEST} or later"))
            }
            Self::Dependencies(folder, _) => Problem::new(self.to_string())
                .help(format!("fetch them into its charts folder: helm dependency build {}", folder.display())),
            other => Problem::of(other),
        }
    }
}

/// The keys of `helm upgrade -o json` that are read.
#[derive(Deserialize)]
struct Printed {
    version: u32,
    #[serde(default)]
    manifest: String,
}

impl Helm {
    /// Runs helm to get its version.
    ///
    /// # Errors
    /// If helm is missing, too old, or known to be broken.
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

    /// Trusts a company's certificate authority (PEM) for fetching charts, in addition to the system's.
    ///
    /// # Errors
    /// If the cache cannot be written.
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

    /// Installs or upgrades the release. Does not wait for pods, because cmdr watches them itself.
    ///
    /// # Errors
    /// If Helm fails or is interrupted; Helm then marks the release as failed.
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
            .args(["--timeout", &hook_timeout(upgrade.timeout_seconds)])
            .args(["--history-max", HISTORY, "--labels", &labels.join(","), "--description", upgrade.description])
            // The values are validated before any step runs, and the API server validates the objects.
            .args(["--skip-schema-validation", "--disable-openapi-validation"]);
        if upgrade.adopt {
            tool = tool.arg("--take-ownership");
        }
        // Helm 3 merges its changes, and does not have this option.
        if upgrade.repair && self.version >= SERVER_SIDE {
            tool = tool.arg("--force-conflicts");
        }
        let output = tool.input(json(upgrade.values)).run(cancel).await?;
        let printed: Printed = serde_json::from_str(&output.stdout).map_err(HelmError::Output)?;
        Ok(Upgraded { revision: printed.version, manifest: printed.manifest })
    }

    /// Renders a chart, with or without a cluster. Changes nothing.
    ///
    /// # Errors
    /// If the chart rejects the values, or the cluster does not respond or lacks a kind of the chart.
    pub async fn template(&self, template: &Template<'_>, cancel: &CancellationToken) -> Result<String, HelmError> {
        let Template { name, namespace, chart, values, cluster } = template;
        let mut tool = match cluster {
            Some(cluster) => self.tool(cluster.target),
            None => self.bare(),
        };
        tool = tool.args(["template", name]).arg(chart);
        tool = tool.args(["--namespace", namespace, "--values", "-", "--skip-schema-validation", "--skip-tests"]);
        if let Some(cluster) = cluster {
            // Objects of other releases are reported by the plan, not here.
            tool = tool.args(["--dry-run=server", "--disable-openapi-validation", "--take-ownership"]);
            // Without it, Helm 3 answers only `lookup` from the cluster.
            tool = if self.version < SERVER_SIDE { tool.arg("--validate") } else { tool };
            tool = if cluster.is_upgrade { tool.arg("--is-upgrade") } else { tool };
        }
        Ok(tool.input(json(values)).run(cancel).await?.stdout)
    }

    /// Restores a revision of a release, as a new revision. Does not wait for pods.
    ///
    /// # Errors
    /// If Helm no longer has that revision, fails, or is interrupted.
    pub async fn rollback(
        &self,
        target: &HelmTarget,
        rollback: &HelmRollback<'_>,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let ReleaseKey { namespace, name } = rollback.release;
        let revision = rollback.revision.to_string();
        let tool = self.tool(target).args(["rollback", name, &revision, "--namespace", namespace]);
        let tool = tool.args(["--timeout", &hook_timeout(rollback.timeout_seconds), "--history-max", HISTORY]);
        tool.run(cancel).await?;
        Ok(())
    }

    /// Uninstalls a release; volumes are kept if the chart says so.
    ///
    /// # Errors
    /// If Helm fails or is interrupted.
    pub async fn uninstall(
        &self,
        target: &HelmTarget,
        release: &ReleaseKey,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let ReleaseKey { namespace, name } = release;
        self.tool(target).args(["uninstall", name, "--namespace", namespace, "--ignore-not-found"]).run(cancel).await?;
        Ok(())
    }

    fn tool(&self, target: &HelmTarget) -> Tool {
        let tool = self.bare().grace_period(RESPITE).arg("--kubeconfig").arg(&target.kubeconfig);
        match &target.context {
            Some(context) => tool.args(["--kube-context", context]),
            None => tool,
        }
    }

    fn bare(&self) -> Tool {
        let tool = Tool::new(&self.program)
            .env(COLLECTOR.0, COLLECTOR.1)
            .env("HELM_NO_PLUGINS", "1")
            .env("HELM_CACHE_HOME", self.cache.join("helm"))
            .env("HELM_REPOSITORY_CONFIG", self.cache.join("helm/repositories.yaml"));
        let tool = USER_VARIABLES.iter().fold(tool, |tool, variable| tool.without_env(variable));
        match &self.certificates {
            // Go reads these folders and the system's certificate file; Helm's own --ca-file would replace the
            // system's.
            Some(folder) => tool.env("SSL_CERT_DIR", folder),
            None => tool,
        }
    }
}

fn hook_timeout(seconds: u64) -> String {
    format!("{}s", seconds.max(HOOK_SECONDS))
}

fn json(values: &Values) -> Vec<u8> {
    serde_json::Value::Object(values.clone()).to_string().into_bytes()
}

fn accepted(text: &str) -> Result<Version, HelmError> {
    let text = text.trim();
    let version =
        Version::parse(text.trim_start_matches('v')).map_err(|_| HelmError::UnknownVersion(text.to_owned()))?;
    let why = if version < OLDEST {
        Some(format!("{OLDEST} or later is required"))
    } else if REFUSED.contains(&version) {
        Some("it hangs when it deletes; use a newer version".to_owned())
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
    fn a_hook_gets_at_least_helms_own_time() {
        assert_eq!(hook_timeout(600), "600s");
        assert_eq!(hook_timeout(20), "300s");
    }

    #[test]
    fn the_cause_of_an_error_is_kept() {
        let problem = HelmError::Output(serde_json::from_str::<u32>("?").unwrap_err()).problem();
        assert_eq!(problem.message, "cannot parse the JSON output of helm");
        assert_eq!(problem.details, ["expected value at line 1 column 1"]);
    }

    #[test]
    fn versions_are_checked() {
        assert_eq!(accepted("v4.3.1\n").unwrap(), Version::new(4, 3, 1));
        assert!(accepted("v3.20.0").is_ok());
        for (text, shown) in [("v3.19.4", "3.20.0 or later is required"), ("v4.2.1", "it hangs")] {
            assert!(accepted(text).unwrap_err().to_string().contains(shown));
        }
        assert!(matches!(accepted("Client: v2"), Err(HelmError::UnknownVersion(_))));
    }
}
