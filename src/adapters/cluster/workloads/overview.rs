//! The state of a cluster for a bug report: nodes, and the pods and events of namespaces. No environment variables,
//! arguments or logs of containers, which can contain secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, Event, Node, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use crate::{
    adapters::cluster::{Cluster, ClusterError},
    domain::redact::masked_urls,
};

/// The state of a cluster, as far as the account may read it.
#[derive(Debug, Default, Serialize)]
pub struct Overview {
    pub nodes: Vec<NodeState>,
    pub pods: Vec<PodState>,
    /// Oldest first.
    pub events: Vec<EventState>,
    /// What could not be read.
    pub errors: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct NodeState {
    pub name: String,
    /// The version of the kubelet.
    pub version: String,
    /// `Ready`: `True (KubeletReady)`.
    pub conditions: BTreeMap<String, String>,
    pub allocatable: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PodState {
    pub namespace: String,
    pub name: String,
    pub phase: String,
    pub containers: Vec<ContainerStatus>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ContainerStatus {
    pub name: String,
    pub image: String,
    pub ready: bool,
    pub restarts: i32,
    /// `running`, `waiting: CrashLoopBackOff`, `terminated: Error (exit code 1)`.
    pub state: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct EventState {
    pub namespace: String,
    /// `Pod/catalog-5d4f`.
    pub object: String,
    pub kind: String,
    pub reason: String,
    pub message: String,
    pub count: i32,
    pub last: String,
}

impl Cluster {
    /// Reads what is accessible, and records what is not.
    pub async fn overview(&self, namespaces: &[String]) -> Overview {
        let mut overview = Overview::default();
        let nodes: Api<Node> = Api::all(self.client.clone());
        match nodes.list(&ListParams::default()).await.map_err(ClusterError::asking("list nodes")) {
            Ok(list) => overview.nodes = list.items.into_iter().map(node_state).collect(),
            Err(error) => overview.note(&error),
        }
        for namespace in namespaces {
            let pods: Api<Pod> = self.namespaced(namespace);
            let events: Api<Event> = self.namespaced(namespace);
            let all = ListParams::default();
            let (pods, events) = futures::join!(pods.list(&all), events.list(&all));
            match pods.map_err(ClusterError::asking(format!("list the pods of {namespace}"))) {
                Ok(list) => overview.pods.extend(list.items.into_iter().map(pod_state)),
                Err(error) => overview.note(&error),
            }
            match events.map_err(ClusterError::asking(format!("list the events of {namespace}"))) {
                Ok(list) => overview.events.extend(list.items.into_iter().map(event_state)),
                Err(error) => overview.note(&error),
            }
        }
        overview.events.sort_by(|one, other| one.last.cmp(&other.last));
        overview
    }
}

impl Overview {
    /// Without the underlying error: that of a credential plugin contains its output.
    fn note(&mut self, error: &ClusterError) {
        self.errors.push(masked_urls(&error.problem().message));
    }
}

fn node_state(node: Node) -> NodeState {
    let name = node.name_any();
    let status = node.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default().into_iter().map(|condition| {
        let reason = condition.reason.unwrap_or_default();
        (condition.type_, format!("{} ({reason})", condition.status))
    });
    let allocatable = status.allocatable.unwrap_or_default();
    NodeState {
        name,
        version: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
        conditions: conditions.collect(),
        allocatable: allocatable.into_iter().map(|(name, quantity)| (name, quantity.0)).collect(),
    }
}

fn pod_state(pod: Pod) -> PodState {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let status = pod.status.unwrap_or_default();
    let statuses = [status.init_container_statuses, status.container_statuses];
    let containers = statuses.into_iter().flatten().flatten().map(|container| ContainerStatus {
        name: container.name,
        image: container.image,
        ready: container.ready,
        restarts: container.restart_count,
        state: container.state.map(shown_state).unwrap_or_default(),
    });
    PodState { namespace, name, phase: status.phase.unwrap_or_default(), containers: containers.collect() }
}

fn shown_state(state: ContainerState) -> String {
    let of = |reason: Option<String>, message: Option<String>| {
        let words = [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        masked_urls(&words)
    };
    match state {
        ContainerState { waiting: Some(waiting), .. } => format!("waiting: {}", of(waiting.reason, waiting.message)),
        // The message of a terminated container is its own text, which may contain a secret.
        ContainerState { terminated: Some(ended), .. } => {
            format!("terminated: {} (exit code {})", of(ended.reason, None), ended.exit_code)
        }
        ContainerState { running: Some(_), .. } => "running".to_owned(),
        _ => String::new(),
    }
}

fn event_state(event: Event) -> EventState {
    let object = event.involved_object;
    let last = event.last_timestamp.map(|time| time.0).or(event.event_time.map(|time| time.0));
    EventState {
        namespace: event.metadata.namespace.unwrap_or_default(),
        object: format!("{}/{}", object.kind.unwrap_or_default(), object.name.unwrap_or_default()),
        kind: event.type_.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: masked_urls(&event.message.unwrap_or_default()),
        count: event.count.unwrap_or(1),
        last: last.map(|time| time.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_described_without_its_variables() {
        let pod = json!({
            "metadata": {"name": "shop-1", "namespace": "tunes"},
            "spec": {"containers": [{"name": "shop", "env": [{"name": "PASSWORD", "value": "canary"}]}]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "shop", "image": "shop:1", "imageID": "x", "ready": false, "restartCount": 3,
                "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "canary"}},
            }]},
        });
        let state = pod_state(serde_json::from_value(pod).unwrap());
        assert!(!serde_json::to_string(&state).unwrap().contains("canary"));
        assert_eq!((state.namespace.as_str(), state.phase.as_str()), ("tunes", "Running"));
        assert_eq!(state.containers[0].state, "terminated: Error (exit code 1)");
        let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "https://a:canary@b: denied"}});
        let shown = shown_state(serde_json::from_value(waiting).unwrap());
        assert_eq!(shown, "waiting: ErrImagePull: https://***@b: denied");
    }

    #[test]
    fn an_event_names_its_object() {
        let event = json!({
            "metadata": {"namespace": "tunes"}, "involvedObject": {"kind": "Pod", "name": "shop-1"},
            "type": "Warning", "reason": "BackOff", "message": "restarting", "count": 4,
            "lastTimestamp": "2026-01-02T03:04:05Z",
        });
        let state = event_state(serde_json::from_value(event).unwrap());
        assert_eq!((state.object.as_str(), state.count), ("Pod/shop-1", 4));
        assert_eq!(state.last, "2026-01-02T03:04:05Z");
    }
}
