//! Waits for rollouts and reports the cause of each wait. A rollout fails when a problem can no longer resolve by
//! itself.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Connection, LOOK, Runner, hints::Hints};
use crate::{
    adapters::{
        cluster::{
            Generation, Object,
            rollout::{self, GiveUpAfter, Progress, RolloutProblem},
        },
        wait::pause,
    },
    domain::{
        Problem,
        causes::containers::ROLLOUT_TIMEOUT,
        wait_reason::{RolloutStatus, WaitReason},
    },
    engine::{Reporter, StepFailure},
};

/// Containers without probes must be ready for this long, because their exit may be reported late.
const HOLD: Duration = Duration::from_secs(2);
/// After this time, a warning is printed, although the container may only be slow.
const WORD: Duration = Duration::from_secs(20);

/// An object to wait for, optionally from a generation on.
#[derive(Debug)]
pub(super) struct RolloutTarget {
    pub object: Object,
    pub meant: Option<Generation>,
}

/// How often a rollout is assessed without a change, because problems and containers have timeouts.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The observed state of one release's rollout.
pub(super) struct Watch {
    /// The current problems, by cause.
    seen: BTreeMap<String, Sighting>,
    moved: Instant,
    signature: String,
    /// Since when all workloads are complete.
    complete_since: Option<Instant>,
    /// Since when there is a problem that may resolve by itself.
    held_since: Option<Instant>,
    warned: bool,
}

/// Since when a problem exists.
struct Sighting {
    first: Instant,
    restarts: i32,
    /// When the latest restart was observed.
    latest_try: Instant,
}

/// The result of an assessment.
pub(super) enum Verdict {
    Complete,
    Wait { status: RolloutStatus, warning: Option<RolloutProblem> },
    GiveUp(RolloutProblem),
}

impl Runner {
    /// Waits until every workload of `targets` has rolled out and every load balancer has its address. Returns how many
    /// pods are ready.
    pub(super) async fn await_rollout(
        &self,
        targets: &[RolloutTarget],
        timeout_seconds: u64,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<String, StepFailure> {
        let workloads: Vec<&RolloutTarget> =
            targets.iter().filter(|target| rollout::is_workload(&target.object)).collect();
        let shown = if workloads.is_empty() {
            String::new()
        } else {
            self.await_workloads(&workloads, timeout_seconds, reporter, cancel).await?
        };
        for service in targets.iter().map(|target| &target.object).filter(|object| object.wants_address) {
            self.await_address(service, timeout_seconds, reporter, cancel).await?;
        }
        Ok(shown)
    }

    async fn await_workloads(
        &self,
        workloads: &[&RolloutTarget],
        timeout_seconds: u64,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<String, StepFailure> {
        let connection = self.connected()?;
        let mut changes = connection.view().changes();
        let (mut watch, mut hints) = (Watch::new(), Hints::new());
        let mut shown = None;
        loop {
            changes.mark_unchanged();
            let mut progress = connection.assess(workloads);
            hints.add(&connection.cluster, workloads, &mut progress).await?;
            self.add_pulled_bytes(&mut progress);
            match watch.judge(&progress, Duration::from_secs(timeout_seconds)) {
                Verdict::Complete => {
                    progress.iter().flatten().filter_map(kept_pods).for_each(|problem| reporter.warn(problem));
                    return Ok(ready_count(&progress));
                }
                Verdict::GiveUp(problem) => {
                    let problem = self.with_nearest_tag(problem).await;
                    let problem = self.with_local_image(problem, cancel).await;
                    return Err(self.explain(&problem).await?.into());
                }
                Verdict::Wait { status, warning } => {
                    if let Some(problem) = warning {
                        reporter.warn(self.explain(&problem).await?);
                    }
                    if shown.as_ref() != Some(&status) {
                        reporter.rollout(status.to_string(), status.clone());
                        shown = Some(status);
                    }
                }
            }
            tokio::select! {
                // A change ends the wait at once; timeouts are checked at intervals.
                changed = changes.changed() => if changed.is_err() { pause(LOOK, cancel).await?; },
                () = tokio::time::sleep(LOOK_AGAIN) => (),
                () = cancel.cancelled() => return Err(StepFailure::Interrupted),
            }
        }
    }
}

impl Connection {
    /// Returns the progress of each workload; `None` for those that the watch has not reported yet.
    fn assess(&self, workloads: &[&RolloutTarget]) -> Vec<Option<Progress>> {
        let assess = |target: &&RolloutTarget| {
            let snapshot = self.view().snapshot(&target.object.namespace)?;
            rollout::assess(&snapshot, &target.object, target.meant.as_ref())
        };
        workloads.iter().map(assess).collect()
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        let (seen, signature) = (BTreeMap::new(), String::new());
        Self { seen, moved: Instant::now(), signature, complete_since: None, held_since: None, warned: false }
    }

    pub(super) fn judge(&mut self, progress: &[Option<Progress>], timeout: Duration) -> Verdict {
        if progress.iter().all(|one| one.as_ref().is_some_and(|one| one.is_complete)) {
            let since = *self.complete_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= HOLD || !progress.iter().flatten().any(|one| one.is_young) {
                return Verdict::Complete;
            }
            return Verdict::Wait { status: status(progress, None), warning: None };
        }
        self.complete_since = None;
        let signature: String = progress.iter().flatten().map(|one| one.signature.as_str()).collect();
        let is_working = progress.iter().flatten().any(|one| one.work.is_some());
        if is_working || signature != self.signature {
            self.signature = signature;
            self.moved = Instant::now();
        }
        let problems: Vec<&RolloutProblem> = progress.iter().flatten().flat_map(|one| &one.problems).collect();
        if let Some(problem) = self.overdue(&problems) {
            return Verdict::GiveUp(problem);
        }
        let worst = problems.first().copied();
        let unready = progress.iter().flatten().find_map(|one| one.unready.as_ref());
        if self.moved.elapsed() >= timeout {
            let running = progress.iter().flatten().find_map(|one| one.running.as_ref());
            return Verdict::GiveUp(timed_out(worst.or(unready).or(running).cloned(), timeout));
        }
        Verdict::Wait { status: status(progress, worst), warning: self.word(worst, unready) }
    }

    /// Returns a problem that has exceeded its timeout.
    fn overdue(&mut self, problems: &[&RolloutProblem]) -> Option<RolloutProblem> {
        self.seen.retain(|cause, _| problems.iter().any(|problem| problem.cause.message == *cause));
        for problem in problems {
            let sighting = self.seen.entry(problem.cause.message.clone());
            let now = Instant::now();
            if sighting.or_insert_with(|| Sighting::new(problem, now)).is_overdue(problem, now) {
                return Some((*problem).clone());
            }
        }
        None
    }

    /// Returns a problem to warn about, once: it may resolve by itself but has lasted for a while, such as a container
    /// that is not ready or a registry that cannot be reached. Other problems are reported when the rollout fails.
    fn word(&mut self, worst: Option<&RolloutProblem>, unready: Option<&RolloutProblem>) -> Option<RolloutProblem> {
        let Some(problem) = worst.or(unready).filter(|problem| problem.patience == GiveUpAfter::Timeout) else {
            self.held_since = None;
            return None;
        };
        let since = *self.held_since.get_or_insert_with(Instant::now);
        if self.warned || since.elapsed() < WORD {
            return None;
        }
        self.warned = true;
        Some(problem.clone())
    }
}

impl Sighting {
    fn new(problem: &RolloutProblem, now: Instant) -> Self {
        Self { first: now, restarts: problem.restarts, latest_try: now }
    }

    fn is_overdue(&mut self, problem: &RolloutProblem, now: Instant) -> bool {
        if problem.restarts > self.restarts {
            (self.restarts, self.latest_try) = (problem.restarts, now);
        }
        let lasted = |seconds: u32, until: Instant| until - self.first >= Duration::from_secs(seconds.into());
        match problem.patience {
            GiveUpAfter::Timeout => false,
            GiveUpAfter::Seconds(patience) => lasted(patience, now),
            GiveUpAfter::Tries { after, at_most } => lasted(after, self.latest_try) || lasted(at_most, now),
        }
    }
}

fn timed_out(problem: Option<RolloutProblem>, timeout: Duration) -> RolloutProblem {
    let waited = format!("no progress for {} s (project key 'timeout')", timeout.as_secs());
    let nothing = || RolloutProblem::new(GiveUpAfter::Timeout, ROLLOUT_TIMEOUT.problem(&[]));
    let mut problem = problem.unwrap_or_else(nothing);
    problem.cause.details.push(waited);
    problem
}

/// Returns a warning about pods that keep the previous revision.
fn kept_pods(progress: &Progress) -> Option<Problem> {
    let kept = progress.kept.as_ref()?;
    Some(Problem::new(format!("pods keep the previous revision: {}", kept.names.join(", "))).help(kept.help))
}

fn counts(progress: &[Option<Progress>]) -> (i32, i32) {
    progress.iter().flatten().fold((0, 0), |(ready, wanted), one| (ready + one.ready, wanted + one.wanted))
}

fn ready_count(progress: &[Option<Progress>]) -> String {
    let (_, wanted) = counts(progress);
    format!("{wanted}/{wanted} ready")
}

/// Returns how far a rollout is, and what it waits for: a failed container with its next start, the worst problem, or
/// what its pods show.
fn status(progress: &[Option<Progress>], worst: Option<&RolloutProblem>) -> RolloutStatus {
    let (ready, desired) = counts(progress);
    let mut reasons: Vec<&WaitReason> = progress.iter().flatten().filter_map(|one| one.waits_for.as_ref()).collect();
    reasons.sort_by_key(|reason| !matches!(reason, WaitReason::Restart { .. }));
    let restart = reasons.first().filter(|reason| matches!(reason, WaitReason::Restart { .. }));
    let waits_for = match (restart, worst) {
        (None, Some(problem)) => Some(WaitReason::Problem { message: problem.cause.message.clone() }),
        _ => reasons.first().map(|reason| (*reason).clone()),
    };
    RolloutStatus { ready, desired, waits_for }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::wait_reason::ContainerRole;

    fn crash(restarts: i32, runs: bool) -> RolloutProblem {
        let patience = if runs { GiveUpAfter::Timeout } else { GiveUpAfter::Tries { after: 20, at_most: 40 } };
        let problem = Problem::new("the container exits: exit code 1");
        RolloutProblem { restarts, has_previous_log: true, ..RolloutProblem::new(patience, problem) }
    }

    #[test]
    fn a_failed_container_is_shown_before_its_problem_and_other_waits() {
        let waiting = |waits_for| Some(Progress { waits_for: Some(waits_for), ..Progress::default() });
        let job = || waiting(WaitReason::Job { job: "migrate".to_owned() });
        let restart = || {
            let (container, role) = ("shop".to_owned(), ContainerRole::Main);
            waiting(WaitReason::Restart { container, role, exit_code: 1, delay_seconds: Some(10), at: None })
        };
        let text = |progress: &[Option<Progress>], worst: Option<&RolloutProblem>| status(progress, worst).to_string();
        assert_eq!(text(&[job()], None), "0/0 ready: job migrate is running");
        let problem = crash(0, false);
        assert_eq!(text(&[job()], Some(&problem)), "0/0 ready: the container exits: exit code 1");
        assert_eq!(text(&[job(), restart()], Some(&problem)), "0/0 ready: container shop: exit 1, restart in 10 s");
    }

    #[test]
    fn a_rollout_without_progress_and_without_a_problem_has_a_cause_too() {
        let problem = timed_out(None, Duration::from_secs(30)).cause;
        assert_eq!(problem.code.as_deref(), Some("C064"));
        assert_eq!(problem.details, ["no progress for 30 s (project key 'timeout')"]);
    }

    #[test]
    fn a_crash_is_given_up_after_a_late_try() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sighting = Sighting::new(&crash(0, false), start);
        assert!(!sighting.is_overdue(&crash(1, false), at(11)));
        // A busy kubelet has not restarted it yet.
        assert!(!sighting.is_overdue(&crash(1, false), at(30)));
        assert!(!sighting.is_overdue(&crash(2, true), at(31)));
        assert!(sighting.is_overdue(&crash(2, false), at(32)));
    }

    #[test]
    fn a_crash_that_is_not_tried_again_is_given_up_in_the_end() {
        let start = Instant::now();
        let mut sighting = Sighting::new(&crash(9, false), start);
        assert!(!sighting.is_overdue(&crash(9, false), start + Duration::from_secs(39)));
        assert!(sighting.is_overdue(&crash(9, false), start + Duration::from_secs(40)));
    }
}
