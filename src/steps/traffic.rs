//! Rollouts: gives a new version its share of the requests, and takes it back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    Runner,
    read_back::{Expected, ReadBack},
};
use crate::{
    adapters::{
        cluster::{Rendered, rollout},
        wait::pause,
    },
    domain::{
        Name, Problem, ReleaseKey,
        check::{CheckVerdict, FailuresInARow, HealthCheck},
        maintenance::seconds,
        objects::{Split, next_path, observer, split_objects, split_services},
        rollout::{RolloutState, RolloutVerdict, TrafficAction, next_name, next_replicas, shared_replicas},
    },
    engine::{Reporter, StepFailure},
    plan::{
        Removal, RolloutSpec,
        scale::ScaleSpec,
        traffic::{RolloutStart, TrafficChange, TrafficShift, TrafficStep},
    },
};

/// How long the pods of the old version may take to become ready again.
const READY_SECONDS: u64 = 120;
/// How often requests of people are read.
const LOOK: Duration = Duration::from_secs(1);
/// How often the checks are evaluated.
const CHECKS: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) async fn traffic(
        &self,
        step: &TrafficStep,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let project = &step.project;
        match &step.change {
            TrafficChange::Start(start) => self.start_rollout(project, start, (reporter, cancel)).await,
            TrafficChange::Shift(shift) => Shifting::new(self, project, shift, reporter, cancel).run().await,
            TrafficChange::End(reason) => self.end_rollout(project, reason.as_deref(), (reporter, cancel)).await,
        }
    }

    /// A rollout that another one replaces first gives its traffic back.
    async fn start_rollout(
        &self,
        project: &ReleaseKey,
        start: &RolloutStart,
        (reporter, cancel): (&Reporter, &CancellationToken),
    ) -> Result<Option<String>, StepFailure> {
        let RolloutStart { rollout, release, old_version, by } = start;
        self.unsplit(project, reporter, cancel).await?;
        let cluster = &self.connected()?.cluster;
        self.keep_content(&project.namespace, release).await?;
        let versions = (release.content.version.clone(), old_version.clone());
        let state = RolloutState::start(rollout, release.record.clone(), versions, by.clone());
        cluster.update_rollout(project, |_| Some(state.clone())).await?;
        Ok(Some(format!("version {}", release.content.version)))
    }

    /// Returns all requests to the release, and removes the second one. The requests that it has are answered first.
    async fn end_rollout(
        &self,
        project: &ReleaseKey,
        reason: Option<&str>,
        (reporter, cancel): (&Reporter, &CancellationToken),
    ) -> Result<Option<String>, StepFailure> {
        let unconfirmed = self.unsplit(project, reporter, cancel).await?;
        let cluster = &self.connected()?.cluster;
        if let Some(reason) = reason {
            self.note(project, &TrafficAction::Return(reason.to_owned()), unconfirmed).await?;
        }
        let next = ReleaseKey::new(&project.namespace, next_name(&project.name));
        if cluster.release(&next).await?.is_some() {
            self.remove(&Removal { release: next, is_orphan: false }, cancel).await?;
        }
        if reason.is_none() {
            cluster.forget_rollout(project).await?;
        }
        Ok(None)
    }

    /// Gives all requests to the release, or all replicas if it has no routes. Returns why that was not read back from
    /// Traefik.
    async fn unsplit(
        &self,
        project: &ReleaseKey,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let running = cluster.release(project).await?;
        if let Some(replicas) = running.as_ref().and_then(|found| shared_replicas(&found.values)) {
            let rollout = RolloutSpec { release: project.clone(), timeout_seconds: READY_SECONDS };
            self.scale(&ScaleSpec { rollout, replicas }, reporter, cancel).await?;
            return Ok(None);
        }
        let released = cluster.unsplit_traffic(project).await?.into_iter().map(Expected::Released);
        let found = self.read_back(&released.collect::<Vec<_>>(), cancel).await?;
        cluster.remove_weights(project).await?;
        Ok(unconfirmed(found, reporter))
    }

    /// Notes an action in the state of a rollout, and why it was not read back from Traefik. A state that has ended keeps
    /// its reason.
    async fn note(
        &self,
        project: &ReleaseKey,
        action: &TrafficAction,
        unconfirmed: Option<String>,
    ) -> Result<(), StepFailure> {
        let now = Timestamp::now();
        let note = |state: Option<RolloutState>| {
            let mut state = state.filter(RolloutState::is_in_progress)?;
            state.note(action, now);
            state.unconfirmed.clone_from(&unconfirmed);
            Some(state)
        };
        Ok(self.connected()?.cluster.update_rollout(project, note).await?)
    }
}

/// Why something was not read back, which is also reported.
fn unconfirmed(found: ReadBack, reporter: &Reporter) -> Option<String> {
    let ReadBack::Unreadable(reason) = found else { return None };
    let cause = format!("the routes are written, but Traefik's API does not confirm that it uses them: {reason}");
    let help = "enable Traefik's API (`api: {dashboard: true}`), and allow the account to get `pods/proxy` there";
    reporter.warn(Problem::new(cause).help(help));
    Some(reason)
}

/// A rollout that is moved on.
struct Shifting<'a> {
    runner: &'a Runner,
    project: &'a ReleaseKey,
    shift: &'a TrafficShift,
    reporter: &'a Reporter,
    cancel: &'a CancellationToken,
    verdict: RolloutVerdict,
    /// When the checks were evaluated.
    checked: Instant,
    /// What the second release renders, once it was read.
    rendered: Option<Vec<Rendered>>,
    /// An evaluation that is not finished: checks of metrics count requests for some time.
    pending: Option<oneshot::Receiver<Verdicts>>,
    /// Why the current share was not read back from Traefik.
    unconfirmed: Option<String>,
}

/// Checks to evaluate for the new version of a project, and where to the verdicts are sent.
#[derive(Debug)]
pub struct CheckRequest {
    pub checks: BTreeMap<Name, HealthCheck>,
    pub project: String,
    pub verdicts: oneshot::Sender<BTreeMap<Name, CheckVerdict>>,
}

/// What checks say, by name.
type Verdicts = BTreeMap<Name, CheckVerdict>;

impl<'a> Shifting<'a> {
    fn new(
        runner: &'a Runner,
        project: &'a ReleaseKey,
        shift: &'a TrafficShift,
        reporter: &'a Reporter,
        cancel: &'a CancellationToken,
    ) -> Self {
        let (verdict, checked) = (RolloutVerdict::Open, Instant::now());
        let (rendered, pending, unconfirmed) = (None, None, None);
        Self { runner, project, shift, reporter, cancel, verdict, checked, rendered, pending, unconfirmed }
    }

    async fn run(mut self) -> Result<Option<String>, StepFailure> {
        // An interrupted run may have written its state without the weight.
        let state = self.state().await?;
        if state.weight > 0 {
            self.split(state.weight).await?;
        }
        loop {
            let state = self.state().await?;
            if self.checked.elapsed() > CHECKS {
                self.verdict = RolloutVerdict::Open;
            }
            let action = state.next_action(Timestamp::now(), &self.verdict);
            match &action {
                TrafficAction::Shift { weight, .. } => self.give(*weight, &state).await?,
                TrafficAction::Check => {
                    self.check(&state).await?;
                    continue;
                }
                TrafficAction::Wait { until, reason } if self.shift.is_detached => {
                    return Ok(Some(waiting(&state, *until, reason)));
                }
                TrafficAction::Wait { until, reason } => {
                    self.reporter.progress(waiting(&state, *until, reason));
                    pause(LOOK, self.cancel).await?;
                    continue;
                }
                TrafficAction::Promote | TrafficAction::Pass => (),
                TrafficAction::Return(reason) => return Err(self.give_back(&state, reason).await?),
            }
            self.runner.note(self.project, &action, self.unconfirmed.clone()).await?;
            if action == TrafficAction::Pass {
                return Ok(Some(format!("version {} has {}", state.version, share(&state))));
            }
        }
    }

    /// The state, which people may have changed in the meantime.
    async fn state(&self) -> Result<RolloutState, StepFailure> {
        let state = self.runner.connected()?.cluster.rollout(self.project).await?;
        let is_own = |state: &RolloutState| state.is_in_progress() && state.record == self.shift.record;
        state.filter(is_own).ok_or_else(|| Problem::new("the rollout was ended by another run").into())
    }

    async fn give(&mut self, weight: u8, state: &RolloutState) -> Result<(), StepFailure> {
        self.reporter.progress(format!("giving version {} {weight}% of the requests", state.version));
        if state.weight == 0 {
            self.introduce().await?;
        }
        self.split(weight).await?;
        // What was seen before does not count for this step.
        (self.verdict, self.pending) = (RolloutVerdict::Open, None);
        Ok(())
    }

    fn split_of(&self, weight: u8) -> Split<'a> {
        let TrafficShift { rollout, old, new, .. } = self.shift;
        Split {
            project: &self.project.name,
            namespace: &self.project.namespace,
            old,
            new,
            weight,
            is_sticky: rollout.is_sticky,
            preview: rollout.preview.as_ref(),
        }
    }

    /// Waits until Traefik knows pods of the new version. It learns of pods and of weights in any order, and would answer
    /// requests for a version without pods itself.
    async fn introduce(&self) -> Result<(), StepFailure> {
        let ReleaseKey { namespace, name } = self.project;
        let Some(observer) = observer(&self.split_of(0)) else { return Ok(()) };
        self.write(vec![observer]).await?;
        let (path, release) = (next_path(namespace, name), ReleaseKey::new(namespace, next_name(name)));
        self.runner.read_back(&[Expected::Served { path, release }], self.cancel).await.map(drop)
    }

    async fn write(&self, objects: Vec<Value>) -> Result<(), StepFailure> {
        let workspace = &self.runner.release.origin.workspace;
        Ok(self.runner.connected()?.cluster.split_traffic(self.project, workspace, objects).await?)
    }

    /// Writes the weights, and waits until Traefik uses them.
    async fn split(&mut self, weight: u8) -> Result<(), StepFailure> {
        if let Some(all) = shared_replicas(&self.shift.old) {
            return self.share_replicas(all, weight).await;
        }
        let split = self.split_of(weight);
        self.write(split_objects(&split)).await?;
        let loaded = split_services(&split).into_iter().map(Expected::Loaded);
        let found = self.runner.read_back(&loaded.collect::<Vec<_>>(), self.cancel).await?;
        self.unconfirmed = unconfirmed(found, self.reporter);
        Ok(())
    }

    /// The version that gets more pods gets them first, so that none is missing.
    async fn share_replicas(&self, all: u32, weight: u8) -> Result<(), StepFailure> {
        let new = next_replicas(all, weight);
        let next = next_name(&self.project.name);
        for (name, replicas) in [(next.as_str(), new), (self.project.name.as_str(), all - new)] {
            let release = ReleaseKey::new(&self.project.namespace, name);
            let rollout = RolloutSpec { release, timeout_seconds: self.shift.timeout_seconds };
            self.runner.scale(&ScaleSpec { rollout, replicas }, self.reporter, self.cancel).await?;
        }
        Ok(())
    }

    /// Evaluates the checks, and stores what they saw. Returns after a while even if that takes longer, so that requests
    /// of people are seen.
    async fn check(&mut self, state: &RolloutState) -> Result<(), StepFailure> {
        let mut failures = state.failures.clone();
        let (verdict, seen) = match self.unready().await? {
            Some(reason) => (RolloutVerdict::Unknown(reason.clone()), vec![reason]),
            None => match self.answer().await? {
                Some(verdicts) => self.judged(verdicts, &mut failures),
                None => return Ok(()),
            },
        };
        self.checked = Instant::now();
        if failures != state.failures
            || seen != state.seen
            || state.unknown_since.is_some() != matches!(verdict, RolloutVerdict::Unknown(_))
        {
            let (now, record) = (Timestamp::now(), &self.shift.record);
            let note = |state: Option<RolloutState>| {
                let mut state = state.filter(|state| state.record == *record && state.is_in_progress())?;
                state.judge(&verdict, seen.clone(), now);
                state.failures.clone_from(&failures);
                Some(state)
            };
            self.runner.connected()?.cluster.update_rollout(self.project, note).await?;
        }
        self.verdict = verdict;
        Ok(())
    }

    /// Why the new version is not ready. That is no failed check: its pods may be replaced.
    async fn unready(&mut self) -> Result<Option<String>, StepFailure> {
        let next = ReleaseKey::new(&self.project.namespace, next_name(&self.project.name));
        if self.rendered.is_none() {
            self.rendered = Some(self.runner.rendered_of(&next).await?);
        }
        let snapshot = self.runner.connected()?.view().snapshot(&next.namespace).unwrap_or_default();
        let mut progress = self.rendered.iter().flatten().filter_map(|it| rollout::assess(&snapshot, &it.object, None));
        let waiting = progress.find(|progress| !progress.is_complete);
        Ok(waiting.map(|it| format!("{} of {} pods of {} are ready", it.ready, it.wanted, next.name)))
    }

    /// The verdicts of all checks; `None` while some are evaluated.
    async fn answer(&mut self) -> Result<Option<Verdicts>, StepFailure> {
        let checks = &self.shift.rollout.checks;
        let Some(evaluator) = self.runner.checks.as_ref().filter(|_| !checks.is_empty()) else {
            return Ok(Some(Verdicts::new()));
        };
        let mut pending = if let Some(pending) = self.pending.take() {
            pending
        } else {
            let (verdicts, pending) = oneshot::channel();
            let request = CheckRequest { checks: checks.clone(), project: self.project.name.clone(), verdicts };
            let _ = evaluator.send(request).await;
            pending
        };
        tokio::select! {
            verdicts = &mut pending => Ok(Some(verdicts.map_err(|_| Problem::new("the checks were not evaluated"))?)),
            () = tokio::time::sleep(LOOK) => {
                self.pending = Some(pending);
                Ok(None)
            }
            () = self.cancel.cancelled() => Err(StepFailure::Interrupted),
        }
    }

    /// The worst verdict, and what each check saw.
    fn judged(&self, verdicts: Verdicts, failures: &mut FailuresInARow) -> (RolloutVerdict, Vec<String>) {
        let checks = &self.shift.rollout.checks;
        let counted = failures.count_all(checks, verdicts);
        let seen = counted.iter().map(|(name, verdict)| format!("check {name} {verdict}")).collect();
        let first = |is_meant: fn(&CheckVerdict) -> bool| {
            let found = counted.iter().find(|(_, verdict)| is_meant(verdict));
            found.map(|(name, verdict)| format!("check {name} {verdict}"))
        };
        let failed = first(|verdict| matches!(verdict, CheckVerdict::Failed { .. })).map(RolloutVerdict::Failed);
        let unknown = || first(|verdict| matches!(verdict, CheckVerdict::Unknown { .. })).map(RolloutVerdict::Unknown);
        (failed.or_else(unknown).unwrap_or(RolloutVerdict::Passed), seen)
    }

    /// Returns all requests to the old version at once, and why.
    async fn give_back(&self, state: &RolloutState, reason: &str) -> Result<StepFailure, StepFailure> {
        let unconfirmed = self.runner.unsplit(self.project, self.reporter, self.cancel).await?;
        self.runner.note(self.project, &TrafficAction::Return(reason.to_owned()), unconfirmed).await?;
        let cause = format!("version {} lost its {}% of the requests: {reason}", state.version, state.weight);
        let mut problem = Problem::new(cause);
        problem.details.clone_from(&state.seen);
        problem.details.push(format!("version {} has all requests again", state.old_version));
        Ok(problem.into())
    }
}

/// `25% of the requests, waits until 2026-11-27T12:00:00Z for its pause`
fn waiting(state: &RolloutState, until: Option<Timestamp>, reason: &str) -> String {
    let until = until.map(|until| format!(" until {}", seconds(until))).unwrap_or_default();
    format!("{}, waits{until} for {reason}", share(state))
}

fn share(state: &RolloutState) -> String {
    let unconfirmed = state.unconfirmed.as_ref().map(|_| ", not confirmed by Traefik").unwrap_or_default();
    format!("{}% of the requests{unconfirmed}", state.weight)
}
