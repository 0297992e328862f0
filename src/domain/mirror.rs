//! Mirrors: where images and charts are fetched instead of from their own registries.

use std::net::Ipv4Addr;

/// Matches every registry, or every HTTP chart repository.
const ANY: &str = "*";
/// Matches every OCI chart registry.
const ANY_OCI: &str = "oci://*";
/// Other names of Docker Hub, which is `docker.io` for containerd and kubelet.
const DOCKER_HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// A mirror of registries, as `HOST=URL`; `*` matches every host without its own mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageMirror {
    /// A registry host (`docker.io`, `localhost:5000`) or `*`.
    pub host: String,
    /// `http(s)://HOST[:PORT][/PATH]`, without a trailing slash.
    pub url: String,
}

/// A mirror of chart repositories and registries: replaces the URL prefix `prefix` with `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartMirror {
    /// `https://traefik.github.io/charts`, `oci://ghcr.io`, `oci://*` (any registry) or `*` (any HTTP repository).
    pub prefix: String,
    /// Without a trailing slash; `oci://` if and only if `prefix` is `oci://`.
    pub url: String,
}

/// All mirrors that a user configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// Several mirrors of one host are tried in this order.
    pub images: Vec<ImageMirror>,
    pub charts: Vec<ChartMirror>,
}

/// Why a string is not a valid mirror. `entry` is the invalid `HOST=URL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMirror {
    #[error("'{entry}' is not a valid mirror: expected HOST=URL, such as docker.io=https://mirror.example.com")]
    NoUrl { entry: String },
    #[error("'{entry}': '{host}' is not a valid registry host: expected HOST[:PORT], such as docker.io, or *")]
    Host { entry: String, host: String },
    #[error("'{entry}': '{url}' is not a valid mirror URL: expected {expected}")]
    Url { entry: String, url: String, expected: &'static str },
    #[error("the mirror URL for '{key}' contains a user name or password: use 'docker login' instead")]
    Login { key: String },
    #[error(
        "'{entry}': '{prefix}' is not a valid chart repository: expected https://HOST/PATH, oci://HOST, oci://* or *"
    )]
    Prefix { entry: String, prefix: String },
}

/// Splits a list from an environment variable: `docker.io=http://a, *=http://b`.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// The two sides of `KEY=URL`.
fn sides(entry: &str) -> Result<(&str, &str), InvalidMirror> {
    match entry.split_once('=').map(|(key, url)| (key.trim(), url.trim())) {
        Some((key, url)) if !key.is_empty() && !url.is_empty() => Ok((key, url)),
        _ => Err(InvalidMirror::NoUrl { entry: entry.to_owned() }),
    }
}

/// Validates the URL of a mirror, and removes its trailing slash.
fn checked_url(key: &str, url: &str, schemes: &[&str], expected: &'static str) -> Result<String, InvalidMirror> {
    let wrong = || InvalidMirror::Url { entry: format!("{key}={url}"), url: url.to_owned(), expected };
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or_else(wrong)?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(InvalidMirror::Login { key: key.to_owned() });
    }
    if !is_host(host) || !rest.bytes().all(is_url_byte) {
        return Err(wrong());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Validates the URL of a mirror of kind, Helm and sops, and removes its trailing slash.
///
/// # Errors
/// Fails if it is not an HTTP URL, or contains a login.
pub fn tools_mirror_url(url: &str) -> Result<String, InvalidMirror> {
    checked_url("tools", url, &["http://", "https://"], "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH")
}

/// Characters allowed in the URL of a mirror: no quotes or spaces (it is written to TOML), no query or fragment.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/%+@[]".contains(&byte)
}

/// Whether `text` is `HOST` or `HOST:PORT`, where the host may be `[IPv6]`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = !host.is_empty() && host.bytes().all(plain);
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    (is_name || is_v6) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

impl ImageMirror {
    /// # Errors
    /// Fails if `host` is not a valid host, or `url` is not an HTTP URL.
    pub fn new(host: &str, url: &str) -> Result<Self, InvalidMirror> {
        let url = checked_url(host, url, &["http://", "https://"], "http://HOST[:PORT] or https://HOST[:PORT]")?;
        if host != ANY && !is_host(host) {
            return Err(InvalidMirror::Host { entry: format!("{host}={url}"), host: host.to_owned() });
        }
        let host = if DOCKER_HUB_ALIASES.contains(&host) { "docker.io" } else { host };
        Ok(Self { host: host.to_owned(), url })
    }

    /// Parses `HOST=URL[,HOST=URL...]`; an empty string is an empty list.
    ///
    /// # Errors
    /// Returns the error of the first invalid entry.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, InvalidMirror> {
        entries(list).map(|entry| sides(entry).and_then(|(host, url)| Self::new(host, url))).collect()
    }

    /// Returns the URL as seen from a node: loopback hosts are replaced with the gateway of the Docker network.
    pub fn url_from_node(&self, gateway: Ipv4Addr) -> String {
        let (scheme, authority, path) = parts(&self.url);
        let (host, port) = host_and_port(authority);
        if !is_loopback(host) {
            return self.url.clone();
        }
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{gateway}{port}{path}")
    }

    /// Returns the mirrors for images of `registry`, in order: its own, or those for every registry. containerd applies
    /// the same rule.
    pub fn of<'a>(mirrors: &'a [Self], registry: &str) -> Vec<&'a Self> {
        let named = |host: &str| mirrors.iter().filter(|mirror| mirror.host == host).collect::<Vec<_>>();
        let own = named(registry);
        if own.is_empty() { named(ANY) } else { own }
    }

    /// Whether this matches every registry without its own mirror.
    pub fn is_for_any(&self) -> bool {
        self.host == ANY
    }

    /// The host of the mirror, with its port.
    pub fn authority(&self) -> &str {
        parts(&self.url).1
    }

    /// Whether its URL has a path.
    pub fn has_path(&self) -> bool {
        !parts(&self.url).2.is_empty()
    }

    /// The root URL of its distribution API. A custom path, as in Harbor (`https://HOST/v2/PROJECT`), is kept.
    pub fn api(&self) -> String {
        let path = parts(&self.url).2;
        if path.contains("/v2/") || path.ends_with("/v2") { self.url.clone() } else { format!("{}/v2", self.url) }
    }

    /// The folder below `/etc/containerd/certs.d` that containerd reads for this host.
    pub fn folder(&self) -> &str {
        if self.host == ANY { "_default" } else { &self.host }
    }
}

impl ChartMirror {
    /// # Errors
    /// Fails if `prefix` is not a chart repository, or if `url` is of a different kind.
    pub fn new(prefix: &str, url: &str) -> Result<Self, InvalidMirror> {
        let wrong_prefix = || InvalidMirror::Prefix { entry: format!("{prefix}={url}"), prefix: prefix.to_owned() };
        let is_oci = prefix.starts_with("oci://");
        if prefix != ANY && prefix != ANY_OCI {
            let rest = ["oci://", "http://", "https://"].iter().find_map(|scheme| prefix.strip_prefix(scheme));
            let host = rest.and_then(|rest| rest.split('/').next()).ok_or_else(wrong_prefix)?;
            if !is_host(host) {
                return Err(wrong_prefix());
            }
        }
        let url = if is_oci {
            checked_url(prefix, url, &["oci://"], "oci://HOST[:PORT]")?
        } else {
            checked_url(prefix, url, &["http://", "https://"], "http(s)://HOST[:PORT][/PATH]")?
        };
        Ok(Self { prefix: prefix.trim_end_matches('/').to_owned(), url })
    }

    /// Parses `PREFIX=URL[,PREFIX=URL...]`; an empty string is an empty list.
    ///
    /// # Errors
    /// Returns the error of the first invalid entry.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, InvalidMirror> {
        entries(list).map(|entry| sides(entry).and_then(|(prefix, url)| Self::new(prefix, url))).collect()
    }

    /// Returns the mirrored URL of `url`; `None` if this mirror does not match it.
    ///
    /// `oci://*` replaces the host and keeps the path; `*` is a single repository for all charts.
    pub fn apply(&self, url: &str) -> Option<String> {
        let is_http = url.starts_with("http://") || url.starts_with("https://");
        match self.prefix.as_str() {
            ANY => is_http.then(|| self.url.clone()),
            ANY_OCI => {
                let (_, path) = url.strip_prefix("oci://")?.split_once('/')?;
                Some(format!("{}/{path}", self.url))
            }
            prefix => {
                let rest = url.strip_prefix(prefix)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", self.url))
            }
        }
    }
}

impl Mirrors {
    /// Returns where the chart at `url` (a repository URL or `oci://HOST/PATH`) is fetched from. The longest prefix
    /// wins; `*` and `oci://*` have the lowest priority. Without a mirror, it is `url` itself.
    pub fn chart_url(&self, url: &str) -> String {
        let rank = |mirror: &ChartMirror| match mirror.prefix.as_str() {
            ANY | ANY_OCI => 0,
            prefix => prefix.len(),
        };
        let candidates = self.charts.iter().filter_map(|mirror| Some((rank(mirror), mirror.apply(url)?)));
        candidates.max_by_key(|(rank, _)| *rank).map_or_else(|| url.to_owned(), |(_, url)| url)
    }
}

/// Whether a chart registry (`oci://HOST...`) is accessed without TLS: only on this machine, as in Docker.
pub fn is_plain_http(url: &str) -> bool {
    url.strip_prefix("oci://").is_some_and(|rest| is_this_machine(rest.split('/').next().unwrap_or_default()))
}

/// Whether `authority` (`HOST[:PORT]`) is this machine, with any port.
pub fn is_this_machine(authority: &str) -> bool {
    is_loopback(host_and_port(authority).0)
}

/// Returns scheme, authority and path (with its slash) of a validated URL.
fn parts(url: &str) -> (&str, &str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find('/').unwrap_or(rest.len());
    (scheme, &rest[..end], &rest[end..])
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);

    fn image(host: &str, url: &str) -> ImageMirror {
        ImageMirror::new(host, url).unwrap()
    }

    fn chart(prefix: &str, url: &str) -> ChartMirror {
        ChartMirror::new(prefix, url).unwrap()
    }

    #[test]
    fn reads_lists() {
        let list = ImageMirror::parse_list("docker.io=http://localhost:5000/, *=https://mirror.example.com").unwrap();
        let expected = [image("docker.io", "http://localhost:5000"), image("*", "https://mirror.example.com")];
        assert_eq!(list, expected);
        assert_eq!(ImageMirror::parse_list(" "), Ok(Vec::new()));
        assert_eq!(image("registry-1.docker.io", "http://m").host, "docker.io");
        assert_eq!(image("localhost:5001", "http://[::1]:5000").folder(), "localhost:5001");
        assert_eq!(ChartMirror::parse_list("oci://*=oci://127.0.0.1:5000,*=http://127.0.0.1:8081").unwrap().len(), 2);
    }

    #[test]
    fn errors_of_image_mirrors_are_explained() {
        let message = |list: &str| ImageMirror::parse_list(list).unwrap_err().to_string();
        insta::assert_snapshot!(message("docker.io"), @"'docker.io' is not a valid mirror: expected HOST=URL, such as docker.io=https://mirror.example.com");
        insta::assert_snapshot!(message("*=http://m,ghcr.io="), @"'ghcr.io=' is not a valid mirror: expected HOST=URL, such as docker.io=https://mirror.example.com");
        insta::assert_snapshot!(message("https://docker.io=http://m"), @"'https://docker.io=http://m': 'https://docker.io' is not a valid registry host: expected HOST[:PORT], such as docker.io, or *");
        insta::assert_snapshot!(message("docker.io=mirror:5000"), @"'docker.io=mirror:5000': 'mirror:5000' is not a valid mirror URL: expected http://HOST[:PORT] or https://HOST[:PORT]");
        insta::assert_snapshot!(message("docker.io=http://m:0"), @"'docker.io=http://m:0': 'http://m:0' is not a valid mirror URL: expected http://HOST[:PORT] or https://HOST[:PORT]");
        insta::assert_snapshot!(message("docker.io=https://me:secret@m"), @"the mirror URL for 'docker.io' contains a user name or password: use 'docker login' instead");
        assert!(ImageMirror::new("docker.io", "http://m/\"]\nskip_verify = true").is_err());
    }

    #[test]
    fn errors_of_chart_mirrors_are_explained() {
        let message = |list: &str| ChartMirror::parse_list(list).unwrap_err().to_string();
        insta::assert_snapshot!(message("ghcr.io=oci://m"), @"'ghcr.io=oci://m': 'ghcr.io' is not a valid chart repository: expected https://HOST/PATH, oci://HOST, oci://* or *");
        insta::assert_snapshot!(message("oci://*=http://m"), @"'oci://*=http://m': 'http://m' is not a valid mirror URL: expected oci://HOST[:PORT]");
        insta::assert_snapshot!(message("*=oci://m"), @"'*=oci://m': 'oci://m' is not a valid mirror URL: expected http(s)://HOST[:PORT][/PATH]");
    }

    #[test]
    fn a_node_sees_this_machine_as_the_gateway() {
        let seen = |url: &str| image("*", url).url_from_node(GATEWAY);
        assert_eq!(seen("http://localhost:5000"), "http://172.18.0.1:5000");
        assert_eq!(seen("https://[::1]/v2/proxy"), "https://172.18.0.1/v2/proxy");
        assert_eq!(seen("http://127.0.0.2:5000"), "http://172.18.0.1:5000");
        assert_eq!(seen("http://localhost.example.com"), "http://localhost.example.com");
    }

    #[test]
    fn a_registrys_own_mirrors_come_before_those_for_any() {
        let mirrors =
            ImageMirror::parse_list("*=http://any, docker.io=https://one/, docker.io=https://two/hub").unwrap();
        let apis = |host: &str| ImageMirror::of(&mirrors, host).into_iter().map(ImageMirror::api).collect::<Vec<_>>();
        assert_eq!(apis("docker.io"), ["https://one/v2", "https://two/hub/v2"]);
        assert_eq!(apis("ghcr.io"), ["http://any/v2"]);
        assert!(ImageMirror::of(&mirrors[1..], "ghcr.io").is_empty());
        let harbor = image("docker.io", "https://harbor.example.com:8443/v2/hub");
        let expected = ("https://harbor.example.com:8443/v2/hub", "harbor.example.com:8443");
        assert_eq!((harbor.api().as_str(), harbor.authority()), expected);
        assert!(mirrors[0].is_for_any() && !harbor.is_for_any());
    }

    #[test]
    fn charts_come_from_the_nearest_mirror() {
        let charts = vec![
            chart("*", "http://127.0.0.1:8081/"),
            chart("oci://*", "oci://127.0.0.1:5000"),
            chart("oci://ghcr.io/traefik", "oci://mirror.example.com/t"),
            chart("https://traefik.github.io/charts", "https://charts.example.com/traefik"),
        ];
        let mirrors = Mirrors { images: Vec::new(), charts };
        for (from, to) in [
            ("https://metallb.github.io/metallb", "http://127.0.0.1:8081"),
            ("https://traefik.github.io/charts", "https://charts.example.com/traefik"),
            ("https://traefik.github.io/charts-old", "http://127.0.0.1:8081"),
            ("oci://ghcr.io/stefanprodan/charts/podinfo", "oci://127.0.0.1:5000/stefanprodan/charts/podinfo"),
            ("oci://ghcr.io/traefik/helm/traefik", "oci://mirror.example.com/t/helm/traefik"),
        ] {
            assert_eq!(mirrors.chart_url(from), to);
        }
        assert_eq!(Mirrors::default().chart_url("https://a/b"), "https://a/b");
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        assert!(is_plain_http("oci://127.0.0.1:5000/a") && is_plain_http("oci://localhost/a"));
        assert!(!is_plain_http("oci://ghcr.io/a") && !is_plain_http("http://localhost/a"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(list in "[a-z.:/=,*@\\[\\] ]{0,60}") {
            let _ = (ImageMirror::parse_list(&list), ChartMirror::parse_list(&list));
        }
    }
}
