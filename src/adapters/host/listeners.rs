//! Finds the process that listens on a port, from `/proc` on Linux.

use std::path::Path;

/// The state `LISTEN` in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Returns the program that listens on `port`, as `nginx (process 123)`; `None` if it is unknown, for example because
/// it belongs to another user.
pub(super) fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| sockets(table, port)).collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let holder = processes.map(|entry| entry.path()).find(|process| holds(process, &sockets))?;
    let name = std::fs::read_to_string(holder.join("comm")).ok()?;
    let id = holder.file_name()?.to_string_lossy().into_owned();
    Some(format!("{} (process {id})", name.trim()))
}

/// Returns the listening sockets on `port` in a table of the kernel, as file descriptors refer to them:
/// `socket:[INODE]`.
fn sockets(table: &str, port: u16) -> Vec<String> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| {
        let local = row.get(1).and_then(|local| local.rsplit_once(':')).map(|(_, port)| port);
        row.get(3) == Some(&LISTEN) && local.and_then(|local| u16::from_str_radix(local, 16).ok()) == Some(port)
    });
    listening.filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]"))).collect()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let is_process =
        process.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    let files = || std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let is_socket = |link: &Path| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link));
    is_process && files().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| is_socket(&link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listening_sockets_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0\n\
            \x20  1: 0100007F:0050 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0\n";
        assert_eq!(sockets(table, 80), ["socket:[4242]"]);
        assert_eq!(sockets(table, 81), Vec::<String>::new());
    }
}
