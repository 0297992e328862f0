//! Selects the addresses that MetalLB can assign.
//!
//! Docker assigns addresses from the start of the network to containers. The upper half is divided into slices, and
//! each local cluster uses one, so that clusters on the same network never use the same address.

use std::{fmt, net::Ipv4Addr};

/// The number of addresses in a slice; a platform with more LoadBalancer services does not fit on a laptop.
const SLICE: u32 = 32;

/// An IPv4 network: `172.18.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

/// The first and the last address of a slice, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error("'{0}' is not a valid IPv4 network such as 172.18.0.0/16")]
    NotASubnet(String),
    #[error("the Docker network is too small: its prefix is /{0}, but must be at most /25")]
    TooSmall(u8),
    #[error("all {0} address pools of the Docker network are in use by other clusters")]
    Exhausted(u32),
}

impl Subnet {
    /// # Errors
    /// Fails if `text` is not an IPv4 network in CIDR notation.
    pub fn parse(text: &str) -> Result<Self, PoolError> {
        let wrong = || PoolError::NotASubnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let subnet =
            Self { address: address.parse().map_err(|_| wrong())?, prefix: prefix.parse().map_err(|_| wrong())? };
        if subnet.prefix > 32 { Err(wrong()) } else { Ok(subnet) }
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.address) & self.mask()
    }

    /// Returns whether the networks have addresses in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// Returns the network with its first address: `10.1.0.0/16` for `10.1.2.3/16`.
    #[must_use]
    pub fn trimmed(self) -> Self {
        Self { address: (u32::from(self.address) & self.mask()).into(), ..self }
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl Pool {
    /// Selects the slice for a cluster by the hash of its name, or the next one that does not overlap with `taken`.
    ///
    /// # Errors
    /// Fails if the network is too small for a slice, or if all slices are in use.
    pub fn choose(subnet: Subnet, cluster: &str, taken: &[Pool]) -> Result<Self, PoolError> {
        if subnet.prefix > 25 {
            return Err(PoolError::TooSmall(subnet.prefix));
        }
        let size = 1u32 << (32 - subnet.prefix).min(31);
        let network = u32::from(subnet.address) & !(size - 1);
        // The last slice contains the broadcast address and is skipped.
        let slices = (size / 2 / SLICE - 1).max(1);
        let start = hash(cluster) % slices;
        (0..slices)
            .map(|step| slice(network + size / 2, (start + step) % slices))
            .find(|pool| !taken.iter().any(|other| pool.overlaps(*other)))
            .ok_or(PoolError::Exhausted(slices))
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Formats the range for MetalLB: `172.18.128.0-172.18.128.31`.
    pub fn range(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }

    /// Parses the output of [`Pool::range`].
    pub fn parse(range: &str) -> Option<Self> {
        let (first, last) = range.split_once('-')?;
        Some(Self { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? })
    }
}

fn slice(base: u32, index: u32) -> Pool {
    let first = base + index * SLICE;
    Pool { first: first.into(), last: (first + SLICE - 1).into() }
}

/// FNV-1a: stable across versions of Rust and cmdr, unlike the hasher of the standard library.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn lies_in_the_upper_half() {
        let pool = Pool::choose(subnet("172.18.0.0/16"), "tunes", &[]).unwrap();
        assert!(pool.first >= Ipv4Addr::new(172, 18, 128, 0) && pool.last < Ipv4Addr::new(172, 18, 255, 255));
        assert_eq!(u32::from(pool.last) - u32::from(pool.first), SLICE - 1);
        assert_eq!(Pool::parse(&pool.range()), Some(pool));
    }

    #[test]
    fn clusters_side_by_side_never_overlap() {
        let mut taken = Vec::new();
        for cluster in 0..200 {
            let pool = Pool::choose(subnet("172.18.0.0/16"), &format!("c{cluster}"), &taken).unwrap();
            assert!(!taken.iter().any(|other| pool.overlaps(*other)));
            taken.push(pool);
        }
    }

    #[test]
    fn a_full_network_is_reported() {
        assert_eq!(Pool::choose(subnet("10.0.0.0/26"), "a", &[]), Err(PoolError::TooSmall(26)));
        let only = Pool::choose(subnet("10.0.0.0/25"), "a", &[]).unwrap();
        assert_eq!(Pool::choose(subnet("10.0.0.0/25"), "b", &[only]), Err(PoolError::Exhausted(1)));
        assert!(Subnet::parse("fc00::/64").is_err());
    }
}
