//! Objects that cmdr writes by server-side apply: annotations, MetalLB's address pool.

use std::collections::BTreeMap;

use k8s_openapi::api::{batch::v1::Job, core::v1::Service};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, Generation, Object, releases::objects::api_resource};
use crate::domain::labels;

impl Cluster {
    /// Sets annotations in a workload's own metadata, beside Helm's. This does not restart pods. Returns the current
    /// generation.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn annotate(
        &self,
        object: &Object,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Generation, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &object.resource());
        let patch = json!({
            "apiVersion": object.api_version, "kind": object.kind,
            "metadata": {"name": object.name, "annotations": annotations},
        });
        let patched = api.patch_metadata(&object.name, &apply(), &Patch::Apply(patch)).await;
        let patched = patched.map_err(ClusterError::asking(format!("annotate {}", object.label())))?;
        Ok(Generation::of(&patched.metadata))
    }

    /// Returns the current generation of a workload.
    ///
    /// # Errors
    /// If the workload does not exist, or the API does not respond.
    pub async fn generation(&self, object: &Object) -> Result<Generation, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &object.resource());
        let found = api.get_metadata(&object.name).await;
        Ok(Generation::of(&found.map_err(ClusterError::asking(format!("read {}", object.label())))?.metadata))
    }

    /// Deletes a Job with its pods.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn delete_job(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let jobs: Api<Job> = self.namespaced(namespace);
        let deleted = jobs.delete(name, &DeleteParams::background()).await;
        match deleted.map_err(ClusterError::asking(format!("delete Job {name}"))) {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Restarts a workload's pods with the annotation that `kubectl rollout restart` sets. Returns the current
    /// generation.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn restart(&self, object: &Object, at: &str) -> Result<Generation, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &object.resource());
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": at});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let patched = api.patch(&object.name, &named(), &Patch::Merge(patch)).await;
        let patched = patched.map_err(ClusterError::asking(format!("restart {}", object.label())))?;
        Ok(Generation::of(&patched.metadata))
    }

    /// Returns the address that a load balancer assigned to a Service.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn service_address(&self, namespace: &str, name: &str) -> Result<Option<String>, ClusterError> {
        let services: Api<Service> = self.namespaced(namespace);
        let service = services.get_opt(name).await.map_err(ClusterError::asking(format!("read service {name}")))?;
        let balancer = service.and_then(|service| service.status).and_then(|status| status.load_balancer);
        let first = balancer.and_then(|balancer| balancer.ingress).and_then(|ingress| ingress.into_iter().next());
        Ok(first.and_then(|ingress| ingress.ip.or(ingress.hostname)))
    }

    /// Returns the ranges of MetalLB's address pools; empty if MetalLB is not installed.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn address_pools(&self) -> Result<Vec<String>, ClusterError> {
        if self.reach.is_some() {
            // cmdr assigns addresses only in its own cluster.
            return Ok(Vec::new());
        }
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &api_resource("metallb.io/v1beta1", "IPAddressPool"));
        match api.list(&ListParams::default()).await.map_err(ClusterError::asking("list address pools")) {
            Ok(list) => Ok(list.items.iter().flat_map(pool_ranges).collect()),
            Err(error) if error.is_status(404) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Gives MetalLB a range of addresses, announced on layer 2.
    ///
    /// # Errors
    /// If MetalLB's kinds or its webhook are not installed yet.
    pub async fn apply_address_pool(&self, namespace: &str, range: &str) -> Result<(), ClusterError> {
        let objects = [
            ("IPAddressPool", json!({"addresses": [range]})),
            ("L2Advertisement", json!({"ipAddressPools": ["cmdr"]})),
        ];
        for (kind, spec) in objects {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &api_resource("metallb.io/v1beta1", kind));
            let object = json!({
                "apiVersion": "metallb.io/v1beta1", "kind": kind,
                "metadata": {"name": "cmdr", "labels": purpose("address-pool")}, "spec": spec,
            });
            api.patch("cmdr", &apply(), &Patch::Apply(object))
                .await
                .map_err(ClusterError::asking(format!("create MetalLB's {kind}")))?;
        }
        Ok(())
    }
}

fn pool_ranges(pool: &DynamicObject) -> Vec<String> {
    let addresses = pool.data.pointer("/spec/addresses").and_then(|list| list.as_array()).cloned();
    addresses.unwrap_or_default().iter().filter_map(|range| range.as_str().map(str::to_owned)).collect()
}

/// Returns parameters for a patch with cmdr as the field manager.
fn named() -> PatchParams {
    PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

pub(in crate::adapters::cluster) fn apply() -> PatchParams {
    PatchParams::apply(labels::FIELD_MANAGER).force()
}

pub(in crate::adapters::cluster) fn purpose(purpose: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::PURPOSE.to_owned(), purpose.to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "cmdr".to_owned()),
    ])
}
