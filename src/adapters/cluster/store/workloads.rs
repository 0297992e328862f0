//! Changes workloads while `cmdr dev` runs, or a drain has stopped them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::adapters::cluster::{Cluster, ClusterError, Generation, Object, releases::objects::api_resource};

/// The autoscaler that starts workloads from 0 replicas, and its annotation that prevents it.
const SCALED_OBJECT: (&str, &str) = ("keda.sh/v1alpha1", "ScaledObject");
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";
/// How often a change that met another one is tried.
const TRIES: u32 = 10;

impl Cluster {
    /// Reads a workload.
    ///
    /// # Errors
    /// If it does not exist, or the API does not respond.
    pub async fn workload(&self, object: &Object) -> Result<Value, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &object.resource());
        let found = api.get(&object.name).await.map_err(ClusterError::asking(format!("read {}", object.label())))?;
        Ok(serde_json::json!(found))
    }

    /// Changes a workload by a strategic merge patch, as `manager` of the changed fields. Returns the current generation.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn patch_workload(
        &self,
        object: &Object,
        patch: &Value,
        manager: &str,
    ) -> Result<Generation, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &object.resource());
        let parameters = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patched = api.patch(&object.name, &parameters, &Patch::Strategic(patch)).await;
        let patched = patched.map_err(ClusterError::asking(format!("change {}", object.label())))?;
        Ok(Generation::of(&patched.metadata))
    }

    /// Removes a manager from the fields that it owns, so that Helm may change them again. Their values stay.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn forget_manager(&self, object: &Object, manager: &str) -> Result<(), ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &object.resource());
        let asking = || ClusterError::asking(format!("change {}", object.label()));
        let is_other = |entry: &ManagedFieldsEntry| entry.manager.as_deref() != Some(manager);
        let mut tries = 0;
        loop {
            tries += 1;
            let metadata = api.get_metadata(&object.name).await.map_err(asking())?.metadata;
            let kept: Vec<ManagedFieldsEntry> =
                metadata.managed_fields.into_iter().flatten().filter(is_other).collect();
            let patch = json!({"metadata": {"managedFields": kept, "resourceVersion": metadata.resource_version}});
            match api.patch(&object.name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(asking()) {
                // A controller writes the status meanwhile, above all while pods start and end.
                Err(error) if error.is_status(409) && tries < TRIES => {}
                other => return other.map(drop),
            }
        }
    }

    /// Pauses the ScaledObjects of KEDA that scale a workload, or lets them scale again. Without KEDA there are none.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn pause_scaling(&self, object: &Object, is_paused: bool) -> Result<(), ClusterError> {
        let resource = api_resource(SCALED_OBJECT.0, SCALED_OBJECT.1);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &resource);
        let listed = api.list(&ListParams::default()).await.map_err(ClusterError::asking("list ScaledObjects"));
        let found = match listed {
            Err(error) if error.is_status(404) || error.is_status(403) => return Ok(()),
            found => found?.items,
        };
        let is_own = |scaled: &&DynamicObject| {
            scaled.data.pointer("/spec/scaleTargetRef/name").is_some_and(|name| *name == object.name.as_str())
        };
        for name in found.iter().filter(is_own).filter_map(|scaled| scaled.metadata.name.as_deref()) {
            let patch = json!({"metadata": {"annotations": {(PAUSED): is_paused.then_some("0")}}});
            let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
            patched.map_err(ClusterError::asking(format!("pause ScaledObject {name}")))?;
        }
        Ok(())
    }
}
