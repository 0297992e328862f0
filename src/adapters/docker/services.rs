//! The containers that survive clusters: the registry of this machine and its caches. Each has its own volume, and a
//! label by which cmdr finds both.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use bollard::{
    models::{
        ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings, HostConfig,
        HostConfigLogConfig, NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{CreateContainerOptions, InspectContainerOptions, ListContainersOptions},
};
use futures::future::try_join_all;

use super::{Docker, DockerError, NETWORK, UploadFile};
use crate::{
    adapters::wait::{Wait, every},
    domain::local_registry::{IMAGE, INNER_PORT, ObservedService, RegistryService},
};

/// Label of containers and volumes: the role of the service.
const LABEL: &str = "cmdr/registry";
/// Label of containers: the checksum of their configuration.
const CHECKSUM: &str = "cmdr/checksum";
/// Label of containers: the port on this machine. Docker reports it only for running containers.
const PORT: &str = "cmdr/port";
/// How long another run may take to create a container, and the polling interval.
const MADE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);
/// The maximum size of a log file of a service.
const LOG_SIZE: &str = "2m";
/// The folder in which the registry stores its data.
const DATA: &str = "/var/lib/registry";
/// A folder whose certificates Go programs trust in addition to the system's, by [`CERTIFICATES`].
const CA_FOLDER: &str = "etc/cmdr";
const CERTIFICATES: &str = "SSL_CERT_DIR=/etc/ssl/certs:/etc/cmdr";

impl Docker {
    /// Returns the existing registry and caches, running or not, sorted by name. Sends one request to the engine.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn registry_services(&self) -> Result<Vec<ObservedService>, DockerError> {
        let options = ListContainersOptions { all: true, filters: Some(own()), ..ListContainersOptions::default() };
        let listed = self.client.list_containers(Some(options)).await;
        let listed = listed.map_err(DockerError::request("list the registry and its caches"))?;
        let mut services: Vec<ObservedService> = listed.into_iter().map(observed).collect();
        services.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(services)
    }

    /// Creates a service and starts it. If another run creates a service with the same name at the same moment, that
    /// one is used. `gateway` is the address of this machine on the network of kind's nodes, which exists.
    ///
    /// # Errors
    /// If the engine returns an error, or a container with this name does not belong to cmdr.
    pub async fn make_service(&self, service: &RegistryService, gateway: Ipv4Addr) -> Result<(), DockerError> {
        let name = service.name();
        let labels = HashMap::from([(LABEL.to_owned(), service.label().to_owned())]);
        self.create_volume(&name, labels).await?;
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let created = self.client.create_container(Some(options), container(service, gateway)).await;
        match created.map_err(DockerError::request(format!("create container {name}"))) {
            Ok(_) => (),
            Err(error) if error.is_conflict() => self.await_own(&name).await?,
            Err(error) => return Err(error),
        }
        if let Some(authority) = &service.certificate_authority {
            let file = UploadFile { path: &format!("{CA_FOLDER}/ca.crt"), content: authority.as_bytes(), mode: 0o644 };
            self.upload(&name, "/", &[file]).await?;
        }
        self.start(&name).await
    }

    /// Removes every service with its volume. Returns their names.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn remove_services(&self) -> Result<Vec<String>, DockerError> {
        let services = self.registry_services().await?;
        try_join_all(services.iter().map(|service| self.remove(&service.name, false))).await?;
        for volume in self.volumes(Some(LABEL)).await? {
            self.remove_volume(&volume.name).await?;
        }
        Ok(services.into_iter().map(|service| service.name).collect())
    }

    /// Waits until a container that another run creates exists. Fails if the container with this name does not belong
    /// to cmdr.
    async fn await_own(&self, name: &str) -> Result<(), DockerError> {
        let action = format!("create container {name}");
        let mut wait = Wait::new(every(LOOK), MADE);
        loop {
            // The engine reserves the name some time before it reports the container.
            match self.client.inspect_container(name, None::<InspectContainerOptions>).await {
                Ok(found) => {
                    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
                    if labels.contains_key(LABEL) {
                        return Ok(());
                    }
                    let source = "a container with this name was not created by cmdr".into();
                    return Err(DockerError::Request { action, source, status: None });
                }
                Err(error) => wait.sleep_or(DockerError::request(action.as_str())(error)).await?,
            }
        }
    }
}

fn own() -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])])
}

fn container(service: &RegistryService, gateway: Ipv4Addr) -> ContainerCreateBody {
    let mut labels =
        HashMap::from([(LABEL.to_owned(), service.label().to_owned()), (CHECKSUM.to_owned(), service.checksum())]);
    let mut environment = service.variables(gateway);
    environment.extend(service.certificate_authority.as_ref().map(|_| CERTIFICATES.to_owned()));
    let inner = format!("{INNER_PORT}/tcp");
    let ports = service.port().map(|port| {
        labels.insert(PORT.to_owned(), port.to_string());
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
        HashMap::from([(inner.clone(), Some(vec![binding]))])
    });
    let restart = RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), ..RestartPolicy::default() };
    // Each request is logged, and Docker's default log has no size limit.
    let log = HostConfigLogConfig {
        typ: Some("local".to_owned()),
        config: Some(HashMap::from([("max-size".to_owned(), LOG_SIZE.to_owned())])),
    };
    ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        env: Some(environment),
        labels: Some(labels),
        exposed_ports: Some(vec![inner]),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{}:{DATA}", service.name())]),
            port_bindings: ports,
            restart_policy: Some(restart),
            log_config: Some(log),
            network_mode: Some(NETWORK.to_owned()),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(NETWORK.to_owned(), EndpointSettings::default())])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn observed(container: ContainerSummary) -> ObservedService {
    let labels = container.labels.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let names = container.names.unwrap_or_default();
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    ObservedService {
        name: names.first().map_or("", |name| name.trim_start_matches('/')).to_owned(),
        label: label(LABEL),
        checksum: label(CHECKSUM),
        port: label(PORT).parse().ok(),
        is_running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
        is_joined: networks.contains_key(NETWORK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        local_registry::{ServiceRole, wanted},
        proxy::Proxies,
    };

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);

    #[test]
    fn the_registry_is_published_only_on_this_machine() {
        let service = RegistryService {
            role: ServiceRole::Push { port: 5002 },
            certificate_authority: None,
            proxies: Proxies::default(),
        };
        let made = container(&service, GATEWAY);
        let host = made.host_config.unwrap();
        let binding = host.port_bindings.unwrap().remove("5000/tcp").unwrap().unwrap().remove(0);
        assert_eq!((binding.host_ip.as_deref(), binding.host_port.as_deref()), (Some("127.0.0.1"), Some("5002")));
        assert_eq!(host.binds.unwrap(), ["cmdr-registry:/var/lib/registry"]);
        let cache = wanted(&["ghcr.io".to_owned()].into(), &[], |_| false, Some("PEM"), 5001).remove(1);
        let made = container(&cache, GATEWAY);
        assert_eq!(made.host_config.unwrap().port_bindings, None);
        assert!(made.env.unwrap().contains(&CERTIFICATES.to_owned()));
    }

    #[test]
    fn labels_tell_a_service_again() {
        let service = RegistryService {
            role: ServiceRole::Push { port: 5002 },
            certificate_authority: None,
            proxies: Proxies::default(),
        };
        let summary = ContainerSummary {
            names: Some(vec!["/cmdr-registry".to_owned()]),
            labels: container(&service, GATEWAY).labels,
            state: Some(ContainerSummaryStateEnum::EXITED),
            ..ContainerSummary::default()
        };
        let found = observed(summary);
        assert!(found.is_push() && !found.is_running && !found.is_joined);
        assert_eq!((found.port, found.checksum), (Some(5002), service.checksum()));
    }
}
