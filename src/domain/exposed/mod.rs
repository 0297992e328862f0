//! Ports of projects that a local cluster publishes on 127.0.0.1 (`environments.local.expose`).
//!
//! A container on the network of kind's nodes publishes them and forwards them to Services. It is compared by the
//! checksum of its configuration.

mod copies;
mod target;

use std::{fmt, net::Ipv4Addr};

use schemars::JsonSchema;
use serde::Serialize;

pub use copies::ports_of_copy;
pub use target::{ExposedTarget, TargetError, forwards, target_port};

use super::{Name, cluster_networks::ClusterNetworks, digest::sha256};

/// The script that the container runs.
pub const SCRIPT: &str = include_str!("forward.sh");

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Returns the name in lower case: `tcp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    pub number: u16,
    pub protocol: Protocol,
}

impl PublishedPort {
    /// Reads `5432` or `5353/udp`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, protocol) = match text.strip_suffix("/udp") {
            Some(number) => (number, Protocol::Udp),
            None => (text, Protocol::Tcp),
        };
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        is_plain.then(|| number.parse().ok().map(|number| Self { number, protocol })).flatten()
    }
}

/// `5432`, or `5353/udp`.
impl fmt::Display for PublishedPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Tcp => write!(formatter, "{}", self.number),
            Protocol::Udp => write!(formatter, "{}/udp", self.number),
        }
    }
}

/// A published port and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub published: PublishedPort,
    /// The port as it is written, which a copy replaces.
    pub written: PublishedPort,
    pub project: Name,
    /// The name of the Service in the cluster's DNS.
    pub host: String,
    /// The port of the Service.
    pub port: u16,
}

impl Forward {
    /// Returns the address on this machine: `127.0.0.1:5432`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.published)
    }
}

/// `127.0.0.1:5432 postgres`
impl fmt::Display for Forward {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.address(), self.project)
    }
}

/// The desired container that publishes ports; without any, there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarder {
    /// The networks of the cluster, which the container reaches through the node.
    pub networks: ClusterNetworks,
    pub forwards: Vec<Forward>,
}

impl Forwarder {
    /// Returns the address of the cluster's DNS server: kubeadm takes the tenth of the network of Services.
    pub fn name_server(&self) -> Ipv4Addr {
        (u32::from(self.networks.services.trimmed().address) + 10).into()
    }

    /// Returns the arguments of [`SCRIPT`] for a node.
    pub fn arguments(&self, node: &str) -> Vec<String> {
        let ClusterNetworks { pods, services } = self.networks;
        let fixed = [node.to_owned(), services.to_string(), pods.to_string()];
        let forwards = self.forwards.iter().flat_map(|forward| {
            let Forward { published, host, port, .. } = forward;
            [published.protocol.name().to_owned(), published.number.to_string(), host.clone(), port.to_string()]
        });
        fixed.into_iter().chain(forwards).collect()
    }

    /// Returns the published ports, separated by spaces: `5432 5353/udp`.
    pub fn ports(&self) -> String {
        self.forwards.iter().map(|forward| forward.published.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// Returns the ports as they are written, in the order of [`Self::ports`].
    pub fn written_ports(&self) -> String {
        self.forwards.iter().map(|forward| forward.written.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// Returns a checksum of the configuration.
    pub fn checksum(&self) -> String {
        sha256(format!("{SCRIPT}\n{}", self.arguments("").join("\n")).as_bytes())[..16].to_owned()
    }
}

/// The container that publishes ports, as Docker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedForwarder {
    /// The container's name.
    pub name: String,
    /// The workspace whose ports it publishes.
    pub workspace: String,
    /// The copy whose ports it publishes; `None`: the original.
    pub copy: Option<String>,
    pub checksum: String,
    pub is_running: bool,
    pub ports: Vec<PublishedPort>,
    /// Of a copy: the ports of the original in place of which it has `ports`, in the same order.
    pub replaced: Vec<PublishedPort>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_tcp_unless_they_say_udp() {
        let parsed = |text: &str| PublishedPort::parse(text).map(|port| port.to_string());
        assert_eq!(parsed("5432").as_deref(), Some("5432"));
        assert_eq!(parsed("5353/udp").as_deref(), Some("5353/udp"));
        for wrong in ["", "0", "05432", "65536", "+1", "5432/tcp", "5432:5432", "/udp", "postgres"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_checksum_covers_networks_and_targets() {
        let published = PublishedPort { number: 5432, protocol: Protocol::Tcp };
        let forward = |port| Forward {
            published,
            written: published,
            project: Name::new("postgres").unwrap(),
            host: "postgres.tunes.svc.cluster.local".to_owned(),
            port,
        };
        let one = Forwarder { networks: ClusterNetworks::default(), forwards: vec![forward(5432)] };
        let other = Forwarder { forwards: vec![forward(5433)], ..one.clone() };
        assert_eq!(
            one.arguments("tunes-control-plane")[..5],
            ["tunes-control-plane", "10.96.0.0/16", "10.244.0.0/16", "tcp", "5432"]
        );
        assert_ne!(one.checksum(), other.checksum());
        assert_eq!(one.name_server(), Ipv4Addr::new(10, 96, 0, 10));
        assert_eq!((one.ports(), one.forwards[0].to_string()), ("5432".into(), "127.0.0.1:5432 postgres".into()));
    }
}
