//! Where images and charts are fetched instead of from their own registries.

use std::net::Ipv4Addr;

/// Takes the place of registries, as `HOST=URL`; `*` stands for every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageMirror {
    /// A registry's host (`docker.io`) or `*`.
    pub host: String,
    /// `http(s)://HOST[:PORT]`.
    pub url: String,
}

impl ImageMirror {
    /// The URL as a node reaches it: this machine's own names become the Docker network's gateway.
    pub fn url_from_node(&self, gateway: Ipv4Addr) -> String {
        ["localhost", "127.0.0.1", "[::1]"].iter().fold(self.url.clone(), |url, own| {
            url.replacen(&format!("://{own}"), &format!("://{gateway}"), 1)
        })
    }

    /// The folder below `/etc/containerd/certs.d` that containerd reads for this host.
    pub fn folder(&self) -> &str {
        if self.host == "*" { "_default" } else { &self.host }
    }
}

/// Takes the place of chart repositories and registries: URLs that start with `prefix` start with `url` instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartMirror {
    /// `https://traefik.github.io/charts`, `oci://ghcr.io`, `oci://*` (any registry) or `*` (any HTTP repository).
    pub prefix: String,
    pub url: String,
}
