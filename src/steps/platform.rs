//! What releases wait for while the platform is in work: kinds that are not there yet, and webhooks that do not respond.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    adapters::helm::Missing,
    domain::ReleaseKey,
    plan::{Plan, ReleaseSpec, Step, StepId},
};

/// The kinds of an operator are installed by its chart, which may be late among hundreds on a small machine.
pub(super) const KINDS: Duration = Duration::from_mins(5);
/// A webhook responds some time after its pod is ready.
pub(super) const WEBHOOK: Duration = Duration::from_mins(2);
/// Some operators install kinds themselves, after their pods are ready.
const KINDS_AFTER: Duration = Duration::from_secs(30);

/// The releases of the platform that a run has not finished yet.
#[derive(Debug, Default)]
pub struct PlatformWork(Mutex<Work>);

#[derive(Debug, Default)]
struct Work {
    /// What each release waits for.
    open: BTreeMap<ReleaseKey, BTreeSet<ReleaseKey>>,
    /// When the last release ended.
    ended: Option<Instant>,
}

impl PlatformWork {
    /// Returns the work that `plan` has for the releases of the platform.
    pub fn of(plan: &Plan, platform: &[ReleaseSpec]) -> Self {
        let keys: BTreeSet<ReleaseKey> = platform.iter().map(ReleaseSpec::key).collect();
        let key = |id: &StepId| release_of(&plan[*id].step).filter(|key| keys.contains(key));
        let steps = plan.steps.iter().filter_map(|planned| Some((key(&planned.id)?, planned)));
        let open = steps.map(|(own, planned)| (own, planned.needs.iter().filter_map(key).collect())).collect();
        Self(Mutex::new(Work { open, ended: None }))
    }

    /// Notes the end of a step. After a failure, the releases that wait for this one are not started.
    pub(super) fn end(&self, step: &Step, is_success: bool) {
        let Some(key) = release_of(step) else { return };
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = vec![key];
        while let Some(key) = ended.pop() {
            if work.open.remove(&key).is_some() {
                work.ended = Some(Instant::now());
                let waiting = work.open.iter().filter(|(_, needs)| !is_success && needs.contains(&key));
                ended.extend(waiting.map(|(waiting, _)| waiting.clone()));
            }
        }
    }

    /// Returns how long `release` waits for what is missing, from its first attempt on. `None`: the platform is not going
    /// to provide it.
    pub(super) fn patience(&self, release: &ReleaseKey, missing: Missing) -> Option<Duration> {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (limit, after) = match missing {
            Missing::Kind => (KINDS, KINDS_AFTER),
            Missing::Webhook => (WEBHOOK, WEBHOOK),
        };
        let is_in_work = work.open.keys().any(|key| key != release);
        let is_recent = work.ended.is_some_and(|ended| ended.elapsed() < after);
        (is_in_work || is_recent).then_some(limit)
    }
}

fn release_of(step: &Step) -> Option<ReleaseKey> {
    match step {
        Step::Deploy(spec) => Some(spec.release.key()),
        Step::AwaitRollout(rollout) => Some(rollout.release.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{DeployPolicy, DeploySpec, Operation, change::tests::spec};

    fn work(plan: &Plan) -> PlatformWork {
        PlatformWork::of(plan, &[spec("operator"), spec("issuers"), spec("later")])
    }

    fn deploy(name: &str) -> Step {
        let (operation, policy) = (Operation::Install, DeployPolicy::default());
        Step::Deploy(Box::new(DeploySpec { release: spec(name), operation, policy, entry: None, stopped: false }))
    }

    #[test]
    fn a_release_waits_while_another_one_of_the_platform_is_in_work() {
        let mut plan = Plan::default();
        plan.add(deploy("operator"), "", None);
        plan.add(deploy("shop"), "", None);
        let work = work(&plan);
        let patience = |name: &str| work.patience(&spec(name).key(), Missing::Kind);
        assert_eq!((patience("shop"), patience("operator")), (Some(KINDS), None));
        work.end(&deploy("shop"), true);
        assert_eq!(patience("operator"), None, "a project provides nothing");
        work.end(&deploy("operator"), true);
        assert_eq!(patience("shop"), Some(KINDS), "for a moment");
        assert_eq!(work.patience(&spec("shop").key(), Missing::Webhook), Some(WEBHOOK));
        assert_eq!(PlatformWork::default().patience(&spec("shop").key(), Missing::Webhook), None);
    }

    #[test]
    fn what_is_not_started_is_not_waited_for() {
        let mut plan = Plan::default();
        let operator = plan.add(deploy("operator"), "", None);
        let issuers = plan.add(deploy("issuers"), "", [operator]);
        plan.add(deploy("later"), "", [issuers]);
        let work = work(&plan);
        work.end(&deploy("operator"), false);
        assert!(work.0.lock().unwrap().open.is_empty());
    }
}
