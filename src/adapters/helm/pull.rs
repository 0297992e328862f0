//! Charts in registries and repositories: each is fetched once, with `helm pull`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    ChartCache, Helm, HelmError, ProcessError,
    charts::{cannot, digest_of, put_in_place, read},
};
use crate::{
    adapters::process::{Output, Tool},
    domain::{Chart, ChartSource},
};

/// A chart in a registry or a chart repository.
#[derive(Debug)]
pub(super) struct RemoteChart<'a> {
    /// An `oci://` reference, or the URL of the repository.
    origin: String,
    name: &'a str,
    /// Empty if the workspace sets none.
    version: &'a str,
}

impl<'a> RemoteChart<'a> {
    /// Returns where a chart is fetched from; `None` for one that is on this machine.
    pub(super) fn of(chart: &'a Chart) -> Option<Self> {
        let version = chart.version.as_deref().unwrap_or_default();
        match &chart.source {
            ChartSource::Universal | ChartSource::Path(_) => None,
            ChartSource::Oci(reference) => {
                let name = reference.rsplit('/').next().unwrap_or(reference);
                Some(Self { origin: format!("oci://{reference}"), name, version })
            }
            ChartSource::Repository { url, name } => Some(Self { origin: url.clone(), name, version }),
        }
    }

    /// Returns the name of its archive in the cache, which is different for each origin.
    pub(super) fn file_name(&self) -> String {
        let Self { origin, name, version } = self;
        let key = digest_of(&BTreeMap::from([(format!("{origin} {name} {version}"), Vec::new())]));
        format!("{name}-{version}-{}.tgz", &key.as_str()[..16])
    }
}

/// The keys of the user's `repositories.yaml` that are read. Helm itself reads the credentials.
#[derive(Default, Deserialize)]
struct Repositories {
    #[serde(default)]
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    name: String,
    url: String,
}

/// A chart repository that the user has added to Helm.
struct UserRepository {
    configuration: PathBuf,
    name: String,
}

impl ChartCache {
    /// Fetches a chart to `target`.
    ///
    /// # Errors
    /// If there is no response, access is denied, or the chart does not exist. Nothing is left in the cache then.
    pub(super) async fn pull(
        &self,
        helm: &Helm,
        chart: &RemoteChart<'_>,
        target: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let fresh = self.fresh(&chart.file_name())?;
        let folder = fresh.path().join("chart");
        fs::create_dir(&folder).map_err(|error| cannot("create", &folder, &error))?;
        let origin = self.mirrored(&chart.origin);
        let pull = match helm.user_repository(&origin).await {
            Some(repository) => {
                let indexes = fresh.path().join("indexes");
                helm.update_index(&repository, &indexes, cancel).await?;
                helm.with_repository(&repository, &indexes)
                    .args(["pull", &format!("{}/{}", repository.name, chart.name)])
            }
            None if origin.starts_with("oci://") => helm.bare().args(["pull", &origin]),
            None => helm.bare().args(["pull", chart.name, "--repo", &origin]),
        };
        let pull = if is_plain(&origin) { pull.arg("--plain-http") } else { pull };
        let pull = pull.args(["--version", chart.version, "--destination"]).arg(&folder);
        pull.run(cancel).await.map_err(pull_error)?;
        put_in_place(&only_file(&folder)?, target)
    }

    fn mirrored(&self, origin: &str) -> String {
        self.mirrors.iter().find_map(|mirror| mirror.apply(origin)).unwrap_or_else(|| origin.to_owned())
    }
}

impl Helm {
    /// Returns the repository with this URL that the user has added to Helm, with its credentials.
    async fn user_repository(&self, origin: &str) -> Option<UserRepository> {
        if origin.starts_with("oci://") {
            return None;
        }
        let asked = Tool::new(&self.program).args(["env", "HELM_REPOSITORY_CONFIG"]);
        let answer = asked.run(&CancellationToken::new()).await.ok()?;
        let configuration = PathBuf::from(answer.stdout.trim().trim_matches('"'));
        let known: Repositories = read(&fs::read(&configuration).ok()?).ok()?;
        let same = |one: &Repository| one.url.trim_end_matches('/') == origin.trim_end_matches('/');
        let name = known.repositories.into_iter().find(same)?.name;
        Some(UserRepository { configuration, name })
    }

    /// Helm with the user's repositories, and with indexes that only this call uses: Helm writes them, and another call
    /// might read a part.
    fn with_repository(&self, repository: &UserRepository, indexes: &Path) -> Tool {
        self.bare().env("HELM_REPOSITORY_CONFIG", &repository.configuration).env("HELM_REPOSITORY_CACHE", indexes)
    }

    async fn update_index(
        &self,
        repository: &UserRepository,
        indexes: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), HelmError> {
        let update = self.with_repository(repository, indexes).args(["repo", "update", &repository.name]);
        let result = update.run(cancel).await;
        // Helm reports the cause on standard output; Helm 3 exits with 0 nevertheless.
        let (Ok(Output { stdout, .. }) | Err(ProcessError::Failed { stdout, .. })) = &result else {
            return result.map(drop).map_err(pull_error);
        };
        match update_failure(stdout) {
            Some(cause) => Err(HelmError::Pull(cause)),
            None => result.map(drop).map_err(pull_error),
        }
    }
}

/// Returns why the index of a repository was not updated: the line after the one that says so.
fn update_failure(stdout: &str) -> Option<String> {
    let mut lines = stdout.lines().skip_while(|line| !line.contains("Unable to get an update"));
    lines.nth(1).map(|cause| format!("Error: {}", cause.trim()))
}

fn pull_error(error: ProcessError) -> HelmError {
    match error {
        ProcessError::Failed { stderr, .. } => HelmError::Pull(stderr),
        other => other.into(),
    }
}

/// Registries on this machine use plain HTTP.
fn is_plain(origin: &str) -> bool {
    let registry = origin.strip_prefix("oci://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let end = if registry.starts_with('[') { registry.find(']').map(|at| at + 1) } else { registry.find(':') };
    ["localhost", "127.0.0.1", "[::1]"].contains(&&registry[..end.unwrap_or(registry.len())])
}

fn only_file(folder: &Path) -> Result<PathBuf, HelmError> {
    let mut entries = fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))?;
    match entries.next() {
        Some(Ok(entry)) => Ok(entry.path()),
        _ => Err(HelmError::Chart("helm pull wrote no archive".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_failed_update_is_found() {
        let detail = "Hang tight while we grab the latest from your chart repositories...\n\
                    ...Unable to get an update from the \"x\" chart repository (http://127.0.0.1:1):\n\
                    \tfailed to fetch http://127.0.0.1:1/index.yaml : 401 Unauthorized\n";
        let cause = "Error: failed to fetch http://127.0.0.1:1/index.yaml : 401 Unauthorized";
        assert_eq!(update_failure(detail).as_deref(), Some(cause));
        assert_eq!(update_failure("...Successfully got an update from the \"x\" chart repository\n"), None);
    }

    #[test]
    fn only_registries_on_this_machine_use_plain_http() {
        for plain in ["oci://localhost/a", "oci://localhost:5001/a/b", "oci://127.0.0.1:5555/a", "oci://[::1]:5000/a"] {
            assert!(is_plain(plain), "{plain}");
        }
        let secure =
            ["oci://localhost.example.com/a", "oci://127.0.0.1.nip.io/a", "https://localhost/charts", "oci://[::2]/a"];
        for secure in secure {
            assert!(!is_plain(secure), "{secure}");
        }
    }
}
