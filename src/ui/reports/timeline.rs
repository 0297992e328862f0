//! The timeline of a run: every step, what it waited for, the critical path, the processor usage.
//!
//! Times are seconds from the start of cmdr. Each run of an invocation is a stage of the timeline: starting a cluster
//! and deploying to it are two.

mod critical_path;
mod page;
mod processor;
mod rows;
mod scale;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{Problem, processor::ProcessorUse},
    event::{Event, Outcome},
};
use critical_path::{Span, critical_path};

/// A shorter part of a step is not shown (seconds).
const SHORTEST: f64 = 0.001;

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    stages: Vec<Stage>,
    /// The requests to the Kubernetes API so far, by verb and resource.
    api_requests: BTreeMap<String, usize>,
}

/// One run of a plan.
#[derive(Debug)]
struct Stage {
    title: String,
    unchanged: usize,
    start: f64,
    end: f64,
    steps: BTreeMap<usize, TimelineStep>,
}

/// One step, recorded from its start on, or when it is reported as not started.
#[derive(Debug)]
struct TimelineStep {
    subject: String,
    action: String,
    needs: BTreeSet<usize>,
    /// `None` for a step that never started.
    start: Option<f64>,
    end: f64,
    /// Its progress messages, with their times.
    phases: Vec<(f64, String)>,
    outcome: Outcome,
    message: Option<String>,
    warnings: Vec<Problem>,
    problem: Option<Problem>,
}

/// A part of the critical path.
#[derive(Debug, PartialEq)]
struct Link {
    name: String,
    start: f64,
    end: f64,
    /// The anchor of its details on the page.
    anchor: Option<String>,
}

impl Timeline {
    /// Records an event that happened `at` this many seconds after cmdr's start.
    pub(super) fn event(&mut self, event: &Event, at: f64) {
        if let Event::RunFinished { api_requests, .. } = event {
            self.api_requests.clone_from(api_requests);
        }
        if let Event::RunStarted { verb, workspace, environment, unchanged, .. } = event {
            let title = format!("{verb} {workspace} in {environment}");
            let (unchanged, steps) = (unchanged.len(), BTreeMap::new());
            self.stages.push(Stage { title, unchanged, start: at, end: at, steps });
        } else if let Some(stage) = self.stages.last_mut() {
            stage.event(event, at);
        }
    }

    /// The timeline as an HTML page. `uses` is `None` if the system does not provide the processor usage.
    pub(super) fn page(&self, uses: Option<&[ProcessorUse]>) -> String {
        page::page(self, uses)
    }

    /// When the last stage ended.
    fn end(&self) -> f64 {
        self.stages.last().map_or(0.0, |stage| stage.end)
    }

    /// The critical path of all stages, with the observation and planning before each.
    fn critical_path(&self) -> Vec<Link> {
        let (mut links, mut before) = (Vec::new(), 0.0);
        for (number, stage) in self.stages.iter().enumerate() {
            let name = if number == 0 { "read and plan" } else { "observe and plan again" };
            links.push(Link { name: name.to_owned(), start: before, end: stage.start, anchor: None });
            links.extend(stage.critical_path().into_iter().map(|id| {
                let step = &stage.steps[&id];
                let anchor = Some(rows::anchor(number, id));
                Link { name: step.name(), start: step.start.unwrap_or(step.end), end: step.end, anchor }
            }));
            before = stage.end;
        }
        links
    }
}

impl Stage {
    fn event(&mut self, event: &Event, at: f64) {
        self.end = at;
        match event {
            Event::StepStarted { step, subject, action, needs, .. } => {
                let started =
                    TimelineStep { needs: needs.clone(), start: Some(at), ..TimelineStep::new(subject, action, at) };
                self.steps.insert(*step, started);
            }
            Event::StepProgress { step, message, .. } => {
                if let Some(step) = self.steps.get_mut(step)
                    && step.phases.last().is_none_or(|(_, last)| last != message)
                {
                    step.phases.push((at, message.clone()));
                }
            }
            Event::StepWarning { step, problem, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.warnings.push(problem.clone());
                }
            }
            Event::StepFinished { step, subject, action, outcome, message, problem, .. } => {
                let step = self.steps.entry(*step).or_insert_with(|| TimelineStep::new(subject, action, at));
                step.end = at;
                step.outcome = *outcome;
                step.message.clone_from(message);
                step.problem.clone_from(problem);
            }
            Event::RunStarted { .. }
            | Event::ContainerOutput { .. }
            | Event::ValuesFound { .. }
            | Event::ContainerExited { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    /// The time spans of all steps that ran.
    fn spans(&self) -> BTreeMap<usize, Span> {
        let span = |step: &TimelineStep| Some(Span { start: step.start?, end: step.end, needs: step.needs.clone() });
        self.steps.iter().filter_map(|(id, step)| Some((*id, span(step)?))).collect()
    }

    fn critical_path(&self) -> Vec<usize> {
        critical_path(&self.spans())
    }
}

impl TimelineStep {
    fn new(subject: &str, action: &str, at: f64) -> Self {
        Self {
            subject: subject.to_owned(),
            action: action.to_owned(),
            needs: BTreeSet::new(),
            start: None,
            end: at,
            phases: Vec::new(),
            outcome: Outcome::Interrupted,
            message: None,
            warnings: Vec::new(),
            problem: None,
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.subject, self.action)
    }

    /// The parts of the step that took any time: start, end, name. A step that took no time is one part.
    fn parts(&self) -> Vec<(f64, f64, &str)> {
        let Some(start) = self.start else { return Vec::new() };
        let mut begins = vec![(start, self.action.as_str())];
        begins.extend(self.phases.iter().map(|(at, name)| (*at, name.as_str())));
        let ends = begins.iter().skip(1).map(|(at, _)| *at).chain([self.end]).collect::<Vec<f64>>();
        let all = begins.into_iter().zip(ends).map(|((begin, name), end)| (begin, end, name));
        let parts: Vec<(f64, f64, &str)> = all.filter(|(begin, end, _)| end - begin >= SHORTEST).collect();
        if parts.is_empty() { vec![(start, self.end, &self.action)] } else { parts }
    }
}

#[cfg(test)]
mod tests;
