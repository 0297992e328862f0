//! The known causes of failures, as data: the only source of their messages, remedies, codes and waiting times.
//!
//! A code is stable: it is never changed and never used for another cause. Each area has a block of numbers.

pub mod cluster;
pub mod containers;
pub mod docker;
pub mod helm;
pub mod images;
mod in_log;
pub mod kind;
pub mod logs;
pub mod metallb;
pub mod network;
pub mod node;
mod page;
pub mod probes;
pub mod scheduling;
pub mod volumes;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Problem, nearest::nearest};
pub use in_log::{LogFinding, find_in_log, is_explained_by_log};
pub use page::page;

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

/// Until a second attempt has failed: kubelet retries after 10 s.
pub const TWICE: GiveUpAfter = GiveUpAfter::Seconds(12);
/// Another step may be creating the missing object.
pub const SOON: GiveUpAfter = GiveUpAfter::Seconds(10);
/// Restarts often succeed once a database is ready; if not by this time, they rarely do. Kubernetes itself restarts
/// after about 0, 10 and 30 s.
pub const CRASHES: GiveUpAfter = GiveUpAfter::Tries { after: 20, at_most: 40 };

/// The exit code in place of one that containerd has not seen: the container ended with its node.
const NODE_STOPPED: i64 = 255;

/// Returns whether a container ended because its node stopped, as with `cmdr stop`. It has not crashed.
pub fn ended_with_node(exit_code: i64, reason: Option<&str>) -> bool {
    exit_code == NODE_STOPPED && reason == Some("Unknown")
}

/// Where the text of a cause is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseSource {
    /// The status or an event of a pod or its controller, with a reason of Kubernetes.
    State,
    /// The message of a node about a pull, in lower case and without names.
    Pull,
    /// An event about a probe.
    Probe,
    /// An event about a Service of type LoadBalancer.
    Service,
    /// The log of a container.
    Log,
    /// A response of the API server.
    Refusal,
    /// The standard error of Helm, for a release.
    Helm,
    /// The standard error of Helm, for a chart that is fetched.
    Chart,
    /// A response of the Docker engine.
    Docker,
    /// The standard error of kind.
    Kind,
    /// cmdr itself, during a run.
    Run,
    /// cmdr itself, in `cmdr doctor`.
    Environment,
}

/// A cause of failures.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownCause {
    /// `C014`.
    pub code: &'static str,
    /// `image-moved`; as stable as the code.
    pub name: &'static str,
    pub sources: &'static [CauseSource],
    /// In a [`CauseSource::State`], one of these is the reason: that of a waiting or terminated container, of a condition,
    /// or of an event.
    pub reasons: &'static [&'static str],
    /// One of these parts is in the text, in upper or lower case; if empty, any text matches.
    pub parts: &'static [&'static str],
    /// What happened, in one line; see [`VALUES`].
    pub message: &'static str,
    pub remedy: &'static str,
    pub explanation: &'static str,
    /// What the cluster, the tool or the log wrote in a real case.
    pub example: &'static str,
    pub budget: GiveUpAfter,
}

/// The values that replace `{...}` in messages and remedies.
const VALUES: [&str; 21] = [
    "age",
    "configuration",
    "expiry",
    "folder",
    "image",
    "kind",
    "limit",
    "line",
    "message",
    "name",
    "namespace",
    "nearest",
    "object",
    "path",
    "port",
    "ports",
    "project",
    "variable",
    "volume",
    "who",
    "where",
];

/// What most causes have; they name the rest.
const FATAL: KnownCause = KnownCause {
    code: "",
    name: "",
    sources: &[CauseSource::Run],
    reasons: &[],
    parts: &[],
    message: "",
    remedy: "",
    explanation: "",
    example: "",
    budget: GiveUpAfter::Seconds(0),
};

/// Reasons of a container that cannot be created.
const CONFIGURATION: &[&str] = &["CreateContainerConfigError", "CreateContainerError"];
/// Reasons of a container that cannot start.
const START: &[&str] = &["RunContainerError", "StartError", "ContainerCannotRun"];

/// A group of causes in the documentation.
#[derive(Debug)]
pub struct Area {
    pub title: &'static str,
    pub about: &'static str,
    pub causes: &'static [&'static KnownCause],
}

/// All causes. The first matching one of a source applies.
pub static AREAS: &[Area] = &[
    Area { title: "Images", about: "Images that a node cannot get or run.", causes: images::CAUSES },
    Area { title: "Scheduling", about: "Pods that no node can take.", causes: scheduling::CAUSES },
    Area {
        title: "Containers",
        about: "Containers that cannot be created, cannot start, or exit.",
        causes: containers::CAUSES,
    },
    Area {
        title: "Logs",
        about: "What programs write before they exit: the last line that matches decides.",
        causes: logs::CAUSES,
    },
    Area { title: "Probes", about: "Containers that run and do not become ready.", causes: probes::CAUSES },
    Area { title: "Volumes", about: "Volumes that cannot be provided, attached or mounted.", causes: volumes::CAUSES },
    Area { title: "Network", about: "Pod networks, DNS, routes, URLs and certificates.", causes: network::CAUSES },
    Area { title: "Helm", about: "Errors of Helm, for releases and for charts.", causes: helm::CAUSES },
    Area {
        title: "Cluster rules",
        about: "Requests that the API server refuses although the account has permission.",
        causes: cluster::CAUSES,
    },
    Area { title: "Docker", about: "The Docker engine of this machine.", causes: docker::CAUSES },
    Area { title: "kind", about: "Clusters that kind cannot create or start.", causes: kind::CAUSES },
    Area { title: "MetalLB", about: "Addresses of LoadBalancer Services in a local cluster.", causes: metallb::CAUSES },
    Area { title: "Nodes", about: "Nodes and their resources.", causes: node::CAUSES },
];

/// A cause for people and programs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CauseEntry {
    /// The stable code: `C014`.
    pub code: &'static str,
    /// The stable name: `image-moved`.
    pub name: &'static str,
    /// The group: `Images`.
    pub area: &'static str,
    /// What is printed, with its values in capitals.
    pub message: String,
    /// Why it happens.
    pub explanation: &'static str,
    /// How to fix it, with its values in capitals.
    pub remedy: String,
    /// What the cluster, the tool or the log wrote in a real case.
    pub example: &'static str,
    /// Whether it cannot resolve by itself.
    pub is_fatal: bool,
    /// How long cmdr waits for it to resolve.
    pub budget: String,
}

impl KnownCause {
    /// Whether a text is that of this cause. The reason is only compared in a [`CauseSource::State`].
    pub fn matches(&self, source: CauseSource, reason: &str, text: &str) -> bool {
        let lower = text.to_lowercase();
        self.sources.contains(&source)
            && (source != CauseSource::State || self.reasons.contains(&reason))
            && (self.parts.is_empty() || self.parts.iter().any(|part| lower.contains(&part.to_lowercase())))
    }

    /// Describes a failure with this cause. `values` are what replaces `{name}` in message and remedy.
    pub fn problem(&self, values: &[(&str, &str)]) -> Problem {
        let problem = Problem::new(filled(self.message, values)).help(filled(self.remedy, values));
        problem.code(self)
    }

    /// Returns the remedy with these values.
    pub fn remedy(&self, values: &[(&str, &str)]) -> String {
        filled(self.remedy, values)
    }

    pub fn is_fatal(&self) -> bool {
        self.budget != GiveUpAfter::Timeout
    }

    pub fn entry(&self) -> CauseEntry {
        let area = AREAS.iter().find(|area| area.causes.contains(&self));
        CauseEntry {
            code: self.code,
            name: self.name,
            area: area.map_or("", |area| area.title),
            message: filled(self.message, &[]),
            explanation: self.explanation,
            remedy: filled(self.remedy, &[]),
            example: self.example,
            is_fatal: self.is_fatal(),
            budget: self.budget.describe(),
        }
    }
}

impl GiveUpAfter {
    /// Returns the longest time to wait; without an end for a problem that may resolve by itself.
    pub fn at_most(self) -> Duration {
        match self {
            Self::Seconds(seconds) | Self::Tries { at_most: seconds, .. } => Duration::from_secs(seconds.into()),
            Self::Timeout => Duration::MAX,
        }
    }

    /// Describes the time in a sentence.
    pub fn describe(self) -> String {
        match self {
            Self::Seconds(0) => "fatal: cmdr does not wait".to_owned(),
            Self::Seconds(seconds) => format!("fatal if it lasts {seconds} s"),
            Self::Tries { after, at_most } => {
                format!("fatal if an attempt fails {after} s after the first one, at the latest after {at_most} s")
            }
            Self::Timeout => "transient: cmdr waits until the timeout of the project".to_owned(),
        }
    }
}

/// Replaces `{name}` by its value, or by `NAME` if it is unknown. Other braces stay.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    VALUES.iter().fold(text.to_owned(), |text, name| {
        let given = values.iter().find(|(key, value)| key == name && !value.is_empty());
        let value = given.map_or_else(|| name.to_uppercase(), |(_, value)| (*value).to_owned());
        text.replace(&format!("{{{name}}}"), &value)
    })
}

/// Returns all causes, in the order of their codes.
pub fn all() -> impl Iterator<Item = &'static KnownCause> {
    AREAS.iter().flat_map(|area| area.causes.iter().copied())
}

/// Returns the cause of a text from a source, other than a state of Kubernetes.
pub fn find(source: CauseSource, text: &str) -> Option<&'static KnownCause> {
    all().find(|cause| cause.matches(source, "", text))
}

/// Returns the cause of a state of Kubernetes.
pub fn find_state(reason: &str, text: &str) -> Option<&'static KnownCause> {
    all().find(|cause| cause.matches(CauseSource::State, reason, text))
}

/// Returns the cause with this code or name, in upper or lower case; `c7` and `7` are `C007`.
pub fn get(code_or_name: &str) -> Option<&'static KnownCause> {
    let number = code_or_name.trim_start_matches(['C', 'c']).parse::<u16>().ok();
    let code = number.map_or_else(|| code_or_name.to_owned(), |number| format!("C{number:03}"));
    all().find(|cause| cause.code == code || cause.name.eq_ignore_ascii_case(code_or_name))
}

/// Returns the names that contain this word: `image` is a word of `image-moved`.
pub fn with_word(word: &str) -> Vec<&'static str> {
    let names = all().map(|cause| cause.name);
    names.filter(|name| name.split('-').any(|part| part.eq_ignore_ascii_case(word))).collect()
}

/// Returns the closest code or name.
pub fn closest(wrong: &str) -> Option<&'static str> {
    nearest(&wrong.to_lowercase(), all().map(|cause| cause.name))
        .or_else(|| nearest(&wrong.to_uppercase(), all().map(|cause| cause.code)))
}

#[cfg(test)]
mod tests;
