//! Runs commands in containers, also in a debug container beside one whose image has no shell.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::{AttachParams, ListParams, Patch, PatchParams, Request},
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::exec_stream::{self, StreamEnd};
use crate::adapters::cluster::{Cluster, ClusterError, workloads::rollout::is_ready};

/// How often a starting debug container is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a debug container may take to start, its image included.
const START: Duration = Duration::from_mins(2);
/// What the container runtime says if the program of a command does not exist in the image.
const NOT_FOUND: [&str; 3] = ["executable file not found", "no such file or directory", "not found in $PATH"];

/// A pod that commands can reach.
#[derive(Debug, Clone)]
pub struct ReachablePod {
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub is_ready: bool,
    pub created: Option<Timestamp>,
    /// The running containers, the main one first.
    pub containers: Vec<String>,
    /// The ports of its containers, with their names, in their order.
    pub ports: Vec<(Option<String>, u16)>,
}

/// A container to run a command in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecTarget {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

/// What a command is connected to.
#[expect(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct ExecStreams<'a> {
    pub input: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub output: &'a mut (dyn AsyncWrite + Send + Unpin),
    pub errors: &'a mut (dyn AsyncWrite + Send + Unpin),
    /// The columns and rows of the terminal, if the command gets one.
    pub terminal: Option<watch::Receiver<(u16, u16)>>,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedOutput {
    pub end: ExecEnd,
    pub stdout: String,
    pub stderr: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEnd {
    Exited(u8),
    /// The image does not contain the program.
    NotFound(String),
    /// Whoever read its output has stopped to do so.
    OutputClosed,
    /// It did not start, or the connection ended, with the reason.
    Failed(String),
}

impl Cluster {
    /// Lists the pods of a namespace with a running container, ready ones first, then newer ones first.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn reachable_pods(&self, namespace: &str) -> Result<Vec<ReachablePod>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let listed = pods.list(&ListParams::default()).await;
        let listed = listed.map_err(ClusterError::asking(format!("list the pods of {namespace}")))?;
        let running = listed.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).map(reachable_pod);
        let mut running: Vec<ReachablePod> = running.filter(|pod| !pod.containers.is_empty()).collect();
        running.sort_by_key(|pod| std::cmp::Reverse((pod.is_ready, pod.created)));
        Ok(running)
    }

    /// Runs a command in a container.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn exec(
        &self,
        target: &ExecTarget,
        command: &[String],
        streams: ExecStreams<'_>,
    ) -> Result<ExecEnd, ClusterError> {
        let asking = || ClusterError::asking(format!("run a command in {}", target.pod));
        let request = Request::new(Pod::url_path(&(), Some(&target.namespace)));
        let request = request.exec(&target.pod, command, &parameters(target, &streams));
        let request = request.map_err(kube::Error::BuildRequest).map_err(asking())?;
        let connection = self.client.connect(request).await.map_err(asking())?;
        Ok(match exec_stream::pass_on(connection, streams).await {
            StreamEnd::Ended(status) => end(&status),
            StreamEnd::OutputClosed => ExecEnd::OutputClosed,
            StreamEnd::ConnectionLost => ExecEnd::Failed("the connection to the cluster ended".to_owned()),
        })
    }

    /// Runs a command without input in a container, and collects what it prints.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn output(&self, target: &ExecTarget, command: &[&str]) -> Result<PrintedOutput, ClusterError> {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let streams = ExecStreams { input: None, output: &mut output, errors: &mut errors, terminal: None };
        let end = self.exec(target, &command, streams).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(PrintedOutput { end, stdout: text(output), stderr: text(errors) })
    }

    /// Starts a debug container in the pod, which sees the processes and, under `/proc/1/root`, the files of the target.
    /// Returns it once it runs.
    ///
    /// # Errors
    /// If the API returns an error, or with the reason why the container does not start.
    pub async fn start_debug_container(
        &self,
        target: &ExecTarget,
        image: &str,
        command: &[&str],
    ) -> Result<Result<ExecTarget, String>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(&target.namespace);
        let asking = || ClusterError::asking(format!("start a debug container in {}", target.pod));
        let pod = pods.get(&target.pod).await.map_err(asking())?;
        let name = format!("cmdr-debug-{:x}", Timestamp::now().as_millisecond());
        let context = pod.spec.iter().flat_map(|spec| &spec.containers).find(|it| it.name == target.container);
        let container = json!({
            "name": name, "image": image, "command": command, "stdin": true, "tty": true,
            "targetContainerName": target.container, "securityContext": debug_security(context),
        });
        let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
        pods.patch_ephemeral_containers(&target.pod, &PatchParams::default(), &patch).await.map_err(asking())?;
        let started = tokio::time::timeout(START, async {
            loop {
                let pod = pods.get(&target.pod).await.map_err(asking())?;
                if let Some(result) = debug_state(&pod, &name) {
                    return Ok::<_, ClusterError>(result);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        let debug = ExecTarget { container: name.clone(), ..target.clone() };
        match started.await {
            Ok(state) => state.map(|state| state.map(|()| debug)),
            Err(_) => Ok(Err(format!("it has not started within {} s", START.as_secs()))),
        }
    }
}

/// The user and the limits of the target, so that its files are accessible; but the debug container may write.
fn debug_security(target: Option<&Container>) -> serde_json::Value {
    let mut context = target.and_then(|it| it.security_context.clone()).map_or_else(|| json!({}), |it| json!(it));
    context["readOnlyRootFilesystem"] = json!(false);
    context
}

/// Whether a debug container runs, or why it does not; `None` while it starts.
fn debug_state(pod: &Pod, name: &str) -> Option<Result<(), String>> {
    let statuses = pod.status.as_ref()?.ephemeral_container_statuses.as_ref()?;
    let state = statuses.iter().find(|status| status.name == name)?.state.as_ref()?;
    if state.running.is_some() {
        return Some(Ok(()));
    }
    if let Some(ended) = &state.terminated {
        return Some(Err(format!("it has ended with exit code {}", ended.exit_code)));
    }
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let is_final =
        ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"];
    let message = waiting.message.clone().unwrap_or_default();
    is_final.contains(&reason).then(|| Err(format!("{reason}: {message}")))
}

fn reachable_pod(pod: &Pod) -> ReachablePod {
    let status = pod.status.clone().unwrap_or_default();
    let is_running = |status: &&ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    let running: Vec<&ContainerStatus> = status.container_statuses.iter().flatten().filter(is_running).collect();
    let mut containers: Vec<String> = running.iter().map(|status| status.name.clone()).collect();
    // The main container has the name of the project, which is in the labels.
    containers.sort_by_key(|name| !pod.labels().values().any(|label| label == name));
    let specified = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = specified.flat_map(|container| container.ports.iter().flatten());
    let ports = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    ReachablePod {
        name: pod.name_any(),
        namespace: pod.namespace().unwrap_or_default(),
        labels: pod.labels().clone(),
        is_ready: is_ready(pod),
        created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        containers,
        ports: ports.filter_map(|port| Some((port.name.clone(), u16::try_from(port.container_port).ok()?))).collect(),
    }
}

fn parameters(target: &ExecTarget, streams: &ExecStreams<'_>) -> AttachParams {
    let has_terminal = streams.terminal.is_some();
    AttachParams::default()
        .container(&target.container)
        .stdin(streams.input.is_some())
        .stdout(true)
        // A terminal has one output.
        .stderr(!has_terminal)
        .tty(has_terminal)
}

/// Reads how a command ended from the status of the API.
fn end(status: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Status) -> ExecEnd {
    if status.status.as_deref() == Some("Success") {
        return ExecEnd::Exited(0);
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let mut codes = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = codes.find_map(|cause| cause.message.as_deref()?.parse::<i32>().ok());
    // Each layer has put its own name in front.
    let message = status.message.as_deref().unwrap_or_default();
    let message = message.rsplit("exec failed: ").next().unwrap_or_default().to_owned();
    match code {
        Some(code) if status.reason.as_deref() == Some("NonZeroExitCode") => {
            ExecEnd::Exited(u8::try_from(code).unwrap_or(u8::MAX))
        }
        _ if NOT_FOUND.iter().any(|text| message.contains(text)) => ExecEnd::NotFound(message),
        _ => ExecEnd::Failed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: serde_json::Value) -> ExecEnd {
        end(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_status_has_the_exit_code_or_the_reason() {
        assert_eq!(ended(json!({"status": "Success"})), ExecEnd::Exited(0));
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "exit code 3",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}});
        assert_eq!(ended(failed), ExecEnd::Exited(3));
        let missing = "exec: \"sh\": executable file not found in $PATH";
        let message = format!("Internal error occurred: OCI runtime exec failed: exec failed: {missing}");
        assert_eq!(ended(json!({"status": "Failure", "message": message})), ExecEnd::NotFound(missing.to_owned()));
        assert_eq!(ended(json!({"status": "Failure", "message": "gone"})), ExecEnd::Failed("gone".to_owned()));
    }

    #[test]
    fn the_main_container_comes_first_and_udp_ports_are_left_out() {
        let pod = json!({
            "metadata": {"name": "shop-1", "labels": {"app.kubernetes.io/name": "shop"}},
            "spec": {"containers": [
                {"name": "proxy", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
                {"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]},
            ]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
                {"name": "proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
                {"name": "shop", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
            ]},
        });
        let pod = reachable_pod(&serde_json::from_value(pod).unwrap());
        assert_eq!((pod.containers, pod.is_ready), (vec!["shop".to_owned(), "proxy".to_owned()], true));
        assert_eq!(pod.ports, [(Some("http".to_owned()), 8080)]);
    }

    #[test]
    fn a_debug_container_that_cannot_start_has_a_reason() {
        let pod = |state: serde_json::Value| -> Pod {
            let status =
                json!([{"name": "d", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
            serde_json::from_value(json!({"status": {"ephemeralContainerStatuses": status}})).unwrap()
        };
        assert_eq!(debug_state(&pod(json!({"running": {}})), "d"), Some(Ok(())));
        assert_eq!(debug_state(&pod(json!({"waiting": {"reason": "ContainerCreating"}})), "d"), None);
        let failed = debug_state(&pod(json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}})), "d");
        assert_eq!(failed, Some(Err("ErrImagePull: no such image".to_owned())));
    }
}
