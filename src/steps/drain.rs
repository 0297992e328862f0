//! Stops producers and consumers, waits until queues are empty, and starts them again.

use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{LOOK, Runner, rollout::RolloutTarget};
use crate::{
    adapters::{
        cluster::{Cluster, Object},
        queues::look,
        wait::{Wait, every, pause},
    },
    domain::{
        Problem, ReleaseKey,
        drain_state::{DrainMark, DrainReasons, STOPPABLE},
        queues::{NamedQueue, QueueContent},
        wait_reason::WaitReason,
    },
    engine::{Reporter, StepFailure},
    plan::drain::{AwaitEmptySpec, DrainAction, DrainStep},
};

/// The field manager of what a drain changes. Drift of cmdr's own managers is not reported.
const MANAGER: &str = "cmdr-drain";
/// Looks in a row that must find nothing. Together they take longer than the 5 s between two statistics of RabbitMQ.
const EMPTY_LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// How long a queue must be empty at least.
const EMPTY_SECONDS: u64 = (EMPTY_LOOKS as u64 - 1) * BETWEEN_LOOKS.as_secs();
/// How long pods may take to end.
const PODS_GONE: Duration = Duration::from_mins(10);

impl Runner {
    pub(super) async fn drain(
        &self,
        step: &DrainStep,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match &step.action {
            DrainAction::Stop { reasons, by } => {
                self.stop_workloads(&step.project, (reasons, by), reporter, cancel).await
            }
            DrainAction::AwaitEmpty(spec) => self.await_empty(&step.project, spec, reporter, cancel).await,
            DrainAction::Start { reasons, timeout_seconds } => {
                self.start_workloads(&step.project, (reasons, *timeout_seconds), reporter, cancel).await
            }
        }
    }

    /// The workloads of a release that can be stopped.
    async fn stoppable(&self, project: &ReleaseKey) -> Result<Vec<Object>, StepFailure> {
        let rendered = self.rendered_before(project).await?.iter().map(|rendered| &rendered.object);
        Ok(rendered.filter(|object| STOPPABLE.contains(&object.kind.as_str())).cloned().collect())
    }

    async fn stop_workloads(
        &self,
        project: &ReleaseKey,
        (reasons, by): (&DrainReasons, &str),
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        for object in self.stoppable(project).await? {
            cluster.pause_scaling(&object, true).await?;
            let live = live(cluster, &object).await?;
            let mark = DrainMark::stopped(&live, reasons, by, Timestamp::now());
            cluster.patch_workload(&object, &mark.patch(&object.kind), MANAGER).await?;
        }
        self.await_no_pods(project, reporter, cancel).await?;
        Ok(Some("no pods".to_owned()))
    }

    /// Waits until the last pod of a release has ended.
    pub(super) async fn await_no_pods(
        &self,
        ReleaseKey { namespace, name }: &ReleaseKey,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let mut wait = Wait::new(every(LOOK), PODS_GONE);
        let mut shown = 0;
        loop {
            let pods = self.connected()?.cluster.pods_of(namespace, name).await?;
            if pods.is_empty() {
                return Ok(());
            }
            if pods.len() != shown {
                shown = pods.len();
                let message = format!("waiting until {shown} pods have ended");
                reporter.waits_for(WaitReason::Problem { message });
            }
            let problem = Problem::new(format!("pods of '{name}' have not ended: {}", pods.join(", ")));
            wait.pause_or(StepFailure::from(problem), cancel).await?;
        }
    }

    async fn start_workloads(
        &self,
        project: &ReleaseKey,
        (reasons, timeout_seconds): (&DrainReasons, u64),
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let (mut targets, mut left) = (Vec::new(), None);
        for object in self.stoppable(project).await? {
            let Some(mark) = DrainMark::of(&live(cluster, &object).await?) else { continue };
            if let Some(rest) = mark.without(reasons) {
                cluster.patch_workload(&object, &rest.patch(&object.kind), MANAGER).await?;
                left = Some(rest);
                continue;
            }
            let meant = Some(cluster.patch_workload(&object, &mark.restored(&object.kind), MANAGER).await?);
            cluster.forget_manager(&object, MANAGER).await?;
            cluster.pause_scaling(&object, false).await?;
            targets.push(RolloutTarget { object, meant });
        }
        if let Some(left) = left {
            return Ok(Some(format!("stays stopped: {}", left.describe())));
        }
        let is_started = !targets.is_empty();
        let ready = self.await_rollout(&targets, timeout_seconds, reporter, cancel).await?;
        Ok(Some(if is_started { ready } else { "was not stopped".to_owned() }))
    }

    /// Looks at all queues until each was found empty several times in a row.
    async fn await_empty(
        &self,
        project: &ReleaseKey,
        spec: &AwaitEmptySpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let deadline = Instant::now() + Duration::from_secs(spec.timeout_seconds);
        let mut drained = Drained { looks: 0, last: None, rate: None };
        loop {
            let found = self.look_at_all(&spec.queues, cancel).await?;
            drained.note(&found);
            if drained.looks >= EMPTY_LOOKS {
                return Ok(Some(format!("empty: {}", names(&spec.queues))));
            }
            if Instant::now() >= deadline {
                let StoppedAtDeadline { warning, result } = at_deadline(&project.name, spec, &drained, &found)?;
                reporter.warn(warning);
                return Ok(Some(result));
            }
            let message = drained.describe(&spec.queues, &found).join("; ");
            reporter.waits_for(WaitReason::Problem { message });
            pause(BETWEEN_LOOKS, cancel).await?;
        }
    }

    async fn look_at_all(&self, queues: &[NamedQueue], cancel: &CancellationToken) -> Result<Vec<Look>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let looks = join_all(queues.iter().map(|queue| look(cluster, queue, &self.folder, cancel))).await;
        if cancel.is_cancelled() { Err(StepFailure::Interrupted) } else { Ok(looks) }
    }
}

type Look = Result<QueueContent, Problem>;

/// What is reported of consumers that are stopped although their queues were not found empty.
#[derive(Debug)]
struct StoppedAtDeadline {
    warning: Problem,
    result: String,
}

/// What the looks so far have found.
struct Drained {
    /// Those in a row that found nothing.
    looks: u32,
    last: Option<(Instant, u64)>,
    /// Messages per second that have left since the look before.
    rate: Option<f64>,
}

impl Drained {
    fn note(&mut self, found: &[Look]) {
        let messages: Option<u64> = found.iter().map(|look| look.as_ref().ok().map(|it| it.messages())).sum();
        self.looks = if messages == Some(0) { self.looks + 1 } else { 0 };
        let now = Instant::now();
        self.rate = self.last.zip(messages).map(|((then, before), after)| rate(before, after, now - then));
        self.last = messages.map(|messages| (now, messages));
    }

    /// One line for each queue.
    fn describe(&self, queues: &[NamedQueue], found: &[Look]) -> Vec<String> {
        let rate = self.rate.map(|rate| format!(", {rate:+.1} messages/s")).unwrap_or_default();
        let line = |(queue, look): (&NamedQueue, &Look)| match look {
            Ok(content) => format!("{}: {}{rate}", queue.name, content.describe()),
            Err(problem) => format!("{}: {}", queue.name, problem.details.join(": ")),
        };
        queues.iter().zip(found).map(line).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown with one decimal")]
fn rate(before: u64, after: u64, passed: Duration) -> f64 {
    (after as f64 - before as f64) / passed.as_secs_f64().max(0.001)
}

/// The consumers are stopped only if what remains is known.
fn at_deadline(
    project: &str,
    spec: &AwaitEmptySpec,
    drained: &Drained,
    found: &[Look],
) -> Result<StoppedAtDeadline, Problem> {
    let (seconds, looks) = (spec.timeout_seconds, drained.looks);
    let mut problem = Problem::new(if looks > 0 {
        format!(
            "the queues of '{project}' are empty, but not for long enough to be sure: {looks} of {EMPTY_LOOKS} looks \
             within {seconds} s; all of them take at least {EMPTY_SECONDS} s"
        )
    } else {
        format!("the queues of '{project}' are not empty after {seconds} s")
    });
    problem.details = drained.describe(&spec.queues, found);
    if spec.then_stop && found.iter().all(Result::is_ok) {
        let result = if looks > 0 {
            format!("empty for {looks} of {EMPTY_LOOKS} looks at the deadline")
        } else {
            format!("deadline passed with messages left: {}", problem.details.join("; "))
        };
        return Ok(StoppedAtDeadline {
            warning: problem.help("its consumers are stopped, as --then stop says"),
            result,
        });
    }
    let help = format!("wait again with cmdr drain {project}, or go back with cmdr fill {project}");
    Err(problem.help(help))
}

fn names(queues: &[NamedQueue]) -> String {
    queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// A workload with its kind, which a single object does not name.
async fn live(cluster: &Cluster, object: &Object) -> Result<serde_json::Value, StepFailure> {
    let mut live = cluster.workload(object).await?;
    live["kind"] = serde_json::json!(object.kind);
    Ok(live)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::queues::{Queue, QueueKind};

    fn content(ready: u64, unacknowledged: u64) -> QueueContent {
        QueueContent { ready, unacknowledged, consumers: None }
    }

    #[test]
    fn only_looks_in_a_row_count_as_empty() {
        let mut drained = Drained { looks: 0, last: None, rate: None };
        drained.note(&[Ok(content(0, 0))]);
        drained.note(&[Ok(content(0, 0))]);
        assert_eq!(drained.looks, 2);
        drained.note(&[Ok(content(0, 1))]);
        assert_eq!(drained.looks, 0, "a message that is not acknowledged can come back");
        drained.note(&[Ok(content(0, 0))]);
        drained.note(&[Ok(content(0, 0)), Err(Problem::new("no response"))]);
        assert_eq!(drained.looks, 0, "what is not known is not empty");
        assert_eq!(format!("{:+.1}", rate(30, 10, Duration::from_secs(2))), "-10.0");
    }
    fn jobs() -> Queue {
        Queue {
            kind: QueueKind::Command,
            at: None,
            queue: "jobs".to_owned(),
            vhost: String::new(),
            group: None,
            port: None,
            query: None,
            path: None,
            value: None,
            command: vec!["count".to_owned()],
            login: None,
            producers: BTreeMap::new(),
        }
    }

    #[test]
    fn the_deadline_says_whether_messages_are_left() {
        let spec = |then_stop| {
            let named = NamedQueue { name: "jobs".to_owned(), queue: jobs(), broker: None };
            AwaitEmptySpec { queues: vec![named], timeout_seconds: 5, then_stop }
        };
        let drained = |looks| Drained { looks, last: None, rate: None };
        let empty = [Ok(content(0, 0))];
        let short = at_deadline("worker", &spec(false), &drained(3), &empty).unwrap_err();
        assert_eq!(
            short.message,
            "the queues of 'worker' are empty, but not for long enough to be sure: 3 of 4 looks within 5 s; all \
             of them take at least 6 s"
        );
        let stopped = at_deadline("worker", &spec(true), &drained(3), &empty).unwrap();
        assert_eq!(stopped.result, "empty for 3 of 4 looks at the deadline");
        let full = [Ok(content(2, 1))];
        let left = at_deadline("worker", &spec(false), &drained(0), &full).unwrap_err();
        assert_eq!(left.message, "the queues of 'worker' are not empty after 5 s");
        let stopped = at_deadline("worker", &spec(true), &drained(0), &full).unwrap();
        assert!(stopped.result.starts_with("deadline passed with messages left: jobs: 2 ready"), "{}", stopped.result);
    }
}
