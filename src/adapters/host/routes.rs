//! Reads the IPv4 routes of this machine from `/proc` on Linux.

use std::net::Ipv4Addr;

use crate::domain::{cluster_networks::MachineRoute, pool::Subnet};

/// Returns all routes but default routes; none if the kernel is not Linux.
pub fn routes() -> Vec<MachineRoute> {
    parse(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// Parses the kernel's table, whose addresses are hexadecimal numbers in the machine's byte order.
fn parse(table: &str) -> Vec<MachineRoute> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()));
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (interface, address, mask) = (columns.first()?, number(columns.get(1)?)?, number(columns.get(7)?)?);
        let prefix = u8::try_from(u32::from(mask).count_ones()).ok()?;
        Some(MachineRoute { subnet: Subnet { address, prefix }, interface: (*interface).to_owned() })
    };
    table.lines().skip(1).filter_map(route).filter(|route| route.subnet.prefix > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_read() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            tun0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let subnet = Subnet::parse("10.244.0.0/24").unwrap();
        assert_eq!(parse(table), [MachineRoute { subnet, interface: "tun0".to_owned() }]);
    }
}
