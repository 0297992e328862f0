//! Explains why a pod does not become ready: cause, remedy and timeout for each state in Kubernetes, from a table of
//! rules.

use k8s_openapi::{
    api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use crate::domain::Diagnosis;

/// How long a problem may last before the rollout fails, in seconds. The order is from the worst to the mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// It does not resolve by itself after this time.
    Seconds(u32),
    /// The container exits repeatedly. The rollout fails when an attempt fails this long after the first, because a
    /// busy kubelet restarts rarely, and at the latest after `at_most`.
    Tries { after: u32, at_most: u32 },
    /// It may resolve by itself: the rollout fails only at the project's timeout.
    Timeout,
}

/// A problem of one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub patience: Patience,
    /// The pod whose log and events contain more details.
    pub pod: Option<String>,
    pub container: Option<String>,
    /// How often the container was restarted.
    pub restarts: i32,
    /// The relevant log is that of the previous container.
    pub has_previous_log: bool,
    pub diagnosis: Diagnosis,
}

impl Problem {
    /// Creates a problem without a pod.
    pub fn new(patience: Patience, diagnosis: Diagnosis) -> Self {
        Self { patience, pod: None, container: None, restarts: 0, has_previous_log: false, diagnosis }
    }
}

/// A rule: a state in Kubernetes and its cause.
struct Rule {
    /// `waiting.reason` or `terminated.reason` of a container, or a condition's reason.
    reasons: &'static [&'static str],
    /// One of these parts is in the message; if empty, any message matches.
    messages: &'static [&'static str],
    /// `{image}`, `{message}` and `{who}` (the container) are replaced.
    cause: &'static str,
    remedy: &'static str,
    patience: Patience,
}

const PULL: &[&str] = &["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"];
const CONFIGURATION: &[&str] = &["CreateContainerConfigError", "CreateContainerError"];
const START: &[&str] = &["RunContainerError", "StartError", "ContainerCannotRun"];
const START_REMEDY: &str = "check 'command' and 'args', and that the program is in the image";
/// cmdr's own reason for a container that kubelet stopped because of a probe; Kubernetes has none.
const PROBE_FAILED: &str = "ProbeFailed";
/// Until a second attempt has failed: kubelet retries after 10 s.
const TWICE: Patience = Patience::Seconds(12);
/// As [`TWICE`], for a pod with pull secrets: a busy kubelet may make the first attempt without them, because it could
/// not read them in time. The third attempt is conclusive.
const THRICE: Patience = Patience::Seconds(25);
/// Another step may be creating the missing object.
const SOON: Patience = Patience::Seconds(10);
/// Restarts often succeed once a database is ready; if not by this time, they rarely do. Kubernetes itself restarts
/// after about 0, 10 and 30 s.
const CRASHES: Patience = Patience::Tries { after: 20, at_most: 40 };
/// A container without probes counts as ready after this time: most that cannot run exit earlier.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// After this time, no delayed report that it has exited is expected.
const YOUNG: SignedDuration = SignedDuration::from_secs(30);
/// As [`SETTLED`], after it has exited before.
const SETTLED_AGAIN: SignedDuration = SignedDuration::from_secs(6);

/// The first matching rule applies. Reasons: kubelet's `container_types.go` and `images/types.go`.
const RULES: &[Rule] = &[
    Rule {
        reasons: &["InvalidImageName", "ErrImageNeverPull"],
        messages: &[],
        cause: "the image name is not valid: {image}",
        remedy: "correct 'image' in projects.yaml",
        patience: Patience::Seconds(0),
    },
    Rule {
        reasons: PULL,
        messages: &["x509"],
        cause: "the registry's certificate is not trusted: {image}: {message}",
        remedy: "set CMDR_CA, or 'ca' in cmdr's configuration, to your company's certificate authority",
        patience: TWICE,
    },
    Rule {
        reasons: PULL,
        messages: &["not found", "NotFound", "manifest unknown", "does not exist"],
        cause: "image not found: {image}",
        remedy: "check the name and the tag of 'image' in projects.yaml, and that the image was pushed",
        patience: TWICE,
    },
    Rule {
        reasons: PULL,
        messages: &["unauthorized", "401", "403", "denied", "authorization failed"],
        cause: "the registry denied access: {image}",
        remedy: "log in with 'docker login', then run cmdr up again: it copies the credentials to the cluster",
        patience: TWICE,
    },
    Rule {
        reasons: PULL,
        messages: &[],
        cause: "cannot pull {image}: {message}",
        remedy: "check the node's connection to the registry; set mirrors and certificates in cmdr's configuration",
        patience: Patience::Timeout,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["in Secret"],
        cause: "a key of a Secret is missing: {message}",
        remedy: "add the key to the Secret, or correct its name under 'env' or 'secretFiles'",
        patience: SOON,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["in ConfigMap"],
        cause: "a key of a ConfigMap is missing: {message}",
        remedy: "add the key to the ConfigMap, or correct its name",
        patience: SOON,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["secret"],
        cause: "a Secret is missing: {message}",
        remedy: "create the Secret in the namespace, or correct its name under 'env' or 'secrets'",
        patience: SOON,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["configmap"],
        cause: "a ConfigMap is missing: {message}",
        remedy: "create the ConfigMap in the namespace, or correct its name",
        patience: SOON,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["runAsNonRoot", "non-numeric user"],
        cause: "the image runs as root, which Pod Security 'restricted' forbids: {message}",
        remedy: "set values.security.runAsUser to a user of the image other than 0",
        patience: Patience::Seconds(0),
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &[],
        cause: "{who} cannot be created: {message}",
        remedy: "fix the error in the message",
        patience: SOON,
    },
    Rule {
        reasons: START,
        messages: &["exec format error"],
        cause: "the image of {who} is for another CPU architecture: {image}",
        remedy: "build it for this machine's architecture (docker build --platform), or use an image that supports it",
        patience: Patience::Seconds(0),
    },
    Rule {
        reasons: START,
        messages: &["no such file or directory", "executable file not found", "permission denied"],
        cause: "{who} cannot start: {message}",
        remedy: START_REMEDY,
        patience: SOON,
    },
    Rule {
        reasons: START,
        messages: &[],
        cause: "{who} cannot start: {message}",
        remedy: START_REMEDY,
        patience: CRASHES,
    },
    Rule {
        reasons: &["OOMKilled"],
        messages: &[],
        cause: "{who} was killed because it exceeded its memory limit",
        remedy: "raise values.resources.limits.memory",
        patience: CRASHES,
    },
    Rule {
        reasons: &[PROBE_FAILED],
        messages: &[],
        cause: "the probe of {who} failed, so kubelet stopped it: {message}",
        remedy: PROBE_REMEDY,
        patience: Patience::Timeout,
    },
    Rule {
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        messages: &[],
        cause: "{who} exits: {message}",
        remedy: "read its log; if it waits for another project, add that project to 'needs'",
        patience: CRASHES,
    },
    Rule {
        reasons: &["Unschedulable"],
        messages: &["Insufficient"],
        cause: "no node has enough resources: {message}",
        remedy: "lower values.resources.requests, or give Docker more memory and CPUs",
        patience: Patience::Seconds(20),
    },
    Rule {
        reasons: &["Unschedulable"],
        messages: &[],
        cause: "no node can run the pod: {message}",
        remedy: "check nodeSelector, tolerations and volumes of the project",
        patience: Patience::Timeout,
    },
    Rule {
        reasons: &["FailedCreate"],
        messages: &["exceeded quota", "violates PodSecurity", "is invalid"],
        cause: "the cluster rejects the pods: {message}",
        remedy: "fix the error in the message",
        patience: Patience::Seconds(0),
    },
    Rule {
        reasons: &["FailedCreate"],
        messages: &[],
        cause: "the pods cannot be created: {message}",
        remedy: "fix the error in the message",
        patience: Patience::Timeout,
    },
];

fn diagnose(reason: &str, message: &str, who: &str, image: &str) -> Option<(Patience, Diagnosis)> {
    let fits = |rule: &&Rule| {
        rule.reasons.contains(&reason)
            && (rule.messages.is_empty() || rule.messages.iter().any(|part| message.contains(part)))
    };
    let rule = RULES.iter().find(fits)?;
    let cause = rule.cause.replace("{who}", who).replace("{image}", image).replace("{message}", essence(message));
    Some((rule.patience, Diagnosis::new(cause).remedy(rule.remedy)))
}

/// Returns the innermost error of a message: Kubernetes adds the context of each layer.
pub(in crate::adapters::cluster) fn essence(message: &str) -> &str {
    let message = message.trim().trim_start_matches("Error: ");
    if let Some((_, reason)) = message.rsplit_once("unable to start container process: ") {
        return reason;
    }
    if message.contains("failed to pull and unpack image")
        && let Some((_, reason)) = message.rsplit_once("\": ")
    {
        return reason;
    }
    // The scheduler appends details about preemption.
    message.split_once(". ").filter(|_| message.contains("nodes are available")).map_or(message, |(first, _)| first)
}

/// Returns why this pod is not ready, if a known problem is the cause.
pub(super) fn pod_problem(pod: &Pod, now: Timestamp) -> Option<Problem> {
    if let Some(problem) = containers(pod).find_map(|(status, spec)| container_problem(pod, status, spec, now)) {
        return Some(problem);
    }
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let unscheduled = conditions.into_iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    let message = unscheduled.message.as_deref().unwrap_or_default();
    let (patience, diagnosis) = diagnose(unscheduled.reason.as_deref().unwrap_or_default(), message, "", "")?;
    Some(Problem { pod: Some(pod.name_any()), ..Problem::new(patience, diagnosis) })
}

/// Returns whether a pod that would be replaced waits for an image that could not be pulled.
pub(in crate::adapters::cluster) fn waits_for_image(pod: &Pod) -> bool {
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
    containers(pod).all(|(status, spec)| !runs_unproven(spec) || has_settled(status, now))
}

/// Returns whether a container without probes was started recently: a busy kubelet is late to report that it exited.
pub(super) fn is_young(pod: &Pod, now: Timestamp) -> bool {
    containers(pod).filter(|(_, spec)| runs_unproven(*spec)).any(|(status, _)| {
        let running = status.state.as_ref().and_then(|state| state.running.as_ref());
        let start = running.and_then(|running| running.started_at.as_ref());
        start.is_some_and(|start| now.duration_since(start.0) < YOUNG)
    })
}

/// Returns whether a container runs permanently and has no probes: Kubernetes reports it as ready whenever it runs.
fn runs_unproven(spec: Option<(&Container, Role)>) -> bool {
    spec.is_some_and(|(spec, role)| {
        role != Role::Initial && spec.readiness_probe.is_none() && spec.startup_probe.is_none()
    })
}

fn has_settled(status: &ContainerStatus, now: Timestamp) -> bool {
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let Some(running) = running else { return false };
    let wanted = if status.restart_count > 0 { SETTLED_AGAIN } else { SETTLED };
    // If the clock of a node is ahead of this machine's, the rollout must not wait for it.
    running.started_at.as_ref().is_none_or(|start| start.0 > now || now.duration_since(start.0) >= wanted)
}

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Runs before the others and exits.
    Initial,
    Sidecar,
    Main,
}

/// Returns each container's status with its specification, in the order in which they start.
fn containers(pod: &Pod) -> impl Iterator<Item = (&ContainerStatus, Option<(&Container, Role)>)> {
    let spec = pod.spec.as_ref();
    let initial = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten().map(|container| {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        (container, if is_sidecar { Role::Sidecar } else { Role::Initial })
    });
    let main = spec.into_iter().flat_map(|spec| &spec.containers).map(|container| (container, Role::Main));
    let described: Vec<(&Container, Role)> = initial.chain(main).collect();
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
    spec: Option<(&Container, Role)>,
    now: Timestamp,
) -> Option<Problem> {
    let is_well = if runs_unproven(spec) { has_settled(status, now) } else { status.ready };
    let (reason, message, has_previous_log) = trouble(status, is_well)?;
    let is_probed = spec.is_some_and(|(spec, _)| spec.startup_probe.is_some() || spec.liveness_probe.is_some());
    // 128 + SIGKILL and 128 + SIGTERM, the signals that kubelet sends.
    let was_ended = reason == "Error" && ["exit code 137", "exit code 143"].contains(&message.as_str());
    let reason = if is_probed && was_ended { PROBE_FAILED } else { &reason };
    let (patience, diagnosis) = diagnose(reason, &message, &who(pod, status, spec), &status.image)?;
    // A container that is running again gets more time, however long it took.
    let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
    let has_pull_secrets = pod.spec.as_ref().is_some_and(|spec| spec.image_pull_secrets.is_some());
    let patience = match patience {
        _ if runs => Patience::Timeout,
        TWICE if has_pull_secrets && PULL.contains(&reason) => THRICE,
        other => other,
    };
    Some(Problem {
        patience,
        pod: Some(pod.name_any()),
        container: Some(status.name.clone()),
        restarts: status.restart_count,
        has_previous_log,
        diagnosis,
    })
}

/// Names the container in a sentence: by its name if there is more than one.
fn who(pod: &Pod, status: &ContainerStatus, spec: Option<(&Container, Role)>) -> String {
    let is_only = pod.spec.as_ref().is_none_or(|spec| spec.containers.len() == 1);
    match spec.map(|(_, role)| role) {
        Some(Role::Initial) => format!("the init container '{}'", status.name),
        Some(Role::Sidecar) => format!("the sidecar '{}'", status.name),
        _ if is_only => "the container".to_owned(),
        _ => format!("the container '{}'", status.name),
    }
}

/// Returns the reason, the message, and whether the previous container's log is relevant; `None` if there is no
/// problem.
fn trouble(container: &ContainerStatus, is_well: bool) -> Option<(String, String, bool)> {
    let state = container.state.as_ref()?;
    let ended = |state: &ContainerState| {
        state.terminated.clone().filter(|terminated| terminated.exit_code != 0 || container.restart_count > 0)
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
    let said = terminated.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    match (reason.as_str(), said) {
        ("StartError" | "ContainerCannotRun", Some(message)) => (reason, message.to_owned()),
        (_, Some(message)) => (reason, format!("exit code {}: {message}", terminated.exit_code)),
        (_, None) => (reason, format!("exit code {}", terminated.exit_code)),
    }
}

/// Returns the problem if the cluster rejects the pods.
pub(super) fn refused_pods(message: &str) -> Problem {
    let (patience, diagnosis) =
        diagnose("FailedCreate", message, "", "").unwrap_or((Patience::Timeout, Diagnosis::new(message)));
    Problem::new(patience, diagnosis)
}

/// Returns the problem if the Deployment's own deadline has passed.
pub(super) fn stalled(message: &str, pods: &[&Pod]) -> Problem {
    let unknown =
        || Problem { diagnosis: Diagnosis::new("no progress within the Deployment's deadline"), ..unready(pods) };
    let mut problem = unready_container(pods).unwrap_or_else(unknown);
    problem.patience = Patience::Seconds(0);
    problem.diagnosis.details.push(message.to_owned());
    problem
}

/// A Job counts its own attempts, even within one pod.
pub(super) fn leave_crashes_to_the_job(problem: &mut Problem) {
    if problem.patience == CRASHES {
        problem.patience = Patience::Timeout;
    }
}

/// Returns the problem of a Job that has used all its attempts.
pub(super) fn failed_job(message: &str, pods: &[&Pod], now: Timestamp) -> Problem {
    let pod = pods.iter().copied().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let last = pod.and_then(|pod| pod_problem(pod, now));
    let cause = last.as_ref().map_or(message, |problem| &problem.diagnosis.cause);
    let diagnosis = Diagnosis::new(format!("the job failed: {cause}"))
        .detail(message)
        .remedy("read its log, fix the error, and run cmdr up again to retry the job");
    let own = unready(pod.as_slice());
    let container = last.and_then(|problem| problem.container).or(own.container);
    Problem { patience: Patience::Seconds(0), diagnosis, container, ..own }
}

const PROBE_REMEDY: &str = "check that the container responds to the probe: values.ports and values.probes";

/// Returns the problem of a container that is running but not ready, because its probe fails.
pub(super) fn unready_container(pods: &[&Pod]) -> Option<Problem> {
    let waits = |pod: &&&Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.clone().any(|it| !it.ready && it.state.as_ref().is_some_and(|state| state.running.is_some()))
    };
    let pod = pods.iter().find(waits)?;
    let diagnosis = Diagnosis::new("the container is running, but its probe fails").remedy(PROBE_REMEDY);
    Some(Problem { diagnosis, ..unready(&[pod]) })
}

fn unready(pods: &[&Pod]) -> Problem {
    let pod = pods.first();
    let spec = pod.and_then(|pod| pod.spec.as_ref());
    Problem {
        pod: pod.map(|pod| pod.name_any()),
        container: spec.and_then(|spec| spec.containers.first()).map(|container| container.name.clone()),
        ..Problem::new(Patience::Timeout, Diagnosis::default())
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
