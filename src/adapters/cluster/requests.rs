//! Counts the requests to the Kubernetes API by verb and resource, in the words of Kubernetes: `list pods`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use http::{Method, Uri};

/// The requests of all clients of this process.
static SENT: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Returns how many requests cmdr has sent since it started, by verb and resource.
pub fn requests_sent() -> BTreeMap<String, usize> {
    SENT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) fn count(method: &Method, url: &Uri) {
    *SENT.lock().unwrap_or_else(PoisonError::into_inner).entry(name(method, url)).or_default() += 1;
}

/// Returns `list pods` or `patch services/status`; requests that are not about objects have their path: `get /version`.
fn name(method: &Method, url: &Uri) -> String {
    let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
    // A proxy before the API adds to the start of the path.
    let start = parts.iter().position(|part| matches!(*part, "api" | "apis")).unwrap_or(parts.len());
    let within = match &parts[start..] {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    let own = match within {
        ["namespaces", _, "finalize" | "status"] | ["namespaces", _] => within,
        ["namespaces", _, rest @ ..] => rest,
        all => all,
    };
    match own {
        [] => format!("{} {}", method.as_str().to_lowercase(), url.path()),
        [resource] => format!("{} {resource}", verb_of_all(method, url)),
        [resource, _] => format!("{} {resource}", verb(method)),
        [resource, _, subresource, ..] => format!("{} {resource}/{subresource}", verb(method)),
    }
}

fn verb(method: &Method) -> String {
    match method.as_str() {
        "POST" => "create".to_owned(),
        "PUT" => "update".to_owned(),
        other => other.to_lowercase(),
    }
}

/// The verb of a request without the name of an object.
fn verb_of_all(method: &Method, url: &Uri) -> String {
    let is_watch = url.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    match (method.as_str(), is_watch) {
        ("GET", true) => "watch".to_owned(),
        ("GET", false) => "list".to_owned(),
        ("DELETE", _) => "deletecollection".to_owned(),
        _ => verb(method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_verbs_and_resources_of_kubernetes() {
        let of = |method: &str, url: &str| name(&method.parse().unwrap(), &url.parse().unwrap());
        let at = |path: &str| format!("https://127.0.0.1:6443{path}");
        for (method, path, expected) in [
            ("GET", "/api/v1/pods?&labelSelector=a%3Db", "list pods"),
            ("GET", "/api/v1/namespaces/shop/pods?&watch=true&timeoutSeconds=290", "watch pods"),
            ("GET", "/api/v1/namespaces/shop/secrets/db", "get secrets"),
            ("GET", "/api/v1/namespaces", "list namespaces"),
            ("GET", "/api/v1/namespaces/shop", "get namespaces"),
            ("PUT", "/api/v1/namespaces/shop/finalize", "update namespaces/finalize"),
            ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", "patch deployments"),
            ("PATCH", "/api/v1/namespaces/shop/services/web/status", "patch services/status"),
            ("DELETE", "/api/v1/namespaces/shop/pods", "deletecollection pods"),
            ("DELETE", "/api/v1/namespaces/shop/pods/web", "delete pods"),
            ("POST", "/apis/batch/v1/namespaces/shop/jobs", "create jobs"),
            ("GET", "/k8s/clusters/c-1/apis/apps/v1/deployments", "list deployments"),
            ("GET", "/apis/traefik.io/v1alpha1", "get /apis/traefik.io/v1alpha1"),
            ("GET", "/version", "get /version"),
        ] {
            assert_eq!(of(method, &at(path)), expected, "{method} {path}");
        }
    }

    #[test]
    fn requests_are_counted() {
        let url: Uri = "https://127.0.0.1:6443/apis/example.test/v1/counted".parse().unwrap();
        let before = requests_sent().get("list counted").copied().unwrap_or_default();
        count(&Method::GET, &url);
        count(&Method::GET, &url);
        assert_eq!(requests_sent()["list counted"], before + 2);
    }
}
