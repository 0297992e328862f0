//! The plan that checks an environment without changing it: used after a snapshot was restored.

use super::{
    Plan, ReleaseSpec, Step, StepId,
    up::{Described, INGRESS, Observed, ObservedCluster},
};

/// Starts the cluster if it is stopped. Otherwise waits for every installed release, and checks network and URLs.
pub fn check_all(described: &Described, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let is_stopped = observed.cluster == ObservedCluster::Stopped;
    let started = is_stopped.then(|| plan.add(Step::StartCluster, "it is stopped or paused", None));
    let cluster = plan.add(Step::ConnectCluster, "connect to the cluster", started);
    if is_stopped {
        plan.preliminary = true;
        return plan;
    }
    if described.address_pool || observed.has_address_pool {
        plan.add(Step::CheckAddresses, "addresses must belong to Docker's network", [cluster]);
    }
    plan.add(Step::CheckNames, "cluster names must resolve", [cluster]);
    let mut ingress = None;
    for release in &described.platform {
        if let ReleaseState::Awaited(step) = await_release(&mut plan, observed, release, cluster)
            && release.name == INGRESS
        {
            ingress = Some(step);
        }
    }
    for project in &described.projects {
        let own = match await_release(&mut plan, observed, &project.release, cluster) {
            ReleaseState::Nothing => continue,
            ReleaseState::Ready => None,
            ReleaseState::Awaited(step) => Some(step),
        };
        for check in &project.checks {
            let needs = own.into_iter().chain(ingress).chain([cluster]);
            plan.add(Step::Check(check.clone()), check.url.clone(), needs);
        }
    }
    plan
}

/// The observed state of a release.
enum ReleaseState {
    Nothing,
    Ready,
    /// This step waits for it.
    Awaited(StepId),
}

fn await_release(plan: &mut Plan, observed: &Observed, release: &ReleaseSpec, cluster: StepId) -> ReleaseState {
    let Some(found) = observed.releases.get(&release.key()) else { return ReleaseState::Nothing };
    if found.ready {
        plan.unchanged.push(release.name.clone());
        return ReleaseState::Ready;
    }
    ReleaseState::Awaited(plan.add(Step::AwaitRollout(release.rollout()), "its rollout has not finished", [cluster]))
}
