//! What Traefik's own API answers about a split: whether Traefik uses the weights that were written.
//!
//! A route at the entry point `traefik`, which no Service exposes, answers exactly these paths while a rollout runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    TRAEFIK,
    split::{Split, SplitRoute, TCP_RULE, split_routes, split_services},
};
use crate::domain::{digest::sha256, rollout::next_name};

/// The entry point of Traefik's own API.
const ENTRY_POINT: &str = "traefik";
/// What Traefik's provider adds to the names of its services.
const PROVIDER: &str = "@kubernetescrd";
/// How many digits of the hash of its rule are in the name of a router.
const HASH: usize = 20;
/// The rule of a route to the new version for no request. Its service in Traefik's API shows whether Traefik knows pods
/// of the new version, before that gets requests.
const NO_REQUEST: &str = "PathPrefix(`/`) && !PathPrefix(`/`)";
/// What the API answers about a service that it does not have.
const NOT_FOUND: &str = "service not found";

/// A service of Traefik whose weights split the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitService {
    /// Its path in Traefik's API.
    pub path: String,
    /// The weights by the names that Traefik gives to the Services.
    weights: BTreeMap<String, u64>,
}

/// What Traefik's API answers about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceAnswer {
    /// The weights, and whether a router uses them.
    Weights { is_used: bool, weights: BTreeMap<String, u64> },
    /// The addresses to which Traefik sends the requests of the service.
    Addresses(BTreeSet<String>),
    /// Traefik does not have the service.
    Absent,
    /// There was another response than one of the API: its status.
    Unreadable(String),
}

impl SplitService {
    /// Whether Traefik uses these weights.
    pub fn is_loaded(&self, answer: &ServiceAnswer) -> bool {
        matches!(answer, ServiceAnswer::Weights { is_used: true, weights } if *weights == self.weights)
    }

    pub(super) fn of(route: &SplitRoute<'_>) -> Self {
        let (namespace, name) = (route.split.namespace, route.name());
        let services = route.services().into_iter();
        let weight = |service: &Value| service["weight"].as_u64().unwrap_or_default();
        if route.is_tcp() {
            let path = tcp_path(namespace, &name);
            let own = path.rsplit('/').next().unwrap_or_default().trim_end_matches(PROVIDER);
            let named = |it: &Value| format!("{own}-{}-{}", it["name"].as_str().unwrap_or_default(), it["port"]);
            return Self { weights: services.map(|it| (named(&it), weight(&it))).collect(), path };
        }
        let named =
            |it: &Value| normalized(&format!("{namespace}-{}-{}", it["name"].as_str().unwrap_or_default(), it["port"]));
        let weights = services.map(|it| (named(&it), weight(&it))).collect();
        Self { path: http_path(namespace, &name), weights }
    }
}

impl ServiceAnswer {
    pub fn read(status: u16, body: &str) -> Self {
        let parsed: Value = serde_json::from_str(body).unwrap_or_default();
        if status == 404 && parsed["message"].as_str().is_some_and(|message| message.starts_with(NOT_FOUND)) {
            return Self::Absent;
        }
        if status != 200 {
            return Self::Unreadable(format!("HTTP {status}"));
        }
        if let Some(balancer) = parsed["loadBalancer"].as_object() {
            let servers = balancer.get("servers").and_then(Value::as_array).into_iter().flatten();
            return Self::Addresses(servers.filter_map(address).collect());
        }
        let Some(services) = parsed["weighted"]["services"].as_array() else {
            return Self::Unreadable("no answer of Traefik's API".to_owned());
        };
        let weight = |service: &Value| {
            let name = service["name"].as_str()?.trim_end_matches(PROVIDER).to_owned();
            Some((name, service["weight"].as_u64().unwrap_or(1)))
        };
        let is_used = parsed["usedBy"].as_array().is_some_and(|routers| !routers.is_empty());
        Self::Weights { is_used, weights: services.iter().filter_map(weight).collect() }
    }

    /// Whether Traefik sends the requests of the service to some of these addresses, and to no others.
    pub fn is_served_by(&self, ready: &BTreeSet<String>) -> bool {
        matches!(self, Self::Addresses(addresses) if !addresses.is_empty() && addresses.is_subset(ready))
    }

    /// Whether no router uses the service any longer.
    pub fn is_released(&self) -> bool {
        matches!(self, Self::Absent | Self::Weights { is_used: false, .. })
    }
}

/// The address of a server, such as `http://10.244.0.7:9898`; none if its pod ends: Traefik sends it only the requests of
/// clients that stay on it.
fn address(server: &Value) -> Option<String> {
    if server["fenced"] == json!(true) {
        return None;
    }
    let (_, authority) = server["url"].as_str()?.split_once("://")?;
    let (host, _) = authority.rsplit_once(':')?;
    Some(host.trim_matches(['[', ']']).to_owned())
}

/// The name of the route that answers the paths of Traefik's API.
pub fn observer_name(project: &str) -> String {
    format!("{project}-rollout")
}

/// The route to Traefik's API, only for the paths about this rollout, and only within the cluster. It also makes the new
/// version known to Traefik.
pub fn observer(split: &Split<'_>) -> Option<Value> {
    let Split { project, namespace, .. } = *split;
    let port = split_routes(split).next()?.next_port;
    let paths = split_services(split).into_iter().map(|service| service.path).chain([next_path(namespace, project)]);
    let matched: Vec<String> = paths.map(|path| format!("Path(`{path}`)")).collect();
    let rule = |matched: &str, service: Value| json!({"kind": "Rule", "match": matched, "services": [service]});
    let api = json!({"kind": "TraefikService", "name": "api@internal"});
    let routes =
        [rule(&matched.join(" || "), api), rule(NO_REQUEST, json!({"name": next_name(project), "port": port}))];
    Some(json!({
        "apiVersion": TRAEFIK, "kind": "IngressRoute", "metadata": {"name": observer_name(project)},
        "spec": {"entryPoints": [ENTRY_POINT], "routes": routes},
    }))
}

/// The path of the service with the pods of the new version.
pub fn next_path(namespace: &str, project: &str) -> String {
    http_path(namespace, &format!("{}-{}", observer_name(project), hash(NO_REQUEST)))
}

/// The path of the service of a `TraefikService`.
pub fn http_path(namespace: &str, name: &str) -> String {
    format!("/api/http/services/{}{PROVIDER}", normalized(&format!("{namespace}-{name}")))
}

/// The path of the service of an `IngressRouteTCP` of cmdr: its name has a hash of the rule.
pub fn tcp_path(namespace: &str, name: &str) -> String {
    format!("/api/tcp/services/{namespace}-{name}-{}{PROVIDER}", hash(TCP_RULE))
}

/// What the names of Traefik's services have of a rule.
fn hash(rule: &str) -> String {
    let mut hash = sha256(rule.as_bytes());
    hash.truncate(HASH);
    hash
}

/// A name as Traefik writes it: parts of letters and digits, with one `-` between them.
fn normalized(name: &str) -> String {
    name.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Values,
        objects::routes::split::{Split, split_objects, split_services},
    };

    fn services(route: &Value, weight: u8) -> (Vec<SplitService>, Vec<Value>) {
        let ports = json!({"http": 9898, "tcp": 5432});
        let values = Values::from_iter([("ports".to_owned(), ports), ("routes".to_owned(), json!({"web": route}))]);
        let (old, new) = (&values, &values);
        let (project, namespace, is_sticky) = ("shop", "tunes", false);
        let split = Split { project, namespace, old, new, weight, is_sticky, preview: None };
        (split_services(&split), split_objects(&split))
    }

    fn answer(body: &Value) -> ServiceAnswer {
        ServiceAnswer::read(200, &body.to_string())
    }

    #[test]
    fn weights_are_loaded_when_a_router_uses_them() {
        let (services, objects) = services(&json!({"host": "shop.localhost"}), 25);
        assert_eq!(services[0].path, "/api/http/services/tunes-shop-rollout-web@kubernetescrd");
        let body = |old: u8, new: u8, used_by: &[&str]| {
            json!({"status": "enabled", "usedBy": used_by, "weighted": {"services": [
                {"name": "tunes-shop-80", "weight": old}, {"name": "tunes-shop-next-80", "weight": new},
            ]}})
        };
        assert!(services[0].is_loaded(&answer(&body(75, 25, &["a"]))));
        assert!(!services[0].is_loaded(&answer(&body(75, 25, &[]))), "no router uses them");
        assert!(!services[0].is_loaded(&answer(&body(80, 20, &["a"]))), "the weights before");
        assert!(answer(&body(75, 25, &[])).is_released() && !answer(&body(75, 25, &["a"])).is_released());
        let observer = objects.iter().find(|it| it["metadata"]["name"] == "shop-rollout").unwrap();
        let next = next_path("tunes", "shop");
        let rule = format!("Path(`/api/http/services/tunes-shop-rollout-web@kubernetescrd`) || Path(`{next}`)");
        assert_eq!(observer["spec"]["routes"][0]["match"], rule);
        assert_eq!(observer["spec"]["routes"][1]["services"], json!([{"name": "shop-next", "port": 80}]));
        assert_eq!(observer["spec"]["entryPoints"], json!(["traefik"]));
    }

    #[test]
    fn the_weights_of_tcp_name_both_versions() {
        let (services, _) = services(&json!({"kind": "TCPRoute", "listener": "raw", "port": "tcp"}), 100);
        let name = "tunes-shop-rollout-web-673acf455cb2dab0b43a";
        assert_eq!(services[0].path, format!("/api/tcp/services/{name}@kubernetescrd"));
        let body = json!({"usedBy": ["a"], "weighted": {"services": [
            {"name": format!("{name}-shop-5432"), "weight": 0}, {"name": format!("{name}-shop-next-5432"), "weight": 100},
        ]}});
        assert!(services[0].is_loaded(&answer(&body)));
    }

    #[test]
    fn a_version_is_served_by_its_ready_pods_only() {
        let ready = BTreeSet::from(["10.244.0.7".to_owned(), "fd00::7".to_owned()]);
        let is_served = |servers: Value| answer(&json!({"loadBalancer": {"servers": servers}})).is_served_by(&ready);
        let ended = json!({"url": "http://10.244.0.5:9898", "fenced": true});
        assert!(is_served(json!([{"url": "http://10.244.0.7:9898"}, {"url": "http://[fd00::7]:9898"}, ended])));
        assert!(!is_served(json!([ended])), "its pod ends");
        assert!(
            !is_served(json!([{"url": "http://10.244.0.7:9898"}, {"url": "http://10.244.0.5:9898"}])),
            "a former pod"
        );
        assert!(!answer(&json!({"loadBalancer": {"passHostHeader": true}})).is_served_by(&ready), "no pod");
    }

    #[test]
    fn an_api_that_is_off_is_not_a_missing_service() {
        assert_eq!(ServiceAnswer::read(404, r#"{"message":"service not found: a"}"#), ServiceAnswer::Absent);
        let off = ServiceAnswer::Unreadable("HTTP 404".to_owned());
        assert_eq!(ServiceAnswer::read(404, "404 page not found\n"), off);
        assert!(!off.is_released());
    }
}
