//! A process of this machine that takes the place of a project's pods: its names, addresses, ports and variables.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::pool::Subnet;

/// The number of addresses of a block, and its prefix.
const BLOCK: u32 = 256;
const BLOCK_PREFIX: u8 = 24;
/// The most names that a block has addresses for: without the first and the last address.
pub const MOST_ADDRESSES: usize = 254;
/// Variables that describe this machine, whatever the container sets.
const OWN_VARIABLES: [&str; 7] = ["HOME", "HOSTNAME", "PATH", "PWD", "SHELL", "TERM", "USER"];
/// The variable of in-cluster clients with the address of the Kubernetes API.
const API_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// The name in the certificate of the Kubernetes API.
const API_NAME: &str = "kubernetes.default.svc";

/// A port of the container, and the port of this machine on which the process listens instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPair {
    pub container: u16,
    pub local: u16,
}

impl PortPair {
    /// Parses `8080` or `8080:18080`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let (container, local) = text.split_once(':').unwrap_or((text, text));
        Some(Self { container: port(container)?, local: port(local)? })
    }
}

/// A Service or a pod of the cluster that is reached by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub name: String,
    pub namespace: String,
    /// The address in the cluster: that of the Service, or of one of its pods.
    pub address: Ipv4Addr,
}

/// The addresses of one local run, which lead to destinations in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressBook {
    pub block: Subnet,
    entries: Vec<(Ipv4Addr, Destination)>,
}

impl AddressBook {
    /// Gives each destination an address of the block, in the order of namespaces and names. Further ones get none.
    pub fn new(block: Subnet, mut destinations: Vec<Destination>) -> Self {
        destinations.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        destinations.dedup_by(|a, b| (&a.namespace, &a.name) == (&b.namespace, &b.name));
        let first = u32::from(block.address) + 1;
        let addresses = (first..).map(Ipv4Addr::from).take(MOST_ADDRESSES);
        Self { block, entries: addresses.zip(destinations).collect() }
    }

    /// Returns the lines for a hosts file. In its own namespace, a Service also has a short name.
    pub fn hosts(&self, namespace: &str) -> String {
        let line = |(address, it): &(Ipv4Addr, Destination)| {
            let full = format!("{}.{}", it.name, it.namespace);
            let short = if it.namespace == namespace { format!("{} ", it.name) } else { String::new() };
            format!("{address} {short}{full} {full}.svc {full}.svc.cluster.local\n")
        };
        self.entries.iter().map(line).collect()
    }

    /// Returns where each address leads, in the notation of nftables: `172.18.96.1 : 10.96.0.1, ...`.
    pub fn map(&self) -> String {
        let pair = |(address, it): &(Ipv4Addr, Destination)| format!("{address} : {}", it.address);
        self.entries.iter().map(pair).collect::<Vec<_>>().join(", ")
    }

    /// Returns the address on this machine of an address in the cluster.
    fn local_of(&self, address: &str) -> Option<Ipv4Addr> {
        self.entries.iter().find(|(_, it)| it.address.to_string() == address).map(|(local, _)| *local)
    }

    /// Returns the variables of the container for the process: addresses of Services become those of the block, and
    /// variables that describe the machine are left out.
    pub fn variables(&self, container: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let own = container.iter().filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()));
        own.map(|(name, value)| (name.clone(), self.variable(name, value))).collect()
    }

    fn variable(&self, name: &str, value: &str) -> String {
        if name == API_HOST && self.local_of(value).is_some() {
            return API_NAME.to_owned();
        }
        let is_address = |c: char| c.is_ascii_digit() || c == '.';
        let mut written = BTreeSet::new();
        for word in value.split(|c: char| !is_address(c)) {
            written.extend(self.local_of(word).map(|local| (word, local)));
        }
        // A value has at most one address: those of the variables that Kubernetes sets for Services.
        match written.first() {
            Some((word, local)) => value.replacen(word, &local.to_string(), 1),
            None => value.to_owned(),
        }
    }
}

/// Chooses a block of addresses for a run: in the second quarter of the Docker network, where neither Docker nor
/// MetalLB assigns addresses. `None` if the network is too small, or all blocks are taken.
pub fn choose_block(network: Subnet, run: &str, taken: &BTreeSet<String>) -> Option<Subnet> {
    let size = 1u32.checked_shl(32 - u32::from(network.prefix))?;
    let blocks = size / 4 / BLOCK;
    let start = u32::from(network.trimmed().address) + size / 4;
    let first = run.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let block = |step: u32| {
        let index = first.wrapping_add(step).checked_rem(blocks)?;
        Some(Subnet { address: (start + index * BLOCK).into(), prefix: BLOCK_PREFIX })
    };
    (0..blocks).filter_map(block).find(|block| !taken.contains(&block.to_string()))
}

/// Returns a configuration of the name service in which the hosts file comes first, as resolvers that ask a service of
/// the machine would not see the process's own hosts file.
pub fn with_hosts_file_first(configuration: &str) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix("hosts:") {
        Some(sources) => {
            let others: Vec<&str> = sources.split_whitespace().filter(|source| *source != "files").collect();
            format!("hosts: files {}\n", others.join(" "))
        }
        None => format!("{line}\n"),
    };
    configuration.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(name: &str, namespace: &str, address: [u8; 4]) -> Destination {
        Destination { name: name.to_owned(), namespace: namespace.to_owned(), address: address.into() }
    }

    fn book() -> AddressBook {
        let block = Subnet { address: [172, 18, 64, 0].into(), prefix: 24 };
        let found = [
            destination("redis", "shop", [10, 96, 0, 12]),
            destination("kubernetes", "default", [10, 96, 0, 1]),
            destination("redis", "shop", [10, 96, 0, 12]),
        ];
        AddressBook::new(block, found.to_vec())
    }

    #[test]
    fn names_lead_to_addresses_of_the_block() {
        let hosts = book().hosts("shop");
        let lines: Vec<&str> = hosts.lines().collect();
        assert!(lines[0].starts_with("172.18.64.1 kubernetes.default kubernetes.default.svc "), "{hosts}");
        assert_eq!(lines[1], "172.18.64.2 redis redis.shop redis.shop.svc redis.shop.svc.cluster.local");
        assert_eq!(lines.len(), 2);
        assert_eq!(book().map(), "172.18.64.1 : 10.96.0.1, 172.18.64.2 : 10.96.0.12");
    }

    #[test]
    fn variables_of_services_get_the_addresses_of_the_block() {
        let variable = |name: &str, value: &str| {
            let container = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            book().variables(&container).into_values().next()
        };
        assert_eq!(variable("REDIS_PORT", "tcp://10.96.0.12:6379").as_deref(), Some("tcp://172.18.64.2:6379"));
        assert_eq!(variable("REDIS_SERVICE_HOST", "10.96.0.12").as_deref(), Some("172.18.64.2"));
        assert_eq!(variable("OTHER", "10.96.0.129").as_deref(), Some("10.96.0.129"));
        assert_eq!(variable(API_HOST, "10.96.0.1").as_deref(), Some(API_NAME));
        assert_eq!(variable("PATH", "/app"), None);
    }

    #[test]
    fn a_block_is_neither_in_use_nor_where_others_assign_addresses() {
        let network = Subnet { address: [172, 18, 0, 0].into(), prefix: 16 };
        let first = choose_block(network, "shop/catalog", &BTreeSet::new()).unwrap();
        assert!((64..128).contains(&first.address.octets()[2]), "{first}");
        let second = choose_block(network, "shop/catalog", &BTreeSet::from([first.to_string()])).unwrap();
        assert!(!first.overlaps(&second));
        let small = Subnet { address: [192, 168, 16, 0].into(), prefix: 22 };
        assert_eq!(choose_block(small, "a", &BTreeSet::new()).unwrap().to_string(), "192.168.17.0/24");
        assert_eq!(choose_block(Subnet { prefix: 24, ..small }, "a", &BTreeSet::new()), None);
    }

    #[test]
    fn ports_map_to_others() {
        assert_eq!(PortPair::parse("80"), Some(PortPair { container: 80, local: 80 }));
        assert_eq!(PortPair::parse("80:8080"), Some(PortPair { container: 80, local: 8080 }));
        assert!(["", "0", "80:", "80:0", "a:1", "1:2:3"].iter().all(|text| PortPair::parse(text).is_none()));
    }

    #[test]
    fn the_hosts_file_is_read_before_other_sources() {
        let text = "passwd: files\nhosts: mymachines resolve [!UNAVAIL=return] files dns\n";
        let expected = "passwd: files\nhosts: files mymachines resolve [!UNAVAIL=return] dns\n";
        assert_eq!(with_hosts_file_first(text), expected);
    }
}
