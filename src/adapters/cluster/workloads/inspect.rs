//! Reads the state of the workloads before a run is planned, and which other tools manage them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::Pod,
};
use kube::{ResourceExt, api::ListParams};

use crate::{
    adapters::cluster::{Cluster, ClusterError, WorkloadSnapshot},
    domain::ReleaseKey,
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
    /// Other tools that manage a workload, by the release that would have its name.
    pub holders: BTreeMap<ReleaseKey, String>,
}

impl Cluster {
    /// Lists every kind of workload once, and the pods of a workspace, because their owners do not show whether the
    /// pods have settled.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn workloads(&self, workspace: &str) -> Result<Workloads, ClusterError> {
        let all = ListParams::default();
        let own = ListParams::default().labels(&format!("app.kubernetes.io/part-of={workspace}"));
        let (deployments, stateful_sets, daemon_sets, jobs, replica_sets, pods) = futures::try_join!(
            self.list::<Deployment>(&all, "deployments"),
            self.list::<StatefulSet>(&all, "statefulsets"),
            self.list::<DaemonSet>(&all, "daemonsets"),
            self.list::<Job>(&all, "jobs"),
            self.list::<ReplicaSet>(&own, "replicasets"),
            self.list::<Pod>(&own, "pods"),
        )?;
        let mut workloads = Workloads::default();
        workloads.place(deployments, |snapshot, object| snapshot.deployments.push(object));
        workloads.place(stateful_sets, |snapshot, object| snapshot.stateful_sets.push(object));
        workloads.place(daemon_sets, |snapshot, object| snapshot.daemon_sets.push(object));
        workloads.place(jobs, |snapshot, object| snapshot.jobs.push(object));
        for set in replica_sets {
            workloads.of(&set).replica_sets.push(Arc::new(set));
        }
        for pod in pods {
            workloads.of(&pod).pods.push(Arc::new(pod));
        }
        Ok(workloads)
    }
}

impl Workloads {
    /// Returns the snapshot that an object belongs to.
    fn of<K: ResourceExt>(&mut self, object: &K) -> &mut WorkloadSnapshot {
        self.snapshots.entry(object.namespace().unwrap_or_default()).or_default()
    }

    /// Records the holder of each object, and passes it to `put` with the snapshot of its namespace.
    fn place<K: ResourceExt>(&mut self, objects: Vec<K>, put: impl Fn(&mut WorkloadSnapshot, Arc<K>)) {
        for object in objects {
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
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "as json! gives it")]
    fn deployment(metadata: serde_json::Value) -> Deployment {
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
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
