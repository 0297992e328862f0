//! Routes of other kinds than Ingress: Traefik's own, and those of the Gateway API.

mod read_back;
mod split;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{entries, given};
pub use read_back::{ServiceAnswer, SplitService, http_path, next_path, observer, observer_name, tcp_path};
pub use split::{Split, has_routes, split_objects, split_services, unfit_route};

use crate::domain::{Values, platform::HTTPS_PORT, project_secret::name_of};

/// Types of middlewares that come before all others; those come in the order of their names.
const FIRST: [&str; 4] = ["redirectScheme", "redirectRegex", "ipAllowList", "rateLimit"];
/// Protocols of a port that are HTTP/2 without TLS.
const WITHOUT_TLS: [&str; 2] = ["grpc", "kubernetes.io/h2c"];
/// The API group and version of Traefik's own kinds.
pub const TRAEFIK: &str = "traefik.io/v1alpha1";

/// A port of a project's Service.
pub(super) struct Port {
    pub(super) name: String,
    service: u64,
    pub(super) target: u64,
    is_http2: bool,
}

/// Returns the port that a route or a monitor names: by default `http`, or the first one by name.
pub(super) fn port(values: &Values, holder: &Value) -> Option<Port> {
    let ports: BTreeMap<&String, &Value> = entries(values.get("ports")).collect();
    let written = holder.get("port").and_then(Value::as_str);
    let default = || if ports.keys().any(|name| *name == "http") { Some("http") } else { None };
    let name = written.or_else(default).or_else(|| ports.keys().next().map(|name| name.as_str()))?;
    let port = ports.get(&name.to_owned())?;
    let target = port.as_u64().or_else(|| port.get("port")?.as_u64())?;
    let service = port.get("service").and_then(Value::as_u64);
    let protocol = port.get("appProtocol").and_then(Value::as_str);
    Some(Port {
        name: name.to_owned(),
        service: service.unwrap_or(if name == "http" { 80 } else { target }),
        target,
        is_http2: protocol.is_some_and(|protocol| WITHOUT_TLS.contains(&protocol)),
    })
}

/// A route, and the parts that its objects share.
struct CustomRoute<'a> {
    name: &'a str,
    written: &'a Value,
    port: Port,
    /// The Services that share the requests.
    backends: Vec<Value>,
    /// The names of its middlewares in the cluster.
    middlewares: Vec<String>,
}

/// Returns the objects of all routes of other kinds than Ingress, by the name after that of the project.
pub(super) fn objects(project: &str, values: &Values) -> Vec<(String, Value)> {
    let routes = entries(values.get("routes")).filter(|(_, route)| kind(route).is_some_and(|kind| kind != "Ingress"));
    let objects = routes.filter_map(|(name, route)| {
        let port = port(values, route)?;
        let types = in_order(middlewares(project, values, route));
        let names = types.iter().map(|(kind, _)| format!("{project}-{}", middleware_name(name, kind))).collect();
        let backends = backends(project, route, port.service);
        let route = CustomRoute { name, written: route, port, backends, middlewares: names };
        let own =
            if kind(route.written) == Some("IngressRoute") { route.of_traefik() } else { route.of_gateway(project) };
        let of_types = types.into_iter().map(|(kind, spec)| {
            (middleware_name(name, &kind), json!({"apiVersion": TRAEFIK, "kind": "Middleware", "spec": {kind: spec}}))
        });
        Some(of_types.chain(own).chain(route.certificate()).collect::<Vec<_>>())
    });
    objects.flatten().collect()
}

fn kind(route: &Value) -> Option<&str> {
    route.get("kind").and_then(Value::as_str)
}

fn middleware_name(route: &str, kind: &str) -> String {
    format!("{route}-{}", kind.to_ascii_lowercase())
}

/// Middlewares by the name of their type in Traefik; `auth`, `redirect` and `strip` are short forms.
fn middlewares(project: &str, values: &Values, route: &Value) -> BTreeMap<String, Value> {
    let written = entries(route.get("middlewares")).filter(|(_, value)| **value != Value::Bool(false));
    let types = written.map(|(name, value)| match name.as_str() {
        "strip" => ("stripPrefix", json!({"prefixes": [value]})),
        "redirect" => ("redirectScheme", json!({"scheme": value, "permanent": true})),
        "auth" if value.get("secret").is_some() => {
            let mut auth = value.clone();
            let name = auth["secret"].as_str().unwrap_or_default();
            auth["secret"] = json!(name_of(project, values, name));
            ("basicAuth", auth)
        }
        "auth" => ("forwardAuth", value.clone()),
        name => (name, if value.is_object() { value.clone() } else { json!({}) }),
    });
    types.map(|(name, spec)| (name.to_owned(), spec)).collect()
}

fn in_order(mut types: BTreeMap<String, Value>) -> Vec<(String, Value)> {
    let first: Vec<_> = FIRST.iter().filter_map(|kind| types.remove_entry(*kind)).collect();
    first.into_iter().chain(types).collect()
}

fn backends(project: &str, route: &Value, port: u64) -> Vec<Value> {
    let weights: BTreeMap<&String, &Value> = entries(route.get("weights")).collect();
    if weights.is_empty() {
        return vec![json!({"name": project, "port": port})];
    }
    weights.into_iter().map(|(name, weight)| json!({"name": name, "port": port, "weight": weight})).collect()
}

impl CustomRoute<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.written.get(key).and_then(Value::as_str)
    }

    fn hosts(&self) -> Vec<&str> {
        let further = entries(self.written.get("hosts")).filter(|(_, wanted)| **wanted == Value::Bool(true));
        self.text("host").into_iter().chain(further.map(|(host, _)| host.as_str())).collect()
    }

    fn path(&self) -> &str {
        self.text("path").unwrap_or("/")
    }

    /// Traefik's rule. A prefix is whole parts of a path, as in an Ingress.
    fn rule(&self) -> String {
        let hosts: Vec<String> = self.hosts().iter().map(|host| format!("Host(`{host}`)")).collect();
        let (hosts, path) = (format!("({})", hosts.join(" || ")), self.path());
        let prefix = path.trim_end_matches('/');
        match self.text("match") {
            Some("exact") => format!("{hosts} && Path(`{path}`)"),
            Some("regex") => format!("{hosts} && PathRegexp(`^{path}`)"),
            _ if prefix.is_empty() => hosts,
            _ => format!("{hosts} && (Path(`{prefix}`) || PathPrefix(`{prefix}/`))"),
        }
    }

    /// The Certificate, from which cert-manager creates the Secret of `tls`.
    fn certificate(&self) -> Option<(String, Value)> {
        let (issuer, secret) = (self.written.get("issuer")?, self.text("tls")?);
        let spec = json!({"secretName": secret, "dnsNames": self.hosts(), "issuerRef": issuer});
        let object = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "spec": spec});
        Some((format!("{}-certificate", self.name), object))
    }

    /// The Gateway for HTTPS: only one in the namespace of the project can use its Secret. It is one of Traefik's class,
    /// at the port of its entry point.
    fn gateway(&self, secret: &str) -> (String, Value) {
        let listener = |(number, host): (usize, &str)| {
            let tls = json!({"mode": "Terminate", "certificateRefs": [{"name": secret}]});
            let name = format!("https-{number}");
            json!({"name": name, "hostname": host, "port": HTTPS_PORT, "protocol": "HTTPS", "tls": tls})
        };
        let listeners: Vec<Value> = self.hosts().into_iter().enumerate().map(listener).collect();
        let spec = json!({"gatewayClassName": "traefik", "listeners": listeners});
        let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "spec": spec});
        (format!("{}-tls", self.name), object)
    }

    /// With a certificate of its own, the entry point without TLS has an object of its own.
    fn of_traefik(&self) -> Vec<(String, Value)> {
        let is_sticky = self.written.get("sticky") == Some(&Value::Bool(true));
        let more = [
            ("scheme", self.port.is_http2.then(|| json!("h2c"))),
            ("sticky", is_sticky.then(|| json!({"cookie": {"httpOnly": true}}))),
        ];
        let services: Vec<Value> = self
            .backends
            .iter()
            .cloned()
            .map(|mut backend| {
                more.iter().filter_map(|(key, value)| Some((key, value.clone()?))).for_each(|(key, value)| {
                    backend[*key] = value;
                });
                backend
            })
            .collect();
        let names: Vec<Value> = self.middlewares.iter().map(|name| json!({"name": name})).collect();
        let rule = given(json!({"kind": "Rule", "match": self.rule(), "middlewares": names, "services": services}));
        let object = |entry: &[&str], tls: Option<Value>| {
            let spec = given(json!({"entryPoints": entry, "routes": [rule.clone()], "tls": tls}));
            json!({"apiVersion": TRAEFIK, "kind": "IngressRoute", "spec": spec})
        };
        match self.text("tls") {
            None => vec![(self.name.to_owned(), object(&[], None))],
            Some(secret) => vec![
                (self.name.to_owned(), object(&["web"], None)),
                (format!("{}-tls", self.name), object(&["websecure"], Some(json!({"secretName": secret})))),
            ],
        }
    }

    fn of_gateway(&self, project: &str) -> Vec<(String, Value)> {
        let kind = kind(self.written).unwrap_or_default();
        let filter = |name: &String| {
            let reference = json!({"group": "traefik.io", "kind": "Middleware", "name": name});
            json!({"type": "ExtensionRef", "extensionRef": reference})
        };
        let comparison = match self.text("match") {
            Some("exact") => "Exact",
            Some("regex") => "RegularExpression",
            _ => "PathPrefix",
        };
        // A regular expression applies from the start of the path.
        let anchor = if comparison == "RegularExpression" { "^" } else { "" };
        let matches = json!([{"path": {"type": comparison, "value": format!("{anchor}{}", self.path())}}]);
        let rule = given(json!({
            "matches": (kind == "HTTPRoute").then_some(matches),
            "filters": self.middlewares.iter().map(filter).collect::<Vec<_>>(),
            "backendRefs": self.backends,
        }));
        let gateway = self.text("gateway").and_then(|gateway| gateway.split_once('/'));
        let (namespace, name) = gateway.unwrap_or(("traefik", "traefik-gateway"));
        let parent = given(json!({"namespace": namespace, "name": name, "sectionName": self.text("listener")}));
        let own = self.text("tls").map(|secret| self.gateway(secret));
        let parents: Vec<Value> = std::iter::once(parent)
            .chain(own.iter().map(|(name, _)| json!({"name": format!("{project}-{name}")})))
            .collect();
        let spec = given(json!({"parentRefs": parents, "hostnames": self.hosts(), "rules": [rule]}));
        let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
        let api = format!("gateway.networking.k8s.io/{version}");
        let route = (self.name.to_owned(), json!({"apiVersion": api, "kind": kind, "spec": spec}));
        std::iter::once(route).chain(own).collect()
    }
}
