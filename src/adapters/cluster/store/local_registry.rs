//! Announces the local registry in the cluster, as defined in KEP-1755, for Tilt, Skaffold and other tools.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::Patch};
use serde_json::json;

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::apply};
use crate::domain::{
    local_registry::{INNER_PORT, REGISTRY},
    yaml,
};

/// The namespace that everyone may read, and the ConfigMap in it.
const NAMESPACE: &str = "kube-public";
const NAME: &str = "local-registry-hosting";
/// The key of version 1 of the format.
const KEY: &str = "localRegistryHosting.v1";
const HELP: &str = "https://kind.sigs.k8s.io/docs/user/local-registry/";

impl Cluster {
    /// Returns the host of the announced registry, as seen from this machine: `localhost:5001`.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn announced_registry(&self) -> Result<Option<String>, ClusterError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let found = maps.get_opt(NAME).await.map_err(ClusterError::asking("read the announced registry"))?;
        Ok(found.and_then(|map| host(map.data?.get(KEY)?)))
    }

    /// Announces the registry at `host`.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn announce_registry(&self, host: &str) -> Result<(), ClusterError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": {KEY: hosting(host)},
        });
        let applied = maps.patch(NAME, &apply(), &Patch::Apply(map)).await;
        applied.map_err(ClusterError::asking("announce the local registry"))?;
        Ok(())
    }
}

fn hosting(host: &str) -> String {
    // The runtime of the node has a mirror for `host`, and knows no other name of the registry.
    format!(
        "host: \"{host}\"\nhostFromContainerRuntime: \"{host}\"\nhostFromClusterNetwork: \"{REGISTRY}:{INNER_PORT}\"\n\
         help: \"{HELP}\"\n"
    )
}

/// The announced host; `None` also for the announcement of an earlier version, with a name that the runtime cannot use.
fn host(hosting: &str) -> Option<String> {
    let hosting: serde_json::Value = yaml::read(hosting).ok()?;
    let host = hosting.get("host")?;
    if hosting.get("hostFromContainerRuntime") != Some(host) {
        return None;
    }
    Some(host.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_is_read() {
        assert_eq!(host(&hosting("localhost:5001")).as_deref(), Some("localhost:5001"));
        assert_eq!(host("help: none"), None);
        assert_eq!(host("host: a:1\nhostFromContainerRuntime: b:5000\n"), None, "it is announced again");
    }
}
