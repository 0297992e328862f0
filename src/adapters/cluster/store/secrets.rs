//! Secrets that cmdr writes itself, and what it tells External Secrets to write.

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
use crate::domain::{labels, project_secret::ExternalSecret, secret::SecretData};

/// Bytes of randomness in a generated password: 192 bits, 32 characters.
const PASSWORD_BYTES: usize = 24;
/// The version of its API that External Secrets serves since 0.16.
const EXTERNAL_SECRETS: &str = "external-secrets.io/v1";

/// What External Secrets says of an `ExternalSecret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalState {
    /// The Secret is there, with what was asked for last.
    Ready,
    /// Why it is not; External Secrets tries again by itself.
    Refused(String),
    /// Nothing yet, or nothing about what was asked for last.
    Waiting,
}

impl Cluster {
    /// Makes a Secret with a random password under `key`, unless one of that name is there: a password is made once for
    /// an environment and stays.
    ///
    /// # Errors
    /// When the API refuses, or the system gives no randomness.
    pub async fn generate_secret(&self, namespace: &str, name: &str, key: &str) -> Result<(), ClusterError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(purpose("generated-secret")),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(key.to_owned(), ByteString(random_password()?.into_bytes()))])),
            ..Secret::default()
        };
        let secrets: Api<Secret> = self.namespaced(namespace);
        let made = secrets.create(&PostParams::default(), &secret).await;
        match made.map_err(ClusterError::asking(format!("make secret {name}"))) {
            Err(error) if !error.is_status(409) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a Secret, with `checksum` to tell later what it was made from.
    ///
    /// # Errors
    /// When the API refuses, or there is a Secret of that name that cmdr did not make.
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

    /// Tells External Secrets to make the Secret `name` and to keep it as its store has it.
    ///
    /// # Errors
    /// When the API refuses or does not know the kind (404), or somebody else made one of that name.
    pub async fn apply_external_secret(
        &self,
        namespace: &str,
        name: &str,
        checksum: &str,
        content: &ExternalSecret,
    ) -> Result<(), ClusterError> {
        let api = self.external_secrets_api(namespace);
        refuse_foreign(&api, "ExternalSecret", name).await?;
        let object = json!({
            "apiVersion": EXTERNAL_SECRETS, "kind": "ExternalSecret",
            "metadata": own_metadata(name, "external-secret", checksum),
            "spec": external_spec(name, content),
        });
        let applied = api.patch(name, &apply(), &Patch::Apply(object)).await;
        applied.map_err(ClusterError::asking(format!("make ExternalSecret {name}")))?;
        Ok(())
    }

    /// What External Secrets says of an `ExternalSecret`.
    ///
    /// # Errors
    /// When the API does not answer, or it is gone.
    pub async fn external_state(&self, namespace: &str, name: &str) -> Result<ExternalState, ClusterError> {
        let object = self.external_secrets_api(namespace).get(name).await;
        Ok(state(&object.map_err(ClusterError::asking(format!("read ExternalSecret {name}")))?))
    }

    /// Every `ExternalSecret` of a namespace: its name, what cmdr made it from, its state. None when the cluster does
    /// not know the kind.
    ///
    /// # Errors
    /// When the API does not answer.
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

/// Nothing is overwritten that somebody else may need.
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
        let said = ready["message"].as_str().or(ready["reason"].as_str()).unwrap_or_default();
        return ExternalState::Refused(said.to_owned());
    }
    // `<generation>-<hash>` of what it was ready with; a condition alone may still speak of the one before.
    let synced = object.data.pointer("/status/syncedResourceVersion").and_then(Value::as_str);
    let synced = synced.and_then(|synced| synced.split('-').next()?.parse::<i64>().ok());
    match synced {
        Some(generation) if Some(generation) != object.metadata.generation => ExternalState::Waiting,
        _ => ExternalState::Ready,
    }
}

/// Letters, digits, '-' and '_': safe in URLs and in shells.
fn random_password() -> Result<String, ClusterError> {
    let mut bytes = [0u8; PASSWORD_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| ClusterError::BadManifest(format!("the system gives no randomness: {error}")))?;
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
