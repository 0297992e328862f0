//! Detects stale status in the API after a node was started: the node leaves every status as it was before it was
//! stopped.

use std::{net::Ipv4Addr, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Pod, Service},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, PodView};

/// The namespace in which kubelets renew their leases.
const NODE_LEASES: &str = "kube-node-lease";

/// Which status has been updated since the cluster was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdates {
    /// kubelet has renewed the node's lease.
    pub node: bool,
    /// The number of pods whose status kubelet has updated.
    pub pods: usize,
    /// Pods whose status is from before the start.
    pub stale: Vec<String>,
}

/// A Service of type LoadBalancer with its assigned addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancedService {
    pub namespace: String,
    pub name: String,
    pub addresses: Vec<Ipv4Addr>,
}

impl Cluster {
    /// Returns which status has been updated since `node_start`; `None` until the pods have been listed.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn status_since(
        &self,
        view: &PodView,
        node: &str,
        node_start: Timestamp,
    ) -> Result<Option<StatusUpdates>, ClusterError> {
        let leases: Api<Lease> = self.namespaced(NODE_LEASES);
        let lease = leases.get_opt(node).await.map_err(ClusterError::asking(format!("read the lease of {node}")))?;
        let renewed = lease.and_then(|lease| lease.spec?.renew_time);
        let Some(pods) = view.pods() else { return Ok(None) };
        let (stale, current): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = pods.iter().partition(|pod| is_stale(pod, node_start));
        let stale = stale.into_iter().map(|pod| pod.name_any()).collect();
        let node = renewed.is_some_and(|time| time.0 > node_start);
        Ok(Some(StatusUpdates { node, pods: current.len(), stale }))
    }

    /// Returns all Services with addresses from a load balancer.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn balanced_services(&self) -> Result<Vec<BalancedService>, ClusterError> {
        let services = self.list::<Service>(&ListParams::default(), "services").await?;
        let is_balanced =
            |service: &&Service| service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
        Ok(services.iter().filter(is_balanced).map(balanced).collect())
    }

    /// Removes a Service's addresses, so that its load balancer assigns new ones.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn forget_addresses(&self, service: &BalancedService) -> Result<(), ClusterError> {
        let services: Api<Service> = self.namespaced(&service.namespace);
        let patch = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": null}}}));
        let patched = services.patch_status(&service.name, &PatchParams::default(), &patch).await;
        patched.map_err(ClusterError::asking(format!("remove the address of service {}", service.name)))?;
        Ok(())
    }

    /// Returns the address of the cluster's DNS server.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn name_server(&self) -> Result<Option<String>, ClusterError> {
        let services: Api<Service> = self.namespaced("kube-system");
        let service = services.get_opt("kube-dns").await.map_err(ClusterError::asking("read service kube-dns"))?;
        Ok(service.and_then(|service| service.spec?.cluster_ip))
    }
}

fn balanced(service: &Service) -> BalancedService {
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let addresses = ingress.into_iter().flatten().filter_map(|ingress| ingress.ip.as_ref()?.parse().ok());
    BalancedService {
        namespace: service.namespace().unwrap_or_default(),
        name: service.name_any(),
        addresses: addresses.collect(),
    }
}

/// Returns the start time of the oldest running container of these pods, without finished and deleted pods.
pub(super) fn oldest_start<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<Timestamp> {
    let is_over = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
    };
    let statuses = pods.into_iter().filter(|pod| !is_over(pod)).filter_map(|pod| pod.status.as_ref());
    let containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    containers.filter_map(|status| Some(status.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)).min()
}

/// Returns whether a start time is from before the node's start: a container cannot be older than its node.
pub fn is_from_before(start: Timestamp, node_start: Timestamp) -> bool {
    // Kubernetes writes whole seconds.
    start.as_second() < node_start.as_second()
}

fn is_stale(pod: &Pod, node_start: Timestamp) -> bool {
    oldest_start([pod]).is_some_and(|start| is_from_before(start, node_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, state: &serde_json::Value) -> Pod {
        let status = json!({"phase": phase, "containerStatuses": [
            {"name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 1, "state": state},
        ]});
        serde_json::from_value(json!({"metadata": {"name": "shop"}, "status": status})).unwrap()
    }

    #[test]
    fn status_from_before_the_start_is_stale() {
        let node_start: Timestamp = "2026-11-21T16:24:03.7Z".parse().unwrap();
        let stale = |phase: &str, state: serde_json::Value| is_stale(&pod(phase, &state), node_start);
        assert!(stale("Running", json!({"running": {"startedAt": "2026-11-21T16:20:00Z"}})));
        assert!(!stale("Running", json!({"running": {"startedAt": "2026-11-21T16:24:03Z"}})));
        assert!(!stale("Running", json!({"waiting": {"reason": "CrashLoopBackOff"}})));
        assert!(!stale("Succeeded", json!({"running": {"startedAt": "2026-11-21T16:20:00Z"}})));
    }

    #[test]
    fn reads_the_addresses_of_a_service() {
        let service = json!({
            "metadata": {"name": "traefik", "namespace": "traefik"}, "spec": {"type": "LoadBalancer"},
            "status": {"loadBalancer": {"ingress": [{"ip": "172.18.200.1"}, {"hostname": "elsewhere"}]}},
        });
        let service = balanced(&serde_json::from_value(service).unwrap());
        assert_eq!((service.name.as_str(), service.addresses), ("traefik", vec![Ipv4Addr::new(172, 18, 200, 1)]));
    }
}
