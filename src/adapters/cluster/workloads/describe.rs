//! Describes the workloads of one release: pods, containers, events, the end of a log, revisions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{Container, ContainerState, ContainerStatus, Event, Pod, Probe, Secret},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::de::DeserializeOwned;

use super::{
    WorkloadSnapshot,
    resources::quantities,
    rollout::{self, Progress, containers, is_ready, pods_of},
};
use crate::{
    adapters::cluster::{Cluster, ClusterError, Object},
    domain::{
        ReleaseKey, labels,
        project_report::{ContainerReport, DeploymentReport, EventReport, LogReport, PodReport, WorkloadReport},
        wait_reason::ContainerRole,
    },
};

/// The events, log lines and revisions that are enough to see what happened.
const EVENTS: usize = 10;
const LOG_LINES: i64 = 10;
const REVISIONS: usize = 5;

impl Cluster {
    /// Describes the workloads among these objects of a release.
    ///
    /// # Errors
    /// If the API does not respond. Without permission to read events, logs or Secrets, only these are missing.
    pub async fn describe(&self, release: &ReleaseKey, objects: &[Object]) -> Result<WorkloadReport, ClusterError> {
        let namespace = release.namespace.as_str();
        let snapshot = self.snapshot(namespace).await?;
        let workloads: Vec<&Object> = objects.iter().filter(|object| rollout::is_workload(object)).collect();
        let progress = workloads.iter().filter_map(|object| rollout::assess(&snapshot, object, None));
        let progress: Vec<Progress> = progress.filter(|one| !one.is_complete).collect();
        let pods: Vec<&Pod> = workloads.iter().flat_map(|object| pods_of(&snapshot, object)).collect();
        let found = progress.iter().find_map(|one| one.problems.first().or(one.unready.as_ref()));
        let problem = async {
            match found {
                Some(found) => Some(self.explain(found, None).await),
                None => None,
            }
        };
        let names: BTreeSet<String> = pods.iter().map(|pod| pod.name_any()).collect();
        let names = names.into_iter().chain(workloads.iter().map(|object| object.name.clone())).collect();
        let (problem, events, log, deployments) =
            futures::join!(problem, self.events_about(namespace, &names), self.log_end(&pods), self.revisions(release));
        Ok(WorkloadReport {
            pods: pods.iter().map(|pod| pod_report(pod)).collect(),
            events,
            // The problem contains the log of the container that it is about.
            log: log.filter(|_| problem.as_ref().is_none_or(|problem| problem.logs.is_empty())),
            problem,
            deployments,
        })
    }

    async fn snapshot(&self, namespace: &str) -> Result<WorkloadSnapshot, ClusterError> {
        let (deployments, replica_sets, stateful_sets, daemon_sets, jobs, pods) = futures::try_join!(
            self.all_in::<Deployment>(namespace),
            self.all_in::<ReplicaSet>(namespace),
            self.all_in::<StatefulSet>(namespace),
            self.all_in::<DaemonSet>(namespace),
            self.all_in::<Job>(namespace),
            self.all_in::<Pod>(namespace),
        )?;
        Ok(WorkloadSnapshot { deployments, replica_sets, stateful_sets, daemon_sets, jobs, pods })
    }

    async fn all_in<K>(&self, namespace: &str) -> Result<Vec<std::sync::Arc<K>>, ClusterError>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = self.namespaced(namespace);
        let list = api.list(&ListParams::default()).await;
        let list = list.map_err(ClusterError::asking(format!("list {}", K::plural(&()))))?;
        Ok(list.items.into_iter().map(std::sync::Arc::new).collect())
    }

    /// The newest events about objects with these names.
    async fn events_about(&self, namespace: &str, names: &BTreeSet<String>) -> Vec<EventReport> {
        let api: Api<Event> = self.namespaced(namespace);
        let events = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let is_own = |event: &Event| event.involved_object.name.as_ref().is_some_and(|name| names.contains(name));
        let mut events: Vec<EventReport> = events.into_iter().filter(is_own).map(event_report).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.last));
        events.truncate(EVENTS);
        events
    }

    /// The end of the log of the first main container that has one, first of pods that are not ready.
    async fn log_end(&self, pods: &[&Pod]) -> Option<LogReport> {
        let pod = pods.iter().find(|pod| !is_ready(pod)).or_else(|| pods.first())?;
        let container = pod.spec.as_ref()?.containers.first()?.name.clone();
        let api: Api<Pod> = self.namespaced(&pod.namespace().unwrap_or_default());
        let parameters =
            LogParams { container: Some(container.clone()), tail_lines: Some(LOG_LINES), ..LogParams::default() };
        let text = api.logs(&pod.name_any(), &parameters).await.ok()?;
        let lines = text.lines().map(str::to_owned).collect();
        Some(LogReport { pod: pod.name_any(), container: Some(container), lines })
    }

    /// The newest revisions of a release.
    async fn revisions(&self, release: &ReleaseKey) -> Vec<DeploymentReport> {
        let api: Api<Secret> = self.namespaced(&release.namespace);
        let own = ListParams::default().labels(&format!("owner=helm,name={}", release.name));
        let list = api.list_metadata(&own).await.map(|list| list.items).unwrap_or_default();
        let mut revisions: Vec<DeploymentReport> = list.iter().filter_map(deployment_report).collect();
        revisions.sort_by_key(|deployment| std::cmp::Reverse(deployment.revision));
        revisions.truncate(REVISIONS);
        revisions
    }
}

fn deployment_report<K: ResourceExt>(secret: &K) -> Option<DeploymentReport> {
    let label = |name: &str| secret.labels().get(name).cloned();
    let seconds = label("modifiedAt").or_else(|| label("createdAt")).and_then(|text| text.parse().ok());
    Some(DeploymentReport {
        revision: label("version")?.parse().ok()?,
        status: label("status").unwrap_or_default(),
        at: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        version: label(labels::VERSION),
        record: label(labels::RECORD),
        commit: label(labels::COMMIT),
    })
}

fn pod_report(pod: &Pod) -> PodReport {
    let phase = match &pod.metadata.deletion_timestamp {
        Some(_) => Some("Terminating".to_owned()),
        None => pod.status.as_ref().and_then(|status| status.phase.clone()),
    };
    PodReport {
        name: pod.name_any(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        phase: phase.unwrap_or_default(),
        ready: is_ready(pod),
        created: pod.creation_timestamp().map(|time| time.0),
        containers: containers(pod).map(|(status, spec)| container_report(status, spec)).collect(),
    }
}

fn container_report(status: &ContainerStatus, spec: Option<(&Container, ContainerRole)>) -> ContainerReport {
    let container = spec.map(|(container, _)| container);
    let resources = container.and_then(|container| container.resources.clone()).unwrap_or_default();
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    ContainerReport {
        name: status.name.clone(),
        role: spec.map_or(ContainerRole::Main, |(_, role)| role),
        image: container.and_then(|container| container.image.clone()).unwrap_or_else(|| status.image.clone()),
        digest: status.image_id.split_once('@').map(|(_, digest)| digest.to_owned()),
        state: status.state.as_ref().map(state).unwrap_or_default(),
        ready: status.ready,
        restarts: status.restart_count,
        last_exit_code: last.map(|ended| ended.exit_code),
        probes: container.map(probes).unwrap_or_default(),
        requests: resources.requests.as_ref().map(quantities).unwrap_or_default(),
        limits: resources.limits.as_ref().map(quantities).unwrap_or_default(),
    }
}

fn state(state: &ContainerState) -> String {
    match state {
        ContainerState { waiting: Some(waiting), .. } => {
            format!("waiting: {}", waiting.reason.as_deref().unwrap_or("unknown"))
        }
        ContainerState { terminated: Some(ended), .. } => format!("ended: exit {}", ended.exit_code),
        ContainerState { running: Some(_), .. } => "running".to_owned(),
        _ => String::new(),
    }
}

fn probes(container: &Container) -> Vec<String> {
    let all = [
        ("startup", &container.startup_probe),
        ("readiness", &container.readiness_probe),
        ("liveness", &container.liveness_probe),
    ];
    all.into_iter().filter_map(|(name, probe)| Some(format!("{name}: {}", request(probe.as_ref()?)))).collect()
}

/// What a probe does: `GET /readyz on http`, `TCP on 5432`, `exec pg_isready`.
fn request(probe: &Probe) -> String {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    if let Some(get) = &probe.http_get {
        return format!("GET {} on {}", get.path.as_deref().unwrap_or("/"), port(&get.port));
    }
    if let Some(tcp) = &probe.tcp_socket {
        return format!("TCP on {}", port(&tcp.port));
    }
    if let Some(grpc) = &probe.grpc {
        return format!("gRPC on {}", grpc.port);
    }
    let command = probe.exec.as_ref().and_then(|exec| exec.command.clone()).unwrap_or_default();
    format!("exec {}", command.join(" "))
}

fn event_report(event: Event) -> EventReport {
    let object = event.involved_object;
    let last = event.last_timestamp.map(|time| time.0).or(event.event_time.map(|time| time.0));
    EventReport {
        last: last.or(event.metadata.creation_timestamp.map(|time| time.0)),
        kind: event.type_.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        object: format!("{}/{}", object.kind.unwrap_or_default(), object.name.unwrap_or_default()),
        message: event.message.unwrap_or_default(),
        count: event.count.unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_described_with_its_containers() {
        let pod = json!({
            "metadata": {"name": "shop-1", "creationTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {"nodeName": "node-1", "initContainers": [{"name": "migrate"}], "containers": [{
                "name": "shop", "image": "shop:1.4",
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
                "livenessProbe": {"tcpSocket": {"port": 8080}},
                "startupProbe": {"exec": {"command": ["pg_isready", "-q"]}},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            }]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}],
                "initContainerStatuses": [{"name": "migrate", "image": "shop:1.4", "imageID": "", "ready": true,
                    "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "shop", "image": "shop:1.4", "imageID": "ghcr.io/shop@sha256:abc",
                    "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 7}}}],
            },
        });
        let report = pod_report(&serde_json::from_value(pod).unwrap());
        assert_eq!((report.phase.as_str(), report.ready, report.node.as_deref()), ("Running", false, Some("node-1")));
        let [migrate, shop] = report.containers.as_slice() else { panic!() };
        assert_eq!((migrate.role, migrate.state.as_str()), (ContainerRole::Initial, "ended: exit 0"));
        assert_eq!(
            (shop.state.as_str(), shop.restarts, shop.last_exit_code),
            ("waiting: CrashLoopBackOff", 3, Some(7))
        );
        assert_eq!(shop.digest.as_deref(), Some("sha256:abc"));
        assert_eq!(
            shop.probes,
            ["startup: exec pg_isready -q", "readiness: GET /readyz on http", "liveness: TCP on 8080"]
        );
        assert_eq!((shop.requests.cpu_millis, shop.limits.memory_bytes), (50, 128 << 20));
    }

    #[test]
    fn a_revision_has_the_labels_of_its_release() {
        let secret = json!({"metadata": {"labels": {"version": "7", "status": "superseded", "modifiedAt": "1767323045",
            (labels::VERSION): "1.4", (labels::RECORD): "abc"}}});
        let found = deployment_report::<Secret>(&serde_json::from_value(secret).unwrap()).unwrap();
        assert_eq!((found.revision, found.status.as_str(), found.version.as_deref()), (7, "superseded", Some("1.4")));
        assert_eq!(found.at.unwrap().to_string(), "2026-01-02T03:04:05Z");
    }
}
