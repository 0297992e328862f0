//! The endpoints for an image: its mirrors, then the registry itself.

use reqwest::Url;

use super::error::{RegistryErrorKind, RegistryFailure};
use crate::domain::{
    ImageReference,
    mirror::{ImageMirror, is_this_machine},
};

/// Registries whose API host differs from the host in image references.
const ELSEWHERE: [(&str, &str); 1] = [("docker.io", "registry-1.docker.io")];

/// A server that provides the images of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RegistryEndpoint {
    /// The name in messages: `ghcr.io`, `the mirror http://localhost:5000`.
    pub(super) name: String,
    /// The root of its API, including `/v2`, without a trailing slash.
    api: String,
    /// Sent to a mirror, so that a mirror of several registries knows which one is meant, as in containerd.
    namespace: Option<String>,
    /// The hosts under which its credentials may be stored, in order of preference.
    pub(super) login_hosts: Vec<String>,
    /// The host to use for a new `docker login`.
    pub(super) login_host: String,
}

impl RegistryEndpoint {
    /// Returns all endpoints for this image, in order.
    pub(super) fn all(mirrors: &[ImageMirror], image: &ImageReference) -> Vec<Self> {
        let mirrors = ImageMirror::of(mirrors, &image.registry);
        let mirrors = mirrors.into_iter().map(|mirror| Self::mirror(mirror, &image.registry));
        mirrors.chain([Self::registry(&image.registry)]).collect()
    }

    fn registry(host: &str) -> Self {
        let at = ELSEWHERE.iter().find(|(name, _)| *name == host).map_or(host, |(_, at)| at);
        let scheme = if is_this_machine(host) { "http" } else { "https" };
        Self {
            name: host.to_owned(),
            api: format!("{scheme}://{at}/v2"),
            namespace: None,
            login_hosts: vec![host.to_owned()],
            login_host: host.to_owned(),
        }
    }

    /// As on a node, a mirror gets the credentials of the registry that it mirrors, unless it has its own.
    fn mirror(mirror: &ImageMirror, registry: &str) -> Self {
        let own = mirror.authority().to_owned();
        let login_host = if mirror.is_for_any() { own.clone() } else { registry.to_owned() };
        Self {
            name: format!("the mirror {}", mirror.url),
            api: mirror.api(),
            namespace: Some(registry.to_owned()),
            login_hosts: vec![own, registry.to_owned()],
            login_host,
        }
    }

    /// Returns the URL of `path` in a repository's API, such as `manifests/latest`, with these query parameters.
    pub(super) fn url(&self, repository: &str, path: &str, query: &[(&str, &str)]) -> Result<Url, RegistryFailure> {
        let unreachable = || RegistryErrorKind::Unreachable { registry: self.name.clone() };
        let mut url = Url::parse(&format!("{}/{repository}/{path}", self.api))
            .map_err(|error| RegistryFailure::new(unreachable()).detail(error.to_string()))?;
        let parts = self.namespace.iter().map(|registry| ("ns", registry.as_str())).chain(query.iter().copied());
        for (key, value) in parts {
            url.query_pairs_mut().append_pair(key, value);
        }
        Ok(url)
    }

    /// Returns whether credentials may be sent to `url`: over plain HTTP only if the registry itself uses it.
    pub(super) fn may_send_login(&self, url: &Url) -> bool {
        url.scheme() == "https" || self.api.starts_with("http://")
    }

    pub(super) fn no_image(&self, why: impl Into<String>) -> RegistryFailure {
        RegistryFailure::new(RegistryErrorKind::NoImage { registry: self.name.clone() }).detail(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(mirrors: &str, image: &str) -> Vec<String> {
        let mirrors = ImageMirror::parse_list(mirrors).unwrap();
        let image = ImageReference::parse(image).unwrap();
        let url = |endpoint: RegistryEndpoint| endpoint.url(&image.repository, "manifests/1", &[]).unwrap().to_string();
        RegistryEndpoint::all(&mirrors, &image).into_iter().map(url).collect()
    }

    #[test]
    fn mirrors_come_before_the_registry() {
        let hub = "https://registry-1.docker.io/v2/library/redis/manifests/1";
        assert_eq!(urls("", "redis"), [hub]);
        let mirror = "http://localhost:5555/v2/library/redis/manifests/1?ns=docker.io";
        assert_eq!(urls("*=http://localhost:5555", "redis"), [mirror, hub]);
        let [own, itself] = &urls("*=http://any,ghcr.io=https://m/v2/ghcr", "ghcr.io/a/b")[..] else { panic!() };
        assert_eq!(own, "https://m/v2/ghcr/a/b/manifests/1?ns=ghcr.io");
        assert_eq!(itself, "https://ghcr.io/v2/a/b/manifests/1");
        assert_eq!(urls("", "localhost:5001/shop"), ["http://localhost:5001/v2/shop/manifests/1"]);
    }

    #[test]
    fn a_login_is_kept_under_the_name_that_nodes_know_too() {
        let mirrors = ImageMirror::parse_list("ghcr.io=http://localhost:1,*=https://any").unwrap();
        let hosts = |image: &str| RegistryEndpoint::all(&mirrors, &ImageReference::parse(image).unwrap())[0].clone();
        assert_eq!(hosts("ghcr.io/a").login_host, "ghcr.io");
        assert_eq!((hosts("redis").login_host.as_str(), hosts("redis").login_hosts.len()), ("any", 2));
    }

    #[test]
    fn a_login_is_sent_unencrypted_only_over_plain_http() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (safe, plain) = (RegistryEndpoint::registry("ghcr.io"), RegistryEndpoint::registry("localhost:1"));
        assert!(safe.may_send_login(&url("https://a/token")) && !safe.may_send_login(&url("http://a/token")));
        assert!(plain.may_send_login(&url("http://a/token")));
    }
}
