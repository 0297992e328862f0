//! Counts the requests to a Service between two looks at Traefik's metrics.

use futures::future::try_join_all;

use super::CheckEvaluation;
use crate::domain::{
    check::{CheckVerdict, HealthCheck},
    platform::{INGRESS, namespace_of},
    traffic_metrics::{RequestCounts, Scrape, counted_between},
};

/// What stands between the name of a Service and its port in the names of Traefik: nothing, or the protocol of a route
/// of the Gateway API.
const PROTOCOLS: [&str; 3] = ["", "http-", "grpc-"];

impl CheckEvaluation<'_> {
    /// Counts the requests to a Service for the window of the check, and judges them.
    ///
    /// # Errors
    /// Why they cannot be counted.
    pub(super) async fn counted(&self, check: &HealthCheck, service: &str) -> Result<CheckVerdict, String> {
        let names = self.names_in_traefik(service).await?;
        let before = self.scrape(&names).await?;
        tokio::time::sleep(check.window).await;
        let after = self.scrape(&names).await?;
        Ok(check.judge_requests(&counted_between(&before, &after)))
    }

    /// The names that Traefik gives to the ports of a Service.
    async fn names_in_traefik(&self, service: &str) -> Result<Vec<String>, String> {
        let namespace = &self.session.environment.namespace;
        let ports = self.cluster.service_ports(namespace, service).await.map_err(|error| error.problem().message)?;
        let ports = ports.ok_or_else(|| format!("the Service '{service}' does not exist"))?;
        let named = |port: &String| PROTOCOLS.map(|protocol| format!("{namespace}-{service}-{protocol}{port}"));
        Ok(ports.iter().flat_map(named).collect())
    }

    /// Reads the metrics of every pod of Traefik.
    async fn scrape(&self, names: &[String]) -> Result<Scrape, String> {
        let namespace = namespace_of(&self.session.loaded.workspace, INGRESS);
        let pods = self.cluster.traefik_pods(&namespace).await.map_err(|error| error.problem().message)?;
        if pods.is_empty() {
            return Err(format!("no pod of Traefik runs in the namespace {namespace}"));
        }
        let reads = pods.into_iter().map(|(pod, port)| {
            let namespace = &namespace;
            async move {
                let target = format!("pods/{pod}:{port}");
                let text = self.cluster.proxied_text(namespace, &target, "/metrics").await;
                text.map(|text| (pod, RequestCounts::read(&text, names))).map_err(|error| error.problem().message)
            }
        });
        Ok(try_join_all(reads).await?.into_iter().collect())
    }
}
