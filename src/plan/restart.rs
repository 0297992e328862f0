//! The plan of `restart`.

use super::{OperateStep, Plan, RolloutSpec, Step};

/// Restarts the pods of each release, all at the same time.
pub fn restart(rollouts: impl IntoIterator<Item = RolloutSpec>) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    for rollout in rollouts {
        plan.add(Step::Operate(OperateStep::Restart(rollout)), "cmdr restart", [connected]);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ReleaseKey, plan::graph::tests::lines};

    #[test]
    fn releases_do_not_wait_for_each_other() {
        let rollouts =
            ["shop", "redis"].map(|name| RolloutSpec { release: ReleaseKey::new("tunes", name), timeout_seconds: 60 });
        assert_eq!(
            lines(&restart(rollouts)),
            ["connect cluster <- ", "restart shop <- cluster", "restart redis <- cluster"]
        );
    }
}
