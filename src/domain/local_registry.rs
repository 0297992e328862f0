//! The local registry and the pull-through caches: containers on this machine that outlive every cluster.
//!
//! Built images are pushed to the registry; each cache stores the images of one upstream registry.

use std::{collections::BTreeSet, net::Ipv4Addr, ops::RangeInclusive};

use super::{
    ImageReference, Values,
    digest::sha256,
    mirror::{ImageMirror, is_this_machine},
    proxy::Proxies,
};

/// The pinned image of all of them: Docker's official image of distribution, <https://hub.docker.com/_/registry>.
pub const IMAGE: &str = "docker.io/library/registry:3.1.0";
/// The port that they listen on in Docker's network.
pub const INNER_PORT: u16 = 5000;
/// The ports on 127.0.0.1 for the registry: the first free one is used.
pub const PORTS: RangeInclusive<u16> = 5001..=5010;
/// The name of the registry's container, volume, and host in Docker's network.
pub const REGISTRY: &str = "cmdr-registry";
/// The prefix of the names of caches.
const CACHE: &str = "cmdr-cache-";
/// The role label of the registry; the label of a cache is the host of its upstream registry.
const PUSH: &str = "push";
/// The environment variables of each. A cache only deletes expired content if deletion is enabled.
const VARIABLES: [&str; 2] = ["REGISTRY_STORAGE_DELETE_ENABLED=true", "REGISTRY_LOG_LEVEL=warn"];
/// Registries whose API has a different host than image references.
const ELSEWHERE: [(&str, &str); 1] = [("docker.io", "registry-1.docker.io")];

/// The desired state of one of these containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryService {
    pub role: ServiceRole,
    /// The company's certificate authority, in PEM, to verify upstream registries.
    pub certificate_authority: Option<String>,
    /// The proxy through which a cache reaches its upstream registry.
    pub proxies: Proxies,
}

/// The role of one of these containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceRole {
    /// Receives built images, on this port of 127.0.0.1.
    Push { port: u16 },
    /// Caches the registry `host`; fetches missing images from `remote`, a URL as seen from this machine.
    Cache { host: String, remote: ImageMirror },
}

/// The observed state of one of these containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    pub name: String,
    /// The [`RegistryService::label`] that it was created with.
    pub label: String,
    /// The [`RegistryService::checksum`] that it was created with.
    pub checksum: String,
    /// The published port on 127.0.0.1.
    pub port: Option<u16>,
    pub is_running: bool,
    /// Connected to the network of kind's nodes.
    pub is_joined: bool,
}

impl RegistryService {
    /// Returns the name of the container, of its volume, and its host in Docker's network.
    ///
    /// It contains no dots: such a name would be looked up in public DNS while the container is not running.
    pub fn name(&self) -> String {
        match &self.role {
            ServiceRole::Push { .. } => REGISTRY.to_owned(),
            ServiceRole::Cache { host, .. } => {
                format!("{CACHE}{}", host.replace('-', "--").replace('.', "-").replace(':', "_"))
            }
        }
    }

    /// Sets the proxy through which a cache reaches its upstream registry; the registry of built images needs none.
    #[must_use]
    pub fn behind(mut self, proxies: &Proxies) -> Self {
        if let ServiceRole::Cache { .. } = self.role {
            self.proxies = proxies.clone();
        }
        self
    }

    /// Returns the role as its label value.
    pub fn label(&self) -> &str {
        match &self.role {
            ServiceRole::Push { .. } => PUSH,
            ServiceRole::Cache { host, .. } => host,
        }
    }

    /// Returns a checksum of its configuration, except the port.
    pub fn checksum(&self) -> String {
        let remote = match &self.role {
            ServiceRole::Push { .. } => "",
            ServiceRole::Cache { remote, .. } => &remote.url,
        };
        let authority = self.certificate_authority.as_deref().unwrap_or_default();
        let variables = VARIABLES.join(" ");
        let proxy = assignments(self.proxies.variables([])).join(" ");
        sha256(format!("{IMAGE}\n{variables}\n{remote}\n{authority}\n{proxy}").as_bytes())[..16].to_owned()
    }

    /// Returns the published port on 127.0.0.1.
    pub fn port(&self) -> Option<u16> {
        match self.role {
            ServiceRole::Push { port } => Some(port),
            ServiceRole::Cache { .. } => None,
        }
    }

    /// Returns its URL for nodes, and the registry host that nodes use it for.
    pub fn for_nodes(&self) -> NodeRegistry {
        let url = format!("http://{}:{INNER_PORT}", self.name());
        let host = match &self.role {
            ServiceRole::Push { port } => pushed_to(*port),
            ServiceRole::Cache { host, .. } => host.clone(),
        };
        NodeRegistry { host, url: Some(url) }
    }

    /// Returns its environment variables. `gateway` is the address of this machine in the Docker network.
    pub fn variables(&self, gateway: Ipv4Addr) -> Vec<String> {
        let mut variables: Vec<String> = VARIABLES.map(str::to_owned).to_vec();
        if let ServiceRole::Cache { remote, .. } = &self.role {
            variables.push(format!("REGISTRY_PROXY_REMOTEURL={}", remote.url_from_node(gateway)));
            variables.extend(assignments(self.proxies.variables([gateway.to_string().as_str()])));
        }
        variables
    }
}

/// `NAME=VALUE` for each variable.
fn assignments(variables: Vec<(&'static str, String)>) -> Vec<String> {
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// A registry host, and the endpoint that nodes use first for its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRegistry {
    pub host: String,
    /// `None` while it is not running: containerd reports the error of the first endpoint, so a stopped cache would
    /// hide the real cause of a failed pull.
    pub url: Option<String>,
}

/// Returns the registry host in references to locally built images.
pub fn pushed_to(port: u16) -> String {
    format!("localhost:{port}")
}

impl ObservedService {
    /// Whether this is the registry that receives built images.
    pub fn is_push(&self) -> bool {
        self.label == PUSH
    }
}

/// Returns the registry, and a cache for each of `hosts` that supports one. `has_login` reports hosts that the user is
/// logged in to: a cache does not have the credentials for their images.
pub fn wanted(
    hosts: &BTreeSet<String>,
    mirrors: &[ImageMirror],
    has_login: impl Fn(&str) -> bool,
    certificate_authority: Option<&str>,
    port: u16,
) -> Vec<RegistryService> {
    let caches = hosts.iter().filter(|host| !is_this_machine(host)).filter_map(|host| {
        let remote = remote(host, mirrors)?;
        (!has_login(host) && !has_login(remote.authority())).then(|| ServiceRole::Cache { host: host.clone(), remote })
    });
    let certificate_authority = certificate_authority.map(str::to_owned);
    let service = |role| RegistryService {
        role,
        certificate_authority: certificate_authority.clone(),
        proxies: Proxies::default(),
    };
    std::iter::once(ServiceRole::Push { port }).chain(caches).map(service).collect()
}

/// Returns where a cache fetches the images of `host`: from its first mirror, or from the registry itself. `None` if
/// the URL has a path, which the cache does not support.
fn remote(host: &str, mirrors: &[ImageMirror]) -> Option<ImageMirror> {
    if let Some(mirror) = ImageMirror::of(mirrors, host).first() {
        return (!mirror.has_path()).then(|| (*mirror).clone());
    }
    let at = ELSEWHERE.iter().find(|(name, _)| *name == host).map_or(host, |(_, at)| at);
    ImageMirror::new(host, &format!("https://{at}")).ok()
}

/// Returns the registries of all images in Helm values: `image: redis:7`, or `image: {registry, repository, tag}` as in
/// most charts.
pub fn registries_of(values: &Values) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in values {
        let names_image = key == "image" || key.ends_with("Image");
        match value {
            serde_json::Value::String(image) if names_image => note(image, &mut found),
            serde_json::Value::Object(inner) => {
                let text = |key: &str| inner.get(key).and_then(serde_json::Value::as_str).filter(|it| !it.is_empty());
                if let Some(repository) = text("repository").filter(|_| names_image || inner.contains_key("tag")) {
                    let registry = text("registry").map(|registry| format!("{registry}/")).unwrap_or_default();
                    note(&format!("{registry}{repository}"), &mut found);
                }
                found.extend(registries_of(inner));
            }
            _ => (),
        }
    }
    found
}

fn note(image: &str, found: &mut BTreeSet<String>) {
    found.extend(ImageReference::parse(image).ok().map(|image| image.registry));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);

    fn hosts(hosts: &[&str]) -> BTreeSet<String> {
        hosts.iter().map(|host| (*host).to_owned()).collect()
    }

    fn names(services: &[RegistryService]) -> Vec<String> {
        let own = |service: &RegistryService| service.variables(GATEWAY)[VARIABLES.len()..].to_vec();
        let tell = |service: &RegistryService| [vec![service.name()], own(service)].concat().join(" ");
        services.iter().map(tell).collect()
    }

    #[test]
    fn a_cache_stands_before_each_registry() {
        let services = wanted(&hosts(&["docker.io", "my-registry.example.com:5000"]), &[], |_| false, None, 5001);
        let expected = [
            "cmdr-registry",
            "cmdr-cache-docker-io REGISTRY_PROXY_REMOTEURL=https://registry-1.docker.io",
            "cmdr-cache-my--registry-example-com_5000 \
             REGISTRY_PROXY_REMOTEURL=https://my-registry.example.com:5000",
        ];
        assert_eq!(names(&services), expected);
        let node = services[0].for_nodes();
        assert_eq!((node.host.as_str(), node.url.as_deref()), ("localhost:5001", Some("http://cmdr-registry:5000")));
    }

    #[test]
    fn a_cache_asks_the_first_mirror() {
        let mirrors = ImageMirror::parse_list("quay.io=https://h/v2/quay,*=http://localhost:5555").unwrap();
        let services = wanted(&hosts(&["ghcr.io", "quay.io"]), &mirrors, |_| false, None, 5001);
        assert_eq!(
            names(&services),
            ["cmdr-registry", "cmdr-cache-ghcr-io REGISTRY_PROXY_REMOTEURL=http://172.18.0.1:5555"]
        );
    }

    #[test]
    fn no_cache_stands_where_it_could_not_fetch() {
        let mirrors = ImageMirror::parse_list("quay.io=https://mirror.example.com").unwrap();
        let hosts = hosts(&["ghcr.io", "127.0.0.1:5557", "quay.io"]);
        let has_login = |host: &str| host == "ghcr.io" || host == "mirror.example.com";
        assert_eq!(names(&wanted(&hosts, &mirrors, has_login, None, 5001)), ["cmdr-registry"]);
    }

    #[test]
    fn the_checksum_depends_on_the_content() {
        let made = |mirrors: &str, ca: Option<&str>| {
            let mirrors = ImageMirror::parse_list(mirrors).unwrap();
            wanted(&hosts(&["ghcr.io"]), &mirrors, |_| false, ca, 5001)[1].checksum()
        };
        assert_eq!(made("", None), made("docker.io=http://m", None));
        assert_ne!(made("", None), made("*=http://m", None));
        assert_ne!(made("", None), made("", Some("PEM")));
    }

    #[test]
    fn a_cache_uses_the_proxy_and_reaches_this_machine_directly() {
        let proxies = Proxies { https: Some("http://proxy:3128".to_owned()), ..Proxies::default() };
        let plain = wanted(&hosts(&["ghcr.io"]), &[], |_| false, None, 5001);
        let behind: Vec<RegistryService> = plain.iter().cloned().map(|service| service.behind(&proxies)).collect();
        let (registry, cache) = (&behind[0], &behind[1]);
        let variables = cache.variables(GATEWAY);
        assert!(variables.contains(&"HTTPS_PROXY=http://proxy:3128".to_owned()), "{variables:?}");
        assert!(variables.iter().any(|it| it.starts_with("NO_PROXY=") && it.ends_with(",172.18.0.1")), "{variables:?}");
        assert_ne!(cache.checksum(), plain[1].checksum());
        assert_eq!(registry, &plain[0]);
    }

    #[test]
    fn values_tell_the_registries_of_their_images() {
        let values = serde_json::json!({
            "image": {"registry": "docker.io", "repository": "traefik", "tag": ""},
            "controller": {"image": {"repository": "quay.io/metallb/controller"}},
            "sidecars": {"logs": {"image": "ghcr.io/tunes/logs:1"}},
            "source": {"repository": "registry.k8s.io/not-an-image"},
            "chart": {"repository": "https://charts.example.com", "tag": "x"},
        });
        let found = registries_of(values.as_object().unwrap());
        assert_eq!(found, hosts(&["docker.io", "quay.io", "ghcr.io"]));
    }
}
