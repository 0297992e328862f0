//! The registry of this machine, and the caches beside it: containers that outlive every cluster.
//!
//! What is built goes into the registry; a cache stands before one registry of the internet and keeps what came by.

use std::{collections::BTreeSet, net::Ipv4Addr, ops::RangeInclusive};

use super::{
    ImageReference, Values,
    digest::sha256,
    mirror::{ImageMirror, is_this_machine},
};

/// What all of them run, pinned: Docker's official image of distribution, <https://hub.docker.com/_/registry>.
pub const IMAGE: &str = "docker.io/library/registry:3.1.0";
/// The port that they answer on inside of Docker's network.
pub const INNER_PORT: u16 = 5000;
/// Where on 127.0.0.1 the registry is published: the first of them that is free.
pub const PORTS: RangeInclusive<u16> = 5001..=5010;
/// The registry's container, its volume, and its name on Docker's network.
pub const REGISTRY: &str = "cmdr-registry";
/// What the names of caches begin with.
const CACHE: &str = "cmdr-cache-";
/// The role of the registry; that of a cache is the host that it stands before.
const PUSH: &str = "push";
/// What the program of each is told. What a cache no longer needs it deletes only where deletion is allowed.
const VARIABLES: [&str; 2] = ["REGISTRY_STORAGE_DELETE_ENABLED=true", "REGISTRY_LOG_LEVEL=warn"];
/// Registries whose API is not at the host that image references have.
const ELSEWHERE: [(&str, &str); 1] = [("docker.io", "registry-1.docker.io")];

/// One of these containers as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryService {
    pub role: Role,
    /// A company's certificate authority, in PEM, that what it asks is checked with.
    pub certificate_authority: Option<String>,
}

/// What one of these containers is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Takes in what is built, on this port of 127.0.0.1.
    Push { port: u16 },
    /// Stands before the registry `host`; what it lacks, it fetches from `remote`, a URL as this machine sees it.
    Cache { host: String, remote: ImageMirror },
}

/// One of these containers as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    pub name: String,
    /// [`RegistryService::label`] of the one that it was made as.
    pub label: String,
    /// [`RegistryService::checksum`] of the one that it was made as.
    pub checksum: String,
    /// Where on 127.0.0.1 the registry is published.
    pub port: Option<u16>,
    pub is_running: bool,
    /// On the network of kind's nodes.
    pub is_joined: bool,
}

impl RegistryService {
    /// The name of the container, of its volume, and its own on Docker's network.
    ///
    /// A name with a dot would be asked for in the internet's DNS while the container is away.
    pub fn name(&self) -> String {
        match &self.role {
            Role::Push { .. } => REGISTRY.to_owned(),
            Role::Cache { host, .. } => {
                format!("{CACHE}{}", host.replace('-', "--").replace('.', "-").replace(':', "_"))
            }
        }
    }

    /// What it is for, as its label says.
    pub fn label(&self) -> &str {
        match &self.role {
            Role::Push { .. } => PUSH,
            Role::Cache { host, .. } => host,
        }
    }

    /// Changes with all that it is made from but its port.
    pub fn checksum(&self) -> String {
        let remote = match &self.role {
            Role::Push { .. } => "",
            Role::Cache { remote, .. } => &remote.url,
        };
        let authority = self.certificate_authority.as_deref().unwrap_or_default();
        let variables = VARIABLES.join(" ");
        sha256(format!("{IMAGE}\n{variables}\n{remote}\n{authority}").as_bytes())[..16].to_owned()
    }

    /// The port of 127.0.0.1 that it is published on.
    pub fn port(&self) -> Option<u16> {
        match self.role {
            Role::Push { port } => Some(port),
            Role::Cache { .. } => None,
        }
    }

    /// Where nodes find it, and the registry host in whose place they ask it.
    pub fn for_nodes(&self) -> NodeRegistry {
        let url = format!("http://{}:{INNER_PORT}", self.name());
        let host = match &self.role {
            Role::Push { port } => pushed_to(*port),
            Role::Cache { host, .. } => host.clone(),
        };
        NodeRegistry { host, url: Some(url) }
    }

    /// The variables that its program reads. `gateway`: this machine as the Docker network sees it.
    pub fn variables(&self, gateway: Ipv4Addr) -> Vec<String> {
        let mut variables: Vec<String> = VARIABLES.map(str::to_owned).to_vec();
        if let Role::Cache { remote, .. } = &self.role {
            variables.push(format!("REGISTRY_PROXY_REMOTEURL={}", remote.url_from_node(gateway)));
        }
        variables
    }
}

/// A registry's host, and who is asked for its images before anybody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRegistry {
    pub host: String,
    /// `None` while nobody is there: containerd tells what the first of those that it asks says, and a cache that does
    /// not run would hide why an image cannot be had.
    pub url: Option<String>,
}

/// The registry's host in references to what is built here.
pub fn pushed_to(port: u16) -> String {
    format!("localhost:{port}")
}

impl ObservedService {
    /// Whether this is the registry that takes in what is built.
    pub fn is_push(&self) -> bool {
        self.label == PUSH
    }
}

/// The registry, and a cache before each of `hosts` that can have one. `has_login`: hosts that somebody logged in at,
/// whose images need credentials that a cache does not have.
pub fn wanted(
    hosts: &BTreeSet<String>,
    mirrors: &[ImageMirror],
    has_login: impl Fn(&str) -> bool,
    certificate_authority: Option<&str>,
    port: u16,
) -> Vec<RegistryService> {
    let caches = hosts.iter().filter(|host| !is_this_machine(host)).filter_map(|host| {
        let remote = remote(host, mirrors)?;
        (!has_login(host) && !has_login(remote.authority())).then(|| Role::Cache { host: host.clone(), remote })
    });
    let service = |role| RegistryService { role, certificate_authority: certificate_authority.map(str::to_owned) };
    std::iter::once(Role::Push { port }).chain(caches).map(service).collect()
}

/// Where a cache fetches the images of `host`: at its first mirror, else at the registry itself. `None` where that has
/// a path of its own, which the cache's program does not know.
fn remote(host: &str, mirrors: &[ImageMirror]) -> Option<ImageMirror> {
    if let Some(mirror) = ImageMirror::of(mirrors, host).first() {
        return (!mirror.has_path()).then(|| (*mirror).clone());
    }
    let at = ELSEWHERE.iter().find(|(name, _)| *name == host).map_or(host, |(_, at)| at);
    ImageMirror::new(host, &format!("https://{at}")).ok()
}

/// The registries of all images that Helm values name: `image: redis:7`, or `image: {registry, repository, tag}` as most
/// charts have it.
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

    fn told(services: &[RegistryService]) -> Vec<String> {
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
        assert_eq!(told(&services), expected);
        let node = services[0].for_nodes();
        assert_eq!((node.host.as_str(), node.url.as_deref()), ("localhost:5001", Some("http://cmdr-registry:5000")));
    }

    #[test]
    fn a_cache_asks_the_first_mirror() {
        let mirrors = ImageMirror::parse_list("quay.io=https://h/v2/quay,*=http://localhost:5555").unwrap();
        let services = wanted(&hosts(&["ghcr.io", "quay.io"]), &mirrors, |_| false, None, 5001);
        assert_eq!(
            told(&services),
            ["cmdr-registry", "cmdr-cache-ghcr-io REGISTRY_PROXY_REMOTEURL=http://172.18.0.1:5555"]
        );
    }

    #[test]
    fn no_cache_stands_where_it_could_not_fetch() {
        let mirrors = ImageMirror::parse_list("quay.io=https://mirror.example.com").unwrap();
        let hosts = hosts(&["ghcr.io", "127.0.0.1:5557", "quay.io"]);
        let has_login = |host: &str| host == "ghcr.io" || host == "mirror.example.com";
        assert_eq!(told(&wanted(&hosts, &mirrors, has_login, None, 5001)), ["cmdr-registry"]);
    }

    #[test]
    fn the_checksum_tells_what_it_is_made_from() {
        let made = |mirrors: &str, ca: Option<&str>| {
            let mirrors = ImageMirror::parse_list(mirrors).unwrap();
            wanted(&hosts(&["ghcr.io"]), &mirrors, |_| false, ca, 5001)[1].checksum()
        };
        assert_eq!(made("", None), made("docker.io=http://m", None));
        assert_ne!(made("", None), made("*=http://m", None));
        assert_ne!(made("", None), made("", Some("PEM")));
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
