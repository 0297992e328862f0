//! The plan of the step `scale` of a procedure.

use super::{OperateStep, Plan, RolloutSpec, Step};

/// A release and its number of pods.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleSpec {
    pub rollout: RolloutSpec,
    pub replicas: u32,
}

/// Sets the number of pods of each release, all at the same time.
pub fn scale(specs: impl IntoIterator<Item = ScaleSpec>) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    for spec in specs {
        let reason = format!("to {} pods", spec.replicas);
        plan.add(Step::Operate(OperateStep::Scale(spec)), reason, [connected]);
    }
    plan
}
