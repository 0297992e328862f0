//! Which load balancer handles a Service, and what it reports.

use k8s_openapi::api::core::v1::{Event, Service};
use kube::{Api, ResourceExt};

use crate::adapters::cluster::{Cluster, ClusterError, Object};

/// The load balancer that a Service without an address waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancer {
    MetalLb,
    /// A controller has left a finalizer or an event at the Service.
    Other,
    /// No controller has noticed the Service.
    Missing,
}

impl Cluster {
    /// Returns the load balancer of a Service, and its newest warnings about it.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn balancer(&self, service: &Object) -> Result<(Balancer, Vec<String>), ClusterError> {
        let services: Api<Service> = self.namespaced(&service.namespace);
        let found = services.get_opt(&service.name).await;
        let found = found.map_err(ClusterError::asking(format!("read service {}", service.name)))?;
        let events = self.events(&service.namespace, "Service", &service.name).await;
        // Without permission to list address pools, MetalLB is known by its events, as any other load balancer.
        let has_pools = self.address_pools().await.is_ok_and(|pools| !pools.is_empty());
        let warnings = events.iter().filter(|event| event.type_.as_deref() == Some("Warning"));
        let warnings = warnings.filter_map(|event| event.message.clone()).collect();
        Ok((found.map_or(Balancer::Missing, |found| balancer(&found, &events, has_pools)), warnings))
    }
}

fn balancer(service: &Service, events: &[Event], has_pools: bool) -> Balancer {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_ref());
    if class.is_none() && has_pools {
        return Balancer::MetalLb;
    }
    if service.finalizers().is_empty() && events.is_empty() { Balancer::Missing } else { Balancer::Other }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_load_balancer_is_known_by_what_it_leaves_at_a_service() {
        let of = |service: Value, events: &[Event], has_pools| {
            balancer(&serde_json::from_value(service).unwrap(), events, has_pools)
        };
        assert_eq!(of(json!({}), &[], false), Balancer::Missing);
        assert_eq!(of(json!({}), &[], true), Balancer::MetalLb);
        assert_eq!(of(json!({"spec": {"loadBalancerClass": "a.test/b"}}), &[], true), Balancer::Missing);
        let cloud = json!({"metadata": {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}});
        assert_eq!(of(cloud, &[], false), Balancer::Other);
        let event = serde_json::from_value(json!({"metadata": {}, "involvedObject": {}})).unwrap();
        assert_eq!(of(json!({}), &[event], false), Balancer::Other);
    }
}
