//! The ledger in the environment's own namespace: histories, records and charts, stored in Secrets.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::ObjectMeta,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::adapters::cluster::{Cause, Cluster, ClusterError, store::apply::purpose};
use crate::domain::{
    ChartDigest,
    disk_files::file_maps,
    labels,
    ledger::History,
    record::{Record, RecordId, RecordedSource},
};

/// The kinds of Secrets in a ledger: the values of their label, and the prefixes of their names.
const HISTORY: &str = "history";
const RECORD: &str = "record";
const CHART: &str = "chart";
/// The key of the content, which is compressed with gzip.
const CONTENT: &str = "content";
/// The maximum number of attempts to write a history if others write it at the same time.
const TRIES: usize = 5;

impl Cluster {
    /// Returns the history of every release in the namespace's ledger, by the name from [`subject`].
    ///
    /// # Errors
    /// If the API does not respond, or an entry is not valid.
    pub async fn histories(&self, namespace: &str) -> Result<BTreeMap<String, History>, ClusterError> {
        self.contents(namespace, HISTORY).await
    }

    /// Returns the contents of all Secrets of a kind, by subject.
    pub(super) async fn contents<T: DeserializeOwned>(
        &self,
        namespace: &str,
        kind: &str,
    ) -> Result<BTreeMap<String, T>, ClusterError> {
        let own = ListParams::default().labels(&format!("{}={kind}", labels::PURPOSE));
        let list = self.ledger(namespace).list(&own).await;
        let list = list.map_err(ClusterError::asking(format!("list the Secrets with purpose '{kind}'")))?;
        let read = |secret: &Secret| Ok((subject_of(secret), content(secret)?));
        list.items.iter().map(read).collect()
    }

    /// Returns the content of the Secret of a kind, if it exists.
    pub(super) async fn content_of<T: DeserializeOwned>(
        &self,
        namespace: &str,
        kind: &str,
        subject: &str,
    ) -> Result<Option<T>, ClusterError> {
        self.kept(namespace, kind, subject).await?.as_ref().map(content).transpose()
    }

    /// Deletes the Secret of a kind, if it exists.
    pub(super) async fn forget_content(&self, namespace: &str, kind: &str, subject: &str) -> Result<(), ClusterError> {
        let name = secret_name(kind, subject);
        let deleted = self.ledger(namespace).delete(&name, &DeleteParams::default()).await;
        match deleted.map_err(ClusterError::asking(format!("delete {name}"))) {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes one history, which is empty at first. Concurrent changes are serialized.
    ///
    /// # Errors
    /// If the API returns an error, or others keep changing the history.
    pub async fn update_history(
        &self,
        namespace: &str,
        subject: &str,
        change: impl Fn(&mut History),
    ) -> Result<(), ClusterError> {
        let changed = |found: Option<History>| {
            let mut history = found.unwrap_or_default();
            change(&mut history);
            Some(history)
        };
        self.update_content(namespace, (HISTORY, subject), changed).await
    }

    /// Changes the content of a Secret, which may not exist before. Without new content, nothing is written.
    pub(super) async fn update_content<T: Serialize + DeserializeOwned>(
        &self,
        namespace: &str,
        (kind, subject): (&str, &str),
        change: impl Fn(Option<T>) -> Option<T>,
    ) -> Result<(), ClusterError> {
        let secrets = self.ledger(namespace);
        let name = secret_name(kind, subject);
        let what = || format!("write the {kind} of {subject}");
        let mut tries = 0;
        loop {
            tries += 1;
            let found = secrets.get_opt(&name).await.map_err(ClusterError::asking(what()))?;
            let Some(changed) = change(found.as_ref().map(content).transpose()?) else { return Ok(()) };
            let mut secret = secret(kind, subject, encode(&changed));
            let written = match found {
                Some(found) => {
                    secret.metadata.resource_version = found.metadata.resource_version;
                    secrets.replace(&name, &PostParams::default(), &secret).await
                }
                None => secrets.create(&PostParams::default(), &secret).await,
            };
            match written.map_err(ClusterError::asking(what())) {
                Err(error) if error.is_status(409) && tries < TRIES => {}
                other => return other.map(drop),
            }
        }
    }

    /// Stores a record under its ID, unless it exists.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn keep_record(&self, namespace: &str, record: &Record) -> Result<(), ClusterError> {
        self.keep(namespace, secret(RECORD, record.id().as_str(), encode(record))).await
    }

    /// Stores a chart's archive under its digest.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn keep_chart(&self, namespace: &str, digest: &ChartDigest, archive: &[u8]) -> Result<(), ClusterError> {
        self.keep(namespace, secret(CHART, short(digest), archive.to_vec())).await
    }

    /// Returns a record by its ID, if the ledger contains it.
    ///
    /// # Errors
    /// If the API does not respond, or the entry is not valid.
    pub async fn record(&self, namespace: &str, id: &RecordId) -> Result<Option<Record>, ClusterError> {
        self.content_of(namespace, RECORD, id.as_str()).await
    }

    /// Returns a chart's archive by its digest, if the ledger contains it.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn chart(&self, namespace: &str, digest: &ChartDigest) -> Result<Option<Vec<u8>>, ClusterError> {
        let secret = self.kept(namespace, CHART, short(digest)).await?;
        Ok(secret.and_then(|secret| secret.data?.remove(CONTENT)).map(|bytes| bytes.0))
    }

    /// Returns the names of the ConfigMaps with files that the values of any record mount.
    ///
    /// # Errors
    /// If the API does not respond, or a record is not valid.
    pub(in crate::adapters::cluster) async fn file_maps_of_records(
        &self,
        namespace: &str,
    ) -> Result<BTreeSet<String>, ClusterError> {
        let records = ListParams::default().labels(&format!("{}={RECORD}", labels::PURPOSE));
        let records = self.ledger(namespace).list(&records).await.map_err(ClusterError::asking("list records"))?;
        let mut used = BTreeSet::new();
        for secret in &records.items {
            let record: Record = content(secret)?;
            used.extend(file_maps(&record.values).map(str::to_owned));
        }
        Ok(used)
    }

    /// Deletes records that are in no history, and charts that are in no record.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn sweep_ledger(&self, namespace: &str) -> Result<(), ClusterError> {
        let secrets = self.ledger(namespace);
        let (histories, rollouts) = futures::try_join!(self.histories(namespace), self.rollouts(namespace))?;
        let deployed = histories.values().flat_map(|history| &history.deployments).map(|it| &it.record);
        let in_rollout = rollouts.values().filter(|state| state.is_in_progress()).map(|state| &state.record);
        let named: BTreeSet<&str> = deployed.chain(in_rollout).map(RecordId::as_str).collect();
        let records = ListParams::default().labels(&format!("{}={RECORD}", labels::PURPOSE));
        let records = secrets.list(&records).await.map_err(ClusterError::asking("list records"))?.items;
        let (needed, surplus): (Vec<Secret>, Vec<Secret>) =
            records.into_iter().partition(|secret| named.contains(subject_of(secret).as_str()));
        let needed: Vec<Record> = needed.iter().map(content).collect::<Result<_, _>>()?;
        let charts: BTreeSet<&str> = needed
            .iter()
            .filter(|record| record.chart.source == RecordedSource::Kept)
            .map(|record| short(&record.chart.digest))
            .collect();
        let kept = ListParams::default().labels(&format!("{}={CHART}", labels::PURPOSE));
        let kept = secrets.list_metadata(&kept).await.map_err(ClusterError::asking("list charts"))?.items;
        let unused = kept.into_iter().filter_map(|chart| chart.metadata.name);
        let unused = unused.filter(|name| !charts.iter().any(|digest| *name == secret_name(CHART, digest)));
        let surplus = surplus.into_iter().filter_map(|secret| secret.metadata.name).chain(unused);
        for name in surplus {
            let deleted = secrets.delete(&name, &DeleteParams::default()).await;
            match deleted.map_err(ClusterError::asking(format!("delete {name}"))) {
                Err(error) if !error.is_status(404) => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }

    fn ledger(&self, namespace: &str) -> Api<Secret> {
        self.namespaced(namespace)
    }

    async fn keep(&self, namespace: &str, secret: Secret) -> Result<(), ClusterError> {
        let name = secret.metadata.name.clone().unwrap_or_default();
        let made = self.ledger(namespace).create(&PostParams::default(), &secret).await;
        match made.map_err(ClusterError::asking(format!("write {name}"))) {
            Err(error) if !error.is_status(409) => Err(error),
            _ => Ok(()),
        }
    }

    async fn kept(&self, namespace: &str, kind: &str, subject: &str) -> Result<Option<Secret>, ClusterError> {
        let name = secret_name(kind, subject);
        self.ledger(namespace).get_opt(&name).await.map_err(ClusterError::asking(format!("read {name}")))
    }
}

/// Returns the name of a release in the ledger: the project's name, prefixed with the namespace if it is not the
/// projects' namespace. Names of projects contain no dots.
pub fn subject(namespace: &str, release_namespace: &str, release: &str) -> String {
    if namespace == release_namespace { release.to_owned() } else { format!("{release_namespace}.{release}") }
}

fn secret_name(kind: &str, subject: &str) -> String {
    format!("cmdr-{kind}.{subject}")
}

fn subject_of(secret: &Secret) -> String {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    name.split_once('.').map_or(name, |(_, subject)| subject).to_owned()
}

/// Shortens a digest, because it is longer than object names may be.
fn short(digest: &ChartDigest) -> &str {
    &digest.as_str()[..32]
}

fn secret(kind: &str, subject: &str, content: Vec<u8>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(kind, subject)),
            labels: Some(purpose(kind)),
            ..ObjectMeta::default()
        },
        type_: Some(format!("cmdr.dev/{kind}")),
        data: Some(BTreeMap::from([(CONTENT.to_owned(), ByteString(content))])),
        ..Secret::default()
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory and serializing the domain's types cannot fail.
    let _ = encoder.write_all(&serde_json::to_vec(value).unwrap_or_default());
    encoder.finish().unwrap_or_default()
}

fn content<T: DeserializeOwned>(secret: &Secret) -> Result<T, ClusterError> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let bytes = secret.data.as_ref().and_then(|data| data.get(CONTENT)).map(|bytes| bytes.0.as_slice());
    let mut json = Vec::new();
    let unpacked = GzDecoder::new(bytes.unwrap_or_default()).read_to_end(&mut json);
    let parsed = unpacked.map_err(Cause::from).and_then(|_| Ok(serde_json::from_slice(&json)?));
    parsed.map_err(|cause| ClusterError::BadLedger(name, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::DeploymentOutcome;
    use crate::domain::ledger::tests::deployment;

    #[test]
    fn histories_survive_the_round_trip() {
        let deployments = vec![deployment("a", "2026-11-21T12:00:00Z", DeploymentOutcome::Healthy)];
        let history = History { deployments, ..History::default() };
        let secret = secret(HISTORY, "shop", encode(&history));
        assert_eq!(content::<History>(&secret).unwrap(), history);
        assert_eq!(subject_of(&secret), "shop");
        let broken = super::secret(HISTORY, "shop", b"{}".to_vec());
        assert!(content::<History>(&broken).unwrap_err().to_string().contains("cmdr-history.shop"));
    }

    #[test]
    fn releases_of_other_namespaces_have_their_own_names() {
        assert_eq!(subject("tunes", "tunes", "traefik"), "traefik");
        assert_eq!(subject("tunes", "traefik", "traefik"), "traefik.traefik");
    }
}
