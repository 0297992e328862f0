//! The steps of a release whose traffic moves to the new version in a rollout.

use super::{DescribedProject, Planner};
use crate::{
    domain::rollout::{RolloutPhase, RolloutState},
    plan::{
        Change, ObservedRelease, OperateStep, ReleaseSpec, Step, StepId,
        traffic::{ProjectRollout, RolloutStart, TrafficChange, TrafficShift, TrafficStep},
    },
};

impl Planner<'_> {
    /// Adds the steps that bring a project's release to its desired state: at once, or in a rollout.
    pub(super) fn project_release(&mut self, project: &DescribedProject, needs: Vec<StepId>) -> Option<StepId> {
        let rollout = project.rollout.as_deref().filter(|_| self.is_new_version(&project.release));
        if let Some(rollout) = rollout {
            return self.roll_out(&project.release, rollout, needs);
        }
        let step = self.restored_release(&project.release, needs.clone());
        let Some(state) = self.rollout_of(&project.release) else { return step };
        let is_done = state.record == project.release.record;
        let reason = (!is_done).then(|| format!("replaced by version {}", project.release.content.version));
        let needs = step.map_or(needs, |step| vec![step]);
        Some(self.end(&project.release, reason, needs))
    }

    /// Whether this record is already in a rollout, so that what comes before it was done.
    pub(super) fn is_in_rollout(&self, release: &ReleaseSpec) -> bool {
        self.rollout_of(release).is_some_and(|state| state.record == release.record)
    }

    /// Whether the plan deploys a release.
    pub(super) fn deploys(&self, release: &ReleaseSpec) -> bool {
        let key = release.key();
        let is_own = |step: &Step| matches!(step, Step::Deploy(spec) if spec.release.key() == key);
        // Its own step is one of the last.
        self.plan.steps.iter().rev().any(|planned| is_own(&planned.step))
    }

    fn rollout_of(&self, release: &ReleaseSpec) -> Option<&RolloutState> {
        self.observed.rollouts.get(&release.name).filter(|state| state.is_in_progress())
    }

    /// Whether there is an old version to protect: a release that works, with another record.
    fn is_new_version(&self, release: &ReleaseSpec) -> bool {
        let found = self.observed.releases.get(&release.key()).filter(|found| found.status == "deployed");
        let is_other = found.and_then(ObservedRelease::record).is_some_and(|record| record != release.record);
        is_other && matches!(self.change(release), Change::Upgrade(_))
    }

    fn roll_out(&mut self, release: &ReleaseSpec, own: &ProjectRollout, mut needs: Vec<StepId>) -> Option<StepId> {
        let state = self.rollout_of(release).filter(|state| state.record == release.record).cloned();
        let found = self.observed.releases.get(&release.key())?.clone();
        if state.is_none() {
            let old_version = found.labels.get(crate::domain::labels::VERSION).cloned().unwrap_or_default();
            let rollout = own.rollout.clone();
            let start = RolloutStart { rollout, release: release.clone(), old_version, by: String::new() };
            let reason = format!("version {} beside {}", release.content.version, start.old_version);
            needs = vec![self.traffic(release, TrafficChange::Start(Box::new(start)), reason, needs)];
        }
        if state.is_none_or(|state| state.phase != RolloutPhase::Passed) {
            needs.extend(self.release(&own.next, needs.clone()));
            let shift = TrafficShift {
                rollout: own.rollout.clone(),
                record: release.record.clone(),
                old: found.values,
                new: own.next.content.values.clone(),
                is_detached: own.is_detached,
                timeout_seconds: release.timeout_seconds,
            };
            let shifted =
                self.traffic(release, TrafficChange::Shift(Box::new(shift)), own.rollout.shown_steps(), needs);
            if own.is_detached {
                return Some(shifted);
            }
            needs = vec![shifted];
        }
        let deployed = self.restored_release(release, needs.clone());
        Some(self.end(release, None, deployed.map_or(needs, |step| vec![step])))
    }

    fn end(&mut self, release: &ReleaseSpec, reason: Option<String>, needs: Vec<StepId>) -> StepId {
        let shown = reason.clone().unwrap_or_else(|| "the second release is removed".to_owned());
        self.traffic(release, TrafficChange::End(reason), shown, needs)
    }

    fn traffic(
        &mut self,
        release: &ReleaseSpec,
        change: TrafficChange,
        reason: impl Into<String>,
        needs: Vec<StepId>,
    ) -> StepId {
        let step = Step::Operate(OperateStep::Traffic(TrafficStep { project: release.key(), change }));
        self.plan.add(step, reason, needs)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        domain::rollout::{Rollout, RolloutKind, RolloutPhase, RolloutState},
        plan::{
            OperateStep, Plan, ReleaseSpec,
            change::tests::found,
            graph::tests::lines,
            traffic::{ProjectRollout, TrafficChange, replaced},
            up::{
                Observed, Step,
                tests::{described, project, running},
                up,
            },
        },
    };

    fn rollout() -> Rollout {
        let steps = Rollout::default_steps(RolloutKind::Canary, Duration::ZERO);
        let (keep, checks) = (Duration::ZERO, std::collections::BTreeMap::new());
        Rollout { kind: RolloutKind::Canary, steps, keep, checks, preview: None, is_sticky: false }
    }

    /// The plan for record `r2` of a project, while `r1` runs.
    fn planned(observed: &Observed, is_detached: bool) -> Plan {
        let mut shop = project("shop", &[]);
        shop.checks.clear();
        shop.release = ReleaseSpec { record: "r2".into(), ..shop.release };
        shop.rollout = Some(Box::new(ProjectRollout::of(&shop.release, rollout(), is_detached)));
        up(&described(vec![shop]), observed).unwrap()
    }

    fn of_shop(plan: &Plan) -> Vec<String> {
        lines(plan).into_iter().filter(|line| line.contains(" shop")).collect()
    }

    fn in_rollout(record: &str, phase: RolloutPhase) -> Observed {
        let mut observed = running(&["shop"]);
        let versions = ("2".to_owned(), "1".to_owned());
        let state = RolloutState::start(&rollout(), record.into(), versions, "anna".to_owned());
        observed.rollouts.insert("shop".to_owned(), RolloutState { phase, ..state });
        observed
    }

    #[test]
    fn a_new_version_gets_its_traffic_before_the_release_is_upgraded() {
        let plan = planned(&running(&["shop"]), false);
        assert_eq!(
            of_shop(&plan),
            [
                "start rollout of shop <- cluster",
                "install shop-next <- shop",
                "shift traffic to shop <- shop, shop-next",
                "upgrade shop <- shop",
                "end rollout of shop <- shop",
            ]
        );
        assert_eq!(of_shop(&planned(&running(&[]), false)), ["install shop <- cluster"], "nothing to protect");
        let failed = crate::plan::ObservedRelease { status: "failed".to_owned(), ..found() };
        let mut observed = running(&["shop"]);
        observed.releases.values_mut().for_each(|release| release.clone_from(&failed));
        assert_eq!(of_shop(&planned(&observed, false)), ["upgrade shop <- cluster"]);
    }

    #[test]
    fn a_rollout_is_continued_from_its_state() {
        let plan = planned(&in_rollout("r2", RolloutPhase::Shifting), false);
        assert_eq!(of_shop(&plan)[0], "install shop-next <- cluster", "a killed run had not installed it");
        assert_eq!(of_shop(&plan).len(), 4);
        let passed = planned(&in_rollout("r2", RolloutPhase::Passed), false);
        assert_eq!(of_shop(&passed), ["upgrade shop <- cluster", "end rollout of shop <- shop"]);
        let detached = planned(&in_rollout("r2", RolloutPhase::Shifting), true);
        assert_eq!(of_shop(&detached).last().unwrap(), "shift traffic to shop <- cluster, shop-next");
        let other = planned(&in_rollout("r3", RolloutPhase::Shifting), false);
        assert_eq!(of_shop(&other)[0], "start rollout of shop <- cluster");
    }

    #[test]
    fn a_rollout_that_is_replaced_is_noted() {
        let noted = |observed: &Observed| {
            let plan = planned(observed, true);
            let found: Vec<_> = replaced(&plan, &observed.rollouts).map(|(_, _, state)| state.record.clone()).collect();
            found
        };
        assert_eq!(noted(&in_rollout("r3", RolloutPhase::Shifting)), ["r3".into()], "by another rollout");
        assert_eq!(noted(&in_rollout("r2", RolloutPhase::Shifting)), [], "it goes on");
        assert_eq!(noted(&in_rollout("r3", RolloutPhase::Returned)), [], "it has ended before");
        assert_eq!(noted(&running(&["shop"])), []);
        let mut shop = project("shop", &[]);
        shop.checks.clear();
        let observed = in_rollout("r2", RolloutPhase::Shifting);
        let back = up(&described(vec![shop]), &observed).unwrap();
        assert_eq!(replaced(&back, &observed.rollouts).count(), 1, "by what ran before");
        let taken = in_rollout("r2", RolloutPhase::Passed);
        assert_eq!(replaced(&planned(&taken, false), &taken.rollouts).count(), 0, "it has taken over");
    }

    #[test]
    fn a_rollout_ends_when_something_else_is_deployed() {
        let mut shop = project("shop", &[]);
        shop.checks.clear();
        let end = |observed: &Observed| {
            let plan = up(&described(vec![shop.clone()]), observed).unwrap();
            plan.steps.into_iter().find_map(|planned| match planned.step {
                Step::Operate(OperateStep::Traffic(step)) => Some(step.change),
                _ => None,
            })
        };
        let ends = end(&in_rollout("r2", RolloutPhase::Shifting));
        assert!(matches!(ends, Some(TrafficChange::End(Some(_)))), "the old version stays: {ends:?}");
        let ends = end(&in_rollout("r1", RolloutPhase::Passed));
        assert_eq!(ends, Some(TrafficChange::End(None)), "a run was killed before it removed the second release");
        assert_eq!(end(&in_rollout("r2", RolloutPhase::Returned)), None);
    }
}
