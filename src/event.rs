//! What happens during a run: the only words that engine and ui share. `--output json` prints one a line.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Diagnosis;

/// Something that happened, in the order of its happening.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is known and its steps begin.
    RunStarted {
        /// The verb: `up`, `down`, `restart`.
        verb: String,
        workspace: String,
        environment: String,
        /// How many steps the plan has.
        steps: usize,
        /// Projects that need no change.
        unchanged: Vec<String>,
    },
    /// A step's needs are met and it begins.
    StepStarted { step: usize, subject: String, action: String },
    /// A step has come further.
    StepProgress { step: usize, subject: String, message: String },
    /// Something is wrong, and may still heal.
    StepWarning { step: usize, subject: String, diagnosis: Diagnosis },
    /// A step has ended.
    StepFinished {
        step: usize,
        subject: String,
        action: String,
        outcome: Outcome,
        /// Seconds from the step's start; 0 for a step that never started.
        seconds: f64,
        /// What was seen at the end: `revision 2`, `200 from http://shop.tunes.localhost/`.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        diagnosis: Option<Diagnosis>,
    },
    /// All steps have ended.
    RunFinished {
        seconds: f64,
        done: usize,
        failed: usize,
        not_started: usize,
        /// The URLs that answered as they should.
        urls: Vec<String>,
    },
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    Failed,
    /// Something that it needs failed.
    NotStarted,
    /// The run was interrupted.
    Interrupted,
}

/// Where events go: engine and steps write, a renderer reads.
pub type Sender = tokio::sync::mpsc::UnboundedSender<Event>;
