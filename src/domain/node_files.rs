//! Files in a node that configure containerd to use mirrors and to trust a company's CA.
//!
//! containerd reads them at each pull (`core/remotes/docker/config/hosts.go`), so changes need no restart.

use std::{fmt::Write, net::Ipv4Addr};

use super::{
    local_registry::NodeRegistry,
    mirror::{ImageMirror, is_this_machine},
};

/// The folder with one subfolder per registry, if containerd's `config_path` is set to it.
pub const HOSTS_FOLDER: &str = "/etc/containerd/certs.d";
/// The company's CA in a node: one or more certificates in PEM.
pub const CA_FILE: &str = "/etc/containerd/certs.d/cmdr-ca.crt";

/// A file in a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFile {
    /// Absolute.
    pub path: String,
    pub content: String,
}

/// Returns containerd's `hosts.toml` for one registry: its cache on this machine, its mirrors in order, then the
/// registry itself.
///
/// It contains no `server`: containerd then tries the registry itself last, with its own rules (`docker.io` is at
/// registry-1.docker.io, `localhost:5000` has no TLS); `_default` has no single server. A `ca` at the top is for the
/// registry itself. A mirror with plain HTTP gets no `ca`: containerd would try TLS first.
pub fn hosts_toml(
    first: Option<&NodeRegistry>,
    mirrors: &[&ImageMirror],
    gateway: Ipv4Addr,
    ca_path: Option<&str>,
) -> String {
    let ca = ca_path.map(|path| format!("ca = \"{path}\"\n")).unwrap_or_default();
    let mut text = ca.clone();
    let mirrors = mirrors.iter().map(|mirror| mirror.url_from_node(gateway));
    for url in first.and_then(|first| first.url.clone()).into_iter().chain(mirrors) {
        let separator = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{separator}[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        if url.starts_with("https://") {
            text.push_str(&ca);
        }
        // Registries that proxy others under a path of their own API, such as Harbor (`https://HOST/v2/PROJECT`).
        if url.contains("/v2/") {
            text.push_str("override_path = true\n");
        }
    }
    text
}

/// Returns all files for the registries of this machine, the mirrors and the CA. containerd reads `_default` only for
/// hosts without their own folder, so every folder contains the CA and the mirrors for any host.
pub fn node_files(
    registries: &[NodeRegistry],
    mirrors: &[ImageMirror],
    ca_pem: Option<&str>,
    gateway: Ipv4Addr,
) -> Vec<NodeFile> {
    let ca_path = ca_pem.map(|_| CA_FILE);
    let own = registries.iter().map(|registry| registry.host.as_str());
    let mut folders: Vec<&str> = mirrors.iter().map(ImageMirror::folder).chain(own).collect();
    if ca_pem.is_some() {
        folders.push("_default");
    }
    folders.sort_unstable();
    folders.dedup();
    let ca = ca_pem.map(|pem| NodeFile { path: CA_FILE.to_owned(), content: pem.to_owned() });
    let hosts = folders.into_iter().map(|folder| {
        let first = registries.iter().find(|registry| registry.host == folder);
        // Only the registry of this machine has the images that are pushed to it.
        let asked: &[ImageMirror] = if is_this_machine(folder) && first.is_some() { &[] } else { mirrors };
        let path = format!("{HOSTS_FOLDER}/{folder}/hosts.toml");
        NodeFile { path, content: hosts_toml(first, &ImageMirror::of(asked, folder), gateway, ca_path) }
    });
    ca.into_iter().chain(hosts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);

    fn text(files: &[NodeFile]) -> String {
        files.iter().flat_map(|file| ["--- ", &file.path, "\n", &file.content]).collect()
    }

    #[test]
    fn mirrors_without_a_ca() {
        let list = "docker.io=http://localhost:5000,docker.io=https://m.example.com,*=https://h.example.com/v2/all";
        let mirrors = ImageMirror::parse_list(list).unwrap();
        insta::assert_snapshot!(text(&node_files(&[], &mirrors, None, GATEWAY)), @r#"
        --- /etc/containerd/certs.d/_default/hosts.toml
        [host."https://h.example.com/v2/all"]
        capabilities = ["pull", "resolve"]
        override_path = true
        --- /etc/containerd/certs.d/docker.io/hosts.toml
        [host."http://172.18.0.1:5000"]
        capabilities = ["pull", "resolve"]

        [host."https://m.example.com"]
        capabilities = ["pull", "resolve"]
        "#);
    }

    #[test]
    fn a_ca_is_trusted_for_every_registry() {
        let mirrors = ImageMirror::parse_list("docker.io=https://m.example.com").unwrap();
        insta::assert_snapshot!(text(&node_files(&[], &mirrors, Some("PEM\n"), GATEWAY)), @r#"
        --- /etc/containerd/certs.d/cmdr-ca.crt
        PEM
        --- /etc/containerd/certs.d/_default/hosts.toml
        ca = "/etc/containerd/certs.d/cmdr-ca.crt"
        --- /etc/containerd/certs.d/docker.io/hosts.toml
        ca = "/etc/containerd/certs.d/cmdr-ca.crt"

        [host."https://m.example.com"]
        capabilities = ["pull", "resolve"]
        ca = "/etc/containerd/certs.d/cmdr-ca.crt"
        "#);
    }

    #[test]
    fn nothing_wanted_is_nothing_written() {
        assert_eq!(node_files(&[], &[], None, GATEWAY), []);
    }

    #[test]
    fn a_cache_precedes_mirrors_and_is_the_only_endpoint_for_local_builds() {
        let registry = |host: &str, url: &str| NodeRegistry { host: host.to_owned(), url: Some(url.to_owned()) };
        let registries = [
            registry("localhost:5001", "http://cmdr-registry:5000"),
            registry("ghcr.io", "http://cmdr-cache-ghcr-io:5000"),
        ];
        let mirrors = ImageMirror::parse_list("*=http://localhost:5555").unwrap();
        insta::assert_snapshot!(text(&node_files(&registries, &mirrors, None, GATEWAY)), @r#"
        --- /etc/containerd/certs.d/_default/hosts.toml
        [host."http://172.18.0.1:5555"]
        capabilities = ["pull", "resolve"]
        --- /etc/containerd/certs.d/ghcr.io/hosts.toml
        [host."http://cmdr-cache-ghcr-io:5000"]
        capabilities = ["pull", "resolve"]

        [host."http://172.18.0.1:5555"]
        capabilities = ["pull", "resolve"]
        --- /etc/containerd/certs.d/localhost:5001/hosts.toml
        [host."http://cmdr-registry:5000"]
        capabilities = ["pull", "resolve"]
        "#);
    }
}
