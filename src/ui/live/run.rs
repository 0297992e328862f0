//! The state of a run, from its events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    domain::wait_reason::WaitReason,
    event::{Event, Outcome, PlannedStep, Readiness, TimedEvent},
};

/// The state of a run.
pub(super) struct LiveRun {
    /// `up tunes in local`
    pub title: String,
    pub started: Timestamp,
    pub steps: BTreeMap<usize, LiveStep>,
}

/// The state of a step.
pub(super) struct LiveStep {
    pub planned: PlannedStep,
    pub phase: Phase,
    pub message: String,
    pub pods: Option<Readiness>,
    pub waits_for: Option<WaitReason>,
    /// What a step that is done has reported, until it is printed, with its duration in seconds.
    result: Option<(Option<String>, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Running(Timestamp),
    Ended(Outcome),
}

impl LiveStep {
    fn new(planned: PlannedStep) -> Self {
        let phase = Phase::Waiting;
        Self { planned, phase, message: String::new(), pods: None, waits_for: None, result: None }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }
}

impl LiveRun {
    /// Returns the state at the start of a run; `None` for any other event.
    pub(super) fn of(timed: &TimedEvent) -> Option<Self> {
        let Event::RunStarted { verb, workspace, environment, planned, .. } = &timed.event else { return None };
        let steps = planned.iter().map(|step| (step.step, LiveStep::new(step.clone())));
        let title = format!("{verb} {workspace} in {environment}");
        Some(Self { title, started: timed.timestamp, steps: steps.collect() })
    }

    pub(super) fn apply(&mut self, timed: &TimedEvent) {
        match &timed.event {
            Event::StepStarted { step, .. } => self.change(*step, |it| it.phase = Phase::Running(timed.timestamp)),
            Event::StepProgress { step, message, pods, waits_for, .. } => self.change(*step, |it| {
                it.message.clone_from(message);
                it.pods = pods.or(it.pods);
                it.waits_for.clone_from(waits_for);
            }),
            Event::StepFinished { step, outcome, seconds, message, .. } => self.change(*step, |it| {
                it.phase = Phase::Ended(*outcome);
                it.result = (*outcome == Outcome::Done).then(|| (message.clone(), *seconds));
            }),
            _ => (),
        }
    }

    fn change(&mut self, step: usize, change: impl FnOnce(&mut LiveStep)) {
        if let Some(state) = self.steps.get_mut(&step) {
            change(state);
        }
    }

    /// The subjects, in the order of their first steps.
    pub(super) fn subjects(&self) -> Vec<String> {
        let mut known = BTreeSet::new();
        let all = self.steps.values().map(|step| &step.planned.subject);
        all.filter(|subject| known.insert(*subject)).cloned().collect()
    }

    /// Whether all steps of a subject have ended.
    pub(super) fn is_over(&self, subject: &str) -> bool {
        self.of_subject(subject).all(LiveStep::is_over)
    }

    /// Returns what the steps of a subject have reported since the last call, or else their actions, and how many
    /// seconds they took.
    pub(super) fn take_results(&mut self, subject: &str) -> (Vec<String>, f64) {
        let (mut messages, mut actions, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for step in self.steps.values_mut().filter(|step| step.planned.subject == subject) {
            let Some((message, seconds)) = step.result.take() else { continue };
            sum += seconds;
            match message {
                Some(message) => messages.push(message),
                None => actions.push(step.planned.action.clone()),
            }
        }
        (if messages.is_empty() { actions } else { messages }, sum)
    }

    /// The subjects of the unfinished steps that a step waits for, without its own.
    pub(super) fn awaited(&self, step: &LiveStep) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for need in step.planned.needs.iter().filter_map(|need| self.steps.get(need)).filter(|need| !need.is_over()) {
            if need.planned.subject == step.planned.subject {
                found.extend(self.awaited(need));
            } else {
                found.insert(need.planned.subject.as_str());
            }
        }
        found
    }

    /// The subject of a failed step that a step needs, directly or indirectly.
    pub(super) fn failed_need(&self, step: &LiveStep) -> Option<&str> {
        step.planned.needs.iter().filter_map(|need| self.steps.get(need)).find_map(|need| match need.phase {
            Phase::Ended(Outcome::Failed) => Some(need.planned.subject.as_str()),
            _ => self.failed_need(need),
        })
    }

    /// The steps of one subject.
    pub(super) fn of_subject(&self, subject: &str) -> impl Iterator<Item = &LiveStep> {
        self.steps.values().filter(move |step| step.planned.subject == subject)
    }

    pub(super) fn count(&self, is_counted: impl Fn(&LiveStep) -> bool) -> usize {
        self.steps.values().filter(|step| is_counted(step)).count()
    }
}
