//! Writes the events of a run to its log. The last log lines of pods are left out: they may contain secrets.

use crate::{
    domain::{Problem, redact::masked_urls},
    event::Event,
};

pub(super) fn record(event: &Event) {
    match event {
        Event::RunStarted { verb, workspace, environment, steps, unchanged, .. } => {
            tracing::info!(steps, unchanged = unchanged.len(), "{verb} {workspace} in {environment}");
        }
        Event::StepStarted { step, subject, action, .. } => tracing::info!(step, "{subject}: {action} started"),
        Event::StepProgress { step, subject, message } => {
            tracing::debug!(step, "{subject}: {}", masked_urls(message));
        }
        Event::StepWarning { step, subject, problem } => tracing::warn!(step, "{subject}: {}", shown(problem)),
        Event::StepFinished { step, subject, action, outcome, seconds, message, problem } => {
            let message = masked_urls(message.as_deref().unwrap_or_default());
            let problem = problem.as_ref().map(shown).unwrap_or_default();
            let seconds = format!("{seconds:.3}");
            tracing::info!(step, %seconds, "{subject}: {action} {outcome:?} {message}{problem}");
        }
        Event::RunFinished { done, failed, not_started, interrupted, .. } => {
            tracing::info!(done, failed, not_started, interrupted, "finished");
        }
    }
}

fn shown(problem: &Problem) -> String {
    let lines: Vec<&str> = std::iter::once(&problem.message).chain(&problem.details).map(|line| line.trim()).collect();
    masked_urls(&lines.join("; "))
}
