//! Runs a plan and reports it to the user.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio_util::sync::CancellationToken;

use crate::{
    adapters::cluster::requests_sent,
    engine::{self, StepRunner, Summary},
    error::CommandError,
    event::Event,
    ops::{exit::RunEnd, prepared::postponed, session::Session},
    plan::{Plan, Step},
};

/// The result of a plan, with the URLs whose checks passed.
#[derive(Debug)]
pub struct RunResult {
    pub end: RunEnd,
    pub summary: Summary,
    pub urls: Vec<String>,
}

impl Session {
    /// Runs a plan and reports it. Returns the URLs whose checks passed.
    ///
    /// # Errors
    /// When a step failed or the run was interrupted; everything has been reported by then.
    pub async fn execute(
        &self,
        verb: &str,
        plan: &Plan,
        runner: Arc<impl StepRunner>,
    ) -> Result<Vec<String>, CommandError> {
        let RunResult { end, urls, .. } = self.run_plan(verb, plan, runner, &self.cancel).await;
        end.into_result().map(|()| urls)
    }

    /// Runs a plan and reports it. `cancel` is cancelled when the run is interrupted, or its lock is lost.
    pub async fn run_plan(
        &self,
        verb: &str,
        plan: &Plan,
        runner: Arc<impl StepRunner>,
        cancel: &CancellationToken,
    ) -> RunResult {
        self.note_unchanged(plan);
        let screen = self.screen();
        let start = Instant::now();
        screen.events.send(Event::RunStarted {
            verb: verb.to_owned(),
            workspace: self.workspace().to_string(),
            environment: self.environment.title(),
            steps: plan.steps.len(),
            subjects: plan.steps.iter().fold(BTreeMap::new(), |mut subjects, planned| {
                *subjects.entry(planned.step.subject()).or_default() += 1;
                subjects
            }),
            unchanged: plan.unchanged.clone(),
            planned: engine::planned_steps(plan),
        });
        let summary = engine::run(plan, runner, &screen.events, cancel).await;
        self.remember_durations(plan, &summary);
        let (urls, project_urls) = answered(plan, &summary);
        screen.events.send(Event::RunFinished {
            seconds: start.elapsed().as_secs_f64(),
            done: summary.done.len(),
            failed: summary.failed.len(),
            not_started: summary.not_started.len(),
            interrupted: summary.interrupted.len(),
            // Other runs are interrupted by the user, or when they lose their lock.
            is_superseded: verb == "test" && !summary.interrupted.is_empty() && !self.cancel.is_cancelled(),
            urls: urls.clone(),
            project_urls,
            api_requests: requests_sent(),
        });
        screen.close().await;
        RunResult { end: RunEnd::of(&summary, cancel, &self.cancel), summary, urls }
    }

    /// Notes what the plan leaves as it is.
    fn note_unchanged(&self, plan: &Plan) {
        for drift in &plan.drifted {
            self.note(&format!("not reverted: {drift} (revert it with --repair)"));
        }
        for change in &plan.postponed {
            self.note(&postponed(change));
        }
        for note in &plan.notes {
            self.note(note);
        }
    }

    /// Stores how long steps took, for the time that is shown in later runs.
    fn remember_durations(&self, plan: &Plan, summary: &Summary) {
        let file = self.durations_file();
        let mut durations = file.read();
        let done = summary.durations.iter().filter(|(id, _)| summary.done.contains(id));
        for (&id, duration) in done {
            let step = &plan[id].step;
            durations.add(&step.subject(), step.action(), duration.as_secs_f64());
        }
        // Without the file, only the time that is left is not shown.
        let _ = file.write(&durations);
    }
}

/// The URLs whose checks passed, and the first of each project.
fn answered(plan: &Plan, summary: &Summary) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut urls, mut by_project) = (Vec::new(), BTreeMap::new());
    for planned in plan.steps.iter().filter(|planned| summary.done.contains(&planned.id)) {
        if let Step::Check(check) = &planned.step {
            urls.push(check.shown_url.clone());
            by_project.entry(check.project.to_string()).or_insert_with(|| check.shown_url.clone());
        }
    }
    (urls, by_project)
}
