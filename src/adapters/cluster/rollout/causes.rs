//! Why a pod does not come up: what Kubernetes says, as cause, remedy and patience. The rules are a table.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::domain::Diagnosis;

/// How long a problem may last before the rollout is given up, in seconds; the order is that of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// It cannot heal by itself once it has lasted this long.
    Seconds(u32),
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
    /// The log worth reading is that of the container that ended.
    pub has_previous_log: bool,
    pub diagnosis: Diagnosis,
}

/// One rule: what Kubernetes says and what it means.
struct Rule {
    /// `waiting.reason` or `terminated.reason` of a container, or a condition's reason.
    reasons: &'static [&'static str],
    /// One of these is in the message; none: any message.
    messages: &'static [&'static str],
    /// `{image}` and `{message}` are filled in.
    cause: &'static str,
    remedy: &'static str,
    patience: Patience,
}

const PULL: &[&str] = &["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"];
const CONFIGURATION: &[&str] = &["CreateContainerConfigError", "CreateContainerError"];
/// A second try has failed too: kubelet tries again after 10 s.
const TWICE: Patience = Patience::Seconds(12);
/// Something that another step makes just now may come yet.
const SOON: Patience = Patience::Seconds(10);
/// Restarts heal many a start before its database; what has not healed by then rarely does.
const CRASHES: Patience = Patience::Seconds(25);

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
        messages: &["secret"],
        cause: "a secret is missing: {message}",
        remedy: "make the secret in the namespace, or correct its name under 'env' or 'secrets'",
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
        cause: "the container cannot be made: {message}",
        remedy: "correct what the message names",
        patience: SOON,
    },
    Rule {
        reasons: &["RunContainerError", "StartError", "ContainerCannotRun"],
        messages: &[],
        cause: "the container cannot start: {message}",
        remedy: "check 'command' and 'args', and that the program is in the image",
        patience: CRASHES,
    },
    Rule {
        reasons: &["OOMKilled"],
        messages: &[],
        cause: "the container was killed: it needs more memory than its limit",
        remedy: "raise values.resources.limits.memory",
        patience: CRASHES,
    },
    Rule {
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        messages: &[],
        cause: "the container exits: {message}",
        remedy: "read its log below; what it waits for belongs under 'needs'",
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

fn diagnose(reason: &str, message: &str, image: &str) -> Option<(Patience, Diagnosis)> {
    let fits = |rule: &&Rule| {
        rule.reasons.contains(&reason)
            && (rule.messages.is_empty() || rule.messages.iter().any(|part| message.contains(part)))
    };
    let rule = RULES.iter().find(fits)?;
    let cause = rule.cause.replace("{image}", image).replace("{message}", message);
    Some((rule.patience, Diagnosis::new(cause).remedy(rule.remedy)))
}

/// What keeps this pod from being ready, when something does that has a name.
pub(super) fn pod_problem(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let initial = status.init_container_statuses.iter().flatten();
    let mut containers = initial.chain(status.container_statuses.iter().flatten());
    if let Some(problem) = containers.find_map(|container| container_problem(pod, container)) {
        return Some(problem);
    }
    let unscheduled =
        status.conditions.iter().flatten().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    let message = unscheduled.message.as_deref().unwrap_or_default();
    let (patience, diagnosis) = diagnose(unscheduled.reason.as_deref().unwrap_or_default(), message, "")?;
    Some(Problem { patience, pod: Some(pod.name_any()), container: None, has_previous_log: false, diagnosis })
}

fn container_problem(pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let (reason, message, has_previous_log) = trouble(container)?;
    let (patience, diagnosis) = diagnose(&reason, &message, &container.image)?;
    Some(Problem {
        patience,
        pod: Some(pod.name_any()),
        container: Some(container.name.clone()),
        has_previous_log,
        diagnosis,
    })
}

/// Reason, message, and whether an ended container's log tells more; `None` when the container is well.
fn trouble(container: &ContainerStatus) -> Option<(String, String, bool)> {
    let state = container.state.as_ref()?;
    let ended = |state: &ContainerState| {
        state.terminated.clone().filter(|terminated| terminated.exit_code != 0 || container.restart_count > 0)
    };
    let last = container.last_state.as_ref().and_then(ended);
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        return match last {
            Some(last) if reason == "CrashLoopBackOff" => {
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
    // It runs again, and has not been ready since: the last end still tells what is wrong.
    let last = last.filter(|_| !container.ready)?;
    let (reason, message) = exit(&last);
    Some((reason, message, true))
}

fn exit(terminated: &k8s_openapi::api::core::v1::ContainerStateTerminated) -> (String, String) {
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
        diagnose("FailedCreate", message, "").unwrap_or((Patience::Timeout, Diagnosis::new(message)));
    Problem { patience, pod: None, container: None, has_previous_log: false, diagnosis }
}

/// The Deployment's own deadline has passed.
pub(super) fn stalled(message: &str, pods: &[&Pod]) -> Problem {
    let diagnosis = Diagnosis::new("no progress within the Deployment's deadline").detail(message).remedy(PROBE_REMEDY);
    Problem { patience: Patience::Seconds(0), diagnosis, ..unready(pods) }
}

/// The Job has used up its tries.
pub(super) fn failed_job(message: &str, pods: &[&Pod]) -> Problem {
    let pod = pods.iter().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let exit = pod.and_then(|pod| pod_problem(pod)).map(|problem| problem.diagnosis.cause);
    let diagnosis = Diagnosis::new(format!("the job failed: {}", exit.unwrap_or_else(|| message.to_owned())))
        .detail(message)
        .remedy("read its log below, correct it, and run cmdr up again");
    Problem { patience: Patience::Seconds(0), diagnosis, ..unready(pods) }
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
        patience: Patience::Timeout,
        pod: pod.map(|pod| pod.name_any()),
        container: spec.and_then(|spec| spec.containers.first()).map(|container| container.name.clone()),
        has_previous_log: false,
        diagnosis: Diagnosis::default(),
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
