//! The states in Kubernetes that keep a pod from becoming ready: cause, help and timeout of each, as a table of rules.

use super::pulls::{self, PULL, without_names};
use crate::{adapters::refusals, domain::Problem};

/// How long a problem may last before the rollout fails, in seconds. The order is from the worst to the mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GiveUpAfter {
    /// It does not resolve by itself after this time.
    Seconds(u32),
    /// The container exits repeatedly. The rollout fails when an attempt fails this long after the first, because a
    /// busy kubelet restarts rarely, and at the latest after `at_most`.
    Tries { after: u32, at_most: u32 },
    /// It may resolve by itself: the rollout fails only at the project's timeout.
    Timeout,
}

/// A rule: a state in Kubernetes and its cause.
pub(super) struct CauseRule {
    /// `waiting.reason` or `terminated.reason` of a container, or a condition's reason.
    pub reasons: &'static [&'static str],
    /// One of these parts is in the message; if empty, any message matches.
    pub messages: &'static [&'static str],
    /// `{image}`, `{message}` and `{who}` (the container) are replaced.
    pub message: &'static str,
    pub help: &'static str,
    pub patience: GiveUpAfter,
}

const CONFIGURATION: &[&str] = &["CreateContainerConfigError", "CreateContainerError"];
const MOUNT: &[&str] = &["FailedMount"];
const START: &[&str] = &["RunContainerError", "StartError", "ContainerCannotRun"];
const START_REMEDY: &str = "check 'command' and 'args', and that the program is in the image";
/// cmdr's own reason for a container that kubelet stopped because of a probe; Kubernetes has none.
pub(super) const PROBE_FAILED: &str = "ProbeFailed";
/// Until a second attempt has failed: kubelet retries after 10 s.
pub(super) const TWICE: GiveUpAfter = GiveUpAfter::Seconds(12);
/// As [`TWICE`], for a pod with pull secrets: a busy kubelet may make the first attempt without them, because it could
/// not read them in time. The third attempt is conclusive.
pub(super) const THRICE: GiveUpAfter = GiveUpAfter::Seconds(25);
/// Another step may be creating the missing object.
pub(super) const SOON: GiveUpAfter = GiveUpAfter::Seconds(10);
/// Restarts often succeed once a database is ready; if not by this time, they rarely do. Kubernetes itself restarts
/// after about 0, 10 and 30 s.
pub(super) const CRASHES: GiveUpAfter = GiveUpAfter::Tries { after: 20, at_most: 40 };
pub(super) const PROBE_REMEDY: &str = "check that the container responds to the probe: values.ports and values.probes";

pub(super) const INITIAL_REMEDY: &str = "read its log; if it waits for another project, add that project to 'needs'; if it needs more time, raise 'timeout'";

/// The first matching rule applies. Reasons: kubelet's `container_types.go` and `images/types.go`.
const RULES: &[CauseRule] = &[
    CauseRule {
        reasons: &["InvalidImageName", "ErrImageNeverPull"],
        messages: &[],
        message: "the image name is not valid: {image}",
        help: "correct 'image' in projects.yaml",
        patience: GiveUpAfter::Seconds(0),
    },
    CauseRule {
        reasons: CONFIGURATION,
        messages: &["in Secret"],
        message: "a key of a Secret is missing: {message}",
        help: "add the key to the Secret, or correct its name under 'env' or 'secretFiles'",
        patience: SOON,
    },
    CauseRule {
        reasons: CONFIGURATION,
        messages: &["in ConfigMap"],
        message: "a key of a ConfigMap is missing: {message}",
        help: "add the key to the ConfigMap, or correct its name",
        patience: SOON,
    },
    CauseRule {
        reasons: CONFIGURATION,
        messages: &["secret"],
        message: "a Secret is missing: {message}",
        help: "create the Secret in the namespace, or correct its name under 'env' or 'secrets'",
        patience: SOON,
    },
    CauseRule {
        reasons: CONFIGURATION,
        messages: &["configmap"],
        message: "a ConfigMap is missing: {message}",
        help: "create the ConfigMap in the namespace, or correct its name",
        patience: SOON,
    },
    CauseRule {
        reasons: CONFIGURATION,
        messages: &["runAsNonRoot", "non-numeric user"],
        message: "the image runs as root, which Pod Security 'restricted' forbids: {message}",
        help: "set values.security.runAsUser to a user of the image other than 0",
        patience: GiveUpAfter::Seconds(0),
    },
    CauseRule {
        reasons: CONFIGURATION,
        messages: &[],
        message: "{who} cannot be created: {message}",
        help: "fix the error in the message",
        patience: SOON,
    },
    CauseRule {
        reasons: MOUNT,
        messages: &["configmap \""],
        message: "a ConfigMap is missing: {message}",
        help: "create the ConfigMap in the namespace, or correct its name under 'volumes'",
        patience: SOON,
    },
    CauseRule {
        reasons: MOUNT,
        messages: &["secret \""],
        message: "a Secret is missing: {message}",
        help: "create the Secret in the namespace, or correct its name under 'volumes' or 'secretFiles'",
        patience: SOON,
    },
    CauseRule {
        reasons: MOUNT,
        messages: &["references non-existent"],
        message: "a key of a volume is missing: {message}",
        help: "add the key to the Secret or ConfigMap, or correct its name",
        patience: SOON,
    },
    CauseRule {
        reasons: MOUNT,
        messages: &[],
        message: "a volume cannot be mounted: {message}",
        help: "fix the error in the message",
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: &["FailedAttachVolume"],
        messages: &["Multi-Attach"],
        message: "the volume is still attached to another node: {message}",
        help: "it is detached after the pod there has ended; a lost node takes 6 minutes: kubectl get volumeattachments",
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: &["FailedAttachVolume"],
        messages: &[],
        message: "the volume cannot be attached: {message}",
        help: "check the storage driver of the cluster: kubectl get volumeattachments",
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: &["FailedCreatePodSandBox"],
        messages: &[],
        message: "the network of the pod cannot be created: {message}",
        help: "check the network plugin of the cluster: kubectl -n kube-system get pods",
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: START,
        messages: &["exec format error"],
        message: "the image of {who} is for another CPU architecture: {image}",
        help: "build it for this machine's architecture (docker build --platform), or use an image that supports it",
        patience: GiveUpAfter::Seconds(0),
    },
    CauseRule {
        reasons: START,
        messages: &["no such file or directory", "executable file not found", "permission denied"],
        message: "{who} cannot start: {message}",
        help: START_REMEDY,
        patience: SOON,
    },
    CauseRule {
        reasons: START,
        messages: &[],
        message: "{who} cannot start: {message}",
        help: START_REMEDY,
        patience: CRASHES,
    },
    CauseRule {
        reasons: &["OOMKilled"],
        messages: &[],
        message: "{who} was killed because it exceeded its memory limit",
        help: "raise values.resources.limits.memory",
        patience: CRASHES,
    },
    CauseRule {
        reasons: &[PROBE_FAILED],
        messages: &[],
        message: "the probe of {who} failed, so kubelet stopped it: {message}",
        help: PROBE_REMEDY,
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        messages: &[],
        message: "{who} exits: {message}",
        help: "read its log; if it waits for another project, add that project to 'needs'",
        patience: CRASHES,
    },
    CauseRule {
        reasons: &["Unschedulable"],
        messages: &["Insufficient"],
        message: "no node has enough resources: {message}",
        help: "lower values.resources.requests, or give Docker more memory and CPUs",
        patience: GiveUpAfter::Seconds(20),
    },
    CauseRule {
        reasons: &["Unschedulable"],
        messages: &["persistentvolumeclaim"],
        message: "a volume claim is missing: {message}",
        help: "create the PersistentVolumeClaim, or correct its name under 'volumes'",
        patience: SOON,
    },
    CauseRule {
        reasons: &["Unschedulable"],
        messages: &["unbound immediate PersistentVolumeClaims"],
        message: "the cluster has no storage for a volume: {message}",
        help: "check the storage class of the volume: kubectl get storageclasses; kubectl describe persistentvolumeclaims",
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: &["Unschedulable"],
        messages: &[],
        message: "no node can run the pod: {message}",
        help: "check nodeSelector, tolerations and volumes of the project",
        patience: GiveUpAfter::Timeout,
    },
    CauseRule {
        reasons: &["FailedCreate"],
        messages: &["is invalid"],
        message: "the cluster rejects the pods: {message}",
        help: "fix the error in the message",
        patience: GiveUpAfter::Seconds(0),
    },
    CauseRule {
        reasons: &["FailedCreate"],
        messages: &[],
        message: "the pods cannot be created: {message}",
        help: "fix the error in the message",
        patience: GiveUpAfter::Timeout,
    },
];

/// Returns the cause of a state, and how long it may last; `None` if no rule matches.
pub(super) fn diagnose(reason: &str, message: &str, who: &str, image: &str) -> Option<(GiveUpAfter, Problem)> {
    if let Some(problem) = refusals::explain(message).filter(|_| reason == "FailedCreate") {
        let message = format!("{}: {}", problem.message, essence(message));
        return Some((GiveUpAfter::Seconds(0), Problem { message, ..problem }));
    }
    let detail = if PULL.contains(&reason) { without_names(message) } else { message.to_owned() };
    let fits = |rule: &&CauseRule| {
        rule.reasons.contains(&reason)
            && (rule.messages.is_empty() || rule.messages.iter().any(|part| detail.contains(part)))
    };
    let rule = RULES.iter().chain(pulls::RULES).find(fits)?;
    let cause = rule.message.replace("{who}", who).replace("{image}", image).replace("{message}", essence(message));
    Some((rule.patience, Problem::new(cause).help(rule.help)))
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
    if message.starts_with("MountVolume")
        && let Some((_, reason)) = message.split_once("\" : ")
    {
        return reason;
    }
    // The scheduler appends details about preemption.
    message.split_once(". ").filter(|_| message.contains("nodes are available")).map_or(message, |(first, _)| first)
}
