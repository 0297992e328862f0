//! Helm's releases, as Helm stores them: one Secret per revision, with the status in its labels and the payload as
//! base64 of gzip of JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::adapters::{
    Cause,
    cluster::{Cluster, ClusterError, Object, Rendered, parse_manifest},
};
use crate::domain::{Problem, ReleaseKey, Values, disk_files::file_maps};

/// What is listed, for errors.
const RELEASES: &str = "Helm releases (secrets)";
/// Helm's status of a revision that is installed.
const DEPLOYED: &str = "deployed";
/// Payloads in one response: some megabytes. The API server reads pages from its database and whole lists from memory,
/// so that few payloads are one list.
const PAGE: u32 = 100;
const PAGED_FROM: usize = 200;

/// The newest revision of a release.
#[derive(Debug, Clone)]
pub struct StoredRelease {
    pub key: ReleaseKey,
    pub revision: u32,
    /// Helm's status: `deployed`, `failed`, `pending-install`, ...
    pub status: String,
    pub labels: BTreeMap<String, String>,
    /// The manifest of the newest deployed revision; empty if none is deployed.
    pub rendered: Vec<Rendered>,
    /// The values of that revision, without the chart's default values.
    pub values: Values,
    /// Why the payload of that revision cannot be read; the objects and values are empty then.
    pub unreadable: Option<String>,
}

impl Cluster {
    /// Returns the newest revision of every release in the cluster. A release that cannot be read says so itself, because
    /// it may belong to anybody.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn releases(&self) -> Result<Vec<StoredRelease>, ClusterError> {
        let all = ListParams::default().labels("owner=helm");
        let all = self.list_metadata::<Secret>(&all, RELEASES).await?;
        let mut newest: BTreeMap<ReleaseKey, StoredRelease> = BTreeMap::new();
        let mut deployed = 0;
        for release in all.into_iter().filter_map(|secret| from_labels(secret.metadata)) {
            deployed += usize::from(release.status == DEPLOYED);
            if newest.get(&release.key).is_none_or(|known| known.revision < release.revision) {
                newest.insert(release.key.clone(), release);
            }
        }
        self.for_each_deployed(deployed > PAGED_FROM, |secret| {
            let labels = secret.metadata.labels.clone().unwrap_or_default();
            let namespace = secret.metadata.namespace.clone().unwrap_or_default();
            let key = ReleaseKey::new(&namespace, labels.get("name").cloned().unwrap_or_default());
            if let Some(release) = newest.get_mut(&key) {
                release.fill(&secret);
            }
        })
        .await?;
        Ok(newest.into_values().collect())
    }

    /// Passes on the newest deployed revision of each release with its payload.
    async fn for_each_deployed(&self, is_paged: bool, mut put: impl FnMut(Secret)) -> Result<(), ClusterError> {
        let failed = || ClusterError::asking(format!("list {RELEASES}"));
        for api in self.reached::<Secret>() {
            let mut parameters = ListParams::default().labels("owner=helm,status=deployed");
            parameters.limit = is_paged.then_some(PAGE);
            let mut page = api.list(&parameters).await.map_err(failed())?;
            loop {
                let token = page.metadata.continue_.take().filter(|token| !token.is_empty());
                let decoded = async { page.items.into_iter().for_each(&mut put) };
                let Some(token) = token else {
                    decoded.await;
                    break;
                };
                parameters = parameters.continue_token(&token);
                // The API server reads the next page while the payloads of this one are decoded.
                let (next, ()) = futures::join!(api.list(&parameters), decoded);
                page = next.map_err(failed())?;
            }
        }
        Ok(())
    }

    /// As [`Cluster::releases`], for one release; `None` if it does not exist.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn release(&self, key: &ReleaseKey) -> Result<Option<StoredRelease>, ClusterError> {
        let secrets: Api<Secret> = self.namespaced(&key.namespace);
        let revisions: Vec<StoredRelease> = self.stored_revisions(key).await?;
        let deployed = revisions.iter().filter(|it| it.status == DEPLOYED).map(|it| it.revision).max();
        let Some(mut release) = revisions.into_iter().max_by_key(|it| it.revision) else { return Ok(None) };
        if let Some(revision) = deployed {
            let secret = secrets.get(&secret_name(key, revision)).await;
            release.fill(&secret.map_err(ClusterError::asking(format!("read release {}", key.name)))?);
        }
        Ok(Some(release))
    }

    /// Returns all stored revisions of a release, without their content.
    async fn stored_revisions(&self, key: &ReleaseKey) -> Result<Vec<StoredRelease>, ClusterError> {
        let secrets: Api<Secret> = self.namespaced(&key.namespace);
        let own = ListParams::default().labels(&format!("owner=helm,name={}", key.name));
        let list = secrets.list_metadata(&own).await;
        let list = list.map_err(ClusterError::asking(format!("list the revisions of {}", key.name)))?;
        Ok(list.into_iter().filter_map(|secret| from_labels(secret.metadata)).collect())
    }

    /// Returns the Jobs and Pods among the hooks of a release's newest revision, and whether Helm has not finished it.
    ///
    /// # Errors
    /// If the API does not respond, or a payload is not valid.
    pub async fn hooks(&self, release: &ReleaseKey) -> Result<(bool, Vec<Object>), ClusterError> {
        let secrets: Api<Secret> = self.namespaced(&release.namespace);
        let newest = self.stored_revisions(release).await?.into_iter().max_by_key(|it| it.revision);
        let Some(newest) = newest else { return Ok((false, Vec::new())) };
        let key = secret_name(release, newest.revision);
        let secret = secrets.get(&key).await.map_err(ClusterError::asking(format!("read release {}", release.name)))?;
        let payload: Payload = payload(&secret)?;
        let mut objects = Vec::new();
        for hook in payload.hooks.unwrap_or_default() {
            let rendered = parse_manifest(&hook.manifest, &release.namespace)?;
            objects.extend(rendered.into_iter().map(|rendered| rendered.object));
        }
        objects.retain(|object| matches!(object.kind.as_str(), "Job" | "Pod"));
        Ok((newest.status.starts_with("pending-"), objects))
    }

    /// Returns the names of the ConfigMaps with files that the values of any stored revision mount.
    ///
    /// # Errors
    /// If the API does not respond, or a payload is not valid.
    pub(in crate::adapters::cluster) async fn file_maps_of_revisions(
        &self,
        release: &ReleaseKey,
    ) -> Result<BTreeSet<String>, ClusterError> {
        let secrets: Api<Secret> = self.namespaced(&release.namespace);
        let own = ListParams::default().labels(&format!("owner=helm,name={}", release.name));
        let list = secrets.list(&own).await;
        let list = list.map_err(ClusterError::asking(format!("list the revisions of {}", release.name)))?;
        let mut used = BTreeSet::new();
        for secret in &list.items {
            let payload: Payload = payload(secret)?;
            used.extend(file_maps(&payload.config.unwrap_or_default()).map(str::to_owned));
        }
        Ok(used)
    }

    /// Marks a revision as failed, in its label and in its payload, so that Helm can continue from it.
    ///
    /// # Errors
    /// If the API does not respond, or the payload is not valid.
    pub async fn mark_release_failed(&self, namespace: &str, name: &str, revision: u32) -> Result<(), ClusterError> {
        let secrets: Api<Secret> = self.namespaced(namespace);
        let key = secret_name(&ReleaseKey::new(namespace, name), revision);
        let mut secret = secrets.get(&key).await.map_err(ClusterError::asking(format!("read release {name}")))?;
        let mut payload: Value = payload(&secret)?;
        if let Some(info) = payload.get_mut("info").and_then(Value::as_object_mut) {
            info.insert("status".to_owned(), "failed".into());
            info.insert("description".to_owned(), "marked as failed by cmdr before a retry".into());
        }
        secret.metadata.labels.get_or_insert_default().insert("status".to_owned(), "failed".to_owned());
        secret.data.get_or_insert_default().insert("release".to_owned(), ByteString(encode(&payload)));
        secrets
            .replace(&key, &PostParams::default(), &secret)
            .await
            .map_err(ClusterError::asking(format!("mark release {name} as failed")))?;
        Ok(())
    }
}

impl StoredRelease {
    /// Returns what Helm rendered.
    ///
    /// # Errors
    /// If the release cannot be read.
    pub fn readable(&self) -> Result<&[Rendered], Problem> {
        match &self.unreadable {
            Some(reason) => Err(Problem::new(format!("cannot read the release '{}': {reason}", self.key.name))),
            None => Ok(&self.rendered),
        }
    }

    /// Adds the content of its newest deployed revision.
    fn fill(&mut self, secret: &Secret) {
        match content(secret, &self.key.namespace) {
            Ok((rendered, values)) => (self.rendered, self.values) = (rendered, values),
            Err(error) => self.unreadable = Some(error.to_string()),
        }
    }
}

/// The name of the Secret in which Helm stores a revision.
fn secret_name(release: &ReleaseKey, revision: u32) -> String {
    format!("sh.helm.release.v1.{}.v{revision}", release.name)
}

fn from_labels(metadata: kube::core::ObjectMeta) -> Option<StoredRelease> {
    let labels = metadata.labels?;
    Some(StoredRelease {
        key: ReleaseKey::new(metadata.namespace?, labels.get("name")?),
        revision: labels.get("version")?.parse().ok()?,
        status: labels.get("status")?.clone(),
        labels,
        rendered: Vec::new(),
        values: Values::new(),
        unreadable: None,
    })
}

/// The objects and values of a revision.
fn content(secret: &Secret, namespace: &str) -> Result<(Vec<Rendered>, Values), ClusterError> {
    let payload: Payload = payload(secret)?;
    let values = payload.config.unwrap_or_default();
    let mut rendered = parse_manifest(&payload.manifest, namespace)?;
    rendered.extend(file_maps(&values).map(|name| with_files(name, namespace)));
    Ok((rendered, values))
}

/// A ConfigMap with files, which cmdr creates itself: it can be missing like what Helm rendered.
fn with_files(name: &str, namespace: &str) -> Rendered {
    let (api_version, kind) = ("v1".to_owned(), "ConfigMap".to_owned());
    let content = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    Rendered { object: Object { api_version, kind, namespace, name, ..Object::default() }, content }
}

/// The keys of a payload that are read. The chart's files, which are most of it, are skipped.
#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    manifest: String,
    config: Option<Values>,
    hooks: Option<Vec<Hook>>,
}

#[derive(Deserialize)]
struct Hook {
    #[serde(default)]
    manifest: String,
}

pub(super) fn payload<T: DeserializeOwned>(secret: &Secret) -> Result<T, ClusterError> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let bytes = secret.data.as_ref().and_then(|data| data.get("release")).map(|bytes| bytes.0.as_slice());
    let bytes = bytes.ok_or_else(|| ClusterError::BadRelease(name.clone(), "no payload".into()))?;
    decode(bytes).map_err(|reason| ClusterError::BadRelease(name, reason))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Cause> {
    let packed = BASE64.decode(bytes)?;
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

pub(super) fn encode(payload: &Value) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(payload.to_string().as_bytes());
    BASE64.encode(encoder.finish().unwrap_or_default()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn payloads_survive_the_round_trip() {
        let payload = json!({"info": {"status": "pending-upgrade"}, "manifest": "---\n"});
        assert_eq!(decode::<Value>(&encode(&payload)).unwrap(), payload);
        assert!(decode::<Value>(b"!").is_err());
    }
}
