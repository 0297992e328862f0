//! What is asked of a cluster besides lists: its time, and its DNS.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, client::Body};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::SYSTEM;
use crate::{
    adapters::cluster::{Cluster, ClusterError},
    domain::dns,
};

/// The port of DNS.
const PORT: u16 = 53;
const TIMEOUT: Duration = Duration::from_secs(5);

impl Cluster {
    /// Returns how many seconds the clock of the API server is ahead; `None` if its response has no date.
    ///
    /// # Errors
    /// If the API does not respond.
    pub(super) async fn clock_ahead(&self, now: Timestamp) -> Result<Option<i64>, ClusterError> {
        let what = || ClusterError::asking("read its version");
        let request = http::Request::get("/version").body(Body::empty());
        let request = request.map_err(|error| what()(kube::Error::HttpError(error)))?;
        let response = self.client.send(request).await.map_err(what())?;
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let time = date.and_then(|date| rfc2822::parse(date).ok());
        Ok(time.map(|time| time.timestamp().as_second() - now.as_second()))
    }

    /// Asks a pod of the cluster's DNS for a name that always exists; `None` if it cannot be asked.
    pub(super) async fn lookup(&self, dns_pods: &[Pod]) -> Option<bool> {
        let pod = dns_pods.first()?;
        let pods: Api<Pod> = self.namespaced(SYSTEM);
        let mut forward = tokio::time::timeout(TIMEOUT, pods.portforward(&pod.name_any(), &[PORT])).await.ok()?.ok()?;
        let mut stream = forward.take_stream(PORT)?;
        let ask = async {
            stream.write_all(&dns::query(dns::NAME)).await.ok()?;
            let mut response = vec![0; 512];
            let length = stream.read(&mut response).await.ok()?;
            Some(dns::is_answered(&response[..length]))
        };
        Some(tokio::time::timeout(TIMEOUT, ask).await.ok().flatten().unwrap_or(false))
    }
}
