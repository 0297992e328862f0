//! A pod that tests from inside the cluster whether an address accepts connections.
//!
//! kubelet tests the connection, by a readiness probe with its own host; the pod itself does nothing. It therefore uses
//! an image that each node already has, because a project's image may have no shell.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::purpose};

/// The image that a node runs for the network of every pod. It is only pulled if the node has another version.
const PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// The pod ends by itself if cmdr is killed before it deletes the pod.
const LIFETIME_SECONDS: u32 = 120;

/// The state of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeState {
    /// The address accepts connections.
    Answered,
    /// The last event of the cluster, if any.
    Waiting(Option<String>),
}

impl Cluster {
    /// Starts to probe an address from inside the cluster. Returns the pod's name.
    ///
    /// # Errors
    /// If the API returns an error: since Kubernetes 1.34, Pod Security "baseline" forbids probes with a host.
    pub async fn start_probe(
        &self,
        namespace: &str,
        project: &str,
        host: &str,
        port: u16,
    ) -> Result<String, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let made = pods.create(&PostParams::default(), &pod(project, host, port)).await;
        let made = made.map_err(ClusterError::asking(format!("probe {host}:{port} from a pod")))?;
        Ok(made.metadata.name.unwrap_or_default())
    }

    /// # Errors
    /// If the API does not respond.
    pub async fn probe_state(&self, namespace: &str, pod: &str) -> Result<ProbeState, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let found = pods.get_opt(pod).await.map_err(ClusterError::asking(format!("read pod {pod}")))?;
        if found.as_ref().is_some_and(is_ready) {
            return Ok(ProbeState::Answered);
        }
        let about = ListParams::default().fields(&format!("involvedObject.name={pod},type=Warning"));
        let events: Api<Event> = self.namespaced(namespace);
        let events = events.list(&about).await.map_err(ClusterError::asking("list events"))?;
        Ok(ProbeState::Waiting(events.items.into_iter().next_back().and_then(|event| event.message)))
    }

    /// # Errors
    /// If the API returns an error.
    pub async fn end_probe(&self, namespace: &str, pod: &str) -> Result<(), ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let deleted = pods.delete(pod, &DeleteParams::default().grace_period(0)).await;
        match deleted.map_err(ClusterError::asking(format!("delete pod {pod}"))) {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.is_some_and(|statuses| statuses.iter().any(|status| status.ready))
}

/// The pod satisfies Pod Security "restricted", except for the probe's host.
fn pod(project: &str, host: &str, port: u16) -> Pod {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": format!("{project}-probe-"), "labels": purpose("probe")},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFETIME_SECONDS,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65535, "runAsGroup": 65535,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe", "image": PAUSE, "imagePullPolicy": "IfNotPresent",
                "readinessProbe": {
                    "tcpSocket": {"host": host, "port": port}, "periodSeconds": 1, "timeoutSeconds": 2,
                },
                "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "16Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    serde_json::from_value(pod).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_asks_the_host_that_is_meant() {
        let pod = pod("database", "10.0.0.1", 5432);
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let asked = container.readiness_probe.as_ref().unwrap().tcp_socket.as_ref().unwrap();
        assert_eq!(asked.host.as_deref(), Some("10.0.0.1"));
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("database-probe-"));
        assert!(!is_ready(&pod));
    }
}
