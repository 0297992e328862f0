//! Files that tell a pipeline how runs ended: JUnit for its tests, dotenv for its variables.
//!
//! They are written whenever a run has ended, well or not, beside whatever the screen shows.

mod dotenv;
mod junit;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Renderer, tell};
use crate::event::Event;

/// Which files are wanted.
#[derive(Debug, Clone, Default)]
pub struct ReportFiles {
    pub junit: Option<PathBuf>,
    pub dotenv: Option<PathBuf>,
}

/// The reports of one call of cmdr, which may need more than one run.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<Runs>>);

impl Reports {
    pub fn new(files: ReportFiles) -> Self {
        Self(Arc::new(Mutex::new(Runs { files, ..Runs::default() })))
    }

    pub(super) fn tell(&self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }
}

/// What the runs have told so far.
#[derive(Debug, Default)]
struct Runs {
    files: ReportFiles,
    suites: Vec<junit::Suite>,
    variables: dotenv::Variables,
}

impl Runs {
    fn write(&self) {
        let junit = self.files.junit.as_ref().map(|file| (file, junit::document(&self.suites)));
        let dotenv = self.files.dotenv.as_ref().map(|file| (file, self.variables.text()));
        for (file, text) in junit.into_iter().chain(dotenv) {
            if let Err(error) = std::fs::write(file, text) {
                tell(&format!("warning: cannot write {}: {error}", file.display()));
            }
        }
    }
}

impl Renderer for Runs {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { verb, workspace, environment, .. } => {
                self.suites.push(junit::Suite::new(format!("{verb} {workspace} in {environment}"), environment));
            }
            Event::StepWarning { step, diagnosis, .. } => {
                if let Some(suite) = self.suites.last_mut() {
                    suite.warn(*step, diagnosis);
                }
            }
            Event::StepFinished { step, subject, action, outcome, seconds, message, diagnosis } => {
                if let Some(suite) = self.suites.last_mut() {
                    let case = junit::Case::new(subject, action, *outcome, *seconds);
                    suite.end(*step, case.told(message.as_deref(), diagnosis.as_ref()));
                }
            }
            Event::RunFinished { seconds, urls, project_urls, .. } => {
                if let Some(suite) = self.suites.last_mut() {
                    suite.seconds = *seconds;
                }
                self.variables.add(urls, project_urls);
                self.write();
            }
            Event::StepStarted { .. } | Event::StepProgress { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
