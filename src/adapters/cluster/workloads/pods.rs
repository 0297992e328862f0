//! The pods of a release that run.

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};

use crate::{
    adapters::cluster::{Cluster, ClusterError},
    domain::labels,
};

impl Cluster {
    /// Returns the names of the pods of a release that have not ended.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn pods_of(&self, namespace: &str, release: &str) -> Result<Vec<String>, ClusterError> {
        let pods: kube::Api<Pod> = self.namespaced(namespace);
        let own = ListParams::default().labels(&format!("{}={release}", labels::INSTANCE));
        let list = pods.list(&own).await.map_err(ClusterError::asking(format!("list the pods of {release}")))?;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let left = list.iter().filter(|pod| !matches!(phase(pod).as_str(), "Succeeded" | "Failed"));
        Ok(left.map(ResourceExt::name_any).collect())
    }
}
