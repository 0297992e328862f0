//! What a step waits for, as data and as text.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

const MEGABYTE: u64 = 1_000_000;

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[schemars(rename = "reason")]
pub enum WaitReason {
    /// A node pulls an image.
    Image {
        image: String,
        /// The bytes that the node has, if they are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_done: Option<u64>,
        /// The bytes of the image, compressed, if they are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_total: Option<u64>,
    },
    /// A container is running, but its probe has not succeeded.
    Probe {
        container: String,
        probe: ProbeKind,
        /// The last response, as its event reports it: `HTTP 503`, `connection refused`.
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<String>,
    },
    /// A container has ended, and will be started again.
    Restart {
        container: String,
        role: ContainerRole,
        exit_code: i32,
        /// How long the kubelet waits before it starts the container again.
        #[serde(skip_serializing_if = "Option::is_none")]
        delay_seconds: Option<u64>,
        /// When the kubelet starts the container again.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// A container must end first.
    Container { container: String, role: ContainerRole },
    /// A pod does not run yet.
    Pod { stage: PodStage },
    /// A Job is running.
    Job { job: String },
    /// A load balancer has assigned no address to a Service yet.
    Address { service: String },
    /// A URL does not respond as it should.
    Url {
        url: String,
        /// The last response: `no response: connection refused`, `HTTP 503`.
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<String>,
    },
    /// A problem that may still resolve itself.
    Problem { message: String },
}

/// The kinds of probes that keep a pod from becoming ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    Startup,
    Readiness,
}

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerRole {
    /// Runs before the others and exits.
    #[serde(rename = "init")]
    Initial,
    Sidecar,
    Main,
}

/// How far a pod is before its containers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PodStage {
    /// Its controller has not created it.
    Missing,
    /// No node has been chosen.
    Unscheduled,
    /// The node prepares its volumes and its network.
    Preparing,
    /// Its containers are being created.
    Creating,
}

/// How many pods of a rollout are ready, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RolloutStatus {
    pub ready: i32,
    pub desired: i32,
    pub waits_for: Option<WaitReason>,
}

impl fmt::Display for RolloutStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{} ready", self.ready, self.desired)?;
        self.waits_for.as_ref().map_or(Ok(()), |reason| write!(formatter, ": {reason}"))
    }
}

impl WaitReason {
    /// Returns the text at a moment: a restart is counted down.
    pub fn at(&self, now: Timestamp) -> String {
        match self {
            Self::Restart { container, role, exit_code, at: Some(at), .. } => {
                let left = at.duration_since(now).max(SignedDuration::ZERO).as_secs();
                format!("{role} {container}: exit {exit_code}, restart in {left} s")
            }
            other => other.to_string(),
        }
    }

    /// Whether something has failed that is tried again.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Restart { .. } | Self::Problem { .. } | Self::Probe { response: Some(_), .. })
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { image, bytes_done, bytes_total } => {
                write!(formatter, "pulling {}", short(image))?;
                match (bytes_done, bytes_total) {
                    (Some(done), Some(total)) => {
                        write!(formatter, ", {} of {} MB", done / MEGABYTE, total.div_ceil(MEGABYTE))
                    }
                    (None, Some(total)) => write!(formatter, ", {} MB", total.div_ceil(MEGABYTE)),
                    _ => Ok(()),
                }
            }
            Self::Probe { probe, response: Some(response), .. } => write!(formatter, "{probe}: {response}"),
            Self::Probe { probe, container, .. } => write!(formatter, "waiting for the {probe} of {container}"),
            Self::Restart { container, role, exit_code, delay_seconds, .. } => {
                write!(formatter, "{role} {container}: exit {exit_code}")?;
                delay_seconds.map_or(Ok(()), |delay| write!(formatter, ", restart in {delay} s"))
            }
            Self::Container { container, role } => write!(formatter, "{role} {container} is running"),
            Self::Pod { stage } => stage.fmt(formatter),
            Self::Job { job } => write!(formatter, "job {job} is running"),
            Self::Address { service } => write!(formatter, "waiting for an address of service {service}"),
            Self::Url { url, response: Some(response) } => write!(formatter, "waiting for {url}: {response}"),
            Self::Url { url, .. } => write!(formatter, "waiting for {url}"),
            Self::Problem { message } => formatter.write_str(message),
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Startup => "startup probe",
            Self::Readiness => "readiness probe",
        })
    }
}

impl fmt::Display for ContainerRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Initial => "init container",
            Self::Sidecar => "sidecar",
            Self::Main => "container",
        })
    }
}

impl fmt::Display for PodStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "waiting for its pods to be created",
            Self::Unscheduled => "waiting for a node",
            Self::Preparing => "preparing volumes and network",
            Self::Creating => "creating containers",
        })
    }
}

/// Returns an image without its registry, folders and digest: `podinfo:6.9.2`.
fn short(image: &str) -> &str {
    let image = image.rsplit('/').next().unwrap_or(image);
    image.split('@').next().unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_one_short_sentence() {
        let image = |bytes_done, bytes_total| {
            let image = "ghcr.io/tunes/podinfo:6.9.2@sha256:abc".to_owned();
            WaitReason::Image { image, bytes_done, bytes_total }.to_string()
        };
        assert_eq!(image(Some(41_900_000), Some(299_100_000)), "pulling podinfo:6.9.2, 41 of 300 MB");
        assert_eq!(image(None, Some(299_100_000)), "pulling podinfo:6.9.2, 300 MB");
        assert_eq!(image(None, None), "pulling podinfo:6.9.2");
        let (container, probe) = ("shop".to_owned(), ProbeKind::Readiness);
        let probe = |response| WaitReason::Probe { container: container.clone(), probe, response };
        assert_eq!(probe(Some("HTTP 503".to_owned())).to_string(), "readiness probe: HTTP 503");
        assert_eq!(probe(None).to_string(), "waiting for the readiness probe of shop");
    }

    #[test]
    fn a_restart_is_counted_down() {
        let restart = WaitReason::Restart {
            container: "migrate".to_owned(),
            role: ContainerRole::Initial,
            exit_code: 1,
            delay_seconds: Some(10),
            at: Some(Timestamp::from_second(100).unwrap()),
        };
        assert_eq!(restart.to_string(), "init container migrate: exit 1, restart in 10 s");
        let at = |second| restart.at(Timestamp::from_second(second).unwrap());
        assert_eq!(at(96), "init container migrate: exit 1, restart in 4 s");
        assert_eq!(at(101), "init container migrate: exit 1, restart in 0 s");
        let status = RolloutStatus { ready: 0, desired: 1, waits_for: Some(restart.clone()) };
        assert_eq!(status.to_string(), "0/1 ready: init container migrate: exit 1, restart in 10 s");
    }
}
