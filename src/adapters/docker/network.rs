//! The Docker network that kind's nodes share, created with the same options as in kind
//! (`pkg/cluster/internal/providers/docker/network.go`).

use std::{collections::HashMap, net::Ipv4Addr};

use bollard::{
    models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect},
    query_parameters::{InspectNetworkOptions, ListNetworksOptions},
};
use sha2::{Digest, Sha256};

use super::{Docker, DockerError};
use crate::domain::pool::Subnet;

/// The network of kind's nodes and of the containers that serve them.
pub const NETWORK: &str = "kind";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const MTU: &str = "com.docker.network.driver.mtu";
/// Docker's default network, whose MTU may have been configured.
const DEFAULT_NETWORK: &str = "bridge";
/// Held while a network is looked up and created.
static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// The number of IPv6 subnets to try before a network with only IPv4.
const IPV6_ATTEMPTS: u8 = 5;

/// The IPv4 settings of a Docker network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub subnet: Subnet,
    /// The address of the Docker host on the network.
    pub gateway: Ipv4Addr,
}

impl Docker {
    /// Returns the network with this name, if it exists.
    ///
    /// # Errors
    /// If the engine returns an error, or the network has no IPv4 addresses.
    pub async fn network(&self, name: &str) -> Result<Option<Network>, DockerError> {
        self.networks(name).await?.into_iter().next().map(|inspected| ipv4(name, inspected)).transpose()
    }

    /// Returns the network with this name, and creates it if necessary: a bridge with IPv6 where the engine supports
    /// it, as in kind. kind then uses it unchanged.
    ///
    /// # Errors
    /// If the engine returns an error, has no free address range, or the network has no IPv4 addresses.
    pub async fn ensure_network(&self, name: &str) -> Result<Network, DockerError> {
        // Otherwise two steps of one run could create two networks, and remove one that is already used.
        let _one_at_a_time = MAKING.lock().await;
        if let Some(network) = self.network(name).await? {
            return Ok(network);
        }
        self.create_network(name).await?;
        self.remove_duplicates(name).await?;
        let why = || DockerError::Network { name: name.to_owned(), why: "disappeared after it was created".to_owned() };
        self.network(name).await?.ok_or_else(why)
    }

    /// Returns all networks with this name: Docker allows two if they are created at the same moment. The one with the
    /// most containers comes first, as in kind; then the oldest, which another process may already use.
    async fn networks(&self, name: &str) -> Result<Vec<NetworkInspect>, DockerError> {
        let action = format!("find network '{name}'");
        let filters = HashMap::from([("name".to_owned(), vec![name.to_owned()])]);
        let listed = self.client.list_networks(Some(ListNetworksOptions { filters: Some(filters) })).await;
        let listed = listed.map_err(DockerError::request(&action))?;
        // The filter also matches parts of names.
        let ids =
            listed.into_iter().filter(|network| network.name.as_deref() == Some(name)).filter_map(|found| found.id);
        let mut networks = Vec::new();
        for id in ids {
            match self.client.inspect_network(&id, None::<InspectNetworkOptions>).await {
                Ok(network) => networks.push(network),
                Err(error) => match DockerError::request(&action)(error) {
                    gone if gone.is_not_found() => (),
                    error => return Err(error),
                },
            }
        }
        let containers = |network: &NetworkInspect| network.containers.as_ref().map_or(0, HashMap::len);
        networks.sort_by_cached_key(|network| {
            let created = network.created.as_deref().unwrap_or_default();
            // Without the trailing Z, text sorts by time: Docker omits trailing zeros.
            (std::cmp::Reverse(containers(network)), created.trim_end_matches('Z').to_owned(), network.id.clone())
        });
        Ok(networks)
    }

    async fn create_network(&self, name: &str) -> Result<(), DockerError> {
        let mtu = self.default_mtu().await;
        for attempt in 0..IPV6_ATTEMPTS {
            match self.client.create_network(request(name, Some(ula_subnet(name, attempt)), mtu.as_deref())).await {
                Ok(_) => return Ok(()),
                // Another process was faster and uses the same IPv6 subnet, or a network with another name uses it.
                Err(error) if is_overlap(&error) => {
                    if self.network(name).await?.is_some() {
                        return Ok(());
                    }
                }
                // Another process was faster.
                Err(error) if is_conflict(&error) => return Ok(()),
                // Any other error may be due to IPv6: try only IPv4, which returns its own error.
                Err(_) => break,
            }
        }
        match self.client.create_network(request(name, None, mtu.as_deref())).await {
            Ok(_) => Ok(()),
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(refused(name, error)),
        }
    }

    async fn default_mtu(&self) -> Option<String> {
        let bridge = self.client.inspect_network(DEFAULT_NETWORK, None::<InspectNetworkOptions>).await.ok()?;
        bridge.options?.remove(MTU)
    }

    /// Removes all but the first network with this name: both processes in a race keep the same one.
    async fn remove_duplicates(&self, name: &str) -> Result<(), DockerError> {
        for id in self.networks(name).await?.into_iter().skip(1).filter_map(|network| network.id) {
            let removed = self.client.remove_network(&id).await;
            match removed.map_err(DockerError::request(format!("remove duplicate network '{name}'"))) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }
}

fn request(name: &str, ipv6: Option<String>, mtu: Option<&str>) -> NetworkCreateRequest {
    let mut options = HashMap::from([(MASQUERADE.to_owned(), "true".to_owned())]);
    options.extend(mtu.map(|mtu| (MTU.to_owned(), mtu.to_owned())));
    let config = |subnet| IpamConfig { subnet: Some(subnet), ..IpamConfig::default() };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(ipv6.is_some()),
        ipam: ipv6.map(|subnet| Ipam { config: Some(vec![config(subnet)]), ..Ipam::default() }),
        options: Some(options),
        ..NetworkCreateRequest::default()
    }
}

/// Returns a unique local IPv6 subnet (RFC 4193) derived from the name, so that a re-created network gets the same one.
fn ula_subnet(name: &str, attempt: u8) -> String {
    let hash = Sha256::new().chain_update(name).chain_update([attempt]).finalize();
    let group = |at: usize| u16::from_be_bytes([hash[at], hash[at + 1]]);
    format!("fc{:02x}:{:x}:{:x}:{:x}::/64", hash[0], group(1), group(3), group(5))
}

fn message(error: &bollard::errors::Error) -> &str {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message,
        _ => "",
    }
}

fn is_overlap(error: &bollard::errors::Error) -> bool {
    let message = message(error);
    message.contains("Pool overlaps with other one") || message.contains("networks have overlapping")
}

fn is_conflict(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 409, .. })
}

fn refused(name: &str, error: bollard::errors::Error) -> DockerError {
    let text = message(&error);
    let exhausted = ["could not find an available", "fully subnetted"].iter().any(|words| text.contains(words));
    if exhausted || is_overlap(&error) {
        return DockerError::NoAddresses { name: name.to_owned(), why: text.to_owned() };
    }
    DockerError::request(format!("create network '{name}'"))(error)
}

fn ipv4(name: &str, inspected: NetworkInspect) -> Result<Network, DockerError> {
    let wrong = |why: &str| DockerError::Network { name: name.to_owned(), why: why.to_owned() };
    let configs = inspected.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let found = configs.into_iter().find_map(|config| {
        let subnet = Subnet::parse(config.subnet.as_deref()?).ok()?;
        // Some versions of Docker write the gateway with a prefix; only the oldest ones omit it.
        let written = config.gateway.as_deref().and_then(|gateway| gateway.split('/').next()?.parse().ok());
        Some((subnet, written.unwrap_or_else(|| first_address(subnet))))
    });
    let (subnet, gateway) = found.ok_or_else(|| wrong("has no IPv4 addresses"))?;
    Ok(Network { id: inspected.id.unwrap_or_default(), name: name.to_owned(), subnet, gateway })
}

/// Returns the address that Docker assigns to the gateway by default.
fn first_address(subnet: Subnet) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(u32::from(32 - subnet.prefix.min(32))).unwrap_or(0);
    Ipv4Addr::from((u32::from(subnet.address) & mask).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(configs: &[(&str, Option<&str>)]) -> NetworkInspect {
        let config = |(subnet, gateway): &(&str, Option<&str>)| IpamConfig {
            subnet: Some((*subnet).to_owned()),
            gateway: gateway.map(str::to_owned),
            ..IpamConfig::default()
        };
        let ipam = Ipam { config: Some(configs.iter().map(config).collect()), ..Ipam::default() };
        NetworkInspect { id: Some("1".to_owned()), ipam: Some(ipam), ..NetworkInspect::default() }
    }

    #[test]
    fn takes_the_ipv4_side() {
        let network = ipv4("kind", inspected(&[("fc00::/64", Some("fc00::1")), ("172.18.0.0/16", Some("172.18.0.1"))]));
        let network = network.unwrap();
        assert_eq!((network.subnet.prefix, network.gateway), (16, Ipv4Addr::new(172, 18, 0, 1)));
        let without = ipv4("kind", inspected(&[("10.1.0.0/16", None)])).unwrap();
        assert_eq!(without.gateway, Ipv4Addr::new(10, 1, 0, 1));
        let error = ipv4("kind", inspected(&[("fc00::/64", None)])).unwrap_err();
        assert_eq!(error.to_string(), "the Docker network 'kind' has no IPv4 addresses");
    }

    #[test]
    fn exhausted_addresses_have_a_cause_of_their_own() {
        let of = |message: &str| {
            let message = message.to_owned();
            refused("kind", bollard::errors::Error::DockerResponseServerError { message, status_code: 500 }).problem()
        };
        let exhausted = of("all predefined address pools have been fully subnetted");
        assert_eq!(exhausted.code.as_deref(), Some("C204"));
        assert_eq!(of("no such driver").code, None);
    }

    #[test]
    fn ipv6_networks_are_stable_and_differ() {
        assert_eq!(ula_subnet("kind", 0), ula_subnet("kind", 0));
        assert_ne!(ula_subnet("kind", 0), ula_subnet("kind", 1));
        let (address, prefix) =
            ula_subnet("kind", 0).split_once('/').map(|(a, p)| (a.to_owned(), p.to_owned())).unwrap();
        assert!(address.parse::<std::net::Ipv6Addr>().unwrap().is_unique_local() && prefix == "64");
    }
}
