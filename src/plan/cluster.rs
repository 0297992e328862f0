//! The plans that stop or delete the local cluster.

use super::{Plan, Step};

/// Deletes the cluster and everything in it.
pub fn delete() -> Plan {
    let mut plan = Plan::default();
    plan.add(Step::DeleteCluster, "cmdr down", None);
    plan
}

/// Deletes the cluster, if it exists, and then the registry with its caches, from which the cluster pulls.
pub fn delete_with_registry(has_cluster: bool) -> Plan {
    let mut plan = Plan::default();
    let reason = "cmdr down --registry";
    let deleted = has_cluster.then(|| plan.add(Step::DeleteCluster, reason, None));
    plan.add(Step::RemoveRegistry, reason, deleted);
    plan
}

/// Stops the cluster; with `warm`, pauses it in memory.
pub fn stop(warm: bool) -> Plan {
    let mut plan = Plan::default();
    plan.add(Step::StopCluster { warm }, "cmdr stop", None);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::graph::tests::lines;

    #[test]
    fn the_registry_is_removed_after_the_cluster() {
        assert_eq!(lines(&delete_with_registry(true)), ["delete cluster <- ", "remove registry <- cluster"]);
        assert_eq!(lines(&delete_with_registry(false)), ["remove registry <- "]);
        assert_eq!(lines(&delete()), ["delete cluster <- "]);
    }

    #[test]
    fn a_warm_cluster_is_paused() {
        assert_eq!(lines(&stop(true)), ["pause cluster <- "]);
        assert_eq!(lines(&stop(false)), ["stop cluster <- "]);
    }
}
