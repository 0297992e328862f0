//! The containers of kind's nodes: listed, started, stopped, paused and removed.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use bollard::{
    errors::Error,
    models::{ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, PortMap, PortSummaryTypeEnum},
    query_parameters::{
        InspectContainerOptions, ListContainersOptions, RemoveContainerOptions, StartContainerOptions,
        StopContainerOptions, WaitContainerOptions,
    },
};
use futures::{TryStreamExt, future::try_join_all};
use jiff::Timestamp;

use super::{Docker, DockerError, NETWORK, volumes::HELPER_LABEL};
use crate::domain::{
    exposed::{Protocol, PublishedPort},
    snapshot::NODE_IMAGE_LABEL,
};

/// kind's labels on its nodes.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
const ROLE_LABEL: &str = "io.x-k8s.kind.role";

/// A kind node as Docker reports it, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeContainer {
    pub name: String,
    /// The kind cluster that it belongs to.
    pub cluster: String,
    /// `control-plane`, `worker` or `external-load-balancer`.
    pub role: String,
    pub id: String,
    pub state: State,
    /// The image reference that the cluster was created with.
    pub image: String,
    /// By TCP port of the container. Also set for a node that is not running.
    pub published: BTreeMap<u16, Published>,
    pub mounts: Vec<Mount>,
    /// The address on the network `kind`, only while the node is running.
    pub address: Option<Ipv4Addr>,
}

/// The address and port on this machine at which a container's port is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub address: IpAddr,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// Paused in memory.
    Paused,
    /// Not running, but has run before.
    Stopped,
    /// Has never run.
    Created,
}

/// A mount of a container. Both sides are absolute paths, and the source is on the Docker host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: String,
    pub destination: String,
}

impl Docker {
    /// Returns all nodes of all kind clusters on the engine, sorted by name.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn node_containers(&self) -> Result<Vec<NodeContainer>, DockerError> {
        let filters = HashMap::from([("label".to_owned(), vec![CLUSTER_LABEL.to_owned()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let listed = self.client.list_containers(Some(options)).await;
        let listed = listed.map_err(DockerError::request("list kind's nodes"))?;
        // Helper containers that copy a snapshot use its image, which carries the node's labels.
        let is_helper = |labels: &HashMap<String, String>| labels.contains_key(HELPER_LABEL);
        let listed = listed.into_iter().filter(|container| !container.labels.as_ref().is_some_and(is_helper));
        // Only an inspection returns the ports of a node that is not running.
        let inspections = listed.filter_map(|container| container.id).map(|id| self.inspect_node(id));
        let mut nodes: Vec<NodeContainer> = try_join_all(inspections).await?.into_iter().flatten().collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(nodes)
    }

    /// Returns the TCP ports on this machine that Docker publishes, or will publish when a stopped local cluster is
    /// started, each with its container: `container tunes-control-plane`.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn port_holders(&self) -> Result<BTreeMap<u16, String>, DockerError> {
        let holders = self.published_ports().await?.into_iter();
        let tcp = holders.filter(|(port, _)| port.protocol == Protocol::Tcp);
        Ok(tcp.map(|(port, holder)| (port.number, holder)).collect())
    }

    /// Returns the TCP and UDP ports, as [`Self::port_holders`].
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn published_ports(&self) -> Result<BTreeMap<PublishedPort, String>, DockerError> {
        let running = self.client.list_containers(None::<ListContainersOptions>).await;
        let running = running.map_err(DockerError::request("list containers"))?;
        let mut holders: BTreeMap<PublishedPort, String> = running.into_iter().flat_map(held).collect();
        for node in self.node_containers().await? {
            let name = format!("container {} of the kind cluster {}", node.name, node.cluster);
            let port = |published: &Published| PublishedPort { number: published.port, protocol: Protocol::Tcp };
            holders.extend(node.published.values().map(|published| (port(published), name.clone())));
        }
        holders.extend(self.stopped_forwards().await?);
        Ok(holders)
    }

    /// Returns `None` if the node was removed after it was listed.
    async fn inspect_node(&self, id: String) -> Result<Option<NodeContainer>, DockerError> {
        match self.client.inspect_container(&id, None::<InspectContainerOptions>).await {
            Ok(inspected) => Ok(Some(node(id, inspected))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(DockerError::request(format!("inspect container {id}"))(error)),
        }
    }

    /// Starts a container; does nothing if it is running.
    ///
    /// # Errors
    /// If the engine returns an error, most often because a published port is already in use.
    pub async fn start(&self, container: &str) -> Result<(), DockerError> {
        let started = self.client.start_container(container, None::<StartContainerOptions>).await;
        started.map_err(DockerError::request(format!("start container {container}")))
    }

    /// Stops a container, by force after `patience` seconds; does nothing if it is not running.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn stop(&self, container: &str, patience: i32) -> Result<(), DockerError> {
        let options = StopContainerOptions { t: Some(patience), ..StopContainerOptions::default() };
        let stopped = self.client.stop_container(container, Some(options)).await;
        stopped.map_err(DockerError::request(format!("stop container {container}")))
    }

    /// Returns when a container was last started, by the engine's clock, which the container's processes share.
    ///
    /// # Errors
    /// If the engine returns an error, or the container does not exist.
    pub async fn started_at(&self, container: &str) -> Result<Option<Timestamp>, DockerError> {
        let inspected = self.client.inspect_container(container, None::<InspectContainerOptions>).await;
        let state = inspected.map_err(DockerError::request(format!("inspect container {container}")))?.state;
        Ok(state.and_then(|state| state.started_at?.parse().ok()))
    }

    /// Waits until a container ends.
    ///
    /// # Errors
    /// If the engine returns an error, or the container does not exist.
    pub async fn until_ended(&self, container: &str) -> Result<(), DockerError> {
        let ended = self.client.wait_container(container, None::<WaitContainerOptions>).try_collect::<Vec<_>>().await;
        match ended {
            Ok(_) | Err(Error::DockerContainerWaitError { .. }) => Ok(()),
            Err(error) => Err(DockerError::request(format!("wait for container {container}"))(error)),
        }
    }

    /// Pauses a running container in memory.
    ///
    /// # Errors
    /// If the engine returns an error, or the container is not running.
    pub async fn pause(&self, container: &str) -> Result<(), DockerError> {
        let paused = self.client.pause_container(container).await;
        paused.map_err(DockerError::request(format!("pause container {container}")))
    }

    /// Resumes a paused container.
    ///
    /// # Errors
    /// If the engine returns an error, or the container is not paused.
    pub async fn unpause(&self, container: &str) -> Result<(), DockerError> {
        let resumed = self.client.unpause_container(container).await;
        resumed.map_err(DockerError::request(format!("unpause container {container}")))
    }

    /// Removes a container by force, optionally with its anonymous volumes; does nothing if it does not exist.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn remove(&self, container: &str, with_volumes: bool) -> Result<(), DockerError> {
        let options = RemoveContainerOptions { v: with_volumes, force: true, link: false };
        let removed = self.client.remove_container(container, Some(options)).await;
        match removed.map_err(DockerError::request(format!("remove container {container}"))) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }
}

/// Returns the published ports of a running container, each with the container's name.
fn held(container: ContainerSummary) -> Vec<(PublishedPort, String)> {
    let names = container.names.unwrap_or_default();
    let name = names.first().map_or("", |name| name.trim_start_matches('/')).to_owned();
    let ports = container.ports.unwrap_or_default().into_iter();
    let published = ports.filter_map(|port| {
        let protocol = match port.typ? {
            PortSummaryTypeEnum::TCP => Protocol::Tcp,
            PortSummaryTypeEnum::UDP => Protocol::Udp,
            _ => return None,
        };
        Some(PublishedPort { number: port.public_port?, protocol })
    });
    published.map(|port| (port, format!("container {name}"))).collect()
}

fn node(id: String, inspected: ContainerInspectResponse) -> NodeContainer {
    let config = inspected.config.unwrap_or_default();
    let mut labels = config.labels.unwrap_or_default();
    let settings = inspected.network_settings.unwrap_or_default();
    // First the requested ports, then the actual ones: Docker may have chosen a port for a running container.
    let wanted = inspected.host_config.and_then(|host| host.port_bindings);
    let published = [wanted, settings.ports].into_iter().flatten().flat_map(published).collect();
    let address = settings.networks.unwrap_or_default().remove(NETWORK).and_then(|network| network.ip_address);
    NodeContainer {
        name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        cluster: labels.remove(CLUSTER_LABEL).unwrap_or_default(),
        role: labels.remove(ROLE_LABEL).unwrap_or_default(),
        id,
        state: state(inspected.state.and_then(|state| state.status)),
        image: labels.remove(NODE_IMAGE_LABEL).or(config.image).unwrap_or_default(),
        published,
        mounts: inspected.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        address: address.and_then(|address| address.parse().ok()),
    }
}

fn state(status: Option<ContainerStateStatusEnum>) -> State {
    use ContainerStateStatusEnum::{CREATED, PAUSED, RESTARTING, RUNNING, STOPPING};
    match status {
        Some(RUNNING | RESTARTING | STOPPING) => State::Running,
        Some(PAUSED) => State::Paused,
        Some(CREATED) => State::Created,
        _ => State::Stopped,
    }
}

fn mount(point: bollard::models::MountPoint) -> Mount {
    Mount { source: point.source.unwrap_or_default(), destination: point.destination.unwrap_or_default() }
}

/// Parses the TCP ports of a map such as `80/tcp -> [127.0.0.1:8080]`: the first binding of each, without unassigned
/// ports.
fn published(ports: PortMap) -> BTreeMap<u16, Published> {
    let places = ports.into_iter().filter_map(|(port, bindings)| {
        let port = port.strip_suffix("/tcp")?.parse().ok()?;
        let binding = bindings?.into_iter().next()?;
        // No address means all addresses.
        let address = binding.host_ip.and_then(|ip| ip.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let host_port = binding.host_port?.parse().ok().filter(|port| *port != 0)?;
        Some((port, Published { address, port: host_port }))
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_node_as_docker_describes_it() {
        let text = r#"{
            "Name": "/tunes-control-plane",
            "State": {"Status": "exited"},
            "Config": {"Image": "kindest/node:v1.34.2", "Labels": {"io.x-k8s.kind.cluster": "tunes", "io.x-k8s.kind.role": "control-plane"}},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}], "53/udp": [{"HostPort": "53"}]}},
            "Mounts": [{"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data", "Destination": "/var"}],
            "NetworkSettings": {"Ports": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}], "30000/tcp": null}, "Networks": {"kind": {"IPAddress": ""}}}
        }"#;
        let node = node("1".to_owned(), serde_json::from_str(text).unwrap());
        let place = |port| Published { address: Ipv4Addr::LOCALHOST.into(), port };
        let expected = NodeContainer {
            name: "tunes-control-plane".to_owned(),
            cluster: "tunes".to_owned(),
            role: "control-plane".to_owned(),
            id: "1".to_owned(),
            state: State::Stopped,
            image: "kindest/node:v1.34.2".to_owned(),
            published: BTreeMap::from([(80, place(8080)), (6443, place(40001))]),
            mounts: vec![Mount {
                source: "/var/lib/docker/volumes/x/_data".to_owned(),
                destination: "/var".to_owned(),
            }],
            address: None,
        };
        assert_eq!(node, expected);
    }
}
