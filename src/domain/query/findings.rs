//! What the questions find: one row each, as JSON and in the table.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::pressure::{Amounts, Demand};

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum QueryFinding {
    Image(RunningImage),
    Exposed(Exposure),
    Differs(ProjectDifference),
    Unpinned(UnpinnedImage),
    Restarts(Restarts),
    Event(ObservedEvent),
    Resources(ProjectResources),
    Object(FoundObject),
}

/// A version of an image that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunningImage {
    /// The registry and the repository: `docker.io/library/redis`.
    pub image: String,
    pub tag: Option<String>,
    /// The digest that runs; of an image that no pod runs, the one that is written.
    pub digest: Option<String>,
    /// How many pods use it.
    pub pods: usize,
    /// The projects and platform releases that use it.
    pub projects: Vec<String>,
}

/// One way into the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Exposure {
    pub project: String,
    pub namespace: Option<String>,
    /// The kind of the object that opens the way, or `expose`.
    pub kind: String,
    pub name: String,
    /// `route`, `load-balancer`, `node-port`, `external-ip`, `host-port`, `host-network` or `expose`.
    pub how: String,
    /// A host with its path, or an address with its port.
    pub address: String,
    /// The Service and port, or the port of the pod, that receives the requests.
    pub target: Option<String>,
    /// `none`, `secret NAME`, `default certificate`, `resolver NAME` or `passthrough`; `null` if the pods decide.
    pub tls: Option<String>,
}

/// A release that differs from projects.yaml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProjectDifference {
    pub project: String,
    /// The version in projects.yaml; `null` if the project is not described there.
    pub desired: Option<String>,
    /// The version that runs.
    pub running: Option<String>,
    /// What differs.
    pub reason: String,
}

/// An image without a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnpinnedImage {
    pub project: String,
    pub namespace: Option<String>,
    /// `Deployment/shop`.
    pub workload: String,
    pub container: String,
    pub image: String,
    pub reason: WhyUnpinned,
}

/// Why an image can change without a change of its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhyUnpinned {
    /// Without a tag, it is `latest`.
    NoTag,
    /// A tag that is meant to move: `latest`, `main`, `7`, `7.0`.
    MovingTag,
    /// The tag of one version, which can be pushed again.
    NoDigest,
}

/// A container that restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Restarts {
    pub project: String,
    pub namespace: Option<String>,
    pub pod: String,
    pub container: String,
    pub restarts: u64,
    /// `running`, `terminated`, or the reason why it waits: `CrashLoopBackOff`.
    pub state: String,
    /// How it ended last: `Error`, `OOMKilled`.
    pub last_reason: Option<String>,
    pub last_exit_code: Option<i64>,
    /// When it ended last, in RFC 3339.
    pub last_ended: Option<String>,
}

/// An event of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ObservedEvent {
    pub namespace: Option<String>,
    /// `Pod/shop-5d4f`.
    pub object: String,
    /// `Normal` or `Warning`.
    pub r#type: String,
    pub reason: String,
    pub message: String,
    pub count: u64,
    /// When it was seen last, in RFC 3339.
    pub last: String,
}

/// The resources of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProjectResources {
    pub project: String,
    pub pods: usize,
    pub requests: Amounts,
    /// `null` if a container has no memory limit.
    pub limits: Option<Amounts>,
    /// `null` without a metrics API.
    pub used: Option<Amounts>,
    /// Whether it uses more memory than it requests.
    pub exceeds_requests: bool,
}

/// An object of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FoundObject {
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    /// Its phase, or its condition `Ready` or `Available`.
    pub state: Option<String>,
    /// When it was created, in RFC 3339.
    pub created: Option<String>,
    /// The object without `managedFields`, and without the values of a Secret.
    pub object: Value,
}

impl QueryFinding {
    /// What `--name` searches in.
    pub fn name(&self) -> &str {
        match self {
            Self::Image(row) => &row.image,
            Self::Exposed(row) => &row.name,
            Self::Differs(row) => &row.project,
            Self::Unpinned(row) => &row.image,
            Self::Restarts(row) => &row.pod,
            Self::Event(row) => &row.object,
            Self::Resources(row) => &row.project,
            Self::Object(row) => &row.name,
        }
    }

    /// What stays the same while a row changes.
    pub fn key(&self) -> String {
        let of = |namespace: &Option<String>, parts: &[&str]| {
            format!("{} {}", namespace.as_deref().unwrap_or_default(), parts.join(" "))
        };
        match self {
            Self::Image(row) => format!("{} {:?} {:?}", row.image, row.tag, row.digest),
            Self::Exposed(row) => of(&row.namespace, &[&row.kind, &row.name, &row.how, &row.address]),
            Self::Differs(row) => row.project.clone(),
            Self::Unpinned(row) => of(&row.namespace, &[&row.workload, &row.container]),
            Self::Restarts(row) => of(&row.namespace, &[&row.pod, &row.container]),
            Self::Event(row) => of(&row.namespace, &[&row.object, &row.reason, &row.message]),
            Self::Resources(row) => row.project.clone(),
            Self::Object(row) => of(&row.namespace, &[&row.kind, &row.name]),
        }
    }
}

impl From<Demand> for ProjectResources {
    fn from(demand: Demand) -> Self {
        let Demand { project, pods, requests, limits, used, exceeds_requests, .. } = demand;
        Self { project, pods, requests, limits, used, exceeds_requests }
    }
}
