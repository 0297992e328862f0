//! Volumes on a local node, in the form in which its provisioner makes them, so that it also deletes them.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, api::Patch};
use serde_json::json;

use super::{
    Cluster, ClusterError,
    apply::{apply, purpose},
};

/// The kind of storage that kind makes the default, and who provides it.
const STORAGE_CLASS: &str = "standard";
const PROVISIONER: &str = "rancher.io/local-path";

/// A folder of a node, for one claim.
#[derive(Debug, Clone, Copy)]
pub struct LocalVolume<'a> {
    pub node: &'a str,
    /// Absolute, on the node.
    pub folder: &'a str,
    pub namespace: &'a str,
    pub claim: &'a str,
    /// As a quantity of Kubernetes: `1Gi`.
    pub size: &'a str,
    pub access_mode: &'a str,
}

impl Cluster {
    /// Whether a claim is there, bound or not.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn has_claim(&self, namespace: &str, claim: &str) -> Result<bool, ClusterError> {
        let claims: Api<PersistentVolumeClaim> = self.namespaced(namespace);
        let found = claims.get_metadata_opt(claim).await;
        Ok(found.map_err(ClusterError::asking(format!("read claim {claim}")))?.is_some())
    }

    /// Makes a volume for a claim that does not exist yet: nothing else can take it.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn apply_volume(&self, volume: &LocalVolume<'_>) -> Result<(), ClusterError> {
        let name = format!("{}-{}", volume.namespace, volume.claim);
        let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [volume.node]});
        let object = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "labels": purpose("volume"),
                "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": volume.size},
                "accessModes": [volume.access_mode],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": STORAGE_CLASS,
                "hostPath": {"path": volume.folder, "type": "DirectoryOrCreate"},
                "claimRef": {"namespace": volume.namespace, "name": volume.claim},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        });
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let applied = volumes.patch(&name, &apply(), &Patch::Apply(object)).await;
        applied.map_err(ClusterError::asking(format!("make volume {name}")))?;
        Ok(())
    }
}
