//! The description of one project as it runs, for `status PROJECT`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Problem, pressure::Amounts, wait_reason::ContainerRole};

/// What the cluster shows about the workloads of a release.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct WorkloadReport {
    pub pods: Vec<PodReport>,
    /// The events of its pods and workloads, newest first.
    pub events: Vec<EventReport>,
    /// The last log lines of the container that has a problem, or of the first one.
    pub log: Option<LogReport>,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The revisions that Helm has, newest first.
    pub deployments: Vec<DeploymentReport>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PodReport {
    pub name: String,
    pub node: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Terminating`.
    pub phase: String,
    pub ready: bool,
    pub created: Option<Timestamp>,
    pub containers: Vec<ContainerReport>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ContainerReport {
    pub name: String,
    pub role: ContainerRole,
    /// As written in the pod.
    pub image: String,
    /// The digest of the image that runs.
    pub digest: Option<String>,
    /// `running`, `waiting: CrashLoopBackOff`, `ended: exit 0`.
    pub state: String,
    pub ready: bool,
    pub restarts: i32,
    /// The exit code of the previous container.
    pub last_exit_code: Option<i32>,
    /// `readiness: GET /readyz on http`.
    pub probes: Vec<String>,
    pub requests: Amounts,
    pub limits: Amounts,
}

/// An event of Kubernetes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EventReport {
    pub last: Option<Timestamp>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: String,
    /// `Pod/shop-5d4f`.
    pub object: String,
    pub message: String,
    pub count: i32,
}

/// The end of a container's log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LogReport {
    pub pod: String,
    pub container: Option<String>,
    pub lines: Vec<String>,
}

/// A revision of a release.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeploymentReport {
    pub revision: u32,
    /// Helm's status: `deployed`, `superseded`, `failed`.
    pub status: String,
    pub at: Option<Timestamp>,
    pub version: Option<String>,
    pub record: Option<String>,
    pub commit: Option<String>,
}
