//! What is reachable from outside a cluster: routes, Services and ports of nodes.

use serde_json::Value;

use super::{Exposure, containers, is_pod, items, name, namespace, project, some_text, text};

/// The annotation with which Traefik serves an Ingress by HTTPS with its default certificate.
const ROUTER_TLS: &str = "traefik.ingress.kubernetes.io/router.tls";
const NO_TLS: &str = "none";
const DEFAULT_CERTIFICATE: &str = "default certificate";

/// Returns every way into the cluster that one of these objects opens.
pub fn exposures(objects: &[Value]) -> Vec<Exposure> {
    let mut found: Vec<Exposure> = objects
        .iter()
        .flat_map(|object| match text(object, "kind") {
            "Ingress" => ingress(object),
            "IngressRoute" | "IngressRouteTCP" | "IngressRouteUDP" => traefik_route(object),
            "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute" => gateway_route(object, objects),
            "Service" => service(object),
            _ if is_pod(object) => pod(object),
            _ => Vec::new(),
        })
        .collect();
    found.sort_by(|one, other| {
        let key = |it: &Exposure| (it.project.clone(), it.how.clone(), it.name.clone(), it.address.clone());
        key(one).cmp(&key(other))
    });
    found.dedup();
    found
}

fn exposure(object: &Value, how: &str, address: String, target: Option<String>) -> Exposure {
    Exposure {
        project: project(object),
        namespace: namespace(object),
        kind: text(object, "kind").to_owned(),
        name: name(object).to_owned(),
        how: how.to_owned(),
        address,
        target,
        tls: None,
    }
}

/// A number or a name, such as that of a port.
fn scalar(value: &Value) -> Option<String> {
    value.as_u64().map(|number| number.to_string()).or_else(|| value.as_str().map(str::to_owned))
}

/// `shop:80`.
fn place(name: &str, port: Option<String>) -> Option<String> {
    (!name.is_empty()).then(|| port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")))
}

fn ingress(object: &Value) -> Vec<Exposure> {
    let spec = &object["spec"];
    let target = |backend: &Value| {
        let service = &backend["service"];
        place(text(service, "name"), scalar(&service["port"]["number"]).or_else(|| scalar(&service["port"]["name"])))
    };
    let way = |host: &str, path: &str, backend: &Value| {
        let address = format!("{}{path}", if host.is_empty() { "*" } else { host });
        Exposure { tls: Some(tls_of_ingress(object, host)), ..exposure(object, "route", address, target(backend)) }
    };
    let paths = items(&spec["rules"]).flat_map(|rule| {
        items(&rule["http"]["paths"])
            .map(|path| way(text(rule, "host"), some_text(path, "path").as_deref().unwrap_or("/"), &path["backend"]))
    });
    let default = spec.get("defaultBackend").map(|backend| way("", "/", backend));
    paths.chain(default).collect()
}

fn tls_of_ingress(object: &Value, host: &str) -> String {
    let covers = |entry: &&Value| {
        let mut hosts = items(&entry["hosts"]).filter_map(Value::as_str).peekable();
        hosts.peek().is_none() || hosts.any(|pattern| covers_host(pattern, host))
    };
    let annotated = text(&object["metadata"]["annotations"], ROUTER_TLS) == "true";
    match items(&object["spec"]["tls"]).find(covers) {
        Some(entry) => some_text(entry, "secretName").map_or_else(|| DEFAULT_CERTIFICATE.to_owned(), secret),
        None if annotated => DEFAULT_CERTIFICATE.to_owned(),
        None => NO_TLS.to_owned(),
    }
}

fn covers_host(pattern: &str, host: &str) -> bool {
    let wildcard = pattern.strip_prefix("*.");
    pattern == host || wildcard.is_some_and(|domain| host.split_once('.').is_some_and(|(_, rest)| rest == domain))
}

fn secret(name: impl std::fmt::Display) -> String {
    format!("secret {name}")
}

/// Traefik's own routes. Their hosts are in rules: Host(`shop.localhost`) && PathPrefix(`/api`).
fn traefik_route(object: &Value) -> Vec<Exposure> {
    let tls = traefik_tls(&object["spec"]["tls"]);
    items(&object["spec"]["routes"])
        .map(|route| {
            let service = items(&route["services"]).next().unwrap_or(&Value::Null);
            let address = address_of_rule(text(route, "match"));
            let address = if address.is_empty() { entry_points(object) } else { address };
            let target = place(text(service, "name"), scalar(&service["port"]));
            Exposure { tls: Some(tls.clone()), ..exposure(object, "route", address, target) }
        })
        .collect()
}

fn entry_points(object: &Value) -> String {
    let names: Vec<&str> = items(&object["spec"]["entryPoints"]).filter_map(Value::as_str).collect();
    if names.is_empty() { "*".to_owned() } else { format!("entry point {}", names.join(", ")) }
}

fn traefik_tls(tls: &Value) -> String {
    match tls {
        Value::Null => NO_TLS.to_owned(),
        tls if tls["passthrough"] == Value::Bool(true) => "passthrough".to_owned(),
        tls => match (some_text(tls, "secretName"), some_text(tls, "certResolver")) {
            (Some(name), _) => secret(name),
            (None, Some(resolver)) => format!("resolver {resolver}"),
            (None, None) => DEFAULT_CERTIFICATE.to_owned(),
        },
    }
}

/// `shop.localhost/api` for a rule of Traefik with one host; the rule itself if it says more.
fn address_of_rule(rule: &str) -> String {
    let quoted = |function: &str| -> Vec<String> {
        let calls = rule.split(function).skip(1).filter_map(|rest| rest.strip_prefix('('));
        let names = calls.filter_map(|rest| rest.split(')').next());
        names.flat_map(|names| names.split(',')).map(|name| name.trim().trim_matches(['`', '"']).to_owned()).collect()
    };
    let hosts = [quoted("HostSNI"), quoted("Host")].concat();
    let paths = [quoted("PathPrefix"), quoted("Path")].concat();
    match (hosts.as_slice(), paths.as_slice()) {
        ([host], []) => host.clone(),
        ([host], [path]) => format!("{host}{path}"),
        _ => rule.to_owned(),
    }
}

/// Routes of the Gateway API; their Gateway decides about TLS.
fn gateway_route(object: &Value, objects: &[Value]) -> Vec<Exposure> {
    let spec = &object["spec"];
    let tls = tls_of_gateway(object, objects);
    let hosts: Vec<&str> = items(&spec["hostnames"]).filter_map(Value::as_str).collect();
    let hosts = if hosts.is_empty() { vec!["*"] } else { hosts };
    let rules = items(&spec["rules"]).flat_map(|rule| {
        let backend = items(&rule["backendRefs"]).next().unwrap_or(&Value::Null);
        let target = place(text(backend, "name"), scalar(&backend["port"]));
        let paths: Vec<&str> = items(&rule["matches"]).map(|it| text(&it["path"], "value")).collect();
        let paths = if paths.is_empty() { vec![""] } else { paths };
        paths.into_iter().map(move |path| (path, target.clone())).collect::<Vec<_>>()
    });
    let ways = rules.flat_map(|(path, target)| {
        let addresses: Vec<String> = hosts.iter().map(|host| format!("{host}{}", path.trim_end_matches('/'))).collect();
        addresses.into_iter().map(move |address| (address, target.clone()))
    });
    ways.map(|(address, target)| Exposure { tls: tls.clone(), ..exposure(object, "route", address, target) }).collect()
}

fn tls_of_gateway(route: &Value, objects: &[Value]) -> Option<String> {
    let parent = items(&route["spec"]["parentRefs"]).next()?;
    let wanted = some_text(parent, "namespace").or_else(|| namespace(route));
    let gateway = objects.iter().find(|object| {
        text(object, "kind") == "Gateway" && name(object) == text(parent, "name") && namespace(object) == wanted
    })?;
    let section = some_text(parent, "sectionName");
    let listeners = items(&gateway["spec"]["listeners"]);
    let mut listeners = listeners.filter(|listener| section.as_deref().is_none_or(|it| text(listener, "name") == it));
    let secured = |listener: &&Value| matches!(text(listener, "protocol"), "HTTPS" | "TLS");
    match listeners.find(secured) {
        None => Some(NO_TLS.to_owned()),
        Some(listener) if text(&listener["tls"], "mode") == "Passthrough" => Some("passthrough".to_owned()),
        Some(listener) => {
            let certificate = items(&listener["tls"]["certificateRefs"]).next();
            Some(certificate.map_or_else(|| DEFAULT_CERTIFICATE.to_owned(), |it| secret(text(it, "name"))))
        }
    }
}

fn service(object: &Value) -> Vec<Exposure> {
    let spec = &object["spec"];
    let target = |port: &Value| Some(format!("{}:{}", name(object), scalar(&port["port"]).unwrap_or_default()));
    let kind = text(spec, "type");
    let ingress = items(&object["status"]["loadBalancer"]["ingress"]);
    let mut balanced: Vec<&str> =
        ingress.map(|it| it["ip"].as_str().or_else(|| it["hostname"].as_str()).unwrap_or_default()).collect();
    if balanced.is_empty() && kind == "LoadBalancer" {
        balanced.push("pending");
    }
    let external: Vec<&str> = items(&spec["externalIPs"]).filter_map(Value::as_str).collect();
    let mut found = Vec::new();
    for port in items(&spec["ports"]) {
        let (number, node_port) = (scalar(&port["port"]).unwrap_or_default(), port["nodePort"].as_u64());
        let suffix = if text(port, "protocol") == "UDP" { "/udp" } else { "" };
        let mut add = |how: &str, address: String| found.push(exposure(object, how, address, target(port)));
        for host in &balanced {
            add("load-balancer", format!("{host}:{number}{suffix}"));
        }
        for host in &external {
            add("external-ip", format!("{host}:{number}{suffix}"));
        }
        if let Some(node_port) = node_port.filter(|port| *port > 0) {
            add("node-port", format!("each node:{node_port}{suffix}"));
        }
    }
    found
}

fn pod(object: &Value) -> Vec<Exposure> {
    let spec = &object["spec"];
    let is_on_host = spec["hostNetwork"] == Value::Bool(true);
    let node = some_text(spec, "nodeName").unwrap_or_else(|| "a node".to_owned());
    let ports = containers(spec).flat_map(|container| items(&container["ports"]));
    let way = |port: &Value| {
        let own = port["containerPort"].as_u64();
        let (how, number) = match port["hostPort"].as_u64().filter(|port| *port > 0) {
            _ if is_on_host => ("host-network", own),
            Some(number) => ("host-port", Some(number)),
            None => return None,
        };
        let host = some_text(port, "hostIP").filter(|ip| ip != "0.0.0.0").unwrap_or_else(|| node.clone());
        let suffix = if text(port, "protocol") == "UDP" { "/udp" } else { "" };
        let target = own.map(|port| format!("{}:{port}", name(object)));
        Some(exposure(object, how, format!("{host}:{}{suffix}", number.unwrap_or_default()), target))
    };
    ports.filter_map(way).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(objects: &[Value]) -> Vec<String> {
        let row = |it: Exposure| {
            let (target, tls) = (it.target.unwrap_or_default(), it.tls.unwrap_or_else(|| "-".to_owned()));
            format!("{} {} {} -> {target}, {tls}", it.kind, it.how, it.address)
        };
        exposures(objects).into_iter().map(row).collect()
    }

    fn object(kind: &str, spec: &Value) -> Value {
        json!({"kind": kind, "metadata": {"name": "shop", "namespace": "tunes"}, "spec": spec})
    }

    #[test]
    fn an_ingress_has_tls_for_the_hosts_that_it_names() {
        let path = |path: &str| json!({"path": path, "backend": {"service": {"name": "shop", "port": {"number": 80}}}});
        let rule = |host: &str| json!({"host": host, "http": {"paths": [path("/")]}});
        let ingress = object(
            "Ingress",
            &json!({
                "rules": [rule("a.example.com"), rule("b.example.org"), rule("c.example.net")],
                "tls": [{"hosts": ["*.example.com"], "secretName": "wildcard"}, {"hosts": ["b.example.org"]}],
            }),
        );
        assert_eq!(
            shown(&[ingress]),
            [
                "Ingress route a.example.com/ -> shop:80, secret wildcard",
                "Ingress route b.example.org/ -> shop:80, default certificate",
                "Ingress route c.example.net/ -> shop:80, none",
            ]
        );
    }

    #[test]
    fn routes_of_traefik_are_read_from_their_rules() {
        let route = |rule: &str| json!({"match": rule, "services": [{"name": "shop", "port": 80}]});
        let http = object(
            "IngressRoute",
            &json!({"tls": {"secretName": "own"}, "routes": [
            route("Host(`shop.example.com`) && PathPrefix(`/api`)"), route("Host(`a`) || Host(`b`)")]}),
        );
        let tcp = object(
            "IngressRouteTCP",
            &json!({"tls": {"passthrough": true}, "routes": [route("HostSNI(`db.example.com`)")]}),
        );
        let udp = object(
            "IngressRouteUDP",
            &json!({"entryPoints": ["dns"], "routes": [{"services": [{"name": "dns", "port": 53}]}]}),
        );
        assert_eq!(
            shown(&[http, tcp, udp]),
            [
                "IngressRoute route Host(`a`) || Host(`b`) -> shop:80, secret own",
                "IngressRouteTCP route db.example.com -> shop:80, passthrough",
                "IngressRouteUDP route entry point dns -> dns:53, none",
                "IngressRoute route shop.example.com/api -> shop:80, secret own",
            ]
        );
    }

    #[test]
    fn the_gateway_decides_about_tls() {
        let gateway = json!({"kind": "Gateway", "metadata": {"name": "main", "namespace": "traefik"}, "spec": {"listeners": [
            {"name": "web", "protocol": "HTTP"},
            {"name": "websecure", "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "wildcard"}]}}]}});
        let route = |section: &str| {
            object(
                "HTTPRoute",
                &json!({
            "parentRefs": [{"name": "main", "namespace": "traefik", "sectionName": section}], "hostnames": [section],
            "rules": [{"matches": [{"path": {"value": "/api"}}], "backendRefs": [{"name": "shop", "port": 80}]}]}),
            )
        };
        assert_eq!(
            shown(&[gateway, route("web"), route("websecure")]),
            ["HTTPRoute route web/api -> shop:80, none", "HTTPRoute route websecure/api -> shop:80, secret wildcard"]
        );
        assert_eq!(shown(&[route("web")]), ["HTTPRoute route web/api -> shop:80, -"]);
    }

    #[test]
    fn services_and_pods_open_ports_of_balancers_and_nodes() {
        let mut balancer = object(
            "Service",
            &json!({"type": "LoadBalancer", "ports": [
            {"port": 53, "nodePort": 31000, "protocol": "UDP"}], "externalIPs": ["1.2.3.4"]}),
        );
        balancer["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
        let internal = object("Service", &json!({"type": "ClusterIP", "ports": [{"port": 80}]}));
        let pod = object(
            "Pod",
            &json!({"nodeName": "n1", "containers": [
            {"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}]}),
        );
        let on_host = object(
            "Pod",
            &json!({"nodeName": "n1", "hostNetwork": true, "containers": [{"ports": [{"containerPort": 9100}]}]}),
        );
        assert_eq!(
            shown(&[balancer, internal, pod, on_host]),
            [
                "Service external-ip 1.2.3.4:53/udp -> shop:53, -",
                "Pod host-network n1:9100 -> shop:9100, -",
                "Pod host-port n1:8080 -> shop:80, -",
                "Service load-balancer 10.0.0.1:53/udp -> shop:53, -",
                "Service node-port each node:31000/udp -> shop:53, -",
            ]
        );
        assert_eq!(
            shown(&[object("Service", &json!({"type": "LoadBalancer", "ports": [{"port": 80}]}))]),
            ["Service load-balancer pending:80 -> shop:80, -"]
        );
    }
}
