//! Why a pod does not come up: what Kubernetes says, as cause, remedy and patience. The rules are a table.

use k8s_openapi::{
    api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use crate::domain::Diagnosis;

/// How long a problem may last before the rollout is given up, in seconds; the order is that of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// It cannot heal by itself once it has lasted this long.
    Seconds(u32),
    /// It ends again and again: given up when a try so long after the first has failed too, for a busy kubelet tries
    /// seldom, and by `at_most` whatever was tried.
    Tries { after: u32, at_most: u32 },
    /// It may heal: given up only when the project's own time is over.
    Timeout,
}

/// What keeps one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub patience: Patience,
    /// The pod whose log and events say more.
    pub pod: Option<String>,
    pub container: Option<String>,
    /// How often the container was started again.
    pub restarts: i32,
    /// The log worth reading is that of the container that ended.
    pub has_previous_log: bool,
    pub diagnosis: Diagnosis,
}

impl Problem {
    /// One of which no pod tells more.
    pub fn new(patience: Patience, diagnosis: Diagnosis) -> Self {
        Self { patience, pod: None, container: None, restarts: 0, has_previous_log: false, diagnosis }
    }
}

/// One rule: what Kubernetes says and what it means.
struct Rule {
    /// `waiting.reason` or `terminated.reason` of a container, or a condition's reason.
    reasons: &'static [&'static str],
    /// One of these is in the message; none: any message.
    messages: &'static [&'static str],
    /// `{image}`, `{message}` and `{who}` (the container) are filled in.
    cause: &'static str,
    remedy: &'static str,
    patience: Patience,
}

const PULL: &[&str] = &["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"];
const CONFIGURATION: &[&str] = &["CreateContainerConfigError", "CreateContainerError"];
const START: &[&str] = &["RunContainerError", "StartError", "ContainerCannotRun"];
const START_REMEDY: &str = "check 'command' and 'args', and that the program is in the image";
/// The reason that cmdr gives to a container that kubelet ended because of a probe: Kubernetes has no word for it.
const PROBE_FAILED: &str = "ProbeFailed";
/// A second try has failed too: kubelet tries again after 10 s.
const TWICE: Patience = Patience::Seconds(12);
/// As [`TWICE`], for a pod with pull secrets: a kubelet under load may try the first time without them, for it did not
/// read them in time, and the third time tells.
const THRICE: Patience = Patience::Seconds(25);
/// Something that another step makes just now may come yet.
const SOON: Patience = Patience::Seconds(10);
/// Restarts heal many a start before its database; what has not healed by then rarely does. Kubernetes by itself tries
/// at about 0, 10 and 30 s.
const CRASHES: Patience = Patience::Tries { after: 20, at_most: 40 };
/// A container that nobody probes counts as well once it has run for this long: most that cannot run end sooner.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// From then on no late word about its end is to be expected.
const YOUNG: SignedDuration = SignedDuration::from_secs(30);
/// As [`SETTLED`], after it has ended before.
const SETTLED_AGAIN: SignedDuration = SignedDuration::from_secs(6);

/// The first rule that fits holds. Reasons: kubelet's `container_types.go` and `images/types.go`.
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
        remedy: "name your company's certificate authority with CMDR_CA, or as 'ca' in cmdr's configuration",
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
        cause: "the registry refuses the pull: {image}",
        remedy: "log in with 'docker login', then run cmdr up again: it hands the credentials to the cluster",
        patience: TWICE,
    },
    Rule {
        reasons: PULL,
        messages: &[],
        cause: "cannot pull {image}: {message}",
        remedy: "see that the registry can be reached from the node; mirrors and certificates are in cmdr's configuration",
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
        remedy: "make the Secret in the namespace, or correct its name under 'env' or 'secrets'",
        patience: SOON,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["configmap"],
        cause: "a ConfigMap is missing: {message}",
        remedy: "make the ConfigMap in the namespace, or correct its name",
        patience: SOON,
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &["runAsNonRoot", "non-numeric user"],
        cause: "the image runs as root, which Pod Security 'restricted' refuses: {message}",
        remedy: "set values.security.runAsUser to a user of the image other than 0",
        patience: Patience::Seconds(0),
    },
    Rule {
        reasons: CONFIGURATION,
        messages: &[],
        cause: "{who} cannot be made: {message}",
        remedy: "correct what the message names",
        patience: SOON,
    },
    Rule {
        reasons: START,
        messages: &["exec format error"],
        cause: "the image of {who} is for another kind of processor: {image}",
        remedy: "build it for this machine's processor, or name an image that has it: docker build --platform",
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
        cause: "{who} was killed: it needs more memory than its limit",
        remedy: "raise values.resources.limits.memory",
        patience: CRASHES,
    },
    Rule {
        reasons: &[PROBE_FAILED],
        messages: &[],
        cause: "the probe of {who} does not pass, and it was ended for that: {message}",
        remedy: PROBE_REMEDY,
        patience: Patience::Timeout,
    },
    Rule {
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        messages: &[],
        cause: "{who} exits: {message}",
        remedy: "read its log; what it waits for belongs under 'needs'",
        patience: CRASHES,
    },
    Rule {
        reasons: &["Unschedulable"],
        messages: &["Insufficient"],
        cause: "no node has room: {message}",
        remedy: "lower values.resources.requests, or give Docker more memory and processors",
        patience: Patience::Seconds(20),
    },
    Rule {
        reasons: &["Unschedulable"],
        messages: &[],
        cause: "no node takes the pod: {message}",
        remedy: "see nodeSelector, tolerations and volumes of the project",
        patience: Patience::Timeout,
    },
    Rule {
        reasons: &["FailedCreate"],
        messages: &["exceeded quota", "violates PodSecurity", "is invalid"],
        cause: "the cluster refuses the pods: {message}",
        remedy: "correct what the message names",
        patience: Patience::Seconds(0),
    },
    Rule {
        reasons: &["FailedCreate"],
        messages: &[],
        cause: "the pods cannot be made: {message}",
        remedy: "correct what the message names",
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

/// Kubernetes wraps what went wrong into what was tried, layer by layer: this is the innermost.
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
    // The scheduler goes on with what it tried besides.
    message.split_once(". ").filter(|_| message.contains("nodes are available")).map_or(message, |(first, _)| first)
}

/// What keeps this pod from being ready, when something does that has a name.
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

/// Whether a pod, which another one can take the place of, waits for an image that was not to be had.
pub(in crate::adapters::cluster) fn waits_for_image(pod: &Pod) -> bool {
    let is_waiting = |status: &ContainerStatus| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|reason| PULL.contains(&reason))
    };
    // A Job counts a pod that was deleted among its tries.
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.kind != "Job")
        && containers(pod).any(|(status, _)| is_waiting(status))
}

/// Whether kubelet says that the pod is not ready.
pub(super) fn is_unready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status != "True")
}

/// Whether every container of the pod that nobody probes has run for long enough to be believed.
pub(super) fn is_settled(pod: &Pod, now: Timestamp) -> bool {
    containers(pod).all(|(status, spec)| !runs_unproven(spec) || has_settled(status, now))
}

/// Whether a container that nobody probes has started but lately: a kubelet under load tells late that it ended.
pub(super) fn is_young(pod: &Pod, now: Timestamp) -> bool {
    containers(pod).filter(|(_, spec)| runs_unproven(*spec)).any(|(status, _)| {
        let running = status.state.as_ref().and_then(|state| state.running.as_ref());
        let start = running.and_then(|running| running.started_at.as_ref());
        start.is_some_and(|start| now.duration_since(start.0) < YOUNG)
    })
}

/// A container that is to run for good, and that Kubernetes calls ready whenever it runs.
fn runs_unproven(spec: Option<(&Container, Role)>) -> bool {
    spec.is_some_and(|(spec, role)| {
        role != Role::Initial && spec.readiness_probe.is_none() && spec.startup_probe.is_none()
    })
}

fn has_settled(status: &ContainerStatus, now: Timestamp) -> bool {
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let Some(running) = running else { return false };
    let wanted = if status.restart_count > 0 { SETTLED_AGAIN } else { SETTLED };
    // A node whose clock runs ahead of this machine's must not hold up a rollout.
    running.started_at.as_ref().is_none_or(|start| start.0 > now || now.duration_since(start.0) >= wanted)
}

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Runs before the others and ends.
    Initial,
    Sidecar,
    Main,
}

/// Each container's status with its description, in the order of their start.
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
    // 128 + SIGKILL and 128 + SIGTERM: what kubelet sends.
    let was_ended = reason == "Error" && ["exit code 137", "exit code 143"].contains(&message.as_str());
    let reason = if is_probed && was_ended { PROBE_FAILED } else { &reason };
    let (patience, diagnosis) = diagnose(reason, &message, &who(pod, status, spec), &status.image)?;
    // A container that runs again gets its chance, however long it took until then.
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

/// The container as a sentence names it: by its name where there is more than one.
fn who(pod: &Pod, status: &ContainerStatus, spec: Option<(&Container, Role)>) -> String {
    let is_only = pod.spec.as_ref().is_none_or(|spec| spec.containers.len() == 1);
    match spec.map(|(_, role)| role) {
        Some(Role::Initial) => format!("the init container '{}'", status.name),
        Some(Role::Sidecar) => format!("the sidecar '{}'", status.name),
        _ if is_only => "the container".to_owned(),
        _ => format!("the container '{}'", status.name),
    }
}

/// Reason, message, and whether an ended container's log tells more; `None` when the container is well.
fn trouble(container: &ContainerStatus, is_well: bool) -> Option<(String, String, bool)> {
    let state = container.state.as_ref()?;
    let ended = |state: &ContainerState| {
        state.terminated.clone().filter(|terminated| terminated.exit_code != 0 || container.restart_count > 0)
    };
    let last = container.last_state.as_ref().and_then(ended);
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        return match last {
            // Between two tries it is at times told as being made.
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
    // It runs again, and has not been well since: the last end still tells what is wrong.
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

/// The cluster refuses to make the pods at all.
pub(super) fn refused_pods(message: &str) -> Problem {
    let (patience, diagnosis) =
        diagnose("FailedCreate", message, "", "").unwrap_or((Patience::Timeout, Diagnosis::new(message)));
    Problem::new(patience, diagnosis)
}

/// The Deployment's own deadline has passed.
pub(super) fn stalled(message: &str, pods: &[&Pod]) -> Problem {
    let unknown =
        || Problem { diagnosis: Diagnosis::new("no progress within the Deployment's deadline"), ..unready(pods) };
    let mut problem = unready_container(pods).unwrap_or_else(unknown);
    problem.patience = Patience::Seconds(0);
    problem.diagnosis.details.push(message.to_owned());
    problem
}

/// A Job counts its own tries, within one pod too.
pub(super) fn leave_crashes_to_the_job(problem: &mut Problem) {
    if problem.patience == CRASHES {
        problem.patience = Patience::Timeout;
    }
}

/// The Job has used up its tries.
pub(super) fn failed_job(message: &str, pods: &[&Pod], now: Timestamp) -> Problem {
    let pod = pods.iter().copied().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let last = pod.and_then(|pod| pod_problem(pod, now));
    let cause = last.as_ref().map_or(message, |problem| &problem.diagnosis.cause);
    let diagnosis = Diagnosis::new(format!("the job failed: {cause}"))
        .detail(message)
        .remedy("read its log, correct what it names, and run cmdr up again: it gives the job another try");
    let own = unready(pod.as_slice());
    let container = last.and_then(|problem| problem.container).or(own.container);
    Problem { patience: Patience::Seconds(0), diagnosis, container, ..own }
}

const PROBE_REMEDY: &str = "see that the container listens where the probe asks: values.ports and values.probes";

/// A container runs and is not ready: its probe does not pass.
pub(super) fn unready_container(pods: &[&Pod]) -> Option<Problem> {
    let waits = |pod: &&&Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.clone().any(|it| !it.ready && it.state.as_ref().is_some_and(|state| state.running.is_some()))
    };
    let pod = pods.iter().find(waits)?;
    let diagnosis = Diagnosis::new("the container runs, and its probe does not pass").remedy(PROBE_REMEDY);
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

/// Changes when the pod moves on.
pub(super) fn pod_signature(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let containers =
        status.init_container_statuses.into_iter().flatten().chain(status.container_statuses.into_iter().flatten());
    let started = containers.filter(|it| it.started == Some(true) || it.ready).count();
    format!("{}:{}:{started}", pod.name_any(), status.phase.unwrap_or_default())
}
