//! The objects that split the requests of a project between two versions, for the time of a rollout. Each route gets an
//! object of Traefik with a priority just above its own.

use serde_json::{Value, json};

use super::{
    CustomRoute, TRAEFIK, entries, given, in_order, kind, middleware_name, middlewares, port,
    read_back::{SplitService, observer},
};
use crate::domain::{
    Values,
    rollout::{ALL, Preview, next_name},
};

/// Annotations of an Ingress that Traefik reads for its router.
const ROUTER: &str = "traefik.ingress.kubernetes.io/router.";
/// What Traefik's provider adds to the name of a middleware: `NAMESPACE-NAME@kubernetescrd`.
const PROVIDER: &str = "@kubernetescrd";
/// The priority of a router for TCP: those of routes have none.
const TCP: usize = 1000;
/// The rule of a router for TCP: every connection to its entry point.
pub(super) const TCP_RULE: &str = "HostSNI(`*`)";
/// The length of the path rule of a GRPCRoute without methods: `PathPrefix("/")`.
const ANY_PATH: usize = 15;

/// Where the requests of a project go.
#[derive(Debug, Clone, Copy)]
pub struct Split<'a> {
    pub project: &'a str,
    pub namespace: &'a str,
    /// The values of the release that has the routes.
    pub old: &'a Values,
    /// The values of the new version.
    pub new: &'a Values,
    /// The share of the new version, in percent.
    pub weight: u8,
    pub is_sticky: bool,
    pub preview: Option<&'a Preview>,
}

/// Whether a release with these values has routes.
pub fn has_routes(values: &Values) -> bool {
    entries(values.get("routes")).next().is_some()
}

/// Why the requests of a route cannot be split; `None` if they can.
pub fn unfit_route(route: &Value, has_preview: bool) -> Option<String> {
    let text = |key: &str| route.get(key).and_then(Value::as_str);
    let is_tcp = kind(route) == Some("TCPRoute");
    if route.get("weights").is_some_and(|weights| !weights.is_null()) {
        return Some("has `weights` of its own".to_owned());
    }
    if let Some(class) = text("class").filter(|class| *class != "traefik") {
        return Some(format!("has the ingress class '{class}': Traefik splits the requests"));
    }
    if let Some(gateway) = text("gateway") {
        return Some(format!("belongs to the Gateway '{gateway}': Traefik splits the requests"));
    }
    if is_tcp && has_preview {
        return Some("is for TCP, which has no headers and cookies: remove `preview`".to_owned());
    }
    if is_tcp && text("listener").is_none() {
        return Some("has no `listener`, after which the entry point is named".to_owned());
    }
    let known = ["middlewares", "entrypoints", "priority"];
    let mut annotations = entries(route.get("annotations")).filter_map(|(key, _)| key.strip_prefix(ROUTER));
    annotations.find(|key| !known.contains(key)).map(|key| format!("has the annotation '{ROUTER}{key}'"))
}

/// Returns the objects: the route to Traefik's API, the weights, then the routes that use them.
pub fn split_objects(split: &Split<'_>) -> Vec<Value> {
    let (mut services, mut routes) = (Vec::from_iter(observer(split)), Vec::new());
    for route in split_routes(split) {
        if route.is_tcp() {
            routes.push(route.of_tcp());
        } else {
            services.push(route.weights());
            routes.extend(route.of_http());
        }
    }
    services.into_iter().chain(routes).collect()
}

/// Returns the services of Traefik that have the weights, for each route.
pub fn split_services(split: &Split<'_>) -> Vec<SplitService> {
    split_routes(split).map(|route| SplitService::of(&route)).collect()
}

pub(super) fn split_routes<'a>(split: &'a Split<'a>) -> impl Iterator<Item = SplitRoute<'a>> {
    entries(split.old.get("routes")).filter_map(|(name, written)| SplitRoute::read(split, name, written))
}

/// A route whose requests are split.
pub(super) struct SplitRoute<'a> {
    pub(super) split: &'a Split<'a>,
    route: CustomRoute<'a>,
    /// The port of the new version's Service.
    pub(super) next_port: u64,
}

impl<'a> SplitRoute<'a> {
    fn read(split: &'a Split<'a>, name: &'a str, written: &'a Value) -> Option<Self> {
        let types = in_order(middlewares(split.project, split.old, written));
        let own = types.iter().map(|(kind, _)| format!("{}-{}", split.project, middleware_name(name, kind)));
        let own =
            if kind(written).is_none_or(|kind| kind == "Ingress") { named(split, written) } else { own.collect() };
        let port_of = |values| port(values, written);
        let next_port = port_of(split.new).or_else(|| port_of(split.old))?.service;
        let route = CustomRoute { name, written, port: port_of(split.old)?, backends: Vec::new(), middlewares: own };
        Some(Self { split, route, next_port })
    }

    pub(super) fn name(&self) -> String {
        format!("{}-rollout-{}", self.split.project, self.route.name)
    }

    pub(super) fn is_tcp(&self) -> bool {
        kind(self.route.written) == Some("TCPRoute")
    }

    /// The Services with their weights. One of HTTP without weight is left out: Traefik would still use it for its
    /// cookie. One of TCP is not: Traefik's API names the Services of a route only if there are several.
    pub(super) fn services(&self) -> Vec<Value> {
        let Split { project, weight, .. } = *self.split;
        let both =
            [(project.to_owned(), self.route.port.service, ALL - weight), (next_name(project), self.next_port, weight)];
        let given_weight = both.into_iter().filter(|(.., weight)| *weight > 0 || self.is_tcp());
        given_weight.map(|(name, port, weight)| json!({"name": name, "port": port, "weight": weight})).collect()
    }

    fn with_protocol(&self, mut service: Value) -> Value {
        if self.route.port.is_http2 {
            service["scheme"] = json!("h2c");
        }
        if self.route.written.get("sticky") == Some(&Value::Bool(true)) {
            service["sticky"] = json!({"cookie": {"httpOnly": true}});
        }
        service
    }

    fn weights(&self) -> Value {
        let services: Vec<Value> = self.services().into_iter().map(|service| self.with_protocol(service)).collect();
        let cookie = json!({"cookie": {"name": format!("cmdr-{}", self.split.project), "httpOnly": true}});
        let weighted = given(json!({"services": services, "sticky": self.split.is_sticky.then_some(cookie)}));
        object("TraefikService", &self.name(), &json!({"weighted": weighted}))
    }

    /// With a certificate of its own, the entry point without TLS has an object of its own, as the route.
    fn of_http(&self) -> Vec<Value> {
        let secret = self.route.text("tls").filter(|_| kind(self.route.written) == Some("IngressRoute"));
        let rules = self.rules();
        let ingress_route = |name: &str, entry: Vec<String>, tls: Option<Value>| {
            let spec = given(json!({"entryPoints": entry, "routes": rules, "tls": tls}));
            object("IngressRoute", name, &spec)
        };
        let name = self.name();
        let Some(secret) = secret else {
            return vec![ingress_route(&name, self.list_in_annotation("entrypoints"), None)];
        };
        vec![
            ingress_route(&name, vec!["web".to_owned()], None),
            ingress_route(&format!("{name}-tls"), vec!["websecure".to_owned()], Some(json!({"secretName": secret}))),
        ]
    }

    fn rules(&self) -> Vec<Value> {
        let names: Vec<Value> = self.route.middlewares.iter().map(|name| json!({"name": name})).collect();
        let weights = json!({"kind": "TraefikService", "name": self.name()});
        let next = self.with_protocol(json!({"name": next_name(self.split.project), "port": self.next_port}));
        let rule = |rule: &str, priority: usize, service: &Value| {
            given(
                json!({"kind": "Rule", "match": rule, "priority": priority, "middlewares": names, "services": [service]}),
            )
        };
        let preview = self.split.preview.map(preview_rule);
        let of_router = |(matched, priority): (String, usize)| {
            let preview =
                preview.as_ref().map(|preview| rule(&format!("({matched}) && {preview}"), priority + 2, &next));
            preview.into_iter().chain([rule(&matched, priority + 1, &weights)]).collect::<Vec<_>>()
        };
        self.routers().into_iter().flat_map(of_router).collect()
    }

    /// The rules of Traefik's routers for the route, each with its priority: by default, the length of the rule. Those
    /// of the Gateway API have one from their path and host.
    fn routers(&self) -> Vec<(String, usize)> {
        let (rule, path) = (self.route.rule(), self.route.path());
        let longest = self.route.hosts().iter().map(|host| host.len()).max().unwrap_or_default();
        let of_path = match self.route.text("match") {
            Some("exact") => 100_000,
            Some("regex") => 10_000 + (path.len() + 1) * 100,
            _ if path == "/" => 1,
            _ => 10_000 + path.len() * 100,
        };
        match kind(self.route.written) {
            Some("IngressRoute") => vec![(rule.clone(), rule.len())],
            // The first rule of a route has one more.
            Some("HTTPRoute") => vec![(rule, of_path + longest + 1)],
            Some("GRPCRoute") => vec![(rule, longest + ANY_PATH)],
            _ => self.routers_of_ingress(),
        }
    }

    fn routers_of_ingress(&self) -> Vec<(String, usize)> {
        let matcher = if self.route.text("match") == Some("exact") { "Path" } else { "PathPrefix" };
        let priority = self.list_in_annotation("priority").first().and_then(|priority| priority.parse().ok());
        let of_host = |host: &str| {
            let rule = format!("Host(`{host}`) && {matcher}(`{}`)", self.route.path());
            let length = rule.len();
            (rule, priority.unwrap_or(length))
        };
        self.route.hosts().into_iter().map(of_host).collect()
    }

    fn list_in_annotation(&self, key: &str) -> Vec<String> {
        listed(self.route.written, key)
    }

    fn of_tcp(&self) -> Value {
        let route = json!({"match": TCP_RULE, "priority": TCP, "services": self.services()});
        let spec = json!({"entryPoints": [self.route.text("listener")], "routes": [route]});
        object("IngressRouteTCP", &self.name(), &spec)
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": TRAEFIK, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// The items of an annotation of an Ingress for its router.
fn listed(route: &Value, key: &str) -> Vec<String> {
    let annotation = route.get("annotations").and_then(|all| all.get(format!("{ROUTER}{key}"))?.as_str());
    annotation.into_iter().flat_map(|list| list.split(',')).map(|item| item.trim().to_owned()).collect()
}

/// The middlewares that the annotations of an Ingress name. One of the same namespace is referred to by its own name.
fn named(split: &Split<'_>, route: &Value) -> Vec<String> {
    let prefix = format!("{}-", split.namespace);
    let own = |name: &String| name.strip_suffix(PROVIDER)?.strip_prefix(&prefix).map(str::to_owned);
    listed(route, "middlewares").into_iter().map(|name| own(&name).unwrap_or(name)).collect()
}

fn preview_rule(preview: &Preview) -> String {
    match (&preview.header, &preview.cookie) {
        (Some(header), _) => format!("HeaderRegexp(`{header}`, `.+`)"),
        (None, cookie) => format!("HeaderRegexp(`Cookie`, `(^|;\\s*){}=`)", cookie.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(routes: &Value) -> Values {
        let ports = json!({"http": 9898, "grpc": {"port": 9999, "appProtocol": "kubernetes.io/h2c"}, "tcp": 5432});
        Values::from_iter([("ports".to_owned(), ports), ("routes".to_owned(), routes.clone())])
    }

    fn objects(routes: &Value, weight: u8, preview: Option<&Preview>) -> Vec<Value> {
        let values = values(routes);
        let (project, namespace) = ("shop", "tunes");
        let split = Split { project, namespace, old: &values, new: &values, weight, is_sticky: true, preview };
        split_objects(&split)
    }

    #[test]
    fn an_ingress_is_split_just_above_its_own_priority() {
        let preview = Preview { header: Some("X-Preview".to_owned()), cookie: None };
        let annotations = json!({"traefik.ingress.kubernetes.io/router.middlewares": "tunes-auth@kubernetescrd"});
        let route = json!({"web": {"host": "shop.localhost", "path": "/", "annotations": annotations}});
        let [_, service, route] = <[Value; 3]>::try_from(objects(&route, 25, Some(&preview))).unwrap();
        let weighted = &service["spec"]["weighted"];
        assert_eq!(
            weighted["services"],
            json!([
                {"name": "shop", "port": 80, "weight": 75}, {"name": "shop-next", "port": 80, "weight": 25},
            ])
        );
        assert_eq!(weighted["sticky"]["cookie"]["name"], "cmdr-shop");
        let rules = route["spec"]["routes"].as_array().unwrap();
        let rule = "Host(`shop.localhost`) && PathPrefix(`/`)";
        assert_eq!((&rules[1]["match"], &rules[1]["priority"]), (&json!(rule), &json!(rule.len() + 1)));
        assert_eq!(rules[1]["services"], json!([{"kind": "TraefikService", "name": "shop-rollout-web"}]));
        assert_eq!(rules[1]["middlewares"], json!([{"name": "auth"}]));
        assert_eq!(rules[0]["match"], format!("({rule}) && HeaderRegexp(`X-Preview`, `.+`)"));
        assert_eq!(rules[0]["services"][0]["name"], "shop-next");
        assert_eq!((rules[0]["priority"].as_u64(), route["spec"].get("entryPoints")), (Some(43), None));
    }

    #[test]
    fn all_or_nothing_leaves_out_the_other_version() {
        let route = json!({"web": {"host": "shop.localhost"}});
        let of = |weight| objects(&route, weight, None)[1]["spec"]["weighted"]["services"].clone();
        assert_eq!(of(0), json!([{"name": "shop", "port": 80, "weight": 100}]));
        assert_eq!(of(100), json!([{"name": "shop-next", "port": 80, "weight": 100}]));
    }

    #[test]
    fn other_kinds_of_routes_keep_their_rules_and_protocols() {
        let routes = json!({
            "api": {"kind": "IngressRoute", "host": "a.localhost", "path": "/api", "tls": "cert", "middlewares": {"compress": true}},
            "calls": {"kind": "GRPCRoute", "host": "g.localhost", "port": "grpc"},
            "old": {"kind": "HTTPRoute", "host": "h.localhost", "path": "/v1"},
            "raw": {"kind": "TCPRoute", "listener": "postgres", "port": "tcp"},
        });
        let objects = objects(&routes, 50, None);
        let find = |kind: &str, name: &str| {
            let found = objects.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
            found.unwrap_or_else(|| panic!("{kind} {name}"))["spec"].clone()
        };
        let secure = find("IngressRoute", "shop-rollout-api-tls");
        assert_eq!((&secure["tls"]["secretName"], &secure["entryPoints"]), (&json!("cert"), &json!(["websecure"])));
        assert_eq!(secure["routes"][0]["middlewares"], json!([{"name": "shop-api-compress"}]));
        let calls = find("TraefikService", "shop-rollout-calls");
        assert_eq!(
            (&calls["weighted"]["services"][1]["scheme"], &calls["weighted"]["services"][1]["port"]),
            (&json!("h2c"), &json!(9999))
        );
        assert_eq!(find("IngressRoute", "shop-rollout-calls")["routes"][0]["priority"], 27);
        assert_eq!(find("IngressRoute", "shop-rollout-old")["routes"][0]["priority"], 10_313);
        let raw = find("IngressRouteTCP", "shop-rollout-raw");
        assert_eq!(
            (&raw["entryPoints"], &raw["routes"][0]["services"][1]["weight"]),
            (&json!(["postgres"]), &json!(50))
        );
    }

    #[test]
    fn a_route_without_a_way_to_split_it_is_named() {
        let why = |route: Value| unfit_route(&route, true).unwrap_or_default();
        assert_eq!(why(json!({"host": "a", "annotations": {"cert-manager.io/issuer": "x"}})), "");
        assert!(why(json!({"weights": {"a": 1}})).contains("weights"));
        assert!(why(json!({"class": "nginx"})).contains("nginx"));
        assert!(why(json!({"kind": "HTTPRoute", "gateway": "edge/public"})).contains("edge/public"));
        assert!(why(json!({"kind": "TCPRoute", "listener": "raw"})).contains("TCP"));
        assert!(
            why(json!({"annotations": {"traefik.ingress.kubernetes.io/router.tls": "true"}})).contains("router.tls")
        );
    }
}
