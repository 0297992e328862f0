//! Problems that no status contains, only events: volumes that cannot be mounted, pods that cannot be created, and Jobs
//! that have been deleted.

use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Event};
use kube::api::ListParams;

use super::{
    GiveUpAfter, Progress, RolloutProblem,
    causes::PodName,
    rules::{DiagnosedObject, diagnose},
};
use crate::{
    adapters::cluster::{Cluster, ClusterError, Object},
    domain::{Problem, causes::containers},
};

/// An object whose events are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventSource {
    pub kind: &'static str,
    pub name: String,
}

impl EventSource {
    pub fn new(kind: &'static str, name: String) -> Self {
        Self { kind, name }
    }
}

/// kubelet retries these by itself within seconds.
const PASSING: &[&str] = &["failed to sync", "not registered"];
/// Reasons with which a Job ends, from `pkg/controller/job` of Kubernetes.
const COMPLETED: &str = "Completed";
const JOB_FAILURES: &[&str] =
    &["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "FailedIndexes", "MaxFailedIndexesExceeded"];

/// What only the events of an object contain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventFindings {
    pub problem: Option<RolloutProblem>,
    /// The image that the kubelet pulls: it updates no status before the pull has ended.
    pub pulls: Option<String>,
}

/// How a pull ends.
const PULL_ENDS: [&str; 3] = ["Pulled", "Failed", "BackOff"];

impl Cluster {
    /// Returns what the newest events about an object contain. Errors are ignored: without permission to read events, only
    /// the cause stays unknown.
    pub async fn found_in_events(&self, namespace: &str, source: &EventSource) -> EventFindings {
        let events = self.events(namespace, source.kind, &source.name).await;
        let mut warnings = events.iter().filter(|event| event.type_.as_deref() == Some("Warning"));
        let pod =
            (source.kind == "Pod").then(|| PodName { namespace: namespace.to_owned(), name: source.name.clone() });
        let found = warnings.find_map(problem);
        let problem = found.map(|(patience, cause)| RolloutProblem { pod, ..RolloutProblem::new(patience, cause) });
        EventFindings { problem, pulls: pulled_image(&events) }
    }

    /// Returns the result of a Job that Kubernetes has deleted because it had ended; `None` if it still exists.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn expired_job(&self, job: &Object) -> Result<Option<Progress>, ClusterError> {
        let jobs: kube::Api<Job> = self.namespaced(&job.namespace);
        let found = jobs.get_metadata_opt(&job.name).await;
        if found.map_err(ClusterError::asking(format!("read Job {}", job.name)))?.is_some() {
            return Ok(None);
        }
        Ok(Some(ended(&self.events(&job.namespace, "Job", &job.name).await)))
    }

    /// Returns the events about an object, newest first; none if they cannot be read.
    pub(in crate::adapters::cluster) async fn events(&self, namespace: &str, kind: &str, name: &str) -> Vec<Event> {
        let events: kube::Api<Event> = self.namespaced(namespace);
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let Ok(list) = events.list(&ListParams::default().fields(&fields)).await else { return Vec::new() };
        let mut events = list.items;
        events.sort_by_key(|event| std::cmp::Reverse(time_of(event)));
        events
    }
}

fn time_of(event: &Event) -> Option<Timestamp> {
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let created = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    last.or(event.event_time.as_ref().map(|time| time.0)).or(created)
}

/// Returns the image of the newest pull of a pod, unless it has ended since, or within the same second.
fn pulled_image(events: &[Event]) -> Option<String> {
    let is = |event: &Event, reasons: &[&str]| event.reason.as_deref().is_some_and(|own| reasons.contains(&own));
    let pull = events.iter().find(|event| is(event, &["Pulling"]))?;
    let has_ended = events.iter().any(|event| is(event, &PULL_ENDS) && time_of(event) >= time_of(pull));
    let image = pull.message.as_deref()?.strip_prefix("Pulling image \"")?.strip_suffix('"')?;
    (!has_ended).then(|| image.to_owned())
}

fn problem(event: &Event) -> Option<(GiveUpAfter, Problem)> {
    let message = event.message.as_deref().unwrap_or_default();
    if PASSING.iter().any(|part| message.contains(part)) {
        return None;
    }
    diagnose(event.reason.as_deref()?, message, DiagnosedObject { who: "the pod", ..DiagnosedObject::default() })
}

/// Returns how a Job has ended, by its newest event about that.
fn ended(events: &[Event]) -> Progress {
    let reason = |event: &&Event| event.reason.clone().unwrap_or_default();
    let last = events.iter().find(|event| reason(event) == COMPLETED || JOB_FAILURES.contains(&reason(event).as_str()));
    let failure = last.filter(|event| reason(event) != COMPLETED).map(|event| {
        let message = event.message.clone().unwrap_or_default();
        let problem = containers::JOB_EXPIRED.problem(&[("message", &message)]);
        RolloutProblem::new(containers::JOB_EXPIRED.budget, problem)
    });
    let is_complete = failure.is_none();
    Progress {
        ready: i32::from(is_complete),
        wanted: 1,
        is_complete,
        is_over: !is_complete,
        problems: failure.into_iter().collect(),
        ..Progress::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        let event =
            json!({"metadata": {}, "involvedObject": {}, "type": "Warning", "reason": reason, "message": message});
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_volume_that_does_not_exist_is_named() {
        let message =
            |reason: &str, message: &str| problem(&event(reason, message)).map(|(_, problem)| problem.message);
        let missing = "MountVolume.SetUp failed for volume \"site\" : configmap \"site\" not found";
        let shown = "a ConfigMap is missing: configmap \"site\" not found";
        assert_eq!(message("FailedMount", missing).as_deref(), Some(shown));
        let late = "MountVolume.SetUp failed for volume \"x\" : failed to sync configmap cache: timed out";
        assert_eq!(message("FailedMount", late), None);
        let attached = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) db-0";
        assert!(message("FailedAttachVolume", attached).unwrap().starts_with("the volume is still attached to"));
        let quota = "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: few";
        assert!(message("FailedCreate", quota).unwrap().starts_with("the quota of the namespace is exceeded"));
        assert_eq!(message("Unhealthy", "probe failed"), None);
    }

    #[test]
    fn a_pull_is_known_by_its_event_until_another_one_ends_it() {
        let at = |second: u32, reason: &str, message: &str| {
            let last = format!("2026-01-02T03:04:{second:02}Z");
            Event { last_timestamp: serde_json::from_value(json!(last)).unwrap(), ..event(reason, message) }
        };
        let pulling = at(5, "Pulling", "Pulling image \"redis:7.0\"");
        let scheduled = at(5, "Scheduled", "Successfully assigned tunes/redis-0");
        assert_eq!(pulled_image(&[pulling.clone(), scheduled]).as_deref(), Some("redis:7.0"));
        let pulled = |second| at(second, "Pulled", "Successfully pulled image \"redis:7.0\"");
        assert_eq!(pulled_image(&[pulled(9), pulling.clone()]), None);
        assert_eq!(pulled_image(&[pulling.clone(), pulled(5)]), None);
        assert!(pulled_image(&[pulling, pulled(4)]).is_some(), "of another container");
        assert_eq!(pulled_image(&[]), None);
    }

    #[test]
    fn a_deleted_job_is_done_unless_its_last_event_is_a_failure() {
        let failed = event("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        assert!(ended(&[]).is_complete);
        assert!(ended(&[event("Completed", "Job completed"), failed.clone()]).is_complete);
        let progress = ended(&[failed, event("Completed", "Job completed")]);
        assert!(!progress.is_complete);
        let shown = progress.problems[0].cause.headline();
        assert_eq!(shown, "the job failed: Job has reached the specified backoff limit (C065)");
    }
}
