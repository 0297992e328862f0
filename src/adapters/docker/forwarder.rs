//! The container that publishes ports of a local cluster on 127.0.0.1.
//!
//! It runs the image of the node, which is on this machine anyway and has the tools for rules of the kernel.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    models::{
        ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, HostConfig, PortBinding, RestartPolicy,
        RestartPolicyNameEnum,
    },
    query_parameters::{CreateContainerOptions, ListContainersOptions},
};

use super::{Docker, DockerError, NETWORK};
use crate::domain::exposed::{Forwarder, ObservedForwarder, PublishedPort, SCRIPT};

/// Label: the workspace.
const LABEL: &str = "cmdr/ports";
/// Label: the checksum of the configuration.
const CHECKSUM: &str = "cmdr/checksum";
/// Label: the copy of the workspace whose ports are published.
const COPY: &str = "cmdr/copy";
/// Label: the ports of the original that a copy replaces, in the order of [`PUBLISHED`].
const REPLACED: &str = "cmdr/replaced";
/// Label: the published ports. Docker reports them only for running containers.
const PUBLISHED: &str = "cmdr/published";
/// This file exists when the script has set its first rules.
const READY: &str = "/run/forwarding";

/// Whose ports a container publishes: those of a workspace, or of one copy of it.
#[derive(Debug, Clone, Copy)]
pub struct ForwarderOwner<'a> {
    pub workspace: &'a str,
    pub copy: Option<&'a str>,
}

impl ForwarderOwner<'_> {
    /// The name of the container.
    fn container(self) -> String {
        let Self { workspace, copy } = self;
        copy.map_or_else(|| format!("{workspace}-ports"), |copy| format!("{workspace}-ports.{copy}"))
    }
}

impl Docker {
    /// Returns the containers that publish ports, of all workspaces or of one, running or not.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn forwarders(&self, workspace: Option<&str>) -> Result<Vec<ObservedForwarder>, DockerError> {
        let label = workspace.map_or_else(|| LABEL.to_owned(), |workspace| format!("{LABEL}={workspace}"));
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let listed = self.client.list_containers(Some(options)).await;
        let listed = listed.map_err(DockerError::request("list the containers that publish ports"))?;
        Ok(listed.into_iter().map(observed).collect())
    }

    /// Creates and starts the container of an owner, in place of an earlier one. `node` is the container of the
    /// cluster's node, and `image` its image.
    ///
    /// # Errors
    /// If the engine returns an error, most often because a port is in use. No container is left then.
    pub async fn make_forwarder(
        &self,
        owner: ForwarderOwner<'_>,
        (node, image): (&str, &str),
        forwarder: &Forwarder,
    ) -> Result<(), DockerError> {
        self.remove_forwarder(owner).await?;
        let name = owner.container();
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let body = container(owner, (node, image), forwarder);
        let created = self.client.create_container(Some(options), body).await;
        created.map_err(DockerError::request(format!("create container {name}")))?;
        let started = self.start(&name).await;
        if started.is_err() {
            self.remove(&name, true).await?;
        }
        started
    }

    /// Removes the container of an owner, if there is one.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn remove_forwarder(&self, owner: ForwarderOwner<'_>) -> Result<(), DockerError> {
        let found = self.forwarders(Some(owner.workspace)).await?;
        for forwarder in found.iter().filter(|found| found.copy.as_deref() == owner.copy) {
            self.remove(&forwarder.name, true).await?;
        }
        Ok(())
    }

    /// Removes the containers of a workspace and of all its copies.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn remove_forwarders(&self, workspace: &str) -> Result<(), DockerError> {
        for forwarder in self.forwarders(Some(workspace)).await? {
            self.remove(&forwarder.name, true).await?;
        }
        Ok(())
    }

    /// Returns whether the container of an owner forwards what it can resolve.
    pub async fn is_forwarding(&self, owner: ForwarderOwner<'_>) -> bool {
        let tested = self.exec(&owner.container(), &["test", "-e", READY]).await;
        tested.is_ok_and(|output| output.exit_code == 0)
    }

    /// Returns the holders of ports that stopped containers publish when they are started again.
    pub(super) async fn stopped_forwards(&self) -> Result<BTreeMap<PublishedPort, String>, DockerError> {
        let stopped = self.forwarders(None).await?.into_iter().filter(|found| !found.is_running);
        let held = stopped.flat_map(|found| {
            let holder = format!("container {} of the workspace {}", found.name, found.workspace);
            found.ports.into_iter().map(move |port| (port, holder.clone()))
        });
        Ok(held.collect())
    }
}

fn container(owner: ForwarderOwner<'_>, (node, image): (&str, &str), forwarder: &Forwarder) -> ContainerCreateBody {
    let labels =
        [(LABEL, owner.workspace.to_owned()), (CHECKSUM, forwarder.checksum()), (PUBLISHED, forwarder.ports())];
    let of_copy = owner.copy.map(|copy| [(COPY, copy.to_owned()), (REPLACED, forwarder.written_ports())]);
    let labels = labels.into_iter().chain(of_copy.into_iter().flatten());
    let bindings = forwarder.forwards.iter().map(|forward| {
        let PublishedPort { number, protocol } = forward.published;
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(number.to_string()) };
        (format!("{number}/{}", protocol.name()), Some(vec![binding]))
    });
    let bindings: HashMap<String, Option<Vec<PortBinding>>> = bindings.collect();
    let script = ["bash", "-c", SCRIPT, "forward"].map(str::to_owned);
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(script.into_iter().chain(forwarder.arguments(node)).collect()),
        cmd: Some(Vec::new()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).collect()),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        // The first process of a container ignores other signals.
        stop_signal: Some("SIGKILL".to_owned()),
        host_config: Some(HostConfig {
            port_bindings: Some(bindings),
            network_mode: Some(NETWORK.to_owned()),
            // Docker's own name server resolves containers, and asks this one about everything else.
            dns: Some(vec![forwarder.name_server().to_string()]),
            cap_add: Some(vec!["NET_ADMIN".to_owned()]),
            sysctls: Some(HashMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())])),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                ..RestartPolicy::default()
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn observed(container: ContainerSummary) -> ObservedForwarder {
    let labels = container.labels.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let names = container.names.unwrap_or_default();
    ObservedForwarder {
        name: names.first().map_or("", |name| name.trim_start_matches('/')).to_owned(),
        workspace: label(LABEL),
        copy: labels.get(COPY).cloned(),
        checksum: label(CHECKSUM),
        is_running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
        ports: label(PUBLISHED).split(' ').filter_map(PublishedPort::parse).collect(),
        replaced: label(REPLACED).split(' ').filter_map(PublishedPort::parse).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Name,
        cluster_networks::ClusterNetworks,
        exposed::{Forward, Protocol},
    };

    #[test]
    fn ports_are_published_on_this_machine_only_and_read_again() {
        let forward = |number, protocol| Forward {
            published: PublishedPort { number, protocol },
            written: PublishedPort { number: 53, protocol },
            project: Name::new("dns").unwrap(),
            host: "dns.tunes.svc.cluster.local".to_owned(),
            port: 53,
        };
        let forwards = vec![forward(5353, Protocol::Tcp), forward(5353, Protocol::Udp)];
        let forwarder = Forwarder { networks: ClusterNetworks::default(), forwards };
        let owner = ForwarderOwner { workspace: "tunes", copy: Some("fix-42") };
        let body = container(owner, ("tunes-control-plane", "kindest/node:v1"), &forwarder);
        let bindings = body.host_config.unwrap().port_bindings.unwrap();
        let addresses = |port: &str| bindings[port].as_ref().unwrap()[0].host_ip.clone();
        assert_eq!(
            (addresses("5353/tcp"), addresses("5353/udp")),
            (Some("127.0.0.1".into()), Some("127.0.0.1".into()))
        );
        let summary = ContainerSummary {
            names: Some(vec!["/tunes-ports".to_owned()]),
            labels: body.labels,
            ..ContainerSummary::default()
        };
        let found = observed(summary);
        assert_eq!((found.workspace.as_str(), found.checksum), ("tunes", forwarder.checksum()));
        assert_eq!((found.copy.as_deref(), owner.container().as_str()), (Some("fix-42"), "tunes-ports.fix-42"));
        assert_eq!(found.replaced, [forwarder.forwards[0].written, forwarder.forwards[1].written]);
        assert_eq!(found.ports, [forwarder.forwards[0].published, forwarder.forwards[1].published]);
    }
}
