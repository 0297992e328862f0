//! The state of a procedure that was started: what is done, and what is next.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::procedure::{FlatAct, FlatStep, definition_id};

/// A procedure that was started, as it is stored in its environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcedureState {
    /// The name in projects.yaml.
    pub procedure: String,
    /// The environment that it was started for.
    pub environment: String,
    /// A hash of the steps.
    pub definition: String,
    pub phase: ProcedurePhase,
    pub started: Timestamp,
    /// Who started it.
    pub by: String,
    /// Why it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// When the last step was done or undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    pub steps: Vec<StepState>,
}

/// How far a procedure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProcedurePhase {
    /// A step runs, or was interrupted.
    Running,
    /// A person must approve the next step.
    Waiting,
    /// A step has failed.
    Failed,
    /// Its steps are undone.
    Aborting,
    Aborted,
    Done,
}

/// A step of a procedure that was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepState {
    pub name: String,
    /// What it does: `deploy`, `approve`.
    pub kind: String,
    /// To what: `storefront, catalog`.
    pub subject: String,
    pub environment: String,
    /// A hash of its definition.
    pub definition: String,
    /// The definition itself: projects.yaml may be changed before the step is undone.
    #[schemars(with = "serde_json::Value")]
    pub act: FlatAct,
    /// The way back.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub undo: Vec<FlatAct>,
    pub progress: StepProgress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Who did it, or approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What was observed at the end, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepProgress {
    Pending,
    /// It runs, or was interrupted.
    Started,
    Failed,
    Done,
    Undone,
}

impl ProcedurePhase {
    /// The phase in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running or interrupted",
            Self::Waiting => "waiting for approval",
            Self::Failed => "failed",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
            Self::Done => "done",
        }
    }
}

impl StepProgress {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "-",
            Self::Started => "started",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }
}

/// Who starts a procedure, why and when.
#[derive(Debug, Clone)]
pub struct StartedBy {
    pub by: String,
    pub because: Option<String>,
    pub now: Timestamp,
}

impl ProcedureState {
    /// A procedure before its first step.
    pub fn new(procedure: &str, environment: &str, steps: &[FlatStep], start: StartedBy) -> Self {
        Self {
            procedure: procedure.to_owned(),
            environment: environment.to_owned(),
            definition: definition_id(steps),
            phase: ProcedurePhase::Running,
            started: start.now,
            by: start.by,
            because: start.because,
            ended: None,
            steps: steps.iter().map(StepState::new).collect(),
        }
    }

    /// Whether it has neither ended nor been aborted.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.phase, ProcedurePhase::Aborted | ProcedurePhase::Done)
    }

    /// The position of the first step that is not done.
    pub fn next(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.progress != StepProgress::Done)
    }

    /// The position of the last step that was started and is not undone.
    pub fn last_to_undo(&self) -> Option<usize> {
        self.steps.iter().rposition(StepState::is_started)
    }

    /// The steps as they were started, whatever projects.yaml says by now.
    pub fn described(&self) -> Vec<FlatStep> {
        let step =
            |step: &StepState| FlatStep { name: step.name.clone(), act: step.act.clone(), undo: step.undo.clone() };
        self.steps.iter().map(step).collect()
    }

    /// What undoes the steps that were started, each with the name of its step.
    pub fn ways_back(&self) -> Vec<(String, FlatAct)> {
        let started = self.steps.iter().filter(|step| step.is_started());
        started.flat_map(|step| step.undo.iter().map(|act| (step.name.clone(), act.clone()))).collect()
    }

    /// Takes over the ways back of the steps with the same names.
    pub fn take_ways_back(&mut self, steps: &[FlatStep]) {
        for own in &mut self.steps {
            if let Some(step) = steps.iter().find(|step| step.name == own.name) {
                own.undo.clone_from(&step.undo);
            }
        }
    }

    /// The names of the steps that were started and are not undone.
    pub fn started_steps(&self) -> Vec<&str> {
        self.steps.iter().filter(|step| step.is_started()).map(|step| step.name.as_str()).collect()
    }

    /// One line about where it is.
    pub fn summary(&self) -> String {
        let at = self.next().map(|index| {
            let step = &self.steps[index];
            format!(" at step {} of {} ({}: {} {})", index + 1, self.steps.len(), step.name, step.kind, step.subject)
        });
        let at = at.filter(|_| self.is_under_way()).unwrap_or_default();
        let started = self.started.strftime("%Y-%m-%d %H:%M UTC");
        format!(
            "the procedure '{}' is {}{at}; {} started it at {started}",
            self.procedure,
            self.phase.as_str(),
            self.by
        )
    }

    /// What differs between the steps that were started and those of projects.yaml; empty if nothing does.
    pub fn differences(&self, steps: &[FlatStep]) -> Vec<String> {
        let new: Vec<StepState> = steps.iter().map(StepState::new).collect();
        let mut found = Vec::new();
        for old in &self.steps {
            let named =
                format!("the step '{}'{}", old.name, if old.is_started() { ", which was started," } else { "" });
            match new.iter().find(|step| step.name == old.name) {
                None => found.push(format!("{named} was removed")),
                Some(step) if step.definition != old.definition => {
                    let what = |step: &StepState| format!("{} {} in '{}'", step.kind, step.subject, step.environment);
                    let (before, after) = (what(old), what(step));
                    let change =
                        if before == after { "its settings".to_owned() } else { format!("{before}, now {after}") };
                    found.push(format!("{named} was changed: {change}"));
                }
                Some(_) => (),
            }
        }
        let added = new.iter().filter(|step| self.steps.iter().all(|old| old.name != step.name));
        found.extend(added.map(|step| format!("the step '{}' was added", step.name)));
        let order = |steps: &[StepState]| steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
        if found.is_empty() && order(&self.steps) != order(&new) {
            found.push("the steps have another order".to_owned());
        }
        found
    }

    /// Takes over another definition for the steps that were not started. `None` if it changes a step that was.
    pub fn redefined(&self, steps: &[FlatStep]) -> Option<Self> {
        let mut new: Vec<StepState> = steps.iter().map(StepState::new).collect();
        let started = self.steps.iter().take_while(|step| step.progress != StepProgress::Pending);
        for (index, old) in started.enumerate() {
            let same = new.get_mut(index).filter(|step| step.name == old.name && step.definition == old.definition)?;
            *same = old.clone();
        }
        Some(Self { definition: definition_id(steps), steps: new, ..self.clone() })
    }

    /// Notes that a step starts, unless it already has: an interrupted step keeps its start.
    pub fn start_step(&mut self, index: usize, by: &str, now: Timestamp) {
        self.phase = ProcedurePhase::Running;
        if let Some(step) = self.steps.get_mut(index) {
            if step.progress != StepProgress::Started {
                step.started = Some(now);
            }
            (step.progress, step.by, step.result) = (StepProgress::Started, Some(by.to_owned()), None);
        }
    }

    /// Notes how a step has ended.
    pub fn end_step(&mut self, index: usize, progress: StepProgress, result: Option<String>, now: Timestamp) {
        if let Some(step) = self.steps.get_mut(index) {
            (step.progress, step.ended, step.result) = (progress, Some(now), result);
        }
    }

    /// Notes that a procedure has ended.
    pub fn end(&mut self, phase: ProcedurePhase, now: Timestamp) {
        (self.phase, self.ended) = (phase, Some(now));
    }
}

impl StepState {
    /// Whether it may have changed something that is not undone.
    fn is_started(&self) -> bool {
        !matches!(self.progress, StepProgress::Pending | StepProgress::Undone)
    }

    fn new(step: &FlatStep) -> Self {
        Self {
            name: step.name.clone(),
            kind: step.act.action.kind().to_owned(),
            subject: step.act.action.subject(),
            environment: step.act.environment.to_string(),
            definition: definition_id(std::slice::from_ref(step)),
            act: step.act.clone(),
            undo: step.undo.clone(),
            progress: StepProgress::Pending,
            started: None,
            ended: None,
            by: None,
            result: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::procedure::{FlatAct, ProcedureAction, tests::name};

    fn wait(step: &str, seconds: u64) -> FlatStep {
        let action = ProcedureAction::Wait(Duration::from_secs(seconds));
        let act = FlatAct { environment: name("staging"), action, timeout_seconds: None };
        FlatStep { name: step.to_owned(), act, undo: Vec::new() }
    }

    fn now() -> Timestamp {
        "2026-11-27T04:00:00Z".parse().unwrap()
    }

    fn started(steps: &[FlatStep]) -> ProcedureState {
        let start = StartedBy { by: "ann".to_owned(), because: None, now: now() };
        ProcedureState::new("migrate", "staging", steps, start)
    }

    #[test]
    fn an_interrupted_step_is_the_next_one_and_keeps_its_start() {
        let mut state = started(&[wait("one", 1), wait("two", 2)]);
        assert_eq!((state.next(), state.last_to_undo()), (Some(0), None));
        state.start_step(0, "ann", now());
        state.end_step(0, StepProgress::Done, None, now());
        state.start_step(1, "ann", now());
        state.start_step(1, "bob", now() + jiff::SignedDuration::from_secs(9));
        assert_eq!((state.next(), state.last_to_undo()), (Some(1), Some(1)));
        assert_eq!((state.steps[1].started, state.steps[1].by.as_deref()), (Some(now()), Some("bob")));
        assert_eq!(
            state.summary(),
            "the procedure 'migrate' is running or interrupted at step 2 of 2 (two: wait 2 s); \
             ann started it at 2026-11-27 04:00 UTC"
        );
        state.end_step(1, StepProgress::Undone, None, now());
        assert_eq!(state.last_to_undo(), Some(0));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ProcedureState>(&text).unwrap(), state);
    }

    #[test]
    fn a_changed_definition_says_what_differs() {
        let mut state = started(&[wait("one", 1), wait("two", 2)]);
        assert_eq!(state.differences(&[wait("one", 1), wait("two", 2)]), Vec::<String>::new());
        assert_eq!(
            state.differences(&[wait("one", 3), wait("three", 2)]),
            [
                "the step 'one' was changed: wait 1 s in 'staging', now wait 3 s in 'staging'",
                "the step 'two' was removed",
                "the step 'three' was added",
            ]
        );
        assert_eq!(state.differences(&[wait("two", 2), wait("one", 1)]), ["the steps have another order"]);
        state.start_step(0, "ann", now());
        assert_eq!(state.differences(&[]).first().unwrap(), "the step 'one', which was started, was removed");
        assert_eq!(state.redefined(&[wait("one", 3)]), None);
        assert_eq!(state.redefined(&[wait("zero", 1), wait("one", 1)]), None, "a new step before one that was started");
        let new = state.redefined(&[wait("one", 1), wait("three", 2)]).unwrap();
        assert_eq!((new.steps[0].progress, new.steps[1].name.as_str()), (StepProgress::Started, "three"));
        assert_ne!(new.definition, state.definition);
    }
    #[test]
    fn the_way_back_is_that_of_the_start() {
        let undone = |step: FlatStep, back: &FlatStep| FlatStep { undo: vec![back.act.clone()], ..step };
        let steps = [undone(wait("one", 1), &wait("back", 7)), undone(wait("two", 2), &wait("back", 8))];
        let mut state = started(&steps);
        assert_eq!((state.described(), state.ways_back()), (steps.to_vec(), Vec::new()));
        state.start_step(0, "ann", now());
        let back = |seconds| vec![("one".to_owned(), wait("back", seconds).act)];
        assert_eq!((state.ways_back(), state.started_steps()), (back(7), vec!["one"]));
        let text = serde_json::to_string(&state).unwrap();
        let mut read: ProcedureState = serde_json::from_str(&text).unwrap();
        assert_eq!(read.ways_back(), back(7), "without projects.yaml");
        read.take_ways_back(&[undone(wait("one", 3), &wait("back", 9))]);
        assert_eq!(read.ways_back(), back(9));
    }
}
