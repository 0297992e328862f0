//! The plans that save and restore snapshots of the local cluster.

use super::{Plan, Step};
use crate::domain::{Name, snapshot::Snapshot};

/// Saves the cluster, which is stopped first unless it already is.
pub fn save(name: Name, is_stopped: bool) -> Plan {
    let mut plan = Plan::default();
    let stopped = (!is_stopped).then(|| plan.add(Step::StopCluster { warm: false }, "required by the snapshot", None));
    plan.add(Step::SaveSnapshot(name), "cmdr snapshot save", stopped);
    plan
}

/// Replaces the cluster with a snapshot.
pub fn restore(snapshot: Snapshot) -> Plan {
    let mut plan = Plan::default();
    plan.add(Step::RestoreSnapshot(Box::new(snapshot)), "cmdr snapshot restore", None);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::graph::tests::lines;

    #[test]
    fn only_a_stopped_cluster_is_saved() {
        let name = || Name::new("before").unwrap();
        assert_eq!(lines(&save(name(), false)), ["stop cluster <- ", "save snapshot <- cluster"]);
        assert_eq!(lines(&save(name(), true)), ["save snapshot <- "]);
    }
}
