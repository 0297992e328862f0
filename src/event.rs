//! The events of a run: the only types that engine and ui share. `--output json` prints one event per line.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::domain::{Problem, StepKind, wait_reason::WaitReason};

/// An event of a run with its time. Events are sent in the order in which they happen.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct TimedEvent {
    /// When the event happened, in RFC 3339.
    pub timestamp: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is known and its steps start.
    RunStarted {
        /// The command: `up`, `down`, `restart`.
        verb: String,
        /// The name of the workspace.
        workspace: String,
        /// The name of the environment; of a copy: `local (copy fix-42)`.
        environment: String,
        /// The number of steps in the plan.
        steps: usize,
        /// The number of steps for each subject.
        subjects: BTreeMap<String, usize>,
        /// Projects that need no change.
        unchanged: Vec<String>,
        /// The steps of the plan; each one comes after those that it needs.
        planned: Vec<PlannedStep>,
    },
    /// The steps that a step needs have finished, and it starts.
    StepStarted {
        /// The number of the step, the same in all of its events.
        step: usize,
        /// The subject of the step: a project, a platform release, `cluster`.
        subject: String,
        /// The action of the step: `create`, `install`, `upgrade`, `check`.
        action: String,
        /// What the step is for: a change, a check, or the preparation of other steps.
        kind: StepKind,
        /// The numbers of the steps that it waited for.
        needs: BTreeSet<usize>,
    },
    /// A step has made progress.
    StepProgress {
        /// The number of the step.
        step: usize,
        /// The subject of the step.
        subject: String,
        /// The progress, as text for people.
        message: String,
        /// How many pods of a rollout are ready.
        #[serde(skip_serializing_if = "Option::is_none")]
        pods: Option<Readiness>,
        /// What the step waits for.
        #[serde(skip_serializing_if = "Option::is_none")]
        waits_for: Option<WaitReason>,
    },
    /// A container of a run has written a line.
    ContainerOutput {
        /// The number of the step.
        step: usize,
        /// The subject of the step.
        subject: String,
        /// The number of the container's part in an array, from 0.
        #[serde(skip_serializing_if = "Option::is_none")]
        part: Option<u32>,
        /// The line, without its end.
        line: String,
    },
    /// Values of a project were found: the result of `cmdr harden`.
    ValuesFound {
        /// The number of the step.
        step: usize,
        /// The project.
        subject: String,
        /// Values for `projects.yaml`, below `values` of the project; empty if it needs none.
        values: Value,
    },
    /// A container of a run has ended.
    ContainerExited {
        /// The number of the step.
        step: usize,
        /// The subject of the step.
        subject: String,
        /// The number of the container's part in an array, from 0.
        #[serde(skip_serializing_if = "Option::is_none")]
        part: Option<u32>,
        /// The exit code of the container.
        exit_code: i32,
    },
    /// A problem that may still resolve itself.
    StepWarning {
        /// The number of the step.
        step: usize,
        /// The subject of the step.
        subject: String,
        /// The problem.
        problem: Problem,
    },
    /// A step has finished.
    StepFinished {
        /// The number of the step.
        step: usize,
        /// The subject of the step.
        subject: String,
        /// The action of the step.
        action: String,
        /// What the step is for: a change, a check, or the preparation of other steps.
        kind: StepKind,
        /// The result of the step.
        outcome: Outcome,
        /// The duration of the step in seconds; 0 for a step that never started.
        seconds: f64,
        /// What was observed at the end: `revision 2`, `200 from http://shop.tunes.localhost/`.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Why the step failed or was not started.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
    },
    /// All steps have finished.
    RunFinished {
        /// The duration of the run in seconds.
        seconds: f64,
        /// The number of steps that succeeded.
        done: usize,
        /// The number of steps that failed.
        failed: usize,
        /// The number of steps that were not started because something that they need failed.
        not_started: usize,
        /// The number of steps that were interrupted, or not started because of the interrupt.
        interrupted: usize,
        /// Whether `cmdr dev` ended the run because a source has changed; it goes on with the change.
        is_superseded: bool,
        /// The URLs whose checks passed.
        urls: Vec<String>,
        /// The first of these URLs for each project.
        project_urls: BTreeMap<String, String>,
        /// The requests of cmdr, not of Helm, to the Kubernetes API since its start, by verb and resource.
        api_requests: BTreeMap<String, usize>,
    },
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedStep {
    /// The number of the step, the same in all of its events.
    pub step: usize,
    /// The subject of the step.
    pub subject: String,
    /// The action of the step.
    pub action: String,
    /// What the step is for.
    pub kind: StepKind,
    /// The numbers of the steps that must have finished before it starts.
    pub needs: BTreeSet<usize>,
}

/// How many pods of a rollout are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "readiness")]
pub struct Readiness {
    pub ready: i32,
    pub desired: i32,
}

impl Event {
    /// Creates the event for progress that is only text.
    pub fn progress(step: usize, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::StepProgress { step, subject: subject.into(), message: message.into(), pods: None, waits_for: None }
    }
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    Failed,
    /// Something that the step needs failed.
    NotStarted,
    /// The run was interrupted.
    Interrupted,
}

/// Sends events to a renderer, each with the time at which it is sent.
#[derive(Debug, Clone)]
pub struct Sender {
    events: mpsc::UnboundedSender<TimedEvent>,
    clock: fn() -> Timestamp,
}

pub type Receiver = mpsc::UnboundedReceiver<TimedEvent>;

/// Opens a channel: engine and steps send events, a renderer receives them.
pub fn channel(clock: fn() -> Timestamp) -> (Sender, Receiver) {
    let (events, receiver) = mpsc::unbounded_channel();
    (Sender { events, clock }, receiver)
}

impl Sender {
    /// Sends an event. If the renderer has ended, it is dropped.
    pub fn send(&self, event: Event) {
        let _ = self.events.send(TimedEvent { timestamp: (self.clock)(), event });
    }
}
