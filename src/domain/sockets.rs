//! The ports that a pod listens on, from `/proc/net/tcp` and `/proc/net/tcp6`.

use std::collections::BTreeSet;

/// The state of a socket that listens.
const LISTEN: &str = "0A";
/// 127.0.0.1 and ::1, as the kernel writes them on a machine with little-endian numbers.
const LOOPBACK: [&str; 3] = ["0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"];

/// The TCP ports that a pod listens on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListeningPorts {
    /// Reachable from other pods.
    pub open: BTreeSet<u16>,
    /// Reachable from the pod itself only.
    pub loopback: BTreeSet<u16>,
}

impl ListeningPorts {
    /// Reads the tables of the kernel; other lines are ignored.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut columns = line.split_whitespace().skip(1);
            let (Some(local), Some(_), Some(LISTEN)) = (columns.next(), columns.next(), columns.next()) else {
                continue;
            };
            let Some((address, port)) = local.split_once(':') else { continue };
            let Ok(port) = u16::from_str_radix(port, 16) else { continue };
            if LOOPBACK.contains(&address) {
                found.loopback.insert(port)
            } else {
                found.open.insert(port)
            };
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
            \x20  1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0\n\
            \x20  2: 0A00F40A:1F91 0A00F40B:9C40 01 0\n";
        let found = ListeningPorts::parse(text);
        assert_eq!((found.open, found.loopback), (BTreeSet::from([80]), BTreeSet::from([8080])));
    }
}
