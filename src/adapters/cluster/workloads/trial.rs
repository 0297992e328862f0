//! Pods that try a project with other settings, beside the one that runs.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::adapters::{
    cluster::{Cluster, ClusterError, store::apply::purpose},
    wait::{Wait, WaitError, every},
};

const LOOK: Duration = Duration::from_millis(300);
/// How long the previous trial may take to be deleted.
const GOING: Duration = Duration::from_secs(30);
/// What the kubelet reports if a container cannot be started.
const CANNOT_START: [&str; 6] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// How a trial is going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialState {
    /// Not ready yet.
    Starting,
    /// All containers are ready; the ID is that of the main container at its runtime.
    Ready { container: String },
    /// The cause in one line.
    Failed(String),
}

impl Cluster {
    /// Creates the pod of a trial. One with the same name is deleted first.
    ///
    /// # Errors
    /// If the API returns an error, or the run is interrupted.
    pub async fn start_trial(
        &self,
        namespace: &str,
        pod: &Value,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError<ClusterError>> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let bad = |error: serde_json::Error| ClusterError::BadManifest(error.to_string());
        let mut pod: Pod = serde_json::from_value(pod.clone()).map_err(bad).map_err(WaitError::Limit)?;
        pod.metadata.labels = Some(purpose("trial"));
        let name = pod.metadata.name.clone().unwrap_or_default();
        self.delete_trial(namespace, &name).await.map_err(WaitError::Limit)?;
        let mut wait = Wait::new(every(LOOK), GOING);
        loop {
            let created = pods.create(&PostParams::default(), &pod).await;
            match created.map_err(ClusterError::asking(format!("create pod {name}"))) {
                Err(error) if error.is_status(409) => wait.pause_or(error, cancel).await?,
                created => return created.map(drop).map_err(WaitError::Limit),
            }
        }
    }

    /// # Errors
    /// If the API returns an error.
    pub async fn delete_trial(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let deleted = pods.delete(name, &DeleteParams::default().grace_period(0)).await;
        match deleted.map_err(ClusterError::asking(format!("delete pod {name}"))) {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// If the API returns an error.
    pub async fn trial_state(&self, namespace: &str, name: &str) -> Result<TrialState, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let pod = pods.get_status(name).await.map_err(ClusterError::asking(format!("read pod {name}")))?;
        match state(&pod) {
            Seen::Failed { container, cause } => {
                let parameters = LogParams { container: Some(container), tail_lines: Some(1), ..LogParams::default() };
                let line = pods.logs(name, &parameters).await.unwrap_or_default();
                let line = line.trim();
                let cause = if line.is_empty() { cause } else { format!("{cause}: {line}") };
                Ok(TrialState::Failed(cause))
            }
            Seen::Ready { container } => Ok(TrialState::Ready { container }),
            Seen::Starting => Ok(TrialState::Starting),
        }
    }
}

/// What the status of a pod says.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Starting,
    Ready { container: String },
    Failed { container: String, cause: String },
}

fn state(pod: &Pod) -> Seen {
    let status = pod.status.clone().unwrap_or_default();
    let main = status.container_statuses.unwrap_or_default();
    let failed = status.init_container_statuses.iter().flatten().chain(&main).find_map(failure);
    if let Some((container, cause)) = failed {
        return Seen::Failed { container, cause };
    }
    let is_ready = |kind: &str| {
        status.conditions.iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
    };
    match main.first().and_then(|status| status.container_id.as_ref()) {
        Some(id) if is_ready("Ready") => {
            let id = id.rsplit_once("//").map_or(id.as_str(), |(_, id)| id);
            Seen::Ready { container: id.to_owned() }
        }
        _ => Seen::Starting,
    }
}

/// Why a container of a trial does not work: no container of it may end, except an init container that succeeds.
fn failure(status: &ContainerStatus) -> Option<(String, String)> {
    let state = status.state.as_ref()?;
    let waiting = state
        .waiting
        .as_ref()
        .filter(|waiting| waiting.reason.as_ref().is_some_and(|reason| CANNOT_START.contains(&reason.as_str())));
    if let Some(waiting) = waiting {
        let cause = waiting.message.clone().or_else(|| waiting.reason.clone()).unwrap_or_default();
        return Some((status.name.clone(), cause));
    }
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    Some((status.name.clone(), format!("container {} ended with exit code {}", status.name, ended.exit_code)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(state: &Value, ready: bool) -> Seen {
        let container = json!({"name": "site", "image": "i", "imageID": "", "ready": ready, "restartCount": 0,
            "containerID": "containerd://abc", "state": state});
        let ready = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
        let pod = json!({"metadata": {}, "status": {"containerStatuses": [container], "conditions": ready}});
        super::state(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_trial_is_ready_or_has_failed_with_a_cause() {
        assert_eq!(seen(&json!({"running": {}}), true), Seen::Ready { container: "abc".to_owned() });
        assert_eq!(seen(&json!({"running": {}}), false), Seen::Starting);
        let message = "container has runAsNonRoot and image will run as root";
        let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": message}});
        let failed = |cause: &str| Seen::Failed { container: "site".to_owned(), cause: cause.to_owned() };
        assert_eq!(seen(&waiting, false), failed(message));
        assert_eq!(seen(&json!({"waiting": {"reason": "ContainerCreating"}}), false), Seen::Starting);
        let ended = json!({"terminated": {"exitCode": 1}});
        assert_eq!(seen(&ended, false), failed("container site ended with exit code 1"));
    }
}
