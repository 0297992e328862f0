//! The pods of a release that run.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{ResourceExt, api::ListParams};

use crate::{
    adapters::cluster::{Cluster, ClusterError, workloads::rollout::is_ready},
    domain::{ReleaseKey, labels},
};

impl Cluster {
    /// Returns the names of the pods of a release that have not ended.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn pods_of(&self, namespace: &str, release: &str) -> Result<Vec<String>, ClusterError> {
        let pods: kube::Api<Pod> = self.namespaced(namespace);
        let list =
            pods.list(&of(release)).await.map_err(ClusterError::asking(format!("list the pods of {release}")))?;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let left = list.iter().filter(|pod| !matches!(phase(pod).as_str(), "Succeeded" | "Failed"));
        Ok(left.map(ResourceExt::name_any).collect())
    }

    /// Returns where proxies reach a release: the addresses of its ready pods, and of its Services, which some proxies use
    /// instead.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn ready_addresses(&self, release: &ReleaseKey) -> Result<BTreeSet<String>, ClusterError> {
        let ReleaseKey { namespace, name } = release;
        let (pods, services): (kube::Api<Pod>, kube::Api<Service>) =
            (self.namespaced(namespace), self.namespaced(namespace));
        let own = of(name);
        let (pods, services) = futures::try_join!(pods.list(&own), services.list(&own))
            .map_err(ClusterError::asking(format!("list the pods and services of {name}")))?;
        let ready = pods.items.into_iter().filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
        let of_pods = ready.filter_map(|pod| pod.status?.pod_ips).flatten().map(|address| address.ip);
        let of_services = services.items.into_iter().filter_map(|service| service.spec?.cluster_ips).flatten();
        Ok(of_pods.chain(of_services).collect())
    }
}

/// The objects of a release.
fn of(release: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={release}", labels::INSTANCE))
}
