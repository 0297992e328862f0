//! Volumes on a local node, in the form in which its provisioner makes them, so that it also deletes them.

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{Api, api::Patch};
use serde_json::json;

use crate::adapters::cluster::{
    Cluster, ClusterError,
    store::apply::{apply, purpose},
};

/// The kind of storage that kind makes the default, and who provides it.
const STORAGE_CLASS: &str = "standard";
const PROVISIONER: &str = "rancher.io/local-path";

/// What the node's kubelet is given beyond its own.
const NODE_ROLE: &str = "cmdr:node-volumes";

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

    /// Lets the node's kubelet read claims and volumes at any time. By itself it may read those of its own pods, and on a
    /// busy machine it asks before the API server has noticed that a pod is one: it is refused, and asks again after 10
    /// to 15 seconds (kubelet's `workerBackOffPeriod`).
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn let_nodes_read_volumes(&self) -> Result<(), ClusterError> {
        let metadata = json!({"name": NODE_ROLE, "labels": purpose("volume")});
        let rule =
            json!({"apiGroups": [""], "resources": ["persistentvolumeclaims", "persistentvolumes"], "verbs": ["get"]});
        let group = "rbac.authorization.k8s.io";
        let version = format!("{group}/v1");
        let role = json!({"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": [rule]});
        let binding = json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NODE_ROLE},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
        });
        let asking = || ClusterError::asking("let the node read volumes");
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        roles.patch(NODE_ROLE, &apply(), &Patch::Apply(role)).await.map_err(asking())?;
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        bindings.patch(NODE_ROLE, &apply(), &Patch::Apply(binding)).await.map_err(asking())?;
        Ok(())
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
