//! Pods of a namespace or a release: re-creates those that wait for an image, and lists those that run.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};

use crate::{
    adapters::cluster::{Cluster, ClusterError, workloads::rollout::waits_for_image},
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

    /// Deletes the pods of a namespace that wait for an image, so that their replacements pull it at once with the
    /// current credentials. kubelet itself would wait up to 5 minutes.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn retry_pulls(&self, namespace: &str) -> Result<(), ClusterError> {
        let pods: kube::Api<Pod> = self.namespaced(namespace);
        let list = pods.list(&ListParams::default()).await.map_err(ClusterError::asking("list pods"))?;
        for name in list.iter().filter(|pod| waits_for_image(pod)).map(ResourceExt::name_any) {
            let deleted = pods.delete(&name, &DeleteParams::default()).await;
            match deleted.map_err(ClusterError::asking(format!("delete pod {name}"))) {
                Err(error) if !error.is_status(404) => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }
}
