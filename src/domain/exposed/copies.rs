//! The ports of a copy of a local environment: those of the original are taken.

use std::collections::{BTreeMap, BTreeSet};

use super::PublishedPort;

/// Returns the port of a copy for each port that is written: the one that it had before (`kept`), or else the next free
/// one. If no higher one is free, it stays the same, and is refused as taken.
pub fn ports_of_copy<'a>(
    written: impl Iterator<Item = &'a PublishedPort>,
    kept: &BTreeMap<PublishedPort, PublishedPort>,
    is_free: impl Fn(PublishedPort) -> bool,
) -> BTreeMap<PublishedPort, PublishedPort> {
    let mut used: BTreeSet<PublishedPort> = kept.values().copied().collect();
    let mut chosen = BTreeMap::new();
    for written in written {
        let next = || {
            let above =
                (written.number.saturating_add(1)..=u16::MAX).map(|number| PublishedPort { number, ..*written });
            above.into_iter().find(|port| !used.contains(port) && is_free(*port)).unwrap_or(*written)
        };
        let port = kept.get(written).copied().unwrap_or_else(next);
        used.insert(port);
        chosen.insert(*written, port);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::{super::Protocol, *};

    fn tcp(number: u16) -> PublishedPort {
        PublishedPort { number, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_copy_has_the_next_free_ports_and_keeps_them() {
        let written = [tcp(5432), tcp(5433), tcp(6379)];
        let is_free = |port: PublishedPort| !written.contains(&port) && port.number != 5434;
        let chosen = ports_of_copy(written.iter(), &BTreeMap::new(), is_free);
        assert_eq!(chosen.values().map(|port| port.number).collect::<Vec<_>>(), [5435, 5436, 6380]);
        let again = ports_of_copy(written.iter(), &chosen, |_| false);
        assert_eq!(again, chosen);
        let others = BTreeMap::from([(tcp(6379), tcp(5435))]);
        assert_eq!(ports_of_copy(written.iter(), &others, is_free)[&tcp(5432)], tcp(5436));
        assert_eq!(ports_of_copy([tcp(65535)].iter(), &BTreeMap::new(), |_| true)[&tcp(65535)], tcp(65535));
    }
}
