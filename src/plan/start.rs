//! The plan of `start`: the plan of `up` without what it would deploy.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Plan, Step, StepId,
    up::{Described, Observed, ObservedCluster, up},
};
use crate::domain::{Problem, StepKind};

/// Returns the plan that starts the cluster, waits for what is installed, and checks network and URLs. What differs
/// from the description is listed as [`Plan::postponed`]; the URLs of these projects are not checked.
///
/// # Errors
/// As [`up`].
pub fn start(described: &Described, observed: &Observed) -> Result<Plan, Vec<Problem>> {
    let whole = up(described, observed)?;
    let is_left_out = |step: &Step| !is_part_of_start(step, observed);
    let subjects: BTreeSet<String> =
        whole.changes().map(|it| &it.step).filter(|it| is_left_out(it)).map(Step::subject).collect();
    let mut plan = Plan {
        unchanged: whole.unchanged,
        preliminary: observed.cluster == ObservedCluster::Stopped,
        ..Plan::default()
    };
    // What to wait for instead of each step: its copy, or what it would have waited for.
    let mut instead: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    for planned in whole.steps {
        let needs: BTreeSet<StepId> = planned.needs.iter().flat_map(|need| instead[need].clone()).collect();
        let step = planned.step;
        let ids = if is_left_out(&step) {
            if step.kind() == StepKind::Change {
                plan.postponed.push(format!("{} {}: {}", step.action(), step.subject(), planned.reason));
            }
            needs
        } else if step.kind() == StepKind::Check && subjects.contains(&step.subject()) {
            needs
        } else {
            BTreeSet::from([plan.add(step, planned.reason, needs)])
        };
        instead.insert(planned.id, ids);
    }
    Ok(plan)
}

/// Whether a step only starts or repairs what exists.
fn is_part_of_start(step: &Step, observed: &Observed) -> bool {
    match step {
        Step::StartCluster
        | Step::ConnectCluster
        | Step::LocalRegistry(_)
        | Step::AnnounceRegistry { .. }
        | Step::LocalCertificate(_)
        | Step::AwaitRollout(_)
        | Step::CheckAddresses
        | Step::CheckNames
        | Step::Check(_)
        | Step::Answer(_) => true,
        // Pull secrets expire; other Secrets are content.
        Step::PrepareNamespace(namespace) => {
            namespace.secrets.is_empty() && observed.namespaces.contains_key(&namespace.name)
        }
        Step::AddressPool => observed.has_address_pool,
        Step::PublishPorts(wanted) => {
            observed.forwarder.as_ref().is_some_and(|found| found.checksum == wanted.checksum())
        }
        _ => false,
    }
}
