//! What pods and Services answer to requests through the API server, such as their metrics.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt, api::ListParams};

use crate::adapters::cluster::{Cluster, ClusterError};

/// The port of Traefik's metrics, unless a container names another.
const METRICS_PORT: i32 = 9100;

impl Cluster {
    /// Returns the text that a pod or a Service answers to a GET request: `pods/NAME:PORT`, `services/NAME:PORT`.
    ///
    /// # Errors
    /// If there is no response, or one with an error.
    pub async fn proxied_text(&self, namespace: &str, target: &str, path: &str) -> Result<String, ClusterError> {
        let what = || format!("request {target} in {namespace}");
        let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/{target}/proxy{path}"));
        let request = request.body(Vec::new());
        let request = request.map_err(|error| ClusterError::asking(what())(kube::Error::HttpError(error)))?;
        self.client.request_text(request).await.map_err(ClusterError::asking(what()))
    }

    /// Returns the running pods of Traefik, each with the port of its metrics.
    ///
    /// # Errors
    /// If the API does not respond, or the account may not list them.
    pub async fn traefik_pods(&self, namespace: &str) -> Result<Vec<(String, i32)>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let own = ListParams::default().labels("app.kubernetes.io/name=traefik").fields("status.phase=Running");
        let list = pods.list(&own).await.map_err(ClusterError::asking("list the pods of Traefik"))?;
        let port = |pod: &Pod| {
            let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let named = containers.find_map(|container| {
                container.ports.iter().flatten().find(|port| port.name.as_deref() == Some("metrics"))
            });
            named.map_or(METRICS_PORT, |port| port.container_port)
        };
        Ok(list.items.iter().map(|pod| (pod.name_any(), port(pod))).collect())
    }

    /// Returns the ports of a Service, as numbers and by their names; `None` if there is no such Service.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn service_ports(&self, namespace: &str, name: &str) -> Result<Option<Vec<String>>, ClusterError> {
        let services: Api<Service> = self.namespaced(namespace);
        let found = services.get_opt(name).await.map_err(ClusterError::asking(format!("read service {name}")))?;
        let ports = found.map(|service| service.spec.and_then(|spec| spec.ports).unwrap_or_default());
        Ok(ports.map(|ports| ports.into_iter().flat_map(|it| [Some(it.port.to_string()), it.name]).flatten().collect()))
    }
}
