//! Where a cluster says that the registry of this machine is: KEP-1755, which Tilt, Skaffold and others read.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::Patch};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::apply};
use crate::domain::local_registry::{INNER_PORT, REGISTRY};

/// The namespace that everybody may read, and the ConfigMap in it.
const NAMESPACE: &str = "kube-public";
const NAME: &str = "local-registry-hosting";
/// The key with version 1 of the format.
const KEY: &str = "localRegistryHosting.v1";
const HELP: &str = "https://kind.sigs.k8s.io/docs/user/local-registry/";

impl Cluster {
    /// The host of the registry that the cluster tells of, as seen from this machine: `localhost:5001`.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn announced_registry(&self) -> Result<Option<String>, ClusterError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let found = maps.get_opt(NAME).await.map_err(ClusterError::asking("look for the local registry"))?;
        Ok(found.and_then(|map| host(map.data?.get(KEY)?)))
    }

    /// Tells of the registry at `host`.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn announce_registry(&self, host: &str) -> Result<(), ClusterError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": {KEY: hosting(host)},
        });
        let applied = maps.patch(NAME, &apply(), &Patch::Apply(map)).await;
        applied.map_err(ClusterError::asking("tell of the local registry"))?;
        Ok(())
    }
}

fn hosting(host: &str) -> String {
    let inner = format!("{REGISTRY}:{INNER_PORT}");
    format!(
        "host: \"{host}\"\nhostFromContainerRuntime: \"{inner}\"\nhostFromClusterNetwork: \"{inner}\"\nhelp: \"{HELP}\"\n"
    )
}

fn host(hosting: &str) -> Option<String> {
    let hosting: serde_json::Value = serde_yaml::from_str(hosting).ok()?;
    Some(hosting.get("host")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        assert_eq!(host(&hosting("localhost:5001")).as_deref(), Some("localhost:5001"));
        assert_eq!(host("help: none"), None);
    }
}
