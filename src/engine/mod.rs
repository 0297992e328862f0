//! Runs a plan: each step starts when the steps that it needs are done; independent steps run in parallel.
//!
//! After a failure, the steps that need the failed step are not started; other steps continue. After a cancel, running
//! steps finish in their own way and no more steps start.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Problem,
        wait_reason::{RolloutStatus, WaitReason},
    },
    event::{Event, Outcome, PlannedStep, Readiness, Sender},
    plan::{Plan, Planned, StepId},
};

/// Runs the steps of a plan.
pub trait StepRunner: Send + Sync + 'static {
    /// # Errors
    /// Why the step failed.
    fn run(
        &self,
        planned: &Planned,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> impl Future<Output = Result<Option<String>, StepFailure>> + Send;
}

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub enum StepFailure {
    Failed(Box<Problem>),
    /// A container ended with this exit code, which cmdr returns.
    Exited {
        problem: Box<Problem>,
        code: u8,
    },
    Interrupted,
}

impl From<Problem> for StepFailure {
    fn from(problem: Problem) -> Self {
        Self::Failed(Box::new(problem))
    }
}

/// Reports the progress of a step.
#[derive(Debug, Clone)]
pub struct Reporter {
    step: StepId,
    subject: String,
    events: Sender,
}

impl Reporter {
    pub fn progress(&self, message: impl Into<String>) {
        self.send(Event::progress(self.step.index(), &self.subject, message));
    }

    /// Reports what the step waits for.
    pub fn waits_for(&self, reason: WaitReason) {
        self.send(Event::StepProgress {
            step: self.step.index(),
            subject: self.subject.clone(),
            message: reason.to_string(),
            pods: None,
            waits_for: Some(reason),
        });
    }

    /// Reports the status of a rollout. `message` is its text.
    pub fn rollout(&self, message: String, RolloutStatus { ready, desired, waits_for }: RolloutStatus) {
        self.send(Event::StepProgress {
            step: self.step.index(),
            subject: self.subject.clone(),
            message,
            pods: Some(Readiness { ready, desired }),
            waits_for,
        });
    }

    pub fn warn(&self, problem: Problem) {
        self.send(Event::StepWarning { step: self.step.index(), subject: self.subject.clone(), problem });
    }

    /// Passes on a line that a container has written; `part` is its number in an array.
    pub fn output(&self, part: Option<u32>, line: &str) {
        let line = line.to_owned();
        self.send(Event::ContainerOutput { step: self.step.index(), subject: self.subject.clone(), part, line });
    }

    /// Passes on the values that a project should have.
    pub fn values_found(&self, values: Value) {
        self.send(Event::ValuesFound { step: self.step.index(), subject: self.subject.clone(), values });
    }

    /// Reports with which exit code a container has ended.
    pub fn exited(&self, part: Option<u32>, exit_code: i32) {
        self.send(Event::ContainerExited { step: self.step.index(), subject: self.subject.clone(), part, exit_code });
    }

    fn send(&self, event: Event) {
        self.events.send(event);
    }
}

/// Returns the steps of a plan, as the first event of its run shows them.
pub fn planned_steps(plan: &Plan) -> Vec<PlannedStep> {
    plan.steps.iter().map(planned_step).collect()
}

fn planned_step(planned: &Planned) -> PlannedStep {
    PlannedStep {
        step: planned.id.index(),
        subject: planned.step.subject(),
        action: planned.step.action().to_owned(),
        kind: planned.step.kind(),
        needs: planned.needs.iter().map(|need| need.index()).collect(),
    }
}

/// The result of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    pub done: BTreeSet<StepId>,
    pub failed: BTreeSet<StepId>,
    pub not_started: BTreeSet<StepId>,
    pub interrupted: BTreeSet<StepId>,
    /// How long each step that ran has taken.
    pub durations: BTreeMap<StepId, Duration>,
    /// The exit code of a container that failed, if the run returns it.
    pub exit_code: Option<u8>,
}

impl Summary {
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.not_started.is_empty() && self.interrupted.is_empty()
    }
}

/// Runs all steps of `plan` and sends events about each one.
pub async fn run<R: StepRunner>(plan: &Plan, runner: Arc<R>, events: &Sender, cancel: &CancellationToken) -> Summary {
    let mut execution =
        Execution { plan, runner, events, cancel, running: JoinSet::new(), summary: Summary::default() };
    let mut waiting: BTreeSet<StepId> = plan.ids().collect();
    loop {
        execution.start_ready(&mut waiting);
        match execution.running.join_next().await {
            Some(Ok(ended)) => execution.finish(ended),
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            None => break,
        }
    }
    for id in waiting {
        execution.leave_out(id);
    }
    execution.summary
}

struct Execution<'a, R> {
    plan: &'a Plan,
    runner: Arc<R>,
    events: &'a Sender,
    cancel: &'a CancellationToken,
    running: JoinSet<Ended>,
    summary: Summary,
}

/// The result of a step, as returned by its task.
struct Ended {
    step: StepId,
    result: Result<Option<String>, StepFailure>,
    duration: Duration,
}

/// The result of a step, as the summary and the event report it.
struct StepResult {
    outcome: Outcome,
    seconds: f64,
    message: Option<String>,
    problem: Option<Problem>,
}

impl StepResult {
    /// The result of a step that did not start.
    fn without_run(outcome: Outcome) -> Self {
        Self { outcome, seconds: 0.0, message: None, problem: None }
    }
}

impl<R: StepRunner> Execution<'_, R> {
    fn start_ready(&mut self, waiting: &mut BTreeSet<StepId>) {
        if self.cancel.is_cancelled() {
            return;
        }
        let ready: Vec<StepId> = waiting
            .iter()
            .copied()
            .filter(|&id| self.plan[id].needs.iter().all(|need| self.summary.done.contains(need)))
            .collect();
        for id in ready {
            waiting.remove(&id);
            self.start(&self.plan[id]);
        }
    }

    fn start(&mut self, planned: &Planned) {
        let PlannedStep { step, subject, action, kind, needs } = planned_step(planned);
        self.send(Event::StepStarted { step, subject, action, kind, needs });
        let reporter = Reporter { step: planned.id, subject: planned.step.subject(), events: self.events.clone() };
        let (runner, planned, cancel) = (Arc::clone(&self.runner), planned.clone(), self.cancel.clone());
        self.running.spawn(async move {
            let start = Instant::now();
            let result = runner.run(&planned, &reporter, &cancel).await;
            Ended { step: planned.id, result, duration: start.elapsed() }
        });
    }

    fn finish(&mut self, ended: Ended) {
        self.summary.durations.insert(ended.step, ended.duration);
        let (outcome, message, problem) = match ended.result {
            Ok(message) => (Outcome::Done, message, None),
            Err(StepFailure::Failed(problem)) => (Outcome::Failed, None, Some(*problem)),
            Err(StepFailure::Exited { problem, code }) => {
                self.summary.exit_code = Some(code);
                (Outcome::Failed, None, Some(*problem))
            }
            Err(StepFailure::Interrupted) => (Outcome::Interrupted, None, None),
        };
        self.record(ended.step, StepResult { outcome, seconds: ended.duration.as_secs_f64(), message, problem });
    }

    /// Records a step that was not started, because a step that it needs failed or the run was interrupted.
    fn leave_out(&mut self, id: StepId) {
        match self.failed_need(id) {
            Some(need) => {
                let subject = self.plan[need].step.subject();
                let problem = Problem::new(if subject == self.plan[id].step.subject() {
                    "not started: an earlier step failed".to_owned()
                } else {
                    format!("not started: it needs {subject}")
                });
                self.record(id, StepResult { problem: Some(problem), ..StepResult::without_run(Outcome::NotStarted) });
            }
            None => self.record(id, StepResult::without_run(Outcome::Interrupted)),
        }
    }

    /// Returns a failed step that this one needs, directly or indirectly.
    fn failed_need(&self, id: StepId) -> Option<StepId> {
        let needs = &self.plan[id].needs;
        let failed = needs.iter().copied().find(|need| self.summary.failed.contains(need));
        failed.or_else(|| needs.iter().find_map(|&need| self.failed_need(need)))
    }

    fn record(&mut self, id: StepId, result: StepResult) {
        let StepResult { outcome, seconds, message, problem } = result;
        let ended = match outcome {
            Outcome::Done => &mut self.summary.done,
            Outcome::Failed => &mut self.summary.failed,
            Outcome::NotStarted => &mut self.summary.not_started,
            Outcome::Interrupted => &mut self.summary.interrupted,
        };
        ended.insert(id);
        let planned = &self.plan[id];
        self.send(Event::StepFinished {
            step: id.index(),
            subject: planned.step.subject(),
            action: planned.step.action().to_owned(),
            kind: planned.step.kind(),
            outcome,
            seconds,
            message,
            problem,
        });
    }

    fn send(&self, event: Event) {
        self.events.send(event);
    }
}

#[cfg(test)]
mod tests;
