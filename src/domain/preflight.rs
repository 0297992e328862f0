//! What must be true of a machine before a cluster is made on it: facts in, findings out.

use std::{fmt, net::IpAddr};

use semver::Version;
use serde::Serialize;
use serde_json::Value;

use super::{
    Values,
    ports::{PortState, STANDARD},
    quantity::{parse_cpu_millis, parse_memory_bytes},
};

mod rules;
pub use rules::{PLATFORM_MEMORY_BYTES, check};

/// The name that tells whether the system's resolver knows `*.localhost` (RFC 6761 says it should).
pub const RESOLVER_PROBE: &str = "cmdr-check.localhost";

/// All that is known of the machine. What could not be found out is `None`, and judged as harmless.
#[derive(Debug, Clone)]
pub struct Facts {
    pub engine: Result<Engine, EngineAbsent>,
    /// The sum over the projects of the environment.
    pub requested: Requested,
    /// On the file system of the engine's own data, when that is on this machine.
    pub free_disk_bytes: Option<u64>,
    /// Linux only.
    pub inotify: Option<Inotify>,
    pub ports: Vec<(u16, PortState)>,
    pub resolver: Resolver,
    pub tools: Vec<Tool>,
    /// The Kubernetes version that the cluster is to have, as written: `1.34`, `1.34.2`.
    pub kubernetes: Option<String>,
    /// As Rust names it: `linux`, `macos`.
    pub operating_system: String,
}

/// A Docker engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    pub version: String,
    /// Of the machine, or the virtual machine, that the engine runs on.
    pub memory_bytes: u64,
    pub cpus: u32,
    pub rootless: bool,
    /// Runs in a virtual machine, so that addresses of its networks cannot be reached from here.
    pub virtual_machine: bool,
    /// `linux`, or `windows` for Windows containers.
    pub os_type: String,
    /// As the engine describes itself: `Docker Desktop`, `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// 1 or 2; `None` when the engine does not say.
    pub cgroup_version: Option<u8>,
    /// `systemd`, `cgroupfs` or `none`.
    pub cgroup_driver: String,
    /// Where the engine keeps images and volumes, on its own machine.
    pub root_folder: String,
}

/// Why there is no engine, in the words of the adapter that looked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineAbsent {
    pub why: String,
    pub remedy: String,
}

/// What pods ask for, in sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requested {
    pub memory_bytes: u64,
    pub cpu_millis: u64,
}

impl Requested {
    /// What the values of one project ask for: its own container's requests and its sidecars', times its replicas.
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

/// Quantities are texts or numbers: `cpu: 2`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Kernel limits on watched files, per user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inotify {
    pub watches: u64,
    pub instances: u64,
}

/// What the system's resolver answers for [`RESOLVER_PROBE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    Loopback,
    Elsewhere(Vec<IpAddr>),
    /// Does not know the name.
    Unknown,
}

/// A program that cmdr starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// `docker`, `kind` or `helm`; `sops` where the workspace has something to decrypt.
    pub name: &'static str,
    pub version: ToolVersion,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolVersion {
    Found(Version),
    /// It runs, but what it says is no version.
    Unreadable(String),
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Ok,
    /// It may work, or only in part.
    Warning,
    /// A cluster cannot be made, or will not work.
    Failure,
}

/// The answer to one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, stable for scripts: `memory`, `inotify`.
    pub check: &'static str,
    pub status: Status,
    /// What is the case.
    pub what: String,
    /// Why that matters; empty when all is well.
    pub why: String,
    /// What to do; empty when all is well.
    pub remedy: String,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, what: what.into(), why: String::new(), remedy: String::new() }
    }

    fn bad(
        check: &'static str,
        status: Status,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, status, what: what.into(), why: why.into(), remedy: remedy.into() }
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

/// Whether Docker or the kernel must be asked for a port before 8080 is taken: the two that URLs leave out.
pub fn ports_to_probe() -> [u16; 2] {
    [STANDARD.http, STANDARD.https]
}

#[cfg(test)]
mod tests;
