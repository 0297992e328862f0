//! What pods and Services answer to requests through the API server, such as their metrics.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt, api::ListParams, client::Body, core::Status};

use crate::adapters::cluster::{Cluster, ClusterError};

/// The port of Traefik's metrics, unless a container names another.
const METRICS_PORT: i32 = 9100;
/// The entry point of Traefik's own API, and its port, unless a container names another.
const ENTRY_POINT: &str = "traefik";
const ENTRY_PORT: i32 = 8080;

impl Cluster {
    /// Returns the status and the text that a pod or a Service answers to a GET request: `pods/NAME:PORT`,
    /// `services/NAME:PORT`.
    ///
    /// # Errors
    /// If the API server answers in its place, such as that the account may not request it, or there is no response.
    pub async fn proxied_answer(
        &self,
        namespace: &str,
        target: &str,
        path: &str,
    ) -> Result<(u16, String), ClusterError> {
        let what = || ClusterError::asking(format!("request {target} in {namespace}"));
        let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/{target}/proxy{path}"));
        let request = request.body(Body::empty()).map_err(|error| what()(kube::Error::HttpError(error)))?;
        let response = self.once.send(request).await.map_err(what())?;
        let status = response.status().as_u16();
        let body = response.into_body().collect_bytes().await.map_err(what())?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match refusal(status, &text) {
            Some(refusal) => Err(what()(kube::Error::Api(refusal.boxed()))),
            None => Ok((status, text)),
        }
    }

    /// Returns the text of an answer without an error, as [`Self::proxied_answer`].
    ///
    /// # Errors
    /// If there is no response, or one with an error.
    pub async fn proxied_text(&self, namespace: &str, target: &str, path: &str) -> Result<String, ClusterError> {
        let (status, text) = self.proxied_answer(namespace, target, path).await?;
        if (200..400).contains(&status) {
            return Ok(text);
        }
        let answer = Status::failure(&format!("HTTP {status}"), "").with_code(status);
        Err(ClusterError::asking(format!("request {target} in {namespace}"))(kube::Error::Api(answer.boxed())))
    }

    /// Returns the running pods of Traefik, each with the port of its metrics.
    ///
    /// # Errors
    /// If the API does not respond, or the account may not list them.
    pub async fn traefik_pods(&self, namespace: &str) -> Result<Vec<(String, i32)>, ClusterError> {
        self.traefik_ports(namespace, ("metrics", METRICS_PORT)).await
    }

    /// Returns what each pod of Traefik answers to a path of Traefik's own API.
    ///
    /// # Errors
    /// If the API does not respond, no pod runs, or the account may not request it.
    pub async fn traefik_answers(
        &self,
        namespace: &str,
        path: &str,
    ) -> Result<Vec<(String, u16, String)>, ClusterError> {
        let pods = self.traefik_ports(namespace, (ENTRY_POINT, ENTRY_PORT)).await?;
        let answers = pods.into_iter().map(async |(pod, port)| {
            let (status, text) = self.proxied_answer(namespace, &format!("pods/{pod}:{port}"), path).await?;
            Ok((pod, status, text))
        });
        futures::future::try_join_all(answers).await
    }

    /// Returns the running pods of Traefik, each with the port of this name, or the usual one.
    async fn traefik_ports(
        &self,
        namespace: &str,
        (name, usual): (&str, i32),
    ) -> Result<Vec<(String, i32)>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let own = ListParams::default().labels("app.kubernetes.io/name=traefik").fields("status.phase=Running");
        let list = pods.list(&own).await.map_err(ClusterError::asking("list the pods of Traefik"))?;
        let port = |pod: &Pod| {
            let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let named = containers
                .find_map(|container| container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name)));
            named.map_or(usual, |port| port.container_port)
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

/// What the API server answers in the place of a pod; `None` if the answer is that of the pod.
fn refusal(code: u16, text: &str) -> Option<Status> {
    let is_own = |text: &&str| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|it| it["kind"] == "Status");
    let status = Some(text).filter(is_own)?;
    serde_json::from_str::<Status>(status).ok().map(|status| status.with_code(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_pod_is_not_one_of_the_api_server() {
        let own =
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods \"a\" not found","code":404}"#;
        assert_eq!(refusal(404, own).unwrap().message, "pods \"a\" not found");
        for text in [r#"{"message":"service not found: a"}"#, "404 page not found", r#"{"status": 500}"#] {
            assert!(refusal(404, text).is_none(), "{text}");
        }
    }
}
