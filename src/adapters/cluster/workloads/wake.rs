//! Whether what the API says is from after a wake: a node that slept left every status as it was before.

use std::net::Ipv4Addr;

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

use crate::adapters::cluster::{Cluster, ClusterError};

/// Where kubelets renew their leases.
const NODE_LEASES: &str = "kube-node-lease";

/// How much of a cluster has been heard of since it woke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// kubelet has renewed the node's lease.
    pub node: bool,
    /// Pods whose state kubelet has told.
    pub pods: usize,
    /// Pods of which the API says what was before.
    pub stale: Vec<String>,
}

/// A Service of type LoadBalancer with the addresses that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancedService {
    pub namespace: String,
    pub name: String,
    pub addresses: Vec<Ipv4Addr>,
}

impl Cluster {
    /// Who has been heard of since `wake`.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn heard_since(&self, node: &str, wake: Timestamp) -> Result<Heard, ClusterError> {
        let leases: Api<Lease> = self.namespaced(NODE_LEASES);
        let lease = leases.get_opt(node).await.map_err(ClusterError::asking(format!("read the lease of {node}")))?;
        let renewed = lease.and_then(|lease| lease.spec?.renew_time);
        let pods = self.pods_in_memory().await?;
        let (stale, heard): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(|pod| is_stale(pod, wake));
        let stale = stale.into_iter().map(ResourceExt::name_any).collect();
        Ok(Heard { node: renewed.is_some_and(|time| time.0 > wake), pods: heard.len(), stale })
    }

    /// Since when the oldest container of all pods is said to run.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn running_since(&self) -> Result<Option<Timestamp>, ClusterError> {
        Ok(oldest_start(&self.pods_in_memory().await?))
    }

    /// What the server has in memory will do: it is asked often.
    async fn pods_in_memory(&self) -> Result<Vec<Pod>, ClusterError> {
        self.list::<Pod>(&ListParams::default().match_any(), "pods").await
    }

    /// All Services that a load balancer gives addresses.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn balanced_services(&self) -> Result<Vec<BalancedService>, ClusterError> {
        let services = self.list::<Service>(&ListParams::default(), "services").await?;
        let is_balanced =
            |service: &&Service| service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
        Ok(services.iter().filter(is_balanced).map(balanced).collect())
    }

    /// Takes a Service's addresses away, so that its load balancer gives it others.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn forget_addresses(&self, service: &BalancedService) -> Result<(), ClusterError> {
        let services: Api<Service> = self.namespaced(&service.namespace);
        let patch = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": null}}}));
        let patched = services.patch_status(&service.name, &PatchParams::default(), &patch).await;
        patched.map_err(ClusterError::asking(format!("take the address of service {} away", service.name)))?;
        Ok(())
    }

    /// Where the cluster's own names are asked for.
    ///
    /// # Errors
    /// When the API does not answer.
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

/// Since when the oldest container of these pods is said to run, of those that are to go on.
fn oldest_start<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<Timestamp> {
    let is_over = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
    };
    let statuses = pods.into_iter().filter(|pod| !is_over(pod)).filter_map(|pod| pod.status.as_ref());
    let containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    containers.filter_map(|status| Some(status.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)).min()
}

/// Whether what is said to run since `start` was not heard of since the wake: no container outlives its node.
pub fn is_from_before(start: Timestamp, wake: Timestamp) -> bool {
    // Kubernetes writes whole seconds.
    start.as_second() < wake.as_second()
}

fn is_stale(pod: &Pod, wake: Timestamp) -> bool {
    oldest_start([pod]).is_some_and(|start| is_from_before(start, wake))
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
    fn what_ran_before_the_wake_was_not_heard_of_since() {
        let wake: Timestamp = "2026-11-21T16:24:03.7Z".parse().unwrap();
        let stale = |phase: &str, state: serde_json::Value| is_stale(&pod(phase, &state), wake);
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
