//! Report files about runs: JUnit for a pipeline's tests, dotenv for its variables, a timeline for people.
//!
//! They are written whenever a run has finished, successful or not, in addition to the output on the screen.

mod dotenv;
mod junit;
mod markup;
mod timeline;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::{Renderer, print_message, write_output_file};
use crate::{
    domain::processor::ProcessorUses,
    event::{Event, TimedEvent},
};

/// The requested files.
#[derive(Debug, Clone, Default)]
pub struct ReportFiles {
    pub junit: Option<PathBuf>,
    pub dotenv: Option<PathBuf>,
    pub timeline: Option<PathBuf>,
}

/// The measurements for a timeline.
#[derive(Debug, Clone)]
pub struct Clock {
    /// When cmdr started.
    pub began: Timestamp,
    /// The processor usage since then; `None` if the system does not provide it.
    pub processor: Option<ProcessorUses>,
}

/// The reports of one invocation of cmdr, which may consist of several runs.
#[derive(Debug, Clone)]
pub struct Reports(Arc<Mutex<Runs>>);

impl Reports {
    pub fn new(files: ReportFiles, clock: Clock) -> Self {
        let (suites, variables, timeline) = Default::default();
        Self(Arc::new(Mutex::new(Runs { files, clock, suites, variables, timeline })))
    }

    /// Writes the requested files if the command had nothing to run.
    pub fn finish(&self) {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.suites.is_empty() {
            runs.write();
        }
    }

    pub(super) fn handle(&self, event: &TimedEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }
}

/// The results of the runs so far.
#[derive(Debug)]
struct Runs {
    files: ReportFiles,
    clock: Clock,
    suites: Vec<junit::Suite>,
    variables: dotenv::DotenvVariables,
    timeline: timeline::Timeline,
}

impl Runs {
    fn write(&self) {
        let junit = self.files.junit.as_ref().map(|path| (path, junit::document(&self.suites)));
        let dotenv = self.files.dotenv.as_ref().map(|path| (path, self.variables.text()));
        let timeline = self.files.timeline.as_ref().map(|path| (path, self.page()));
        for (path, text) in junit.into_iter().chain(dotenv).chain(timeline) {
            if let Err(error) = write_output_file(path, &text) {
                print_message(&format!("warning: cannot write {}: {error}", path.display()));
            }
        }
    }

    fn page(&self) -> String {
        let uses = self.clock.processor.as_ref().map(ProcessorUses::seen);
        self.timeline.page(uses.as_deref())
    }
}

impl Renderer for Runs {
    fn event(&mut self, timed: &TimedEvent) {
        let event = &timed.event;
        self.timeline.event(event, timed.timestamp.duration_since(self.clock.began).as_secs_f64());
        match event {
            Event::RunStarted { verb, workspace, environment, .. } => {
                self.suites.push(junit::Suite::new(format!("{verb} {workspace} in {environment}"), environment));
            }
            Event::StepWarning { step, problem, .. } => {
                if let Some(suite) = self.suites.last_mut() {
                    suite.warn(*step, problem);
                }
            }
            Event::StepFinished { step, subject, action, kind, outcome, seconds, message, problem } => {
                if let Some(suite) = self.suites.last_mut() {
                    let case = junit::Case::new(subject, action, *kind, *outcome, *seconds);
                    suite.end(*step, &case.with_result(message.as_deref(), problem.as_ref()));
                }
            }
            Event::RunFinished { seconds, urls, project_urls, .. } => {
                if let Some(suite) = self.suites.last_mut() {
                    suite.seconds = *seconds;
                }
                self.variables.add(urls, project_urls);
                self.write();
            }
            Event::StepStarted { .. }
            | Event::StepProgress { .. }
            | Event::ContainerOutput { .. }
            | Event::ValuesFound { .. }
            | Event::ContainerExited { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
