//! Routes, which refer to a port of the project.

use serde_json::Value;

use super::{Mistake, containers::entries};
use crate::{
    config::error::{listed, quoted},
    domain::ResolvedProject,
};

/// Returns a mistake if the project has routes or a monitor, but no port that they can refer to.
pub(super) fn without_port(project: &ResolvedProject) -> Option<Mistake> {
    let has_routes = !project.routes.is_empty() || entries(project.values.get("routes")).next().is_some();
    let has_monitor = project.values.get("monitor").is_some_and(Value::is_object);
    if !(has_routes || has_monitor) || entries(project.values.get("ports")).next().is_some() {
        return None;
    }
    let what = if has_routes { "a host or routes" } else { "a `monitor`" };
    let message = format!("{} has {what}, but no port", quoted(project.name.as_str()));
    let expected = "expected `ports` under `values`, such as `{http: 8080}`".to_owned();
    let help = format!(
        "set `ports: {{http: 8080}}` under `projects.{}.values`, with the port that its program opens",
        project.name
    );
    Some(Mistake::new(vec!["ports".to_owned()], message, expected).with_help(Some(help)))
}

/// Settings that only some kinds of routes have.
const SETTINGS: [(&str, &[&str]); 10] = [
    ("annotations", &["Ingress"]),
    ("class", &["Ingress"]),
    ("gateway", &["HTTPRoute", "GRPCRoute", "TCPRoute"]),
    ("host", &["Ingress", "IngressRoute", "HTTPRoute", "GRPCRoute"]),
    ("hosts", &["Ingress", "IngressRoute", "HTTPRoute", "GRPCRoute"]),
    ("listener", &["TCPRoute"]),
    ("middlewares", &["IngressRoute", "HTTPRoute", "GRPCRoute"]),
    ("sticky", &["IngressRoute"]),
    ("tls", &["Ingress", "IngressRoute", "HTTPRoute", "GRPCRoute"]),
    ("weights", &["IngressRoute", "HTTPRoute", "GRPCRoute", "TCPRoute"]),
];
/// The kinds that can compare a path with a regular expression.
const WITH_REGEX: &[&str] = &["IngressRoute", "HTTPRoute"];
/// The kinds that compare paths.
const WITH_PATH: &[&str] = &["Ingress", "IngressRoute", "HTTPRoute"];

/// Returns a mistake for each setting that a route of this kind does not have.
pub(super) fn unsupported(project: &ResolvedProject) -> Vec<Mistake> {
    let routes = entries(project.values.get("routes"));
    let found = routes.flat_map(|(name, route)| {
        let kind = route.get("kind").and_then(Value::as_str).unwrap_or("Ingress");
        let is_known = SETTINGS.iter().any(|(_, kinds)| kinds.contains(&kind));
        let is_set =
            move |key: &str| route.get(key).is_some_and(|value| !value.is_null() && value != &Value::Bool(false));
        let regex = Some(("match", WITH_REGEX)).filter(|_| route.get("match").is_some_and(|how| how == "regex"));
        let path = Some(("path", WITH_PATH)).filter(|_| route.get("path").is_some_and(|path| path != "/"));
        let settings = SETTINGS.into_iter().filter(move |(key, _)| is_set(key)).chain(regex).chain(path);
        settings.filter(move |(_, kinds)| is_known && !kinds.contains(&kind)).map(move |(key, kinds)| {
            let is_issued = key == "annotations" && route["annotations"].to_string().contains("cert-manager.io/");
            let what = match key {
                "match" => "`match: regex`".to_owned(),
                _ if is_issued => "certificate of an issuer, which `tls` of the environment names".to_owned(),
                _ => format!("`{key}`"),
            };
            let message = format!("the route {} is of the kind {kind}, which has no {what}", quoted(name));
            let instead = if kind == "TCPRoute" && key == "host" { "`listener` in place of it, or " } else { "" };
            let expected = format!("expected {instead}the `kind` {}", listed(kinds.iter().copied()));
            Mistake::new(["routes", name, key].map(str::to_owned).to_vec(), message, expected)
        })
    });
    found.chain(certificates(project)).collect()
}

/// The kinds whose certificates a Gateway has.
const OF_GATEWAYS: [&str; 2] = ["HTTPRoute", "GRPCRoute"];

/// Returns a mistake for each `tls` of a route of the Gateway API that its Gateway cannot use.
fn certificates(project: &ResolvedProject) -> impl Iterator<Item = Mistake> {
    entries(project.values.get("routes")).filter_map(|(name, route)| {
        let kind = route.get("kind")?.as_str().filter(|kind| OF_GATEWAYS.contains(kind))?;
        let (problem, expected) = match (route.get("tls")?, route.get("gateway")) {
            (Value::Bool(true), _) => ("and its Gateway has no default certificate", "the name of a Secret"),
            (Value::String(_), Some(Value::String(_))) => {
                ("and the listeners of its `gateway` have the certificates", "`tls` or `gateway`, not both")
            }
            _ => return None,
        };
        let message = format!("the route {} is of the kind {kind}, {problem}", quoted(name));
        let path = ["routes", name, "tls"].map(str::to_owned).to_vec();
        Some(Mistake::new(path, message, format!("expected {expected}")))
    })
}
