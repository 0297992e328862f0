//! Reads the state of the workloads before a run is planned, and which other tools manage them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};

use super::{after_start::oldest_start, rollout::containers};
use crate::{
    adapters::cluster::{Cluster, ClusterError, WorkloadSnapshot},
    domain::{ReleaseKey, labels},
};

/// Labels and annotations of other tools on the objects that they manage, with the tool's name.
const MARKS: &[(&str, &str)] = &[
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
];
/// Helm sets this annotation on every object that it creates.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";

/// All workloads of a cluster at one moment.
#[derive(Debug, Default)]
pub struct Workloads {
    /// By namespace; only pods and ReplicaSets of the workspace's own projects.
    pub snapshots: BTreeMap<String, WorkloadSnapshot>,
    /// Every pod, also of the platform and of other charts.
    pods: Vec<Arc<Pod>>,
    /// Other tools that manage a workload, by the release that would have its name.
    pub holders: BTreeMap<ReleaseKey, String>,
}

impl Cluster {
    /// Lists every kind of workload once, and the pods, because their owners do not show whether the pods have settled.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn workloads(&self, workspace: &str) -> Result<Workloads, ClusterError> {
        let all = ListParams::default();
        let own = ListParams::default().labels(&format!("{}={workspace}", labels::PART_OF));
        let (deployments, stateful_sets, daemon_sets, jobs, replica_sets, pods) = futures::try_join!(
            self.list::<Deployment>(&all, "deployments"),
            self.list::<StatefulSet>(&all, "statefulsets"),
            self.list::<DaemonSet>(&all, "daemonsets"),
            self.list::<Job>(&all, "jobs"),
            self.list::<ReplicaSet>(&own, "replicasets"),
            self.list::<Pod>(&all, "pods"),
        )?;
        let mut workloads = Workloads::default();
        workloads.place(deployments, |snapshot, object| snapshot.deployments.push(object));
        workloads.place(stateful_sets, |snapshot, object| snapshot.stateful_sets.push(object));
        workloads.place(daemon_sets, |snapshot, object| snapshot.daemon_sets.push(object));
        workloads.place(jobs, |snapshot, object| snapshot.jobs.push(object));
        for mut set in replica_sets {
            forget_managers(&mut set);
            workloads.of(&set).replica_sets.push(Arc::new(set));
        }
        let without_managers = |mut pod: Pod| {
            forget_managers(&mut pod);
            Arc::new(pod)
        };
        workloads.pods = pods.into_iter().map(without_managers).collect();
        for pod in workloads.pods.clone() {
            if pod.labels().get(labels::PART_OF).is_some_and(|own| own == workspace) {
                workloads.of(&*pod).pods.push(pod);
            }
        }
        Ok(workloads)
    }
}

impl Workloads {
    /// Returns the start time of the oldest running container, according to the status of all pods.
    pub fn running_since(&self) -> Option<Timestamp> {
        oldest_start(self.pods.iter().map(AsRef::as_ref))
    }

    /// Returns the pods of which a container has restarted, and the workloads that select pods, as the API shows them.
    pub fn restarted_pods(&self) -> Vec<Value> {
        let has_restarted = |pod: &&Arc<Pod>| containers(pod).any(|(status, _)| status.restart_count > 0);
        let pods = self.pods.iter().filter(has_restarted);
        let mut found: Vec<Value> =
            pods.map(|pod| json!({"kind": "Pod", "metadata": pod.metadata, "status": pod.status})).collect();
        if found.is_empty() {
            return found;
        }
        for snapshot in self.snapshots.values() {
            let deployments = snapshot.deployments.iter();
            found.extend(deployments.map(|it| selecting(&it.metadata, it.spec.as_ref().map(|spec| &spec.selector))));
            let stateful_sets = snapshot.stateful_sets.iter();
            found.extend(stateful_sets.map(|it| selecting(&it.metadata, it.spec.as_ref().map(|spec| &spec.selector))));
            let daemon_sets = snapshot.daemon_sets.iter();
            found.extend(daemon_sets.map(|it| selecting(&it.metadata, it.spec.as_ref().map(|spec| &spec.selector))));
        }
        found
    }

    /// Returns the snapshot that an object belongs to.
    fn of<K: ResourceExt>(&mut self, object: &K) -> &mut WorkloadSnapshot {
        self.snapshots.entry(object.namespace().unwrap_or_default()).or_default()
    }

    /// Records the holder of each object, and passes it to `put` with the snapshot of its namespace.
    fn place<K: ResourceExt>(&mut self, objects: Vec<K>, put: impl Fn(&mut WorkloadSnapshot, Arc<K>)) {
        for mut object in objects {
            forget_managers(&mut object);
            let namespace = object.namespace().unwrap_or_default();
            // A Job of a CronJob, or a workload of an operator: managed by its owner.
            if object.owner_references().is_empty()
                && let Some(holder) = holder(&object)
            {
                self.holders.insert(ReleaseKey::new(&namespace, object.name_any()), holder.to_owned());
            }
            put(self.snapshots.entry(namespace).or_default(), Arc::new(object));
        }
    }
}

/// Removes the managers of an object's fields: they are most of its size, and are not used here.
fn forget_managers<K: ResourceExt>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// A workload, with nothing but what shows which pods it selects.
fn selecting(metadata: &ObjectMeta, selector: Option<&LabelSelector>) -> Value {
    json!({"metadata": metadata, "spec": {"selector": selector}})
}

/// Returns who manages an object, if it is not only Helm.
fn holder<K: ResourceExt>(object: &K) -> Option<&'static str> {
    let marked = |mark: &str| object.annotations().contains_key(mark) || object.labels().contains_key(mark);
    if let Some((_, tool)) = MARKS.iter().find(|(mark, _)| marked(mark)) {
        return Some(tool);
    }
    (!object.annotations().contains_key(HELM_RELEASE)).then_some("another tool, without Helm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::query::{QueryFinding, Question};

    #[expect(clippy::needless_pass_by_value, reason = "as json! gives it")]
    fn deployment(metadata: serde_json::Value) -> Deployment {
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn the_list_of_pods_shows_restarts_of_every_chart_and_the_oldest_start() {
        let pod = |name: &str, restarts: i32, start: &str| {
            let state = json!({"running": {"startedAt": start}});
            let status = json!({"name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
                "state": state, "lastState": {"terminated": {"exitCode": 3, "finishedAt": start}}});
            let labels = json!({"app": name});
            let pod = json!({"metadata": {"name": name, "labels": labels}, "status": {"containerStatuses": [status]}});
            Arc::new(serde_json::from_value::<Pod>(pod).unwrap())
        };
        let pods = vec![pod("shop", 0, "2026-01-02T03:04:05Z"), pod("search", 2, "2026-01-02T03:04:04Z")];
        let selector = json!({"matchLabels": {"app": "search"}});
        let metadata = json!({"name": "search-server", "annotations": {(HELM_RELEASE): "finder"}});
        let chart = json!({"metadata": metadata, "spec": {"selector": selector, "template": {}}});
        let deployments = vec![Arc::new(serde_json::from_value(chart).unwrap())];
        let snapshots = [(String::new(), WorkloadSnapshot { deployments, ..WorkloadSnapshot::default() })].into();
        let workloads = Workloads { snapshots, pods, ..Workloads::default() };
        assert_eq!(workloads.running_since(), Some("2026-01-02T03:04:04Z".parse().unwrap()));
        let found = Question::Restarts.answer(&workloads.restarted_pods()).unwrap();
        let [QueryFinding::Restarts(restarts)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((restarts.project.as_str(), restarts.restarts, restarts.last_exit_code), ("finder", 2, Some(3)));
        assert_eq!(Workloads::default().restarted_pods(), Vec::<Value>::new());
    }

    #[test]
    fn other_tools_are_known_by_their_marks() {
        let held = |metadata| holder(&deployment(metadata));
        assert_eq!(held(json!({"annotations": {(HELM_RELEASE): "shop"}})), None);
        assert_eq!(held(json!({"name": "shop"})), Some("another tool, without Helm"));
        assert_eq!(held(json!({"labels": {"argocd.argoproj.io/instance": "shop"}})), Some("Argo CD"));
        let flux = json!({"annotations": {(HELM_RELEASE): "shop"}, "labels": {"helm.toolkit.fluxcd.io/name": "shop"}});
        assert_eq!(held(flux), Some("Flux"));
    }
}
