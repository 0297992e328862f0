//! The API of the Docker engine: system information, networks, containers, volumes and images.

mod attached;
mod build;
mod connect;
mod containers;
mod error;
mod files;
mod forwarder;
mod image_store;
mod images;
mod locate;
mod network;
mod services;
mod snapshots;
mod volumes;

use std::path::Path;

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

pub use attached::AttachedExec;
pub use build::{BuildError, BuildRequest, stage};
pub use containers::{Mount, NodeContainer, Published, State};
pub use error::DockerError;
pub use files::{ExecOutput, UploadFile};
pub use forwarder::ForwarderOwner;
pub use image_store::IMAGE_STORE;
pub use images::{PullProgress, PushProgress, Pushed};
pub use locate::{DockerLookup, Endpoint, locate};
pub use network::{NETWORK, Network};
pub use snapshots::NodePlace;
pub use volumes::{Copied, CopiedFolder, CopyJob, Measured};

use crate::domain::preflight::Engine;

/// A connection to a responding engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    endpoint: Endpoint,
}

impl Docker {
    /// Finds the engine and connects to it.
    ///
    /// # Errors
    /// If no engine is found, it does not respond, or permission is denied; each error has a hint.
    pub async fn connect(lookup: &DockerLookup) -> Result<Self, DockerError> {
        let endpoint = locate(lookup)?;
        let client = connect::client(&endpoint).await?;
        Ok(Self { client, endpoint })
    }

    /// Returns the engine's address, which is passed to `docker` and `kind` so that all use the same engine.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// # Errors
    /// If the engine does not respond.
    pub async fn info(&self) -> Result<Engine, DockerError> {
        self.client.info().await.map(engine).map_err(DockerError::request("return system information"))
    }

    /// Returns the free bytes for the engine's data; `None` if that disk is not on this machine (a virtual machine, a
    /// remote engine) or cannot be read.
    pub fn free_disk_bytes(&self, engine: &Engine) -> Option<u64> {
        if engine.virtual_machine || self.endpoint.socket().is_none() {
            return None;
        }
        free_bytes(Path::new(&engine.root_folder))
    }
}

/// Returns the free bytes on the file system of `folder`.
fn free_bytes(folder: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

fn engine(info: SystemInfo) -> Engine {
    let operating_system = info.operating_system.unwrap_or_default();
    let name = info.name.unwrap_or_default();
    let cgroup_version = info.cgroup_version.and_then(|version| match version {
        SystemInfoCgroupVersionEnum::_1 => Some(1),
        SystemInfoCgroupVersionEnum::_2 => Some(2),
        SystemInfoCgroupVersionEnum::EMPTY => None,
    });
    let options = info.security_options.unwrap_or_default();
    Engine {
        version: info.server_version.unwrap_or_default(),
        memory_bytes: info.mem_total.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
        cpus: info.ncpu.and_then(|count| count.try_into().ok()).unwrap_or(0),
        rootless: options.iter().any(|option| option.split(',').any(|part| part == "name=rootless")),
        virtual_machine: is_virtual_machine(&operating_system, &name),
        os_type: info.os_type.unwrap_or_default(),
        operating_system,
        cgroup_version,
        cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
        root_folder: info.docker_root_dir.unwrap_or_default(),
    }
}

/// On macOS and Windows, every engine for Linux containers runs in a virtual machine. On Linux, those of Docker
/// Desktop, Colima and Rancher Desktop do, and are recognized by their names.
fn is_virtual_machine(operating_system: &str, name: &str) -> bool {
    cfg!(not(target_os = "linux"))
        || operating_system.contains("Docker Desktop")
        || ["docker-desktop", "colima", "lima-rancher-desktop", "orbstack"].iter().any(|own| name.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_description_of_the_engine() {
        let info = SystemInfo {
            server_version: Some("28.2.2".to_owned()),
            mem_total: Some(8 << 30),
            ncpu: Some(4),
            security_options: Some(vec!["name=seccomp,profile=builtin".to_owned(), "name=rootless".to_owned()]),
            cgroup_version: Some(SystemInfoCgroupVersionEnum::_2),
            operating_system: Some("Docker Desktop".to_owned()),
            ..SystemInfo::default()
        };
        let engine = engine(info);
        assert!(engine.rootless && engine.virtual_machine);
        assert_eq!((engine.memory_bytes, engine.cpus, engine.cgroup_version), (8 << 30, 4, Some(2)));
    }

    #[test]
    fn free_space_is_reported_where_there_is_a_folder() {
        assert!(free_bytes(Path::new("/")).is_some_and(|bytes| bytes > 0));
        assert_eq!(free_bytes(Path::new("/no/such/folder")), None);
    }
}
