use std::sync::Mutex;

use super::*;
use crate::{
    domain::ReleaseKey,
    plan::{OperateStep, RolloutSpec, Step, graph},
};

/// Runs steps by their subject: `bad` fails, `slow` waits for the cancel.
#[derive(Default)]
struct Script {
    order: Mutex<Vec<String>>,
}

impl StepRunner for Script {
    async fn run(
        &self,
        planned: &Planned,
        _reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let subject = planned.step.subject();
        self.order.lock().unwrap().push(subject.clone());
        match subject.as_str() {
            "bad" => Err(Problem::new("broken").into()),
            "slow" => {
                cancel.cancelled().await;
                Err(StepFailure::Interrupted)
            }
            "stopper" => {
                cancel.cancel();
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// Steps by their subjects, each with the positions of the steps that it needs.
fn plan(steps: &[(&str, &[usize])]) -> Plan {
    graph::tests::plan(steps.iter().map(|(subject, needs)| {
        let rollout = RolloutSpec { release: ReleaseKey::new("tunes", *subject), timeout_seconds: 1 };
        (Step::Operate(OperateStep::Restart(rollout)), needs.to_vec())
    }))
}

fn numbers(ids: &BTreeSet<StepId>) -> BTreeSet<usize> {
    ids.iter().map(|id| id.index()).collect()
}

async fn execute(steps: &[(&str, &[usize])]) -> (Summary, Vec<String>, Vec<Event>) {
    let (sender, mut receiver) = crate::event::channel(|| jiff::Timestamp::UNIX_EPOCH);
    let script = Arc::new(Script::default());
    let summary = run(&plan(steps), Arc::clone(&script), &sender, &CancellationToken::new()).await;
    drop(sender);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event.event);
    }
    let order = script.order.lock().unwrap().clone();
    (summary, order, events)
}

#[tokio::test]
async fn steps_start_after_what_they_need() {
    let (summary, order, _) = execute(&[("a", &[]), ("b", &[0]), ("c", &[1])]).await;
    assert!(summary.is_success());
    assert_eq!(order, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_failure_stops_only_those_that_need_it() {
    let (summary, order, events) =
        execute(&[("bad", &[]), ("child", &[0]), ("grandchild", &[1]), ("other", &[])]).await;
    assert_eq!(numbers(&summary.failed), BTreeSet::from([0]));
    assert_eq!(numbers(&summary.not_started), BTreeSet::from([1, 2]));
    assert_eq!(numbers(&summary.done), BTreeSet::from([3]));
    assert_eq!(order, ["bad", "other"]);
    let shown = events.iter().any(|event| {
        matches!(event, Event::StepFinished { subject, problem: Some(problem), .. }
            if subject == "child" && problem.message == "not started: it needs bad")
    });
    assert!(shown, "{events:?}");
}

#[tokio::test]
async fn a_later_step_of_what_failed_does_not_need_itself() {
    let (_, _, events) = execute(&[("bad", &[]), ("bad", &[0])]).await;
    let shown = events.iter().any(|event| {
        matches!(event, Event::StepFinished { problem: Some(problem), .. }
            if problem.message == "not started: an earlier step failed")
    });
    assert!(shown, "{events:?}");
}

#[tokio::test]
async fn a_cancel_ends_running_steps_and_starts_no_more() {
    let (summary, order, _) = execute(&[("slow", &[]), ("stopper", &[]), ("late", &[1])]).await;
    assert_eq!(numbers(&summary.interrupted), BTreeSet::from([0, 2]));
    assert_eq!(numbers(&summary.done), BTreeSet::from([1]));
    assert_eq!(order, ["slow", "stopper"]);
}
