//! A pod that asks, from inside the cluster, whether a place accepts connections.
//!
//! The kubelet asks, by a readiness probe with a host of its own; the pod only has to be there. So it runs the image
//! that each node has already: an image of a project's may have no shell to ask with.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::purpose};

/// What a node runs to hold the network of every pod: nothing needs to be pulled where it has this version.
const PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// Nobody is left to delete it when cmdr is killed.
const LIFETIME_SECONDS: u32 = 120;

/// What a probe says so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeState {
    /// Something accepts connections.
    Answered,
    /// What the cluster said last, if anything.
    Waiting(Option<String>),
}

impl Cluster {
    /// Begins to ask a place from inside the cluster. Gives the pod's name.
    ///
    /// # Errors
    /// When the API refuses: Pod Security "baseline" of Kubernetes 1.34 and later forbids probes with a host.
    pub async fn start_probe(
        &self,
        namespace: &str,
        project: &str,
        host: &str,
        port: u16,
    ) -> Result<String, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let made = pods.create(&PostParams::default(), &pod(project, host, port)).await;
        let made = made.map_err(ClusterError::asking(format!("ask {host}:{port} by a pod")))?;
        Ok(made.metadata.name.unwrap_or_default())
    }

    /// # Errors
    /// When the API does not answer.
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
    /// When the API refuses.
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

/// Under Pod Security "restricted" but for the probe's host.
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
