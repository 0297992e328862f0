//! Secrets that cmdr writes itself, and `ExternalSecret` objects, from which External Secrets writes Secrets.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, ListParams, Patch, PostParams},
    core::{ObjectMeta, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::adapters::cluster::{
    Cluster, ClusterError,
    releases::objects::{api_resource, checksum},
    store::apply::{apply, purpose},
};
use crate::domain::{
    labels,
    project_secret::ExternalSecret,
    secret::{Secret as Text, SecretData},
};

/// The random bytes of a generated password: 192 bits, 32 characters.
const PASSWORD_BYTES: usize = 24;
/// The API version that External Secrets has served since 0.16.
const EXTERNAL_SECRETS: &str = "external-secrets.io/v1";

/// The state of an `ExternalSecret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalState {
    /// The Secret exists and matches the current `ExternalSecret`.
    Ready,
    /// The reason of an error; External Secrets retries automatically.
    Refused(String),
    /// No status yet, or only for an earlier generation.
    Waiting,
}

impl Cluster {
    /// Creates a Secret with a random password under `key`, unless a Secret with this name exists: a password is
    /// generated once per environment.
    ///
    /// # Errors
    /// If the API returns an error, or the system provides no random bytes.
    pub async fn generate_secret(&self, namespace: &str, name: &str, key: &str) -> Result<(), ClusterError> {
        let data = BTreeMap::from([(key.to_owned(), ByteString(random_password()?.into_bytes()))]);
        self.create_generated_secret(namespace, name, Secret { data: Some(data), ..Secret::default() }).await
    }

    /// Creates a generated Secret with the content that it has in another namespace, if it is there and not here.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn copy_generated_secret(&self, (from, to): (&str, &str), name: &str) -> Result<(), ClusterError> {
        let source: Api<Secret> = self.namespaced(from);
        let found = source.get_opt(name).await.map_err(ClusterError::asking(format!("read secret {name}")))?;
        match found {
            Some(found) => self.create_generated_secret(to, name, found).await,
            None => Ok(()),
        }
    }

    /// Creates a generated Secret with the content of another one, unless a Secret with this name exists.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn create_generated_secret(
        &self,
        namespace: &str,
        name: &str,
        content: Secret,
    ) -> Result<(), ClusterError> {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(purpose("generated-secret")),
            ..ObjectMeta::default()
        };
        let secret = Secret { metadata, data: content.data, type_: content.type_, ..Secret::default() };
        let secrets: Api<Secret> = self.namespaced(namespace);
        let made = secrets.create(&PostParams::default(), &secret).await;
        match made.map_err(ClusterError::asking(format!("create secret {name}"))) {
            Err(error) if !error.is_status(409) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a Secret. `checksum` is stored to detect later changes.
    ///
    /// # Errors
    /// If the API returns an error, or a Secret with this name was not created by cmdr.
    pub async fn apply_secret(
        &self,
        namespace: &str,
        name: &str,
        checksum: &str,
        data: &SecretData,
    ) -> Result<(), ClusterError> {
        let secrets: Api<Secret> = self.namespaced(namespace);
        refuse_foreign(&secrets, "Secret", name).await?;
        let bytes = data.iter().map(|(key, value)| (key.clone(), ByteString(value.expose().as_bytes().to_vec())));
        let secret = Secret {
            metadata: own_metadata(name, "sops-secret", checksum),
            data: Some(bytes.collect()),
            ..Secret::default()
        };
        let applied = secrets.patch(name, &apply(), &Patch::Apply(secret)).await;
        applied.map_err(ClusterError::asking(format!("write secret {name}")))?;
        Ok(())
    }

    /// Returns the content of a Secret; `None` if it does not exist. Values that are not text are left out.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn secret_data(&self, namespace: &str, name: &str) -> Result<Option<SecretData>, ClusterError> {
        let secrets: Api<Secret> = self.namespaced(namespace);
        let found = secrets.get_opt(name).await.map_err(ClusterError::asking(format!("read secret {name}")))?;
        let text = |(key, value): (String, ByteString)| Some((key, Text::new(String::from_utf8(value.0).ok()?)));
        Ok(found.map(|secret| secret.data.into_iter().flatten().filter_map(text).collect()))
    }

    /// Writes an `ExternalSecret`, so that External Secrets creates the Secret `name` and keeps it in sync with its
    /// store.
    ///
    /// # Errors
    /// If the API returns an error, the kind is not installed (404), or an object with this name was not created by
    /// cmdr.
    pub async fn apply_external_secret(
        &self,
        namespace: &str,
        name: &str,
        checksum: &str,
        content: &ExternalSecret,
    ) -> Result<(), ClusterError> {
        let api = self.external_secrets_api(namespace);
        refuse_foreign(&api, "ExternalSecret", name).await?;
        let object = external_secret(name, checksum, content);
        let applied = api.patch(name, &apply(), &Patch::Apply(object)).await;
        applied.map_err(ClusterError::asking(format!("write ExternalSecret {name}")))?;
        Ok(())
    }

    /// Returns the state of an `ExternalSecret`.
    ///
    /// # Errors
    /// If the API does not respond, or the object does not exist.
    pub async fn external_state(&self, namespace: &str, name: &str) -> Result<ExternalState, ClusterError> {
        let object = self.external_secrets_api(namespace).get(name).await;
        Ok(state(&object.map_err(ClusterError::asking(format!("read ExternalSecret {name}")))?))
    }

    /// Returns the name, checksum and state of every `ExternalSecret` in a namespace. None if the kind is not
    /// installed.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn external_secrets(
        &self,
        namespace: &str,
    ) -> Result<Vec<(String, Option<String>, ExternalState)>, ClusterError> {
        let list = self.external_secrets_api(namespace).list(&ListParams::default()).await;
        match list.map_err(ClusterError::asking("list ExternalSecret objects")) {
            Ok(list) => Ok(list
                .items
                .iter()
                .map(|object| {
                    (object.metadata.name.clone().unwrap_or_default(), checksum(&object.metadata), state(object))
                })
                .collect()),
            Err(error) if error.is_status(404) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn external_secrets_api(&self, namespace: &str) -> Api<DynamicObject> {
        let resource: ApiResource = api_resource(EXTERNAL_SECRETS, "ExternalSecret");
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }
}

fn own_metadata(name: &str, what_for: &str, checksum: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(purpose(what_for)),
        annotations: Some(BTreeMap::from([(labels::CHECKSUM.to_owned(), checksum.to_owned())])),
        ..ObjectMeta::default()
    }
}

/// Fails if an object exists that was not created by cmdr, so that it is not overwritten.
pub(in crate::adapters::cluster) async fn refuse_foreign<K>(
    api: &Api<K>,
    kind: &str,
    name: &str,
) -> Result<(), ClusterError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let found: Option<PartialObjectMeta<K>> =
        api.get_metadata_opt(name).await.map_err(ClusterError::asking(format!("read {kind} {name}")))?;
    let is_own = |found: &PartialObjectMeta<K>| {
        found.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(labels::PURPOSE))
    };
    match found {
        Some(found) if !is_own(&found) => Err(ClusterError::Foreign { kind: kind.to_owned(), name: name.to_owned() }),
        _ => Ok(()),
    }
}

/// Returns an `ExternalSecret` as a manifest.
pub fn external_secret(name: &str, checksum: &str, content: &ExternalSecret) -> Value {
    json!({
        "apiVersion": EXTERNAL_SECRETS, "kind": "ExternalSecret",
        "metadata": own_metadata(name, "external-secret", checksum),
        "spec": external_spec(name, content),
    })
}

fn external_spec(name: &str, content: &ExternalSecret) -> Value {
    let data = content.data.iter().map(|(key, remote)| {
        let mut reference = json!({"key": remote.key});
        if let Some(property) = &remote.property {
            reference["property"] = json!(property);
        }
        json!({"secretKey": key, "remoteRef": reference})
    });
    json!({
        "refreshInterval": content.refresh,
        "secretStoreRef": {"name": content.store, "kind": content.store_kind},
        "target": {"name": name, "creationPolicy": "Owner"},
        "data": data.collect::<Vec<Value>>(),
    })
}

fn state(object: &DynamicObject) -> ExternalState {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let Some(ready) = ready else { return ExternalState::Waiting };
    if ready["status"] != "True" {
        let detail = ready["message"].as_str().or(ready["reason"].as_str()).unwrap_or_default();
        return ExternalState::Refused(detail.to_owned());
    }
    // `<generation>-<hash>` of the synced object; without it, the condition may belong to an earlier generation.
    let synced = object.data.pointer("/status/syncedResourceVersion").and_then(Value::as_str);
    let synced = synced.and_then(|synced| synced.split('-').next()?.parse::<i64>().ok());
    match synced {
        Some(generation) if Some(generation) != object.metadata.generation => ExternalState::Waiting,
        _ => ExternalState::Ready,
    }
}

/// Only letters, digits, '-' and '_', which are safe in URLs and in shells.
fn random_password() -> Result<String, ClusterError> {
    let mut bytes = [0u8; PASSWORD_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| ClusterError::BadManifest(format!("cannot get random bytes from the system: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(generation: i64, status: &Value) -> ExternalState {
        let object = json!({
            "apiVersion": EXTERNAL_SECRETS, "kind": "ExternalSecret",
            "metadata": {"name": "shop-api", "generation": generation}, "status": status,
        });
        state(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn ready_counts_for_what_was_asked_last() {
        let ready = json!([{"type": "Ready", "status": "True", "reason": "SecretSynced"}]);
        assert_eq!(found(1, &Value::Null), ExternalState::Waiting);
        assert_eq!(found(2, &json!({"conditions": ready})), ExternalState::Ready);
        assert_eq!(found(2, &json!({"conditions": ready, "syncedResourceVersion": "2-abc"})), ExternalState::Ready);
        assert_eq!(found(2, &json!({"conditions": ready, "syncedResourceVersion": "1-abc"})), ExternalState::Waiting);
        let refused = json!([{"type": "Ready", "status": "False", "message": "no such key"}]);
        assert_eq!(found(1, &json!({"conditions": refused})), ExternalState::Refused("no such key".to_owned()));
    }
}
