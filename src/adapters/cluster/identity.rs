//! The identity of a cluster: the UID of its namespace `kube-system`. Local clusters that start from the same kept node
//! have the same UID, so they also have an annotation.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Cluster, ClusterError};
use crate::domain::labels::{CLUSTER_ID, FIELD_MANAGER};

const SYSTEM: &str = "kube-system";
/// The number of digits of the ID of a container that Docker shows.
const DIGITS: usize = 12;

impl Cluster {
    /// Returns what is unique to the cluster.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn identity(&self) -> Result<String, ClusterError> {
        let (uid, written) = self.uid_and_annotation().await?;
        Ok(identity(uid, written))
    }

    /// Gives a cluster that started from a kept node an identity of its own, from the ID of its node's container.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn write_identity(&self, container: &str) -> Result<(), ClusterError> {
        let (uid, _) = self.uid_and_annotation().await?;
        let identity = format!("{uid}.{}", container.chars().take(DIGITS).collect::<String>());
        let patch = json!({"metadata": {"annotations": {CLUSTER_ID: identity}}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patched = namespaces.patch_metadata(SYSTEM, &parameters, &Patch::Merge(patch)).await;
        patched.map(drop).map_err(ClusterError::asking(format!("annotate namespace {SYSTEM}")))
    }

    async fn uid_and_annotation(&self) -> Result<(String, Option<String>), ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_metadata(SYSTEM).await;
        let mut metadata = found.map_err(ClusterError::asking(format!("read namespace {SYSTEM}")))?.metadata;
        let written = metadata.annotations.as_mut().and_then(|annotations| annotations.remove(CLUSTER_ID));
        Ok((metadata.uid.unwrap_or_default(), written))
    }
}

/// An annotation with another UID was copied from another cluster.
fn identity(uid: String, written: Option<String>) -> String {
    written.filter(|written| written.split_once('.').is_some_and(|(of, _)| of == uid)).unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_annotation_of_the_same_cluster_counts() {
        let of = |written: Option<&str>| identity("12-34".to_owned(), written.map(str::to_owned));
        assert_eq!(of(None), "12-34");
        assert_eq!(of(Some("12-34.0a1b")), "12-34.0a1b");
        for foreign in ["56-78.0a1b", "12-345.0a1b", "12-34", ""] {
            assert_eq!(of(Some(foreign)), "12-34", "{foreign}");
        }
    }
}
