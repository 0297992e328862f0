//! The networks of a local cluster, which must not contain addresses that its pods want to reach elsewhere.

use std::fmt;

use super::pool::Subnet;

/// The IPv4 networks of Pods and Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterNetworks {
    pub pods: Subnet,
    pub services: Subnet,
}

impl Default for ClusterNetworks {
    /// kind's defaults, from its documentation of `networking`.
    fn default() -> Self {
        let network = |address: [u8; 4], prefix| Subnet { address: address.into(), prefix };
        Self { pods: network([10, 244, 0, 0], 16), services: network([10, 96, 0, 0], 16) }
    }
}

impl ClusterNetworks {
    /// Reads what `Display` writes; `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let (pods, services) = text.split_once(" and ")?;
        Some(Self { pods: Subnet::parse(pods).ok()?, services: Subnet::parse(services).ok()? })
    }
}

/// The network of Pods, then that of Services: `10.244.0.0/16 and 10.96.0.0/16`.
impl fmt::Display for ClusterNetworks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} and {}", self.pods, self.services)
    }
}

/// A route of this machine that is not the default route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRoute {
    pub subnet: Subnet,
    /// The name of the interface: `eth0`, `tun0`.
    pub interface: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_networks_are_read_again() {
        let networks = ClusterNetworks::default();
        assert_eq!(networks.to_string(), "10.244.0.0/16 and 10.96.0.0/16");
        assert_eq!(ClusterNetworks::parse(&networks.to_string()), Some(networks));
        assert_eq!(ClusterNetworks::parse("10.244.0.0/16"), None);
    }
}
