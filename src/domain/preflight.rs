//! Checks whether a machine can run a cluster, before one is created: takes facts, returns findings.

use std::{fmt, net::IpAddr, path::PathBuf};

use schemars::JsonSchema;
use semver::Version;
use serde::Serialize;
use serde_json::Value;

use super::{
    Values,
    cluster_networks::{ClusterNetworks, MachineRoute},
    pool::Subnet,
    ports::{PortState, STANDARD},
    quantity::{parse_cpu_millis, parse_memory_bytes},
};

mod rules;
pub use rules::{PLATFORM_MEMORY_BYTES, check, is_supported};

/// A name to test whether the system resolver resolves `*.localhost` (RFC 6761 recommends it).
pub const RESOLVER_PROBE: &str = "cmdr-check.localhost";

/// All facts about the machine. A fact that could not be determined is `None` and causes no finding.
#[derive(Debug, Clone)]
pub struct Facts {
    pub engine: Result<Engine, EngineAbsent>,
    /// The sum over all projects of the environment.
    pub requested: Requested,
    /// On the file system of the engine's data, if that is on this machine.
    pub free_disk_bytes: Option<u64>,
    /// Linux only.
    pub inotify: Option<Inotify>,
    pub ports: Vec<(u16, PortState)>,
    pub resolver: ResolverResult,
    pub tools: Vec<FoundTool>,
    /// The requested Kubernetes version, as written: `1.34`, `1.34.2`.
    pub kubernetes: Option<String>,
    /// The networks of the local cluster.
    pub networks: ClusterNetworks,
    /// The network of kind's nodes, if it exists.
    pub docker_network: Option<Subnet>,
    pub routes: Vec<MachineRoute>,
    /// The name in Rust: `linux`, `macos`.
    pub operating_system: String,
}

/// A Docker engine that responds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    pub version: String,
    /// Of the machine or virtual machine that the engine runs on.
    pub memory_bytes: u64,
    pub cpus: u32,
    pub rootless: bool,
    /// Runs in a virtual machine, so that the addresses of its networks are not reachable from this machine.
    pub virtual_machine: bool,
    /// `linux`, or `windows` for Windows containers.
    pub os_type: String,
    /// The name that the engine reports: `Docker Desktop`, `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// 1 or 2; `None` if the engine does not report it.
    pub cgroup_version: Option<u8>,
    /// `systemd`, `cgroupfs` or `none`.
    pub cgroup_driver: String,
    /// The folder for images and volumes, on the engine's machine.
    pub root_folder: String,
}

/// Why no engine is available, as reported by the adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineAbsent {
    pub why: String,
    pub help: String,
}

/// The total resource requests of pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requested {
    pub memory_bytes: u64,
    pub cpu_millis: u64,
}

impl Requested {
    /// Returns the requests of one project: those of its container and its sidecars, times its replicas.
    pub fn of(values: &Values) -> Self {
        let containers = values.get("sidecars").and_then(Value::as_object).into_iter().flat_map(Values::values);
        let own = Value::Object(values.clone());
        let containers = containers.chain(std::iter::once(&own));
        let replicas = values.get("replicas").and_then(Value::as_u64).unwrap_or(1);
        containers.fold(Self::default(), |sum, container| {
            let text =
                |key: &str| container.pointer(&format!("/resources/requests/{key}")).map(plain).unwrap_or_default();
            Self {
                memory_bytes: sum.memory_bytes + replicas * parse_memory_bytes(&text("memory")).unwrap_or_default(),
                cpu_millis: sum.cpu_millis + replicas * parse_cpu_millis(&text("cpu")).unwrap_or_default(),
            }
        })
    }
}

/// Quantities are strings or numbers: `cpu: 2`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Kernel limits on watched files, per user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inotify {
    pub watches: u64,
    pub instances: u64,
}

/// The result of the system resolver for [`RESOLVER_PROBE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolverResult {
    Loopback,
    Elsewhere(Vec<IpAddr>),
    /// The name does not resolve.
    Unknown,
}

/// A program that cmdr runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTool {
    /// `docker`, `kind` or `helm`; `sops` if the workspace has files to decrypt.
    pub name: &'static str,
    pub version: ToolVersion,
    /// Its path; its name if it was not found.
    pub program: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolVersion {
    Found(Version),
    /// It runs, but its output is not a version.
    Unreadable(String),
    Missing,
}

impl fmt::Display for ToolVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(version) => version.fmt(formatter),
            Self::Unreadable(output) => write!(formatter, "unknown: {output}"),
            Self::Missing => formatter.write_str("not installed"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Ok,
    /// A cluster may not work, or only in part.
    Warning,
    /// A cluster cannot be created, or will not work.
    Failure,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The name of the check, stable for scripts: `memory`, `inotify`.
    pub check: &'static str,
    pub status: Status,
    /// The code of the cause, if it is in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was found.
    pub what: String,
    /// Why it matters; empty if the check passed.
    pub why: String,
    /// How to fix it; empty if the check passed.
    pub help: String,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, code: None, what: what.into(), why: String::new(), help: String::new() }
    }

    fn bad(
        check: &'static str,
        status: Status,
        what: impl Into<String>,
        why: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { check, status, code: None, what: what.into(), why: why.into(), help: help.into() }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        })
    }
}

/// The ports whose availability must be checked before 8080 is used: the two that URLs can omit.
pub fn ports_to_probe() -> [u16; 2] {
    [STANDARD.http, STANDARD.https]
}

#[cfg(test)]
mod tests;
