//! Problems that no status contains, only events: volumes that cannot be mounted, pods that cannot be created, and Jobs
//! that have been deleted.

use k8s_openapi::api::{batch::v1::Job, core::v1::Event};
use kube::api::ListParams;

use super::{GiveUpAfter, Progress, RolloutProblem, causes::PodName, rules::diagnose};
use crate::{
    adapters::cluster::{Cluster, ClusterError, Object},
    domain::Problem,
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

impl Cluster {
    /// Returns the problem that the newest warnings about an object contain. Errors are ignored: without permission to
    /// read events, only the cause stays unknown.
    pub async fn problem_in_events(&self, namespace: &str, source: &EventSource) -> Option<RolloutProblem> {
        let events = self.events(namespace, source.kind, &source.name).await;
        let mut warnings = events.iter().filter(|event| event.type_.as_deref() == Some("Warning"));
        let (patience, cause) = warnings.find_map(problem)?;
        let pod =
            (source.kind == "Pod").then(|| PodName { namespace: namespace.to_owned(), name: source.name.clone() });
        Some(RolloutProblem { pod, ..RolloutProblem::new(patience, cause) })
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
        let time = |event: &Event| {
            let last = event.last_timestamp.as_ref().map(|time| time.0);
            last.or(event.event_time.as_ref().map(|time| time.0)).or(event
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0))
        };
        events.sort_by_key(|event| std::cmp::Reverse(time(event)));
        events
    }
}

fn problem(event: &Event) -> Option<(GiveUpAfter, Problem)> {
    let message = event.message.as_deref().unwrap_or_default();
    if PASSING.iter().any(|part| message.contains(part)) {
        return None;
    }
    diagnose(event.reason.as_deref()?, message, "the pod", "")
}

/// Returns how a Job has ended, by its newest event about that.
fn ended(events: &[Event]) -> Progress {
    let reason = |event: &&Event| event.reason.clone().unwrap_or_default();
    let last = events.iter().find(|event| reason(event) == COMPLETED || JOB_FAILURES.contains(&reason(event).as_str()));
    let failure = last.filter(|event| reason(event) != COMPLETED).map(|event| {
        let message = event.message.clone().unwrap_or_default();
        let help = "raise ttlSecondsAfterFinished to keep its log, fix the error, and run cmdr up again";
        RolloutProblem::new(GiveUpAfter::Seconds(0), Problem::new(format!("the job failed: {message}")).help(help))
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
    fn a_deleted_job_is_done_unless_its_last_event_is_a_failure() {
        let failed = event("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        assert!(ended(&[]).is_complete);
        assert!(ended(&[event("Completed", "Job completed"), failed.clone()]).is_complete);
        let progress = ended(&[failed, event("Completed", "Job completed")]);
        assert!(!progress.is_complete);
        assert_eq!(progress.problems[0].cause.message, "the job failed: Job has reached the specified backoff limit");
    }
}
