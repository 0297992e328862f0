//! ConfigMaps with files from disk: immutable, named by their content, and deleted when nothing refers to them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::ObjectMeta,
};
use serde_json::{Value, json};

use crate::adapters::cluster::{Cluster, ClusterError, store::apply::purpose};
use crate::domain::{ReleaseKey, disk_files::FileMap, labels};

/// The purpose of these ConfigMaps, in their label.
const PURPOSE: &str = "files";

impl Cluster {
    /// Creates a ConfigMap with files of a project, unless it exists.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn create_file_map(&self, release: &ReleaseKey, map: &FileMap) -> Result<(), ClusterError> {
        let config_maps: Api<ConfigMap> = self.namespaced(&release.namespace);
        let created = config_maps.create(&PostParams::default(), &config_map(release, map)).await;
        match created.map_err(ClusterError::asking(format!("create ConfigMap {}", map.name))) {
            Err(error) if !error.is_status(409) => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the ConfigMap with files of this name, if it exists.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn file_map(&self, namespace: &str, name: &str) -> Result<Option<FileMap>, ClusterError> {
        let config_maps: Api<ConfigMap> = self.namespaced(namespace);
        let found = config_maps.get_opt(name).await;
        let found = found.map_err(ClusterError::asking(format!("read ConfigMap {name}")))?;
        Ok(found.map(|found| FileMap { name: name.to_owned(), data: data(found) }))
    }

    /// Deletes the ConfigMaps with files of a project that neither a Helm revision of its release nor a record in the
    /// ledger refers to. Returns their names.
    ///
    /// # Errors
    /// If the API returns an error, or a revision or record cannot be read: then nothing is deleted.
    pub async fn sweep_file_maps(
        &self,
        release: &ReleaseKey,
        ledger: Option<&str>,
    ) -> Result<Vec<String>, ClusterError> {
        let config_maps: Api<ConfigMap> = self.namespaced(&release.namespace);
        let own = format!("{}={PURPOSE},{}={}", labels::PURPOSE, labels::PROJECT, release.name);
        let list = config_maps.list_metadata(&ListParams::default().labels(&own)).await;
        let list = list.map_err(ClusterError::asking("list ConfigMaps with files"))?;
        let mut unused: BTreeSet<String> = list.items.into_iter().filter_map(|map| map.metadata.name).collect();
        if unused.is_empty() {
            return Ok(Vec::new());
        }
        let mut used = self.file_maps_of_revisions(release).await?;
        if let Some(ledger) = ledger {
            used.extend(self.file_maps_of_records(ledger).await?);
        }
        unused.retain(|name| !used.contains(name));
        for name in &unused {
            let deleted = config_maps.delete(name, &DeleteParams::default()).await;
            match deleted.map_err(ClusterError::asking(format!("delete ConfigMap {name}"))) {
                Err(error) if !error.is_status(404) => return Err(error),
                _ => (),
            }
        }
        Ok(unused.into_iter().collect())
    }
}

fn config_map(release: &ReleaseKey, map: &FileMap) -> ConfigMap {
    let mut config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(map.name.clone()),
            namespace: Some(release.namespace.clone()),
            labels: Some(purpose(PURPOSE)),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        ..ConfigMap::default()
    };
    let labels = config_map.metadata.labels.get_or_insert_default();
    labels.insert(labels::PROJECT.to_owned(), release.name.clone());
    for (key, content) in &map.data {
        if let Ok(text) = std::str::from_utf8(content) {
            config_map.data.get_or_insert_default().insert(key.clone(), text.to_owned());
        } else {
            config_map.binary_data.get_or_insert_default().insert(key.clone(), ByteString(content.clone()));
        }
    }
    config_map
}

fn data(found: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = found.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let binary = found.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    text.chain(binary).collect()
}

/// Returns a ConfigMap with files as a manifest.
pub fn manifest(release: &ReleaseKey, map: &FileMap) -> Value {
    let mut manifest = json!(config_map(release, map));
    manifest["metadata"]["namespace"] = json!(release.namespace);
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_survive_the_round_trip() {
        let files = BTreeMap::from([("a".to_owned(), b"text\n".to_vec()), ("b".to_owned(), vec![0, 255])]);
        let map = FileMap::new("shop", files);
        let config_map = config_map(&ReleaseKey::new("tunes", "shop"), &map);
        assert_eq!(config_map.immutable, Some(true));
        assert_eq!(config_map.data.as_ref().map(|text| text["a"].as_str()), Some("text\n"));
        assert_eq!(data(config_map), map.data);
    }
}
