//! What a rollout waits for, from the status of its pods and the events about their probes.

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    jiff::SignedDuration,
};

use super::causes::{containers, ended_with_node, holds_up, is_silent, pulled_image};
use crate::{
    adapters::cluster::Cluster,
    domain::wait_reason::{ContainerRole, PodStage, ProbeKind, WaitReason},
};

/// The longest response of a probe that is shown, in characters.
const LONGEST_RESPONSE: usize = 80;
/// What the messages of failed probes contain, and its short form.
const RESPONSES: &[(&str, &str)] = &[
    ("connection refused", "connection refused"),
    ("context deadline exceeded", "timed out"),
    ("i/o timeout", "timed out"),
    ("timed out", "timed out"),
    ("no route to host", "no route to host"),
    ("connection reset", "connection reset"),
];

/// Returns what the pods of a workload wait for; `None` if nothing shows it.
pub(super) fn wait_reason(pods: &[&Pod], desired: i32) -> Option<WaitReason> {
    let find = |reason: fn(&Pod) -> Option<WaitReason>| pods.iter().find_map(|pod| reason(pod));
    let is_missing = pods.is_empty() && desired > 0;
    is_missing
        .then_some(WaitReason::Pod { stage: PodStage::Missing })
        .or_else(|| find(restart))
        .or_else(|| find(image))
        .or_else(|| find(container))
        .or_else(|| find(stage))
}

/// A container that has failed and is started again.
fn restart(pod: &Pod) -> Option<WaitReason> {
    let ended = |status: &ContainerStatus| {
        let state = status.state.as_ref()?;
        let waiting = state.waiting.as_ref();
        let is_backing_off = waiting.and_then(|it| it.reason.as_deref()) == Some("CrashLoopBackOff");
        let last = status.last_state.as_ref().and_then(|last| last.terminated.clone());
        let ended = state.terminated.clone().filter(|it| it.exit_code != 0).or(last.filter(|_| is_backing_off));
        let ended = ended.filter(|it| !ended_with_node(it))?;
        Some((ended, waiting.and_then(|it| delay(it.message.as_deref()?))))
    };
    containers(pod).find_map(|(status, spec)| {
        let (ended, delay) = ended(status)?;
        Some(WaitReason::Restart {
            container: status.name.clone(),
            role: spec.map_or(ContainerRole::Main, |(_, role)| role),
            exit_code: ended.exit_code,
            delay_seconds: delay.and_then(|delay| delay.as_secs().try_into().ok()),
            at: ended.finished_at.zip(delay).and_then(|(end, delay)| end.0.checked_add(delay).ok()),
        })
    })
}

/// Reads the delay in kubelet's message: `back-off 1m20s restarting failed container=shop ...`.
fn delay(message: &str) -> Option<SignedDuration> {
    message.strip_prefix("back-off ")?.split_whitespace().next()?.parse().ok()
}

/// The image that a pod waits for while it is being pulled.
pub(super) fn image(pod: &Pod) -> Option<WaitReason> {
    Some(WaitReason::Image { image: pulled_image(pod)?.to_owned(), bytes_done: None, bytes_total: None })
}

/// A running container that must end, or whose probe must succeed.
fn container(pod: &Pod) -> Option<WaitReason> {
    let (status, spec) = containers(pod).find(|(status, spec)| holds_up(status, *spec))?;
    let (container, role) = (status.name.clone(), spec.map_or(ContainerRole::Main, |(_, role)| role));
    if role == ContainerRole::Initial {
        return Some(WaitReason::Container { container, role });
    }
    let has_started = status.started == Some(true) || spec.is_some_and(|(spec, _)| spec.startup_probe.is_none());
    let probe = if has_started { ProbeKind::Readiness } else { ProbeKind::Startup };
    Some(WaitReason::Probe { container, probe, response: None })
}

/// How far a pod is whose containers do not run.
fn stage(pod: &Pod) -> Option<WaitReason> {
    let status = pod.status.as_ref()?;
    let is_scheduled = status.conditions.iter().flatten().any(|it| it.type_ == "PodScheduled" && it.status == "True");
    let is_created = containers(pod).all(|(status, _)| status.state.as_ref().is_some_and(|it| it.waiting.is_none()));
    let stage = match status.phase.as_deref() {
        Some("Pending") if !is_scheduled => PodStage::Unscheduled,
        Some("Pending") if is_silent(pod) => PodStage::Preparing,
        Some("Pending") if !is_created => PodStage::Creating,
        _ => return None,
    };
    Some(WaitReason::Pod { stage })
}

impl Cluster {
    /// Returns the last response of a pod's probe; `None` if its events cannot be read, or contain none.
    pub async fn probe_response(&self, namespace: &str, pod: &str) -> Option<String> {
        let events = self.events(namespace, "Pod", pod).await;
        let failed = events.into_iter().find(|event| event.reason.as_deref() == Some("Unhealthy"))?;
        Some(response(&failed.message?))
    }
}

/// Returns the response in kubelet's message about a failed probe.
fn response(message: &str) -> String {
    if let Some((_, status)) = message.rsplit_once("statuscode: ") {
        return format!("HTTP {}", status.trim());
    }
    if let Some((_, short)) = RESPONSES.iter().find(|(part, _)| message.contains(part)) {
        return (*short).to_owned();
    }
    let detail = message.split_once(": ").map_or(message, |(_, detail)| detail);
    let line = detail.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed");
    line.chars().take(LONGEST_RESPONSE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "as json! gives it")]
    fn pod(spec: Value, status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "shop-1"}, "spec": spec, "status": status})).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "as json! gives it")]
    fn container_status(name: &str, state: Value, more: Value) -> Value {
        let mut status = json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0});
        status["state"] = state;
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status
    }

    fn text(pod: &Pod) -> String {
        wait_reason(&[pod], 1).map(|reason| reason.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_container_that_failed_is_named_with_its_next_start() {
        let ended = json!({"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T03:04:05Z"}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff",
            "message": "back-off 1m20s restarting failed container=migrate pod=shop-1"}});
        let spec = json!({"containers": [{"name": "shop"}], "initContainers": [{"name": "migrate"}]});
        let status = container_status("migrate", waiting, json!({"lastState": ended}));
        let pod = pod(spec, json!({"phase": "Pending", "initContainerStatuses": [status]}));
        assert_eq!(text(&pod), "init container migrate: exit 1, restart in 80 s");
        let Some(WaitReason::Restart { at, .. }) = wait_reason(&[&pod], 1) else { panic!() };
        assert_eq!(at.unwrap().to_string(), "2026-01-02T03:05:25Z");
    }

    #[test]
    fn a_running_container_waits_for_the_probe_that_has_not_succeeded() {
        let running = json!({"running": {}});
        let probes = json!({"name": "shop", "startupProbe": {}, "readinessProbe": {}});
        let shown = |started: bool| {
            let status = container_status("shop", running.clone(), json!({"started": started}));
            text(&pod(json!({"containers": [probes]}), json!({"phase": "Running", "containerStatuses": [status]})))
        };
        assert_eq!(shown(false), "waiting for the startup probe of shop");
        assert_eq!(shown(true), "waiting for the readiness probe of shop");
        let spec = json!({"containers": [{"name": "shop"}], "initContainers": [{"name": "migrate"}]});
        let status = container_status("migrate", running.clone(), json!({}));
        let first = pod(spec, json!({"phase": "Pending", "initContainerStatuses": [status]}));
        assert_eq!(text(&first), "init container migrate is running");
    }

    #[test]
    fn a_pod_that_does_not_run_shows_how_far_it_is() {
        let of = |conditions: &[&str]| {
            let conditions: Vec<Value> =
                conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
            let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
            let status = container_status("shop", waiting, json!({"restartCount": 1}));
            text(&pod(
                json!({"containers": [{"name": "shop"}]}),
                json!({"phase": "Pending", "conditions": conditions, "containerStatuses": [status]}),
            ))
        };
        assert_eq!(wait_reason(&[], 1).unwrap().to_string(), "waiting for its pods to be created");
        assert_eq!(wait_reason(&[], 0), None);
        assert_eq!(of(&[]), "waiting for a node");
        assert_eq!(of(&["PodScheduled"]), "preparing volumes and network");
        assert_eq!(of(&["PodScheduled", "PodReadyToStartContainers"]), "creating containers");
    }

    #[test]
    fn the_response_of_a_probe_is_short() {
        assert_eq!(response("Readiness probe failed: HTTP probe failed with statuscode: 503"), "HTTP 503");
        let refused = "Readiness probe failed: Get \"http://10.244.0.5:80/\": dial tcp 10.244.0.5:80: connect: \
                       connection refused";
        assert_eq!(response(refused), "connection refused");
        assert_eq!(response("Startup probe failed: psql: no such table\nat line 2"), "psql: no such table");
        assert_eq!(response("Readiness probe failed: "), "failed");
    }
}
