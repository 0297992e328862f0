//! The plan of `wait`: it reads, and changes nothing.

use super::{CheckSpec, Plan, RolloutSpec, Step};

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitSpec {
    /// The release, with the time after which the step fails.
    pub rollout: RolloutSpec,
    /// Only its Jobs.
    pub is_done: bool,
}

/// Waits for each release, and then for the URLs of its project.
pub fn wait(waits: impl IntoIterator<Item = (WaitSpec, Vec<CheckSpec>)>) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    for (spec, checks) in waits {
        let ready = plan.add(Step::AwaitState(spec), "cmdr wait", [connected]);
        for check in checks {
            let reason = check.url.clone();
            plan.add(Step::Check(check), reason, [ready]);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ReleaseKey, plan::graph::tests::lines};

    #[test]
    fn projects_are_awaited_side_by_side() {
        let specs = ["shop", "redis"].map(|name| {
            let rollout = RolloutSpec { release: ReleaseKey::new("tunes", name), timeout_seconds: 60 };
            (WaitSpec { rollout, is_done: false }, Vec::new())
        });
        assert_eq!(lines(&wait(specs)), ["connect cluster <- ", "wait shop <- cluster", "wait redis <- cluster"]);
    }
}
