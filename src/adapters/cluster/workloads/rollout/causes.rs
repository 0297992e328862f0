//! Explains why a pod does not become ready, from its status and the table of rules.

use k8s_openapi::{
    api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use super::{
    pulls::{PULL, UnavailableImage},
    rules::{DiagnosedObject, PROBE_FAILED, THRICE, diagnose},
};
use crate::domain::{
    Problem,
    causes::{self, CRASHES, GiveUpAfter, TWICE, containers as known, probes},
    labels,
    wait_reason::ContainerRole,
};

/// A pod, in the namespace of its workload: a release may have workloads in several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

impl From<&Pod> for PodName {
    fn from(pod: &Pod) -> Self {
        Self { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any() }
    }
}

/// A problem of one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutProblem {
    pub patience: GiveUpAfter,
    /// The pod whose log and events contain more details.
    pub pod: Option<PodName>,
    pub container: Option<String>,
    /// The container in a sentence: "the sidecar 'proxy'".
    pub who: String,
    /// The project of the pod, if it is one of the universal chart.
    pub project: Option<String>,
    /// The pod is one of a Job that has used all its attempts.
    pub is_failed_job: bool,
    /// How often the container was restarted.
    pub restarts: i32,
    /// The relevant log is that of the previous container.
    pub has_previous_log: bool,
    /// The image that its registry does not return.
    pub image: Option<UnavailableImage>,
    pub cause: Problem,
}

impl RolloutProblem {
    /// Creates a problem without a pod.
    pub fn new(patience: GiveUpAfter, problem: Problem) -> Self {
        Self {
            patience,
            pod: None,
            container: None,
            who: "the container".to_owned(),
            project: None,
            is_failed_job: false,
            restarts: 0,
            has_previous_log: false,
            image: None,
            cause: problem,
        }
    }
}

impl RolloutProblem {
    /// Whether a container runs and is not ready.
    pub fn is_about_probe(&self) -> bool {
        [&probes::PROBE_FAILS, &probes::STARTUP_PROBE_FAILS]
            .iter()
            .any(|cause| self.cause.code.as_deref() == Some(cause.code))
    }
}

/// A container without probes counts as ready after this time: most that cannot run exit earlier.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// After this time, no delayed report that it has exited is expected.
const YOUNG: SignedDuration = SignedDuration::from_secs(30);
/// As [`SETTLED`], after it has exited before.
const SETTLED_AGAIN: SignedDuration = SignedDuration::from_secs(6);

/// Returns why this pod is not ready, if a known problem is the cause.
pub(super) fn pod_problem(pod: &Pod, now: Timestamp) -> Option<RolloutProblem> {
    if let Some(problem) = containers(pod).find_map(|(status, spec)| container_problem(pod, status, spec, now)) {
        return Some(problem);
    }
    if let Some(problem) = ended_by_node(pod) {
        return Some(problem);
    }
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let unscheduled = conditions.into_iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    let message = unscheduled.message.as_deref().unwrap_or_default();
    let of = DiagnosedObject { project: project_of(pod).unwrap_or_default(), ..DiagnosedObject::default() };
    let (patience, problem) = diagnose(unscheduled.reason.as_deref().unwrap_or_default(), message, of)?;
    Some(RolloutProblem { pod: Some(pod.into()), ..RolloutProblem::new(patience, problem) })
}

/// Returns why a node ended a pod, or did not admit it: an eviction, a shutdown.
fn ended_by_node(pod: &Pod) -> Option<RolloutProblem> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    let message = status.message.as_deref().unwrap_or_default();
    let of = DiagnosedObject { who: "the pod", project: project_of(pod).unwrap_or_default(), image: "" };
    let (patience, problem) = diagnose(status.reason.as_deref()?, message, of)?;
    Some(RolloutProblem { pod: Some(pod.into()), ..RolloutProblem::new(patience, problem) })
}

/// Returns whether a pod that would be replaced waits for an image that could not be pulled.
pub(super) fn waits_for_image(pod: &Pod) -> bool {
    let is_waiting = |status: &ContainerStatus| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|reason| PULL.contains(&reason))
    };
    // A Job counts a deleted pod as a failed attempt.
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.kind != "Job")
        && containers(pod).any(|(status, _)| is_waiting(status))
}

/// Returns whether kubelet reports that the pod is not ready.
pub(super) fn is_unready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status != "True")
}

/// Returns whether every container without probes has run long enough to count as ready.
pub(super) fn is_settled(pod: &Pod, now: Timestamp) -> bool {
    containers(pod).all(|(status, spec)| !runs_without_probe(spec) || has_settled(status, now))
}

/// Returns whether a container without probes was started recently: a busy kubelet is late to report that it exited.
pub(super) fn is_young(pod: &Pod, now: Timestamp) -> bool {
    containers(pod).filter(|(_, spec)| runs_without_probe(*spec)).any(|(status, _)| {
        let running = status.state.as_ref().and_then(|state| state.running.as_ref());
        let start = running.and_then(|running| running.started_at.as_ref());
        start.is_some_and(|start| now.duration_since(start.0) < YOUNG)
    })
}

/// Returns whether a container runs permanently and has no probes: Kubernetes reports it as ready whenever it runs.
fn runs_without_probe(spec: Option<(&Container, ContainerRole)>) -> bool {
    spec.is_some_and(|(spec, role)| {
        role != ContainerRole::Initial && spec.readiness_probe.is_none() && spec.startup_probe.is_none()
    })
}

fn has_settled(status: &ContainerStatus, now: Timestamp) -> bool {
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let Some(running) = running else { return false };
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let has_exited = status.restart_count > 0 && !last.is_some_and(ended_with_node);
    let wanted = if has_exited { needed_again(last) } else { SETTLED };
    // If the clock of a node is ahead of this machine's, the rollout must not wait for it.
    running.started_at.as_ref().is_none_or(|start| start.0 > now || now.duration_since(start.0) >= wanted)
}

/// Returns whether a container ended because its node stopped.
pub(in crate::adapters::cluster) fn ended_with_node(ended: &ContainerStateTerminated) -> bool {
    causes::ended_with_node(ended.exit_code.into(), ended.reason.as_deref())
}

/// Returns how long a container that has exited must run to count as ready: longer than it did before.
fn needed_again(last: Option<&ContainerStateTerminated>) -> SignedDuration {
    (last.and_then(duration).unwrap_or_default() + SETTLED_AGAIN).min(YOUNG)
}

/// Returns how long a container that has exited ran.
fn duration(ended: &ContainerStateTerminated) -> Option<SignedDuration> {
    Some(ended.finished_at.as_ref()?.0.duration_since(ended.started_at.as_ref()?.0))
}

/// Returns each container's status with its specification, in the order in which they start.
pub(in crate::adapters::cluster) fn containers(
    pod: &Pod,
) -> impl Iterator<Item = (&ContainerStatus, Option<(&Container, ContainerRole)>)> {
    let spec = pod.spec.as_ref();
    let initial = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten().map(|container| {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        (container, if is_sidecar { ContainerRole::Sidecar } else { ContainerRole::Initial })
    });
    let main = spec.into_iter().flat_map(|spec| &spec.containers).map(|container| (container, ContainerRole::Main));
    let described: Vec<(&Container, ContainerRole)> = initial.chain(main).collect();
    let status = pod.status.as_ref();
    let initial = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
    let main = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    initial.chain(main).map(move |status| {
        let own = described.iter().copied().find(|(container, _)| container.name == status.name);
        (status, own)
    })
}

fn container_problem(
    pod: &Pod,
    status: &ContainerStatus,
    spec: Option<(&Container, ContainerRole)>,
    now: Timestamp,
) -> Option<RolloutProblem> {
    let is_well = if runs_without_probe(spec) { has_settled(status, now) } else { status.ready };
    let (reason, message, has_previous_log) = trouble(status, is_well)?;
    let is_probed = spec.is_some_and(|(spec, _)| spec.startup_probe.is_some() || spec.liveness_probe.is_some());
    // 128 + SIGKILL and 128 + SIGTERM, the signals that kubelet sends.
    let was_killed = reason == "Error" && ["exit code 137", "exit code 143"].contains(&message.as_str());
    // A program that handles SIGTERM ends with 0.
    let was_ended = || reason == "Completed" && spec.is_some_and(|(spec, _)| probe_could_end(spec, status));
    let reason = if is_probed && (was_killed || was_ended()) { PROBE_FAILED } else { &reason };
    let who = who(pod, status, spec);
    let project = project_of(pod);
    let of = DiagnosedObject { who: &who, image: &status.image, project: project.unwrap_or_default() };
    let (patience, problem) = diagnose(reason, &message, of)?;
    // A container that is running again gets more time, however long it took.
    let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
    let has_pull_secrets = pod.spec.as_ref().is_some_and(|spec| spec.image_pull_secrets.is_some());
    let patience = match patience {
        _ if runs => GiveUpAfter::Timeout,
        TWICE if has_pull_secrets && PULL.contains(&reason) => THRICE,
        other => other,
    };
    Some(RolloutProblem {
        patience,
        pod: Some(pod.into()),
        container: Some(status.name.clone()),
        who,
        project: project.map(str::to_owned),
        is_failed_job: false,
        restarts: status.restart_count,
        has_previous_log,
        image: UnavailableImage::of(reason, &message, &status.image),
        cause: problem,
    })
}

/// Returns whether the last run was long enough for a liveness probe to fail so often that kubelet ended the container. The
/// defaults are those of Kubernetes.
fn probe_could_end(spec: &Container, status: &ContainerStatus) -> bool {
    let ended = [&status.state, &status.last_state];
    let ended = ended.into_iter().find_map(|state| state.as_ref()?.terminated.as_ref());
    let needed = spec.liveness_probe.as_ref().map(|probe| {
        let periods = probe.failure_threshold.unwrap_or(3) - 1;
        i64::from(probe.initial_delay_seconds.unwrap_or(0) + periods * probe.period_seconds.unwrap_or(10))
    });
    ended.and_then(duration).zip(needed).is_some_and(|(lasted, needed)| lasted.as_secs() >= needed.max(1))
}

/// The project of a pod of the universal chart; other charts have other labels.
pub(in crate::adapters::cluster) fn project_of(pod: &Pod) -> Option<&str> {
    let own = pod.metadata.labels.as_ref()?;
    own.get(labels::PART_OF)?;
    own.get(labels::INSTANCE).map(String::as_str)
}

/// Names the container in a sentence: by its name if there is more than one.
fn who(pod: &Pod, status: &ContainerStatus, spec: Option<(&Container, ContainerRole)>) -> String {
    let is_only = pod.spec.as_ref().is_none_or(|spec| spec.containers.len() == 1);
    match spec.map(|(_, role)| role) {
        Some(ContainerRole::Initial) => format!("the init container '{}'", status.name),
        Some(ContainerRole::Sidecar) => format!("the sidecar '{}'", status.name),
        _ if is_only => "the container".to_owned(),
        _ => format!("the container '{}'", status.name),
    }
}

/// Returns the reason, the message, and whether the previous container's log is relevant; `None` if there is no
/// problem.
fn trouble(container: &ContainerStatus, is_well: bool) -> Option<(String, String, bool)> {
    let state = container.state.as_ref()?;
    let ended = |state: &ContainerState| {
        let ended = state.terminated.clone().filter(|ended| !ended_with_node(ended));
        ended.filter(|ended| ended.exit_code != 0 || container.restart_count > 0)
    };
    let last = container.last_state.as_ref().and_then(ended);
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        return match last {
            // Between two attempts it is sometimes reported as being created.
            Some(last) if ["CrashLoopBackOff", "PodInitializing", "ContainerCreating"].contains(&reason.as_str()) => {
                let (reason, message) = exit(&last);
                Some((reason, message, true))
            }
            _ => Some((reason, waiting.message.clone().unwrap_or_default(), false)),
        };
    }
    if let Some(terminated) = ended(state) {
        let (reason, message) = exit(&terminated);
        return Some((reason, message, false));
    }
    // It is running again, but not ready yet: the last exit is still the problem.
    let last = last.filter(|_| !is_well)?;
    let (reason, message) = exit(&last);
    Some((reason, message, true))
}

fn exit(terminated: &ContainerStateTerminated) -> (String, String) {
    let reason = terminated.reason.clone().unwrap_or_else(|| "Error".to_owned());
    let detail = terminated.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    match (reason.as_str(), detail) {
        ("StartError" | "ContainerCannotRun", Some(message)) => (reason, message.to_owned()),
        (_, Some(message)) => (reason, format!("exit code {}: {message}", terminated.exit_code)),
        (_, None) => (reason, format!("exit code {}", terminated.exit_code)),
    }
}

/// Returns the problem if the cluster rejects the pods.
pub(super) fn refused_pods(message: &str) -> RolloutProblem {
    let (patience, problem) = diagnose("FailedCreate", message, DiagnosedObject::default())
        .unwrap_or((GiveUpAfter::Timeout, Problem::new(message)));
    RolloutProblem::new(patience, problem)
}

/// Returns the problem if the Deployment's own deadline has passed.
pub(super) fn stalled(message: &str, pods: &[&Pod]) -> RolloutProblem {
    let unknown = || RolloutProblem { cause: known::ROLLOUT_STALLED.problem(&[]), ..unready(pods) };
    let mut problem = unready_container(pods).unwrap_or_else(unknown);
    problem.patience = GiveUpAfter::Seconds(0);
    problem.cause.details.push(message.to_owned());
    problem
}

/// A Job counts its own attempts, even within one pod.
pub(super) fn leave_crashes_to_the_job(problem: &mut RolloutProblem) {
    if problem.patience == CRASHES {
        problem.patience = GiveUpAfter::Timeout;
    }
}

/// Returns the problem of a Job that has used all its attempts.
pub(super) fn failed_job(message: &str, pods: &[&Pod], now: Timestamp) -> RolloutProblem {
    let pod = pods.iter().copied().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let last = pod.and_then(|pod| pod_problem(pod, now));
    let cause = last.as_ref().map_or(message, |problem| &problem.cause.message);
    let mut problem = known::JOB_FAILED.problem(&[("message", cause)]).detail(message);
    problem.code = last.as_ref().and_then(|problem| problem.cause.code.clone()).or(problem.code);
    let own = unready(pod.as_slice());
    let container = last.and_then(|problem| problem.container).or(own.container);
    RolloutProblem { patience: GiveUpAfter::Seconds(0), cause: problem, container, is_failed_job: true, ..own }
}

/// Returns the problem of the first container that is running but keeps its pod from becoming ready.
pub(super) fn unready_container(pods: &[&Pod]) -> Option<RolloutProblem> {
    pods.iter().find_map(|pod| {
        let (status, spec) = containers(pod).find(|(status, spec)| holds_up(status, *spec))?;
        let who = who(pod, status, spec);
        let problem = match spec.map(|(_, role)| role) {
            Some(ContainerRole::Initial) => known::INIT_CONTAINER_RUNS.problem(&[("who", &who)]),
            Some(ContainerRole::Sidecar) if status.started != Some(true) => {
                probes::STARTUP_PROBE_FAILS.problem(&[("who", &who)])
            }
            _ => probes::PROBE_FAILS.problem(&[("who", &who)]),
        };
        Some(RolloutProblem { who, ..about(pod, status, problem) })
    })
}

/// Returns whether a running container keeps its pod from becoming ready.
pub(super) fn holds_up(status: &ContainerStatus, spec: Option<(&Container, ContainerRole)>) -> bool {
    let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
    runs && (!status.ready || spec.is_some_and(|(_, role)| role == ContainerRole::Initial))
}

/// Returns the running container of a Job's pod, for its log.
pub(super) fn running_job(pods: &[&Pod]) -> Option<RolloutProblem> {
    let running = |status: &&ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    pods.iter().find_map(|pod| {
        let (status, _) = containers(pod).find(|(status, _)| running(status))?;
        let has_finished = containers(pod).any(|(status, spec)| {
            let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
            spec.is_some_and(|(_, role)| role == ContainerRole::Main) && ended.is_some_and(|ended| ended.exit_code == 0)
        });
        let problem = if has_finished {
            known::JOB_HELD.problem(&[("name", &status.name)])
        } else {
            known::JOB_RUNS.problem(&[])
        };
        Some(about(pod, status, problem))
    })
}

/// Returns the running container of a pod that must end, for its log.
pub(super) fn running_pod(pod: &Pod) -> Option<RolloutProblem> {
    let running = |status: &&ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    let (status, _) = containers(pod).find(|(status, _)| running(status))?;
    let problem = Problem { message: "the pod is still running".to_owned(), ..known::JOB_RUNS.problem(&[]) };
    Some(about(pod, status, problem))
}

fn about(pod: &Pod, status: &ContainerStatus, cause: Problem) -> RolloutProblem {
    let problem = RolloutProblem::new(GiveUpAfter::Timeout, cause);
    RolloutProblem { pod: Some(pod.into()), container: Some(status.name.clone()), ..problem }
}

/// Returns the image that a pod waits for while it is being pulled. containerd itself ends a pull without progress
/// after 5 minutes.
pub(super) fn pulled_image(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    // Volumes and network are there: only images are missing. Clusters before 1.29 do not report this.
    let can_start =
        conditions.into_iter().flatten().any(|it| it.type_ == "PodReadyToStartContainers" && it.status == "True");
    let has_ended = |status: &ContainerStatus| {
        let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| ended.exit_code == 0)
    };
    let next = containers(pod).find(|(status, spec)| match spec.map(|(_, role)| role) {
        Some(ContainerRole::Initial) => !has_ended(status),
        Some(ContainerRole::Sidecar) => status.started != Some(true),
        _ => status.state.as_ref().is_some_and(|state| state.waiting.is_some()),
    });
    let (status, spec) = next.filter(|_| can_start)?;
    let waiting = status.state.as_ref()?.waiting.as_ref()?.reason.as_deref();
    let is_created = matches!(waiting, Some("ContainerCreating" | "PodInitializing")) && status.restart_count == 0;
    is_created.then(|| spec.and_then(|(spec, _)| spec.image.as_deref()).unwrap_or(&status.image))
}

/// Returns whether a pod receives requests: all its containers are ready.
pub(in crate::adapters::cluster) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Returns whether kubelet prepares a pod, and reports what it waits for only in events: volumes and the network.
pub(super) fn is_silent(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let is_true = |kind: &str| status.conditions.iter().flatten().any(|it| it.type_ == kind && it.status == "True");
    status.phase.as_deref() == Some("Pending") && is_true("PodScheduled") && !is_true("PodReadyToStartContainers")
}

/// Returns whether less than a deadline in seconds has passed since a moment.
pub(super) fn is_within(start: &Time, now: Timestamp, deadline: i32) -> bool {
    now.duration_since(start.0) < SignedDuration::from_secs(deadline.into())
}

/// Returns whether a pod makes progress that its Deployment does not see: it pulls an image, or has run for less than
/// the Deployment's deadline in seconds.
pub(super) fn is_under_way(pod: &Pod, now: Timestamp, deadline: i32) -> bool {
    let is_new = |status: &ContainerStatus| {
        let start = status.state.as_ref().and_then(|state| state.running.as_ref()?.started_at.as_ref());
        status.restart_count == 0 && start.is_some_and(|start| is_within(start, now, deadline))
    };
    pulled_image(pod).is_some() || containers(pod).any(|(status, _)| is_new(status))
}

/// Returns the problem of a Deployment whose rollouts are paused.
pub(super) fn paused(name: &str) -> RolloutProblem {
    RolloutProblem::new(known::ROLLOUTS_PAUSED.budget, known::ROLLOUTS_PAUSED.problem(&[("name", name)]))
}

fn unready(pods: &[&Pod]) -> RolloutProblem {
    let pod = pods.first();
    let spec = pod.and_then(|pod| pod.spec.as_ref());
    RolloutProblem {
        pod: pod.map(|pod| PodName::from(*pod)),
        container: spec.and_then(|spec| spec.containers.first()).map(|container| container.name.clone()),
        ..RolloutProblem::new(GiveUpAfter::Timeout, Problem::default())
    }
}

/// Returns a text that changes when the pod makes progress.
pub(super) fn pod_signature(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let containers =
        status.init_container_statuses.into_iter().flatten().chain(status.container_statuses.into_iter().flatten());
    let started = containers.filter(|it| it.started == Some(true) || it.ready).count();
    format!("{}:{}:{started}", pod.name_any(), status.phase.unwrap_or_default())
}
