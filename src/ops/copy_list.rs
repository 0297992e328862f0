//! The copies of the local environment as `cmdr copies` lists them.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    adapters::cluster::Cluster,
    domain::{local_copy::ObservedCopy, ports::Pair, resolve, slug::Slug},
    error::CommandError,
    ops::{
        copies::{Abandoned, abandoned},
        observe::{Observation, look_at},
        session::{LocalAccess, Session},
    },
};

/// Prints the size of each volume in bytes, with its folder, whose name contains the namespace.
const SIZES: &str = "cd /var/local-path-provisioner 2>/dev/null && du --summarize --block-size=1 -- * 2>/dev/null";

/// One copy.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CopyRow {
    pub name: String,
    pub namespace: String,
    /// The branch that was checked out at the last `up`.
    pub branch: Option<String>,
    /// The folder of the worktree.
    pub worktree: PathBuf,
    pub created: Option<Timestamp>,
    /// The URLs of its projects.
    pub urls: Vec<String>,
    /// The number of projects, and of those that are ready.
    pub projects: usize,
    pub ready: usize,
    /// The bytes of its volumes.
    pub data_bytes: u64,
    /// Why it is no longer in use.
    pub abandoned: Option<Abandoned>,
}

/// The copies of the local environment, with the observation that they are from.
#[derive(Debug)]
pub struct CopyList {
    pub copies: Vec<ObservedCopy>,
    pub rows: Vec<CopyRow>,
    pub observation: Observation,
}

impl CopyList {
    /// Observes all copies of a running cluster.
    ///
    /// # Errors
    /// When the cluster or Docker does not respond.
    pub(crate) async fn read(session: &Session, access: &LocalAccess, cluster: &Cluster) -> Result<Self, CommandError> {
        let workspace = session.workspace().as_str();
        let (observation, copies) = futures::try_join!(look_at(cluster, workspace, None), cluster.copies(workspace))?;
        let sizes = sizes(access).await;
        let mut rows = Vec::new();
        for copy in &copies {
            let row = row(session, access, copy, &observation);
            let data_bytes = data_bytes(&sizes, &copy.namespace);
            rows.push(CopyRow { data_bytes, abandoned: abandoned(copy).await, ..row });
        }
        Ok(Self { copies, rows, observation })
    }
}

fn row(session: &Session, access: &LocalAccess, copy: &ObservedCopy, observation: &Observation) -> CopyRow {
    let releases = observation.observed.releases.iter().filter(|(key, _)| key.namespace == copy.namespace);
    let states: BTreeMap<&str, bool> = releases.map(|(key, release)| (key.name.as_str(), release.ready)).collect();
    CopyRow {
        name: copy.name.clone(),
        namespace: copy.namespace.clone(),
        branch: copy.owner.branch.clone(),
        worktree: copy.owner.worktree.clone(),
        created: copy.created,
        urls: urls(session, access, &copy.name, &states),
        projects: states.len(),
        ready: states.values().filter(|ready| **ready).count(),
        data_bytes: 0,
        abandoned: None,
    }
}

/// The URLs of the deployed projects, as this worktree describes them.
fn urls(session: &Session, access: &LocalAccess, name: &str, deployed: &BTreeMap<&str, bool>) -> Vec<String> {
    let original = session.loaded.workspace.environments.values().find(|environment| environment.is_local());
    let environment = original.zip(Slug::of_branch(name)).and_then(|(it, slug)| it.local_copy_of(slug).ok());
    let Some((environment, (http, https))) = environment.zip(access.published_ports()) else { return Vec::new() };
    let projects = resolve(&session.loaded.workspace, &environment);
    let projects = projects.iter().filter(|project| deployed.contains_key(project.name.as_str()));
    let routes = projects.flat_map(|project| &project.routes);
    routes.flat_map(|route| route.urls(Pair { http, https })).map(|url| url.shown).collect()
}

/// The sizes of the volumes by the names of their folders; empty if the node cannot be asked.
async fn sizes(access: &LocalAccess) -> BTreeMap<String, u64> {
    let Some(node) = &access.node else { return BTreeMap::new() };
    let output = access.docker.exec(&node.name, &["sh", "-c", SIZES]).await;
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let sizes = text.lines().filter_map(|line| {
        let (bytes, folder) = line.split_once('\t')?;
        Some((folder.to_owned(), bytes.parse().ok()?))
    });
    sizes.collect()
}

/// The bytes of the volumes of a namespace. cmdr names a folder `NAMESPACE_CLAIM`, the provisioner
/// `pvc-UID_NAMESPACE_CLAIM`.
fn data_bytes(sizes: &BTreeMap<String, u64>, namespace: &str) -> u64 {
    let is_own = |folder: &str| folder.split('_').take(2).any(|part| part == namespace) && folder.contains('_');
    sizes.iter().filter(|(folder, _)| is_own(folder)).map(|(_, bytes)| bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_count_for_their_namespace() {
        let sizes = [("tunes_data-db-0", 1), ("tunes-fix_data-db-0", 2), ("pvc-1-2_tunes-fix_cache", 4), ("fix", 8)];
        let sizes = sizes.into_iter().map(|(folder, bytes)| (folder.to_owned(), bytes)).collect();
        assert_eq!(data_bytes(&sizes, "tunes-fix"), 6);
        assert_eq!(data_bytes(&sizes, "tunes"), 1);
        assert_eq!(data_bytes(&sizes, "fix"), 0);
    }
}
