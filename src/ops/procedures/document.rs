//! Procedures for people and programs: their steps, and where they are.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        Name,
        procedure::{FlatAct, FlatStep, Procedure},
        procedure_state::{ProcedurePhase, ProcedureState},
    },
    ops::session::Session,
};

/// A row of `cmdr procedure list`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ProcedureRow {
    pub procedure: String,
    pub description: Option<String>,
    /// The number of steps as they are written.
    pub steps: usize,
    /// Whether it is under way, but no longer in projects.yaml.
    pub removed: bool,
    /// Of the last start in this environment.
    pub phase: Option<ProcedurePhase>,
    /// The step that is next, if it is under way.
    pub next: Option<String>,
    pub started: Option<Timestamp>,
    pub by: Option<String>,
}

impl ProcedureRow {
    pub(super) fn new(name: &Name, procedure: &Procedure, states: &[ProcedureState]) -> Self {
        let state = states.iter().find(|state| state.procedure == name.as_str());
        let next = state.filter(|state| state.is_under_way()).and_then(|state| Some(&state.steps[state.next()?]));
        Self {
            procedure: name.to_string(),
            description: procedure.description.clone(),
            steps: procedure.steps.len(),
            removed: false,
            phase: state.map(|state| state.phase),
            next: next.map(|step| step.name.clone()),
            started: state.map(|state| state.started),
            by: state.map(|state| state.by.clone()),
        }
    }

    /// A procedure that is under way, but no longer in projects.yaml.
    pub(super) fn removed(state: &ProcedureState) -> Self {
        Self {
            procedure: state.procedure.clone(),
            description: None,
            steps: state.steps.len(),
            removed: true,
            phase: Some(state.phase),
            next: state.next().map(|next| state.steps[next].name.clone()),
            started: Some(state.started),
            by: Some(state.by.clone()),
        }
    }
}

/// A procedure with its steps, and with its state if it was started.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ProcedureDocument {
    pub procedure: String,
    pub environment: String,
    pub steps: Vec<StepDocument>,
    pub state: Option<ProcedureState>,
}

/// A step of a procedure.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct StepDocument {
    pub name: String,
    #[serde(flatten)]
    pub act: ActDocument,
    /// The way back.
    pub undo: Vec<ActDocument>,
}

/// An action of a step.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ActDocument {
    /// What it does: `deploy`, `approve`.
    pub kind: String,
    /// To what: `storefront, catalog`.
    pub subject: String,
    pub environment: String,
    /// `None`: only a person or the clock ends it.
    pub timeout_seconds: Option<u64>,
}

impl ActDocument {
    fn new(act: &FlatAct) -> Self {
        Self {
            kind: act.action.kind().to_owned(),
            subject: act.action.subject(),
            environment: act.environment.to_string(),
            timeout_seconds: act.timeout_seconds,
        }
    }

    fn shown(&self) -> String {
        format!("{} {}", self.kind, self.subject)
    }
}

impl ProcedureDocument {
    pub(super) fn new(session: &Session, name: &str, steps: &[FlatStep], state: Option<ProcedureState>) -> Self {
        let step = |step: &FlatStep| StepDocument {
            name: step.name.clone(),
            act: ActDocument::new(&step.act),
            undo: step.undo.iter().map(ActDocument::new).collect(),
        };
        Self {
            procedure: name.to_owned(),
            environment: session.environment.name.to_string(),
            steps: steps.iter().map(step).collect(),
            state,
        }
    }

    /// The rows of the table for people.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let head = ["STEP", "DOES", "IN", "TIMEOUT", "WAY BACK", "STATE", "RESULT"].map(str::to_owned).to_vec();
        let row = |step: &StepDocument| {
            let state = self.state.iter().flat_map(|state| &state.steps).find(|state| state.name == step.name);
            let undo: Vec<String> = step.undo.iter().map(ActDocument::shown).collect();
            let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            vec![
                step.name.clone(),
                step.act.shown(),
                step.act.environment.clone(),
                step.act.timeout_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
                or_none(undo.join(", ")),
                state.map_or("-", |state| state.progress.as_str()).to_owned(),
                or_none(state.and_then(|state| state.result.clone()).unwrap_or_default()),
            ]
        };
        std::iter::once(head).chain(self.steps.iter().map(row)).collect()
    }
}
