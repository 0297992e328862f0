//! What happens during a run: the only words that engine and ui share. `--output json` prints one a line.

use std::collections::{BTreeMap, BTreeSet};

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
        /// The workspace's name.
        workspace: String,
        /// The environment's name.
        environment: String,
        /// How many steps the plan has.
        steps: usize,
        /// How many of them are about each subject.
        subjects: BTreeMap<String, usize>,
        /// Projects that need no change.
        unchanged: Vec<String>,
    },
    /// A step's needs are met and it begins.
    StepStarted {
        /// The step's number, the same in all of its events.
        step: usize,
        /// What it is about: a project, a release of the platform, `cluster`.
        subject: String,
        /// What it does: `create`, `install`, `upgrade`, `check`.
        action: String,
        /// The steps that it waited for, by their numbers.
        needs: BTreeSet<usize>,
    },
    /// A step has come further.
    StepProgress {
        /// The step's number.
        step: usize,
        /// What it is about.
        subject: String,
        /// How far it has come, in words for people.
        message: String,
    },
    /// Something is wrong, and may still heal.
    StepWarning {
        /// The step's number.
        step: usize,
        /// What it is about.
        subject: String,
        /// What is wrong.
        diagnosis: Diagnosis,
    },
    /// A step has ended.
    StepFinished {
        /// The step's number.
        step: usize,
        /// What it is about.
        subject: String,
        /// What it did.
        action: String,
        /// How it ended.
        outcome: Outcome,
        /// Seconds from the step's start; 0 for a step that never started.
        seconds: f64,
        /// What was seen at the end: `revision 2`, `200 from http://shop.tunes.localhost/`.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Why it failed or was not started.
        #[serde(skip_serializing_if = "Option::is_none")]
        diagnosis: Option<Diagnosis>,
    },
    /// All steps have ended.
    RunFinished {
        /// Seconds from the run's start.
        seconds: f64,
        /// How many steps are done.
        done: usize,
        /// How many steps failed.
        failed: usize,
        /// How many steps were not started, since something that they need failed.
        not_started: usize,
        /// How many steps an interrupt ended, or kept from starting.
        interrupted: usize,
        /// The URLs that answered as they should.
        urls: Vec<String>,
        /// The first of them of each project.
        project_urls: BTreeMap<String, String>,
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
