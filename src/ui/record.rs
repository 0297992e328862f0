//! Writes the events of a run to its log. Messages and problems are left out: they quote tools, builds and pods, whose
//! output may contain secrets.

use super::counted;
use crate::event::Event;

pub(super) fn record(event: &Event) {
    if let Some(line) = line(event) {
        tracing::info!("{line}");
    }
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted { verb, workspace, environment, steps, unchanged, .. } => {
            format!("{verb} {workspace} in {environment}: {steps} steps, {} unchanged", unchanged.len())
        }
        Event::StepStarted { step, subject, action, .. } => format!("step {step}: {subject} {action} started"),
        Event::StepProgress { .. } | Event::ContainerOutput { .. } | Event::ValuesFound { .. } => return None,
        Event::ContainerExited { step, subject, exit_code, .. } => {
            format!("step {step}: a container of {subject} ended with exit code {exit_code}")
        }
        Event::StepWarning { step, subject, .. } => format!("step {step}: {subject} has a warning"),
        Event::StepFinished { step, subject, action, outcome, seconds, .. } => {
            format!("step {step}: {subject} {action} ended: {outcome:?} after {seconds:.3} s")
        }
        Event::RunFinished { done, failed, not_started, interrupted, api_requests, .. } => {
            let (all, each) = counted(api_requests);
            format!(
                "ended: {done} done, {failed} failed, {not_started} not started, {interrupted} interrupted; \
                 {all} requests to the Kubernetes API so far: {each}"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Problem, event::Outcome};

    #[test]
    fn what_tools_and_pods_print_stays_out() {
        let (subject, problem) = ("shop".to_owned(), Problem::new("canary").detail("canary").help("canary"));
        let progress = Event::progress(1, subject.clone(), "RUN TOKEN=canary make");
        assert_eq!(line(&progress), None);
        let warning = Event::StepWarning { step: 1, subject: subject.clone(), problem: problem.clone() };
        assert_eq!(line(&warning).unwrap(), "step 1: shop has a warning");
        let (action, message) = ("install".to_owned(), Some("canary".to_owned()));
        let (outcome, seconds, problem) = (Outcome::Failed, 2.0, Some(problem));
        let finished = Event::StepFinished {
            step: 1,
            kind: crate::domain::StepKind::Change,
            subject,
            action,
            outcome,
            seconds,
            message,
            problem,
        };
        assert_eq!(line(&finished).unwrap(), "step 1: shop install ended: Failed after 2.000 s");
    }
}
