//! The steps of copies of the local environment, and the plan that deletes some.

use super::{Plan, Removal, Step, VolumeSpec, up::Observed};
use crate::domain::{labels, local_copy::ObservedCopy, snapshot::Snapshot};

/// The chart whose releases have no objects outside of their namespace.
const UNIVERSAL: &str = "service-";

/// A step that only copies need.
#[derive(Debug, Clone, PartialEq)]
pub enum CopyStep {
    /// Copies volumes of another copy or of a snapshot before those of a new copy are created.
    Volumes(CopiedVolumes),
    /// Deletes a copy: its namespace, its volumes and its ports on this machine.
    Delete { name: String, namespace: String },
}

impl CopyStep {
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Volumes(_) => "copy",
            Self::Delete { .. } => "delete",
        }
    }

    pub(super) fn subject(&self) -> String {
        match self {
            Self::Volumes(copied) => format!("data of {}", copied.source.shown()),
            Self::Delete { name, .. } => format!("copy {name}"),
        }
    }
}

/// Volumes with the data of another copy, the original or a snapshot that a new copy gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedVolumes {
    pub source: DataSource,
    /// The volumes of the new copy. Those of the source have the same names.
    pub volumes: Vec<VolumeSpec>,
}

/// Whose data a new copy gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSource {
    pub place: DataPlace,
    /// The namespace with the data.
    pub namespace: String,
}

/// Where the data for a new copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlace {
    /// In the cluster, in a copy or the original.
    Cluster {
        name: String,
    },
    Snapshot(Box<Snapshot>),
}

impl DataSource {
    /// As in messages: `original`, or `snapshot before`.
    pub fn shown(&self) -> String {
        match &self.place {
            DataPlace::Cluster { name } => name.clone(),
            DataPlace::Snapshot(snapshot) => format!("snapshot {}", snapshot.name),
        }
    }
}

/// Deletes copies. Releases of other charts are uninstalled first, because they may have objects that belong to the
/// whole cluster.
pub fn end_copies(copies: &[ObservedCopy], observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    for ObservedCopy { name, namespace, .. } in copies {
        let own = observed.releases.iter().filter(|(key, _)| key.namespace == *namespace);
        let others =
            own.filter(|(_, it)| !it.labels.get(labels::CHART).is_some_and(|chart| chart.starts_with(UNIVERSAL)));
        let mut needs = vec![connected];
        for (release, _) in others {
            let step = Step::Remove(Removal { release: release.clone(), is_orphan: false });
            needs.push(plan.add(step, "the copy is deleted", [connected]));
        }
        let step = Step::Copy(CopyStep::Delete { name: name.clone(), namespace: namespace.clone() });
        plan.add(step, "with its volumes and ports", needs);
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        domain::{ReleaseKey, local_copy::CopyOwner},
        plan::{ObservedRelease, graph::tests::lines},
    };

    #[test]
    fn only_what_belongs_to_the_copy_is_deleted() {
        let release = |chart: &str| ObservedRelease {
            labels: BTreeMap::from([(labels::CHART.to_owned(), chart.to_owned())]),
            ..ObservedRelease::default()
        };
        let releases = BTreeMap::from([
            (ReleaseKey::new("tunes-fix", "shop"), release("service-0.1.0")),
            (ReleaseKey::new("tunes-fix", "search"), release("podinfo-6.9.2")),
            (ReleaseKey::new("tunes", "search"), release("podinfo-6.9.2")),
        ]);
        let owner = CopyOwner { worktree: "/fix".into(), branch: None };
        let copy = ObservedCopy { name: "fix".into(), namespace: "tunes-fix".into(), owner, created: None };
        let plan = end_copies(&[copy], &Observed { releases, ..Observed::default() });
        assert_eq!(
            lines(&plan),
            ["connect cluster <- ", "uninstall search <- cluster", "delete copy fix <- cluster, search"]
        );
    }
}
