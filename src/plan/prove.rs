//! The plan that proves what is there and changes nothing: a snapshot that came back is to stay as it was.

use super::{
    Plan, RolloutSpec, Step, StepId,
    up::{Described, INGRESS, Observed, ObservedCluster},
};

/// Wakes the cluster where it sleeps; else waits for every release that is there, and proves network and URLs.
pub fn prove(described: &Described, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let is_asleep = observed.cluster == ObservedCluster::Asleep;
    let woken = is_asleep.then(|| plan.add(Step::StartCluster, "cluster", "start", "it sleeps", None));
    let cluster = plan.add(Step::ConnectCluster, "cluster", "connect", "to see and to speak", woken);
    if is_asleep {
        plan.preliminary = true;
        return plan;
    }
    plan.add(Step::CheckAddresses, "addresses", "check", "they must belong to Docker's network", [cluster]);
    plan.add(Step::CheckNames, "names", "check", "the cluster's own names must be known", [cluster]);
    let mut ingress = None;
    for release in &described.platform {
        let step = awaited(&mut plan, observed, &release.namespace, &release.name, release.timeout_seconds, cluster);
        if release.name == INGRESS {
            ingress = step.flatten();
        }
    }
    for project in &described.projects {
        let release = &project.release;
        let step = awaited(&mut plan, observed, &release.namespace, &release.name, release.timeout_seconds, cluster);
        let Some(step) = step else { continue };
        for check in &project.checks {
            let needs = step.into_iter().chain(ingress).chain([cluster]);
            plan.add(Step::Check(check.clone()), project.name.to_string(), "check", check.url.clone(), needs);
        }
    }
    plan
}

/// The step that waits for a release, when it is not ready; `None` when there is no such release.
fn awaited(
    plan: &mut Plan,
    observed: &Observed,
    namespace: &str,
    name: &str,
    timeout_seconds: u64,
    cluster: StepId,
) -> Option<Option<StepId>> {
    let found = observed.releases.get(&(namespace.to_owned(), name.to_owned()))?;
    if found.ready {
        plan.unchanged.push(name.to_owned());
        return Some(None);
    }
    let rollout = RolloutSpec { namespace: namespace.to_owned(), release: name.to_owned(), timeout_seconds };
    let step = Step::AwaitRollout(rollout);
    Some(Some(plan.add(step, name, "await", "its rollout has not ended", [cluster])))
}
