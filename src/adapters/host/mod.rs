//! The state of this machine: kernel limits, ports, the DNS resolver, the versions of tools.

mod listeners;
mod processor;
mod routes;

use std::{
    ffi::OsStr,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use semver::Version;
use tokio_util::sync::CancellationToken;

use super::process::{ProcessError, Tool};
use crate::domain::{
    exposed::{Protocol, PublishedPort},
    ports::PortState,
    preflight::{FoundTool, Inotify, RESOLVER_PROBE, ResolverResult, ToolVersion},
};
pub use processor::ProcessorWatch;
pub use routes::routes;

/// The timeout for connecting to a local port.
const CONNECT_PATIENCE: Duration = Duration::from_millis(300);
/// The timeout for a tool's version and for the resolver.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the kernel limits on watched files; `None` if the kernel is not Linux.
pub fn inotify() -> Option<Inotify> {
    let limit = |name: &str| std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok();
    Some(Inotify { watches: limit("max_user_watches")?, instances: limit("max_user_instances")? })
}

/// Returns whether Docker can publish `port` on 127.0.0.1.
///
/// A rootless engine may bind the ports that this user may bind. Any other engine binds as root: a port that this user
/// may not bind is free for it if nothing is listening there.
pub fn port_state(port: u16, engine_is_rootless: bool) -> PortState {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Checked first: some systems allow a bind to one address of a port that another program uses on all addresses.
    if TcpStream::connect_timeout(&address, CONNECT_PATIENCE).is_ok() {
        return PortState::Taken { by: listeners::holder(port) };
    }
    match TcpListener::bind(address) {
        Ok(_) => PortState::Free,
        Err(error) if error.kind() == ErrorKind::PermissionDenied && engine_is_rootless => PortState::Forbidden,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => PortState::Free,
        Err(_) => PortState::Taken { by: listeners::holder(port) },
    }
}

/// Returns a port of 127.0.0.1 that is free now, as the system chooses it.
///
/// # Errors
/// If no port is free.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Returns whether Docker can publish a TCP or UDP port on 127.0.0.1, as [`port_state`].
pub fn published_port_state(port: PublishedPort, engine_is_rootless: bool) -> PortState {
    if port.protocol == Protocol::Tcp {
        return port_state(port.number, engine_is_rootless);
    }
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, port.number)) {
        Ok(_) => PortState::Free,
        Err(error) if error.kind() == ErrorKind::PermissionDenied && engine_is_rootless => PortState::Forbidden,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => PortState::Free,
        Err(_) => PortState::Taken { by: None },
    }
}

/// Returns how the system's resolver resolves names below `localhost`.
pub async fn resolver() -> ResolverResult {
    let lookup = tokio::net::lookup_host((RESOLVER_PROBE, 80));
    let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, lookup).await else { return ResolverResult::Unknown };
    let mut addresses: Vec<_> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    match addresses.as_slice() {
        [] => ResolverResult::Unknown,
        all if all.iter().all(std::net::IpAddr::is_loopback) => ResolverResult::Loopback,
        _ => ResolverResult::Elsewhere(addresses),
    }
}

/// The programs that cmdr runs, and the words that make each of them print its version.
const VERSION_WORDS: [(&str, &[&str]); 4] = [
    ("docker", &["--version"]),
    ("kind", &["version", "--quiet"]),
    ("helm", &["version", "--template", "{{.Version}}"]),
    // Without the first option, sops would ask the internet for its latest version.
    ("sops", &["--disable-version-check", "--version"]),
];

/// Returns the version of a program that cmdr runs, by its name or path; `None` if cmdr does not know the program.
pub async fn tool(name: &str, program: &Path, cancel: &CancellationToken) -> Option<FoundTool> {
    let (name, words) = VERSION_WORDS.into_iter().find(|(known, _)| *known == name)?;
    let version = version(program.as_os_str(), words, cancel).await;
    Some(FoundTool { name, version, program: program.to_owned() })
}

/// Returns the version of kubectl, which cmdr itself does not run.
pub async fn kubectl(cancel: &CancellationToken) -> ToolVersion {
    version(OsStr::new("kubectl"), &["version", "--client"], cancel).await
}

async fn version(program: &OsStr, args: &[&str], cancel: &CancellationToken) -> ToolVersion {
    match tokio::time::timeout(PATIENCE, Tool::new(program).args(args).run(cancel)).await {
        Ok(Ok(output)) => {
            let unreadable = || ToolVersion::Unreadable(output.stdout.trim().to_owned());
            find_version(&output.stdout).map_or_else(unreadable, ToolVersion::Found)
        }
        Ok(Err(ProcessError::NotFound { .. })) => ToolVersion::Missing,
        Ok(Err(error)) => ToolVersion::Unreadable(error.to_string()),
        Err(_) => ToolVersion::Unreadable("no response".to_owned()),
    }
}

/// Returns the first word that is a version, with or without a `v`: `v4.0.1`, `Docker version 28.2.2, build e6534b4`.
fn find_version(text: &str) -> Option<Version> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    words.map(|word| word.strip_prefix('v').unwrap_or(word)).find_map(|word| Version::parse(word).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_say() {
        let found = |text: &str| find_version(text).map(|version| version.to_string());
        assert_eq!(found("Docker version 28.2.2, build e6534b4\n").as_deref(), Some("28.2.2"));
        assert_eq!(found("v4.0.1").as_deref(), Some("4.0.1"));
        assert_eq!(found("kind v0.30.0 go1.24.6 linux/amd64").as_deref(), Some("0.30.0"));
        assert_eq!(found("0.31.0-alpha+abc\n").as_deref(), Some("0.31.0-alpha+abc"));
        assert_eq!(found("unknown"), None);
    }

    #[tokio::test]
    async fn a_tool_is_found_missing_or_unreadable() {
        let cancel = CancellationToken::new();
        let say =
            |text: &'static str| version(OsStr::new("echo"), std::slice::from_ref(Box::leak(Box::new(text))), &cancel);
        assert_eq!(say("v1.2.3").await, ToolVersion::Found(Version::new(1, 2, 3)));
        assert_eq!(say("none").await, ToolVersion::Unreadable("none".to_owned()));
        assert_eq!(version(OsStr::new("no-such-tool"), &[], &cancel).await, ToolVersion::Missing);
    }

    #[test]
    fn a_port_is_free_or_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let PortState::Taken { by } = port_state(port, false) else { panic!("a listener was overlooked") };
        if cfg!(target_os = "linux") {
            assert!(by.is_some_and(|by| by.contains("process")));
        }
        drop(listener);
        // A child that another test starts at this moment also holds the listener until it calls `exec`.
        assert!((0..50).any(|_| port_state(port, false).is_free()));
    }

    #[test]
    fn a_udp_port_is_free_or_taken() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = PublishedPort { number: socket.local_addr().unwrap().port(), protocol: Protocol::Udp };
        assert_eq!(published_port_state(port, false), PortState::Taken { by: None });
        drop(socket);
        assert!((0..50).any(|_| published_port_state(port, false).is_free()));
    }

    #[test]
    fn a_listener_on_all_addresses_takes_this_one_too() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(matches!(port_state(port, true), PortState::Taken { .. }));
    }

    #[tokio::test]
    async fn the_resolver_answers() {
        // Any valid result depends on the machine; it must not panic or return an empty list.
        assert_ne!(resolver().await, ResolverResult::Elsewhere(Vec::new()));
    }
}
