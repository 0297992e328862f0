//! The Services beside a pod, to explain why a program cannot reach another one.

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{Api, ResourceExt, api::ListParams};

use crate::{
    adapters::cluster::Cluster,
    domain::{
        Problem,
        causes::{LogFinding, logs},
        labels,
        nearest::nearest_key,
    },
};

/// The label of an EndpointSlice with its Service.
const SERVICE: &str = "kubernetes.io/service-name";
const OWN_POD: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A Service of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Neighbour {
    name: String,
    address: Option<String>,
    project: String,
    ports: Vec<i32>,
    is_ready: bool,
}

impl Cluster {
    /// Returns the Services of a namespace; none if they cannot be read.
    pub(super) async fn neighbours(&self, namespace: &str) -> Vec<Neighbour> {
        let (services, slices): (Api<Service>, Api<EndpointSlice>) =
            (self.namespaced(namespace), self.namespaced(namespace));
        let all = ListParams::default();
        let (services, slices) = futures::join!(services.list(&all), slices.list(&all));
        let slices = slices.map(|list| list.items).unwrap_or_default();
        services.map(|list| list.items.iter().map(|service| neighbour(service, &slices)).collect()).unwrap_or_default()
    }
}

fn neighbour(service: &Service, slices: &[EndpointSlice]) -> Neighbour {
    let (name, spec) = (service.name_any(), service.spec.clone().unwrap_or_default());
    let own = slices.iter().filter(|slice| slice.labels().get(SERVICE) == Some(&name));
    let is_ready = own
        .flat_map(|slice| &slice.endpoints)
        .any(|endpoint| endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready.unwrap_or(true)));
    Neighbour {
        project: service.labels().get(labels::INSTANCE).cloned().unwrap_or_else(|| name.clone()),
        address: spec.cluster_ip.filter(|address| address != "None"),
        ports: spec.ports.iter().flatten().map(|port| port.port).collect(),
        name,
        is_ready,
    }
}

/// Returns message and help for a connection of a project that failed, if a Service of the namespace explains it.
pub(super) fn explain_host(found: &LogFinding, neighbours: &[Neighbour], own: &str) -> Option<Problem> {
    let own = if own.is_empty() { "PROJECT" } else { own };
    let named = found.name.as_deref()?;
    let host = named.rsplit_once(':').map_or(named, |(host, _)| host);
    let name = host.split('.').next()?;
    let known = neighbours.iter().find(|it| it.name == name || it.address.as_deref() == Some(host));
    if *found.cause == logs::UNKNOWN_HOST {
        let near = nearest_key(name, neighbours.iter().map(|it| it.name.as_str())).filter(|_| known.is_none())?;
        return Some(problem(found, host, format!("did you mean '{near}'? Correct the name of the host under 'env'")));
    }
    if OWN_POD.contains(&host) {
        let help = "it connects to its own pod: use the name of the other project instead of localhost";
        return Some(problem(found, host, help.to_owned()));
    }
    let Neighbour { name, project, ports, .. } = known?;
    let wrong_port = found.port.filter(|port| !ports.contains(&i32::from(*port)));
    let (what, help) = match wrong_port {
        _ if !known?.is_ready => (
            format!("'{name}': project '{project}' is not ready"),
            format!("add `{project}` to `projects.{own}.needs`, and see why it is not ready: cmdr logs {project}"),
        ),
        Some(port) => {
            let shown: Vec<String> = ports.iter().map(ToString::to_string).collect();
            (format!("'{name}', which has no port {port}"), format!("use a port of '{name}': {}", shown.join(", ")))
        }
        None => (
            format!("'{name}', which is ready now"),
            format!("add `{project}` to `projects.{own}.needs`, and let the program try again while it starts"),
        ),
    };
    Some(problem(found, &what, help))
}

fn problem(found: &LogFinding, name: &str, help: String) -> Problem {
    found.cause.problem(&[("name", name)]).help(help)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::causes::find_in_log;

    fn neighbours() -> Vec<Neighbour> {
        let services = [("postgres", "10.96.0.5", 5432), ("catalog", "10.96.0.6", 80)].map(|(name, address, port)| {
            let spec = json!({"clusterIP": address, "ports": [{"port": port}]});
            serde_json::from_value::<Service>(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
        });
        let slice = json!({"metadata": {"name": "x", "labels": {(SERVICE): "catalog"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": true}}]});
        let slices = [serde_json::from_value(slice).unwrap()];
        services.iter().map(|service| neighbour(service, &slices)).collect()
    }

    #[test]
    fn a_connection_that_fails_is_explained_by_the_projects() {
        for (line, message, help) in [
            (
                "Error: connect ECONNREFUSED 10.96.0.5:5432",
                "connection refused by 'postgres': project 'postgres' is not ready",
                "add `postgres` to `projects.shop.needs`",
            ),
            (
                "dial tcp: lookup postgers on 10.96.0.10:53: no such host",
                "unknown host: postgers",
                "did you mean 'postgres'",
            ),
            (
                "nc: catalog:81: connection refused",
                "connection refused by 'catalog', which has no port 81",
                "'catalog': 80",
            ),
            ("connect to localhost:5432 failed: Connection refused", "connection refused by localhost", "its own pod"),
        ] {
            let found = find_in_log(std::iter::once(line)).unwrap();
            let problem = explain_host(&found, &neighbours(), "shop").unwrap_or_else(|| panic!("{line}: {found:?}"));
            assert_eq!(problem.message, message);
            assert!(problem.help.as_ref().unwrap().contains(help), "{problem:?}");
        }
        let elsewhere = find_in_log(std::iter::once("getaddrinfo ENOTFOUND api.example.com")).unwrap();
        assert_eq!(explain_host(&elsewhere, &neighbours(), "shop"), None);
    }
}
