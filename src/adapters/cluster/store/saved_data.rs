//! What a stopped node has saved of its cluster, so that copies can get its data without its API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, Secret};
use serde::Deserialize;

use super::volumes::folders_of;

/// The file in a stopped node, written by stop-pods.sh.
pub const SAVED_DATA: &str = "/var/lib/cmdr/saved-data.json";

/// The content of [`SAVED_DATA`].
#[derive(Debug, Deserialize)]
pub struct SavedData {
    /// The generated Secrets of all namespaces.
    secrets: Vec<Secret>,
    volumes: Vec<PersistentVolume>,
}

impl SavedData {
    /// # Errors
    /// If it is not the content of such a file.
    pub fn parse(content: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(content)
    }

    /// Returns the folders on the node of all bound claims in a namespace.
    pub fn claim_folders(&self, namespace: &str) -> BTreeMap<String, String> {
        folders_of(self.volumes.clone(), namespace)
    }

    /// Returns a generated Secret of a namespace.
    pub fn generated_secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| {
            secret.metadata.namespace.as_deref() == Some(namespace) && secret.metadata.name.as_deref() == Some(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_folders_are_found_by_namespace() {
        let content = br#"{
            "secrets": [
                {"metadata": {"namespace": "tunes-fix", "name": "db-key"}, "data": {"key": "b3RoZXI="}},
                {"metadata": {"namespace": "tunes", "name": "db-key"}, "data": {"key": "b3du"}}
            ],
            "volumes": [
                {"metadata": {"name": "a"}, "spec": {
                    "claimRef": {"namespace": "tunes", "name": "data-db-0"}, "hostPath": {"path": "/var/a"}
                }},
                {"metadata": {"name": "b"}, "spec": {
                    "claimRef": {"namespace": "tunes-fix", "name": "data-db-0"}, "local": {"path": "/var/b"}
                }}
            ]
        }"#;
        let saved = SavedData::parse(content).unwrap();
        let found = saved.generated_secret("tunes", "db-key").unwrap();
        assert_eq!(found.data.as_ref().unwrap()["key"].0, b"own");
        assert!(saved.generated_secret("tunes", "other").is_none());
        assert_eq!(saved.claim_folders("tunes"), BTreeMap::from([("data-db-0".to_owned(), "/var/a".to_owned())]));
        assert!(SavedData::parse(b"{").is_err());
    }
}
