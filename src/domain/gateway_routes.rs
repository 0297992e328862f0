//! The routes of projects as they are in the cluster, as rules of Traefik: which requests they match, and in which order.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::Value;

/// Helm sets this annotation on every object that it creates.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";
/// Matchers of which a plain request knows nothing.
const SPECIAL: [&str; 8] =
    ["HostRegexp(", "PathRegexp(", "Header(", "HeaderRegexp(", "Query(", "QueryRegexp(", "Method(", "ClientIP("];

static HOSTS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"Host\(([^)]*)\)").ok());
static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"[`"]([^`"]+)[`"]"#).ok());
static PATH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"Path(?:Prefix)?\([`"]([^`"]+)[`"]\)"#).ok());

/// A route of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRoute {
    pub project: String,
    /// `Ingress/shop`.
    pub object: String,
    pub rule: String,
    /// The hosts that the rule names; empty if it names none.
    pub hosts: BTreeSet<String>,
    /// Whether hosts are also regular expressions.
    has_patterns: bool,
    /// The path that a request can have; `None` if the rule is more than hosts and a path.
    pub path: Option<String>,
    /// Of two rules that match, that of the higher priority counts.
    pub priority: i64,
    /// Empty: all.
    pub entry_points: Vec<String>,
    /// The TLS options of the route, which hold for its hosts.
    pub tls_options: Option<Value>,
}

/// What the objects of a namespace route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundRoutes {
    pub routes: Vec<GatewayRoute>,
    /// The projects with a TCP route, each with the object.
    pub tcp: Vec<(String, String)>,
}

impl FoundRoutes {
    /// Reads the objects that Helm created; others belong to no project.
    pub fn read(objects: &[Value]) -> Self {
        let mut found = Self::default();
        for object in objects {
            let Some(project) = object["metadata"]["annotations"][HELM_RELEASE].as_str() else { continue };
            let kind = text(&object["kind"]);
            let label = format!("{kind}/{}", text(&object["metadata"]["name"]));
            let routes = match kind {
                "Ingress" => ingress(object),
                "IngressRoute" => traefik(object),
                "HTTPRoute" | "GRPCRoute" => gateway(object),
                _ => {
                    found.tcp.push((project.to_owned(), label));
                    continue;
                }
            };
            let owned =
                |route: GatewayRoute| GatewayRoute { project: project.to_owned(), object: label.clone(), ..route };
            found.routes.extend(routes.into_iter().map(owned));
        }
        found
    }

    /// The more specific routes of other projects on the same hosts, which a rule with a higher priority would hide.
    pub fn inside<'a>(&'a self, route: &'a GatewayRoute) -> impl Iterator<Item = &'a GatewayRoute> {
        self.routes.iter().filter(move |other| {
            let shares_host = other.has_patterns || route.has_patterns || !other.hosts.is_disjoint(&route.hosts);
            other.project != route.project && shares_host && other.priority > route.priority
        })
    }
}

impl GatewayRoute {
    /// A route of a rule in Traefik's language, with the priority that Traefik gives it: the length of the rule.
    fn of_rule(rule: String) -> Self {
        let is_special = SPECIAL.iter().any(|matcher| rule.contains(matcher)) || rule.contains('!');
        let path =
            PATH.as_ref().and_then(|path| path.captures(&rule)).map_or_else(|| "/".to_owned(), |it| it[1].to_owned());
        let hosts = HOSTS.as_ref().into_iter().flat_map(|hosts| hosts.captures_iter(&rule));
        let names = |list: regex::Captures<'_>| {
            let list = list[1].to_owned();
            let names = QUOTED.as_ref().into_iter().flat_map(|quoted| quoted.captures_iter(&list));
            names.map(|name| name[1].to_owned()).collect::<Vec<_>>()
        };
        Self {
            project: String::new(),
            object: String::new(),
            hosts: hosts.flat_map(names).collect(),
            has_patterns: rule.contains("HostRegexp("),
            path: (!is_special).then_some(path),
            priority: i64::try_from(rule.len()).unwrap_or(i64::MAX),
            entry_points: Vec::new(),
            tls_options: None,
            rule,
        }
    }

    /// Whether it names no host, and therefore matches every host of the gateway.
    pub fn is_open_to_all_hosts(&self) -> bool {
        self.hosts.is_empty() && !self.has_patterns
    }
}

fn ingress(object: &Value) -> Vec<GatewayRoute> {
    let rules = items(&object["spec"]["rules"]);
    let of_rule = |rule: &Value| {
        let host = host_rule(text(&rule["host"]));
        let paths = items(&rule["http"]["paths"]).map(move |path| {
            // Traefik compares a prefix of an Ingress as text.
            let exact = Some(text(&path["pathType"])).filter(|kind| *kind == "Exact");
            let rule = path_rule(text(&path["path"]), exact.unwrap_or_default());
            GatewayRoute::of_rule(joined(&[host.clone(), rule]))
        });
        paths.collect::<Vec<_>>()
    };
    rules.flat_map(of_rule).collect()
}

fn traefik(object: &Value) -> Vec<GatewayRoute> {
    let spec = &object["spec"];
    let entry_points: Vec<String> = items(&spec["entryPoints"]).map(|it| text(it).to_owned()).collect();
    let options = spec.pointer("/tls/options").cloned();
    let route = |route: &Value| {
        let own = GatewayRoute::of_rule(text(&route["match"]).to_owned());
        let priority = route["priority"].as_i64().filter(|priority| *priority > 0).unwrap_or(own.priority);
        GatewayRoute { priority, entry_points: entry_points.clone(), tls_options: options.clone(), ..own }
    };
    items(&spec["routes"]).map(route).collect()
}

/// The priorities of Traefik for the Gateway API: by the kind of the path, then by its length, then by that of the host.
fn gateway(object: &Value) -> Vec<GatewayRoute> {
    let spec = &object["spec"];
    let hosts: Vec<&str> = items(&spec["hostnames"]).map(text).collect();
    let host = hosts.iter().map(|host| host_rule(host)).collect::<Vec<_>>().join(" || ");
    let host = if hosts.len() > 1 { format!("({host})") } else { host };
    let longest = hosts.iter().map(|host| host.len()).max().unwrap_or_default();
    let route = |path: &Value| {
        let (kind, value) = (text(&path["type"]), path["value"].as_str().unwrap_or("/"));
        let (rule, base) = match kind {
            "Exact" => (format!("Path(`{value}`)"), 100_000),
            "RegularExpression" => (format!("PathRegexp(`{value}`)"), 5_000),
            _ => (path_rule(value, "Prefix"), 10_000 + 100 * value.len()),
        };
        let own = GatewayRoute::of_rule(joined(&[host.clone(), rule]));
        GatewayRoute { priority: i64::try_from(base + longest).unwrap_or(i64::MAX), ..own }
    };
    let matches = items(&spec["rules"]).flat_map(|rule| items(&rule["matches"])).map(|it| route(&it["path"]));
    let matches: Vec<GatewayRoute> = matches.collect();
    if matches.is_empty() { vec![route(&Value::Null)] } else { matches }
}

fn host_rule(host: &str) -> String {
    match host.strip_prefix("*.") {
        _ if host.is_empty() => String::new(),
        Some(domain) => format!("HostRegexp(`^[^.]+\\.{}$`)", domain.replace('.', "\\.")),
        None => format!("Host(`{host}`)"),
    }
}

/// A prefix is whole parts of a path.
fn path_rule(path: &str, kind: &str) -> String {
    let prefix = path.trim_end_matches('/');
    match kind {
        "Exact" => format!("Path(`{path}`)"),
        _ if prefix.is_empty() => "PathPrefix(`/`)".to_owned(),
        "Prefix" => format!("(Path(`{prefix}`) || PathPrefix(`{prefix}/`))"),
        _ => format!("PathPrefix(`{path}`)"),
    }
}

fn joined(rules: &[String]) -> String {
    rules.iter().filter(|rule| !rule.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" && ")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, project: &str, spec: &Value) -> Value {
        json!({"kind": kind, "metadata": {"name": project, "annotations": {(HELM_RELEASE): project}}, "spec": spec})
    }

    fn found(kind: &str, spec: &Value) -> Vec<(String, Option<String>)> {
        let found = FoundRoutes::read(&[object(kind, "shop", spec)]);
        found.routes.into_iter().map(|route| (route.rule, route.path)).collect()
    }

    #[test]
    fn objects_of_all_kinds_become_rules() {
        let some = |rule: &str, path: &str| (rule.to_owned(), Some(path.to_owned()));
        let ingress = json!({"rules": [{"host": "a.test", "http": {"paths": [
            {"path": "/", "pathType": "Prefix"}, {"path": "/api", "pathType": "Prefix"}, {"path": "/x", "pathType": "Exact"}]}}]});
        assert_eq!(
            found("Ingress", &ingress),
            [
                some("Host(`a.test`) && PathPrefix(`/`)", "/"),
                some("Host(`a.test`) && PathPrefix(`/api`)", "/api"),
                some("Host(`a.test`) && Path(`/x`)", "/x"),
            ]
        );
        let route = json!({"routes": [{"match": "(Host(`a.test`) || Host(`b.test`)) && PathPrefix(`/v1/`)"}]});
        assert_eq!(found("IngressRoute", &route)[0].1.as_deref(), Some("/v1/"));
        let route = json!({"hostnames": ["a.test", "b.test"], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]});
        assert_eq!(found("HTTPRoute", &route), [some("(Host(`a.test`) || Host(`b.test`)) && PathPrefix(`/`)", "/")]);
        assert_eq!(
            found("GRPCRoute", &json!({"hostnames": ["a.test"]})),
            [some("Host(`a.test`) && PathPrefix(`/`)", "/")]
        );
        let wild = json!({"rules": [{"host": "*.a.test", "http": {"paths": [{"path": "/"}]}}]});
        assert_eq!(found("Ingress", &wild), [("HostRegexp(`^[^.]+\\.a\\.test$`) && PathPrefix(`/`)".to_owned(), None)]);
        assert_eq!(
            FoundRoutes::read(&[object("TCPRoute", "db", &json!({}))]).tcp,
            [("db".to_owned(), "TCPRoute/db".to_owned())]
        );
    }

    #[test]
    fn more_specific_routes_of_others_stay_open() {
        let ingress = |host: &str, path: &str| json!({"rules": [{"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix"}]}}]});
        let objects = [
            object("Ingress", "shop", &ingress("a.test", "/")),
            object("Ingress", "api", &ingress("a.test", "/api")),
            object("Ingress", "other", &ingress("b.test", "/api")),
        ];
        let found = FoundRoutes::read(&objects);
        let inside =
            |number: usize| found.inside(&found.routes[number]).map(|it| it.project.as_str()).collect::<Vec<_>>();
        assert_eq!((inside(0), inside(1)), (vec!["api"], vec![]));
        assert!(!found.routes[0].is_open_to_all_hosts());
        let hostless = FoundRoutes::read(&[object("Ingress", "shop", &ingress("", "/"))]);
        assert!(hostless.routes[0].is_open_to_all_hosts());
    }
}
