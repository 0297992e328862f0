//! Short keys of the universal chart's values that cmdr completes: they become objects under `extraObjects`, variables
//! and annotations. The chart renders them with its labels and patches.

mod routes;

use std::collections::BTreeMap;

pub use routes::{
    ServiceAnswer, Split, SplitService, TRAEFIK, has_routes, http_path, next_path, observer, observer_name,
    split_objects, split_services, tcp_path, unfit_route,
};
use serde_json::{Value, json};

use super::{ResolvedProject, Values, dashboards};

/// Completes the values of each project that has a release of the universal chart.
pub(super) fn complete_all(projects: &mut [ResolvedProject]) {
    let own = |project: &&mut ResolvedProject| project.is_on_universal_chart() && project.external.is_none();
    projects.iter_mut().filter(own).for_each(|project| complete(project.name.as_str(), &mut project.values));
}

/// Completes the values of a project. What they say already takes precedence.
pub fn complete(project: &str, values: &mut Values) {
    let objects = [routes::objects(project, values), policy(project, values), monitoring(project, values)];
    let (environment, annotations) = (telemetry(project, values), scraping(values));
    let objects = objects.into_iter().flatten().collect();
    for (key, entries) in [("extraObjects", objects), ("env", environment), ("podAnnotations", annotations)] {
        add(values, key, entries);
    }
}

/// Adds the ConfigMap with dashboards, which come from files.
pub fn add_dashboards(values: &mut Values, dashboards: &BTreeMap<String, String>) {
    add(values, "extraObjects", vec![("dashboard".to_owned(), dashboards::config_map(dashboards))]);
}

fn add(values: &mut Values, key: &str, entries: Vec<(String, Value)>) {
    if entries.is_empty() {
        return;
    }
    if let Value::Object(map) = values.entry(key).or_insert_with(|| json!({})) {
        for (name, value) in entries {
            map.entry(name).or_insert(value);
        }
    }
}

/// A map without entries that are null or empty.
fn given(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let is_given = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    Value::Object(map.into_iter().filter(|(_, value)| is_given(value)).collect())
}

/// The entries of a map that are not null; none of anything else.
fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object).into_iter().flatten().filter(|(_, value)| !value.is_null())
}

/// The labels that select the pods of a project.
fn selector(project: &str, values: &Values) -> Value {
    let owner = values.get("service").and_then(|service| service.get("of")?.as_str());
    json!({"app.kubernetes.io/name": owner.unwrap_or(project), "app.kubernetes.io/instance": project})
}

/// An object with the name of the project.
fn object(project: &str, api: &str, kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": project}, "spec": spec})
}

/// The `NetworkPolicy`; `true` without peers allows DNS only.
fn policy(project: &str, values: &Values) -> Vec<(String, Value)> {
    let Some(policy) = values.get("networkPolicy").filter(|policy| policy.is_object() || **policy == json!(true))
    else {
        return Vec::new();
    };
    let rules = |side: &str| entries(policy.get(side)).map(|(_, peer)| rule(side, peer, values)).collect::<Vec<_>>();
    let dns = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
    let egress = [vec![dns], rules("to")].concat();
    let spec = json!({
        "podSelector": {"matchLabels": selector(project, values)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": rules("from"),
        "egress": egress,
    });
    vec![("network-policy".to_owned(), object(project, "networking.k8s.io/v1", "NetworkPolicy", &spec))]
}

/// The rule of a peer; one of a port only is anything with that port. A named port of the project's own has its protocol.
fn rule(side: &str, peer: &Value, values: &Values) -> Value {
    let labels = |key: &str, label: &str| peer.get(key).map(|value| json!({"matchLabels": {label: value}}));
    let pods = peer.get("labels").map(|labels| json!({"matchLabels": labels}));
    let of_peer = given(json!({
        "podSelector": pods.or(labels("project", "app.kubernetes.io/instance")),
        "namespaceSelector": labels("namespace", "kubernetes.io/metadata.name"),
        "ipBlock": peer.get("network").map(|network| json!({"cidr": network})),
    }));
    let peers = if of_peer == json!({}) { json!([]) } else { json!([of_peer]) };
    let own = peer.get("port").and_then(Value::as_str).filter(|_| side == "from");
    let own = own.and_then(|name| values.get("ports")?.get(name)?.get("protocol"));
    let protocol = peer.get("protocol").or(own);
    let ports = peer.get("port").map(|port| json!([given(json!({"port": port, "protocol": protocol}))]));
    given(json!({side: peers, "ports": ports}))
}

/// The label of Services that are a further name of another one. The chart sets it.
const ALIAS: &str = "cmdr.dev/alias";

/// The `ServiceMonitor` and the `PrometheusRule`.
fn monitoring(project: &str, values: &Values) -> Vec<(String, Value)> {
    const API: &str = "monitoring.coreos.com/v1";
    let mut objects = Vec::new();
    if let Some(monitor) = values.get("monitor").filter(|monitor| is_monitored_by_operator(monitor))
        && let Some(port) = routes::port(values, monitor)
    {
        let endpoint =
            given(json!({"port": port.name, "path": monitor.get("path"), "interval": monitor.get("interval")}));
        // Each alias is a Service with the same labels: its pods would be read twice.
        let has_aliases = entries(values.get("aliases")).next().is_some();
        let no_alias = has_aliases.then(|| json!([{"key": ALIAS, "operator": "DoesNotExist"}]));
        let services = given(json!({"matchLabels": selector(project, values), "matchExpressions": no_alias}));
        let spec = json!({"selector": services, "endpoints": [endpoint]});
        objects.push(("monitor".to_owned(), object(project, API, "ServiceMonitor", &spec)));
    }
    let rules: Vec<Value> = entries(values.get("alerts"))
        .filter_map(|(name, alert)| {
            let mut rule = alert.as_object()?.clone();
            rule.insert("alert".to_owned(), json!(name));
            Some(Value::Object(rule))
        })
        .collect();
    if !rules.is_empty() {
        let spec = json!({"groups": [{"name": project, "rules": rules}]});
        objects.push(("alerts".to_owned(), object(project, API, "PrometheusRule", &spec)));
    }
    objects
}

fn is_monitored_by_operator(monitor: &Value) -> bool {
    monitor.get("kind").is_some_and(|kind| kind == "ServiceMonitor")
}

/// The annotations with which Prometheus finds pods without an operator.
fn scraping(values: &Values) -> Vec<(String, Value)> {
    let monitor = values.get("monitor").filter(|monitor| !is_monitored_by_operator(monitor));
    let found = monitor.and_then(|monitor| Some((monitor.get("path")?, routes::port(values, monitor)?)));
    let Some((path, port)) = found else { return Vec::new() };
    [("scrape", json!("true")), ("path", path.clone()), ("port", json!(port.target.to_string()))]
        .map(|(key, value)| (format!("prometheus.io/{key}"), value))
        .to_vec()
}

/// The variables of a library for telemetry. The version is that of the pod's label, which the image decides later.
fn telemetry(project: &str, values: &Values) -> Vec<(String, Value)> {
    let host = json!({"field": "status.hostIP"});
    let version = json!({"field": "metadata.labels['app.kubernetes.io/version']"});
    let workspace = values.get("workspace").and_then(Value::as_str).unwrap_or_default();
    let attributes = format!("service.namespace={workspace},service.version=$(POD_VERSION),k8s.pod.name=$(POD_NAME)");
    let variables = match values.get("telemetry").and_then(Value::as_str) {
        Some("otlp") => vec![
            ("HOST_IP", host),
            ("POD_NAME", json!({"field": "metadata.name"})),
            ("POD_VERSION", version),
            ("OTEL_SERVICE_NAME", json!(project)),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", json!("http://$(HOST_IP):4318")),
            ("OTEL_RESOURCE_ATTRIBUTES", json!(attributes)),
        ],
        Some("datadog") => vec![
            ("DD_AGENT_HOST", host),
            ("DD_ENTITY_ID", json!({"field": "metadata.uid"})),
            ("DD_SERVICE", json!(project)),
            ("DD_VERSION", version),
        ],
        _ => Vec::new(),
    };
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_peer_has_its_protocol() {
        let values = json!({"ports": {"syslog": {"port": 514, "protocol": "UDP"}, "http": 80}});
        let ports = |side: &str, peer: Value| rule(side, &peer, values.as_object().unwrap())["ports"].clone();
        assert_eq!(ports("from", json!({"port": "syslog"})), json!([{"port": "syslog", "protocol": "UDP"}]));
        assert_eq!(ports("from", json!({"port": "http"})), json!([{"port": "http"}]));
        assert_eq!(ports("to", json!({"port": "syslog"})), json!([{"port": "syslog"}]), "a port of others");
        assert_eq!(ports("to", json!({"port": 53, "protocol": "UDP"})), json!([{"port": 53, "protocol": "UDP"}]));
    }
}
