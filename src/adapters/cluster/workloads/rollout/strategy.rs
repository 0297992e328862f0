//! Update strategies with which a rollout is done although pods of the previous revision still run.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, StatefulSet},
    core::v1::Pod,
};
use kube::ResourceExt;

use super::{ControllerStatus, Progress, causes};

/// The label of a StatefulSet's pods with their revision.
const REVISION: &str = "controller-revision-hash";
/// The label of a DaemonSet's pods with the generation of their template, and the DaemonSet's annotation with its own.
const TEMPLATE: &str = "pod-template-generation";
const TEMPLATE_OF_SET: &str = "deprecated.daemonset.template.generation";

/// Pods that keep the previous revision after a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPods {
    pub names: Vec<String>,
    /// What updates them.
    pub help: &'static str,
}

/// When pods get a new revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// All but the first `partition` of a StatefulSet, one after the other.
    Rolling { partition: i32 },
    /// Only when a user deletes them.
    OnDelete,
}

pub(super) fn of_stateful_set(set: &StatefulSet) -> Strategy {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.clone()).unwrap_or_default();
    match strategy.type_.as_deref() {
        Some("OnDelete") => Strategy::OnDelete,
        _ => Strategy::Rolling { partition: strategy.rolling_update.and_then(|it| it.partition).unwrap_or(0) },
    }
}

pub(super) fn of_daemon_set(set: &DaemonSet) -> Strategy {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    match strategy.and_then(|strategy| strategy.type_.as_deref()) {
        Some("OnDelete") => Strategy::OnDelete,
        _ => Strategy::Rolling { partition: 0 },
    }
}

/// The pods of a workload by whether they have its newest revision.
#[derive(Debug)]
pub(super) struct Revisions<'a> {
    pub current: Vec<&'a Pod>,
    pub previous: Vec<&'a Pod>,
}

pub(super) fn pods_of_stateful_set<'a>(set: &StatefulSet, pods: &[&'a Pod]) -> Revisions<'a> {
    divide(pods, REVISION, set.status.as_ref().and_then(|status| status.update_revision.as_ref()))
}

pub(super) fn pods_of_daemon_set<'a>(set: &DaemonSet, pods: &[&'a Pod]) -> Revisions<'a> {
    divide(pods, TEMPLATE, set.annotations().get(TEMPLATE_OF_SET))
}

fn divide<'a>(pods: &[&'a Pod], label: &str, newest: Option<&String>) -> Revisions<'a> {
    let is_previous = |pod: &&Pod| newest.is_some() && pod.labels().get(label).is_some_and(|own| Some(own) != newest);
    let (previous, current) = pods.iter().copied().partition(is_previous);
    Revisions { current, previous }
}

/// Returns the pods that a partition keeps from being updated.
pub(super) fn kept_by_partition(pods: &Revisions<'_>) -> Option<KeptPods> {
    kept(&pods.previous, "lower 'partition' of its updateStrategy to update them")
}

fn kept(pods: &[&Pod], help: &'static str) -> Option<KeptPods> {
    let mut names: Vec<String> = pods.iter().map(|pod| pod.name_any()).collect();
    names.sort();
    (!names.is_empty()).then_some(KeptPods { names, help })
}

/// The state of a workload with the strategy `OnDelete`.
pub(super) struct OnDelete<'a> {
    pods: Revisions<'a>,
    /// Ready pods of the newest revision.
    ready: i32,
    /// Pods of the previous revision.
    old: i32,
}

/// `ready` and `old` are the controller's own counts, for a snapshot without its pods.
pub(super) fn on_delete(pods: Revisions<'_>, ready: i32, old: i32) -> OnDelete<'_> {
    let is_known = !pods.current.is_empty() || !pods.previous.is_empty();
    let ready_now = || pods.current.iter().filter(|pod| !causes::is_unready(pod)).count();
    let ready = if is_known { i32::try_from(ready_now()).unwrap_or(i32::MAX) } else { ready };
    OnDelete { ready, old: old.max(0), pods }
}

impl OnDelete<'_> {
    /// Only pods of the newest revision are waited for: those of the previous one are none of this rollout.
    pub(super) fn progress(self, wanted: i32, is_seen: bool) -> Progress {
        let needed = (wanted - self.old).max(0);
        let ready = self.ready.min(needed);
        let is_complete = is_seen && ready >= needed;
        let status = ControllerStatus { ready, wanted: needed, is_complete, ..Default::default() };
        let progress = status.progress(&self.pods.current);
        let kept =
            kept(&self.pods.previous, "delete them to update them, one after the other (updateStrategy OnDelete)");
        Progress { ready: ready + wanted - needed, wanted, kept, ..progress }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::adapters::cluster::{Object, WorkloadSnapshot, workloads::rollout::assess};

    fn object(kind: &str) -> Object {
        Object { api_version: "apps/v1".to_owned(), kind: kind.to_owned(), name: "db".to_owned(), ..Object::default() }
    }

    fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn pod(name: &str, revision: &str, ready: &str) -> Arc<Pod> {
        parse(json!({
            "metadata": {"name": name, "labels": {(REVISION): revision, (TEMPLATE): revision},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "x", "name": "db", "uid": "s"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
    }

    fn stateful_set(strategy: &Value, updated: i32, pods: Vec<Arc<Pod>>) -> Progress {
        let set = json!({"metadata": {"name": "db", "uid": "s", "generation": 1},
            "spec": {"replicas": 2, "selector": {}, "serviceName": "", "template": {}, "updateStrategy": strategy},
            "status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": updated,
                "currentRevision": "old", "updateRevision": "new"}});
        let snapshot = WorkloadSnapshot { stateful_sets: vec![parse(set)], pods, ..WorkloadSnapshot::default() };
        assess(&snapshot, &object("StatefulSet"), None).unwrap()
    }

    #[test]
    fn on_delete_is_done_once_applied_and_names_the_old_pods() {
        let strategy = json!({"type": "OnDelete"});
        let pods = vec![pod("db-1", "old", "False"), pod("db-0", "old", "True")];
        let progress = stateful_set(&strategy, 0, pods);
        assert!(progress.is_complete);
        assert_eq!(progress.kept.unwrap().names, ["db-0", "db-1"]);
        assert_eq!((progress.ready, progress.wanted), (2, 2));
        let half = vec![pod("db-1", "new", "False"), pod("db-0", "old", "True")];
        assert!(!stateful_set(&strategy, 1, half).is_complete, "the new pod is not ready");
        assert!(stateful_set(&strategy, 0, Vec::new()).is_complete, "a snapshot without pods");
    }

    #[test]
    fn a_partition_keeps_the_first_pods() {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
        let pods = vec![pod("db-1", "new", "True"), pod("db-0", "old", "True")];
        let progress = stateful_set(&strategy, 1, pods);
        assert!(progress.is_complete);
        assert_eq!(progress.kept.unwrap().names, ["db-0"]);
        assert!(!stateful_set(&strategy, 0, Vec::new()).is_complete);
    }

    #[test]
    fn a_daemon_set_with_on_delete_is_done_once_applied() {
        let set = json!({"metadata": {"name": "db", "uid": "s", "generation": 2, "annotations": {(TEMPLATE_OF_SET): "2"}},
            "spec": {"selector": {}, "template": {}, "updateStrategy": {"type": "OnDelete"}},
            "status": {"observedGeneration": 2, "currentNumberScheduled": 1, "desiredNumberScheduled": 1,
                "numberAvailable": 1, "numberReady": 1, "numberMisscheduled": 0, "updatedNumberScheduled": 0}});
        let pods = vec![pod("db-x", "1", "True")];
        let snapshot = WorkloadSnapshot { daemon_sets: vec![parse(set)], pods, ..WorkloadSnapshot::default() };
        let progress = assess(&snapshot, &object("DaemonSet"), None).unwrap();
        assert!(progress.is_complete);
        assert_eq!(progress.kept.unwrap().names, ["db-x"]);
    }
}
