//! The networks of a local cluster, which must not contain addresses that its pods want to reach elsewhere.

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

/// A route of this machine that is not the default route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRoute {
    pub subnet: Subnet,
    /// The name of the interface: `eth0`, `tun0`.
    pub interface: String,
}
