//! Copies of the local environment: the same workspace again on the same cluster, in a namespace of its own.

use std::path::PathBuf;

use serde_json::Value;

use super::{Environment, ResolvedProject, Values, slug::Slug};

/// The name of the environment itself, without a copy.
pub const ORIGINAL: &str = "original";
/// The maximum length of the name of a namespace.
pub const LONGEST_NAMESPACE: usize = 63;
/// The maximum length of a host name.
pub const LONGEST_HOST: usize = 253;

/// The keys of a port in the universal chart that reserve a port of the node.
const PORTS_OF_NODE: [&str; 2] = ["nodePort", "hostPort"];

/// One copy of the local environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCopy {
    /// Its name, which is part of its namespace and a label of its hosts.
    pub slug: Slug,
    /// The namespace of the original.
    pub namespace: String,
    /// The domain of the original.
    pub domain: Option<String>,
}

impl LocalCopy {
    /// Returns the host of a copy for the full host of the original: the name of the copy is put in front of the domain,
    /// and in a host outside of the domain after the first label.
    pub(super) fn host(&self, original: &str) -> String {
        let Self { slug, domain, .. } = self;
        let inside = domain.as_deref().and_then(|domain| Some((original.strip_suffix(domain)?, domain)));
        match inside.filter(|(below, _)| below.is_empty() || below.ends_with('.')) {
            Some((below, domain)) => format!("{below}{slug}.{domain}"),
            None => match original.split_once('.') {
                Some((first, rest)) => format!("{first}.{slug}.{rest}"),
                None => format!("{original}.{slug}"),
            },
        }
    }
}

impl Environment {
    /// Returns a copy of the local environment: on the same cluster, with the same values, but with its own namespace,
    /// hosts and exposed ports.
    ///
    /// # Errors
    /// The name of the namespace, if it is too long.
    pub fn local_copy_of(&self, slug: Slug) -> Result<Self, String> {
        let namespace = format!("{}-{slug}", self.namespace);
        if namespace.len() > LONGEST_NAMESPACE {
            return Err(namespace);
        }
        let domain = self.domain.as_ref().map(|domain| format!("{slug}.{domain}"));
        let copy = LocalCopy { slug, namespace: self.namespace.clone(), domain: self.domain.clone() };
        Ok(Self { namespace, domain, local_copy: Some(copy), ..self.clone() })
    }

    /// The name of the environment, and of its copy: `local (copy fix-42)`.
    pub fn title(&self) -> String {
        self.copy_name().map_or_else(|| self.name.to_string(), |copy| format!("{} (copy {copy})", self.name))
    }

    /// The name of the copy, if it is one of `local`.
    pub fn copy_name(&self) -> Option<&str> {
        self.local_copy.as_ref().map(|copy| copy.slug.as_str())
    }
}

/// Renames the hosts of routes in values of the universal chart, which the host of the project does not cover.
pub(super) fn rename_hosts(values: &mut Values, copy: &LocalCopy) {
    let routes = values.get_mut("routes").and_then(Value::as_object_mut).into_iter().flatten();
    for route in routes.filter_map(|(_, route)| route.as_object_mut()) {
        if let Some(Value::String(host)) = route.get_mut("host") {
            *host = copy.host(host);
        }
        if let Some(Value::Object(hosts)) = route.get_mut("hosts") {
            *hosts = std::mem::take(hosts).into_iter().map(|(host, value)| (copy.host(&host), value)).collect();
        }
    }
}

/// Removes the ports of the node from values of the universal chart, because the original has them. Kubernetes chooses
/// another node port. Returns what was removed: `nodePort 30080`.
pub fn leave_ports_of_node(values: &mut Values) -> Vec<String> {
    let mut left = Vec::new();
    let ports = values.get_mut("ports").and_then(Value::as_object_mut).into_iter().flatten();
    for port in ports.filter_map(|(_, port)| port.as_object_mut()) {
        for key in PORTS_OF_NODE {
            left.extend(port.remove(key).map(|number| format!("{key} {number}")));
        }
    }
    left
}

/// Returns the hosts that are too long for the Domain Name System.
pub fn overlong_hosts(projects: &[ResolvedProject]) -> Vec<String> {
    let hosts = projects.iter().flat_map(|project| &project.routes).flat_map(|route| &route.hosts);
    hosts.filter(|host| host.len() > LONGEST_HOST).cloned().collect()
}

/// The worktree from which a copy is brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOwner {
    /// The folder of the worktree; outside of a git repository, that of the workspace.
    pub worktree: PathBuf,
    /// The branch that is checked out there, if one is.
    pub branch: Option<String>,
}

/// A copy that exists in the cluster, as its namespace describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedCopy {
    pub name: String,
    pub namespace: String,
    pub owner: CopyOwner,
    pub created: Option<jiff::Timestamp>,
}

/// How a namespace is marked as that of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyMark {
    pub name: String,
    pub owner: CopyOwner,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(domain: &str) -> LocalCopy {
        let slug = Slug::of_branch("fix-42").unwrap();
        LocalCopy { slug, namespace: "tunes".to_owned(), domain: Some(domain.to_owned()) }
    }

    #[test]
    fn hosts_in_values_are_renamed() {
        let values = serde_json::json!({"routes": {
            "web": {"host": "shop.tunes.localhost", "hosts": {"www.example.com": true}, "path": "/"}, "api": {"path": "/api"},
        }});
        let Value::Object(mut values) = values else { unreachable!() };
        rename_hosts(&mut values, &copy("tunes.localhost"));
        assert_eq!(values["routes"]["web"]["host"], "shop.fix-42.tunes.localhost");
        assert_eq!(values["routes"]["web"]["hosts"], serde_json::json!({"www.fix-42.example.com": true}));
    }

    #[test]
    fn ports_of_the_node_stay_with_the_original() {
        let values =
            serde_json::json!({"ports": {"http": {"port": 80, "nodePort": 30080, "hostPort": 8080}, "dns": 53}});
        let Value::Object(mut values) = values else { unreachable!() };
        assert_eq!(leave_ports_of_node(&mut values), ["nodePort 30080", "hostPort 8080"]);
        assert_eq!(values["ports"], serde_json::json!({"http": {"port": 80}, "dns": 53}));
    }

    #[test]
    fn the_name_of_the_copy_is_a_label_of_its_hosts() {
        let host = |original| copy("tunes.localhost").host(original);
        assert_eq!(host("tunes.localhost"), "fix-42.tunes.localhost");
        assert_eq!(host("shop.tunes.localhost"), "shop.fix-42.tunes.localhost");
        assert_eq!(host("a.b.tunes.localhost"), "a.b.fix-42.tunes.localhost");
        assert_eq!(host("shop.example.com"), "shop.fix-42.example.com");
        assert_eq!(host("mytunes.localhost"), "mytunes.fix-42.localhost");
        assert_eq!(host("*.tunes.localhost"), "*.fix-42.tunes.localhost");
        assert_eq!(host("plain"), "plain.fix-42");
    }
}
