//! Volumes on a local node, in the format of its provisioner, so that the provisioner also deletes them.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api,
    api::{ListParams, Patch},
};
use serde_json::json;

use crate::adapters::cluster::{
    Cluster, ClusterError,
    store::apply::{apply, purpose},
};

/// kind's default storage class, and its provisioner.
const STORAGE_CLASS: &str = "standard";
const PROVISIONER: &str = "rancher.io/local-path";

/// The role with additional permissions of the node's kubelet.
const NODE_ROLE: &str = "cmdr:node-volumes";

/// A folder of a node, for one claim.
#[derive(Debug, Clone, Copy)]
pub struct LocalVolume<'a> {
    pub node: &'a str,
    /// Absolute path on the node.
    pub folder: &'a str,
    pub namespace: &'a str,
    pub claim: &'a str,
    /// As a Kubernetes quantity: `1Gi`.
    pub size: &'a str,
    pub access_mode: &'a str,
}

impl Cluster {
    /// Returns whether a claim exists, bound or not.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn has_claim(&self, namespace: &str, claim: &str) -> Result<bool, ClusterError> {
        let claims: Api<PersistentVolumeClaim> = self.namespaced(namespace);
        let found = claims.get_metadata_opt(claim).await;
        Ok(found.map_err(ClusterError::asking(format!("read claim {claim}")))?.is_some())
    }

    /// Returns the folders on the node of all bound claims in a namespace.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn claim_folders(&self, namespace: &str) -> Result<BTreeMap<String, String>, ClusterError> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let found = volumes.list(&ListParams::default()).await.map_err(ClusterError::asking("list volumes"))?;
        Ok(folders_of(found.items, namespace))
    }

    /// Permits the node's kubelet to read all claims and volumes. By default it may read only those of its own pods. On
    /// a busy machine, kubelet's request may arrive before the API server has registered the pod; it is then denied,
    /// and repeated only after 10 to 15 seconds (kubelet's `workerBackOffPeriod`).
    ///
    /// # Errors
    /// If the API returns an error.
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
        let asking = || ClusterError::asking("permit the node to read volumes");
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        roles.patch(NODE_ROLE, &apply(), &Patch::Apply(role)).await.map_err(asking())?;
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        bindings.patch(NODE_ROLE, &apply(), &Patch::Apply(binding)).await.map_err(asking())?;
        Ok(())
    }

    /// Creates a volume for a claim that does not exist yet; no other claim can use it.
    ///
    /// # Errors
    /// If the API returns an error.
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
        applied.map_err(ClusterError::asking(format!("create volume {name}")))?;
        Ok(())
    }
}

/// Returns the folders on the node of the volumes that are bound to claims in a namespace, by claim.
pub(super) fn folders_of(volumes: Vec<PersistentVolume>, namespace: &str) -> BTreeMap<String, String> {
    let folder = |volume: PersistentVolume| {
        let spec = volume.spec?;
        let claim = spec.claim_ref.filter(|claim| claim.namespace.as_deref() == Some(namespace))?;
        let path = spec.host_path.map(|host| host.path).or_else(|| spec.local.map(|local| local.path))?;
        Some((claim.name?, path))
    };
    volumes.into_iter().filter_map(folder).collect()
}
