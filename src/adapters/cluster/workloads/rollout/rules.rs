//! The states in Kubernetes that keep a pod from becoming ready: each has a cause in the catalogue.

use super::pulls::{PULL, without_names};
use crate::{
    adapters::refusals,
    domain::{
        Problem,
        causes::{self, CauseSource, GiveUpAfter},
    },
};

/// cmdr's own reason for a container that kubelet stopped because of a probe; Kubernetes has none.
pub(super) const PROBE_FAILED: &str = "ProbeFailed";
/// As [`causes::TWICE`], for a pod with pull secrets: a busy kubelet may make the first attempt without them, because it
/// could not read them in time. The third attempt is conclusive.
pub(super) const THRICE: GiveUpAfter = GiveUpAfter::Seconds(25);

/// What a state is about, as far as it is known; what is not known is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DiagnosedObject<'a> {
    /// In a sentence: "the sidecar 'proxy'".
    pub who: &'a str,
    pub image: &'a str,
    /// The project whose keys remedies name.
    pub project: &'a str,
}

/// Returns the cause of a state, and how long it may last; `None` if no cause matches.
pub(super) fn diagnose(reason: &str, message: &str, of: DiagnosedObject<'_>) -> Option<(GiveUpAfter, Problem)> {
    if let Some(problem) = refusals::explain(message).filter(|_| reason == "FailedCreate") {
        let message = format!("{}: {}", problem.message, essence(message));
        return Some((GiveUpAfter::Seconds(0), Problem { message, ..problem }));
    }
    let is_pull = || PULL.contains(&reason).then(|| without_names(message));
    let cause = causes::find_state(reason, message)
        .or_else(|| is_pull().and_then(|text| causes::find(CauseSource::Pull, &text)))?;
    let detail = Some(essence(message)).filter(|detail| !detail.is_empty()).unwrap_or(reason);
    let values = [("who", of.who), ("image", of.image), ("project", of.project), ("message", detail)];
    Some((cause.budget, cause.problem(&values)))
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
