//! Previews the changes of a manifest with a dry run on the API server: it sets defaults and calls webhooks, but writes
//! nothing.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    discovery::Scope,
};
use serde_json::Value;

use crate::adapters::cluster::{
    Cluster, ClusterError,
    releases::objects::{api_resource, read_objects},
};
use crate::domain::{difference::Difference, yaml};

/// Keys of an object that the server manages.
const SERVER_KEYS: &[&str] = &["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"];
/// The field manager of the dry run, so that no fields change their manager.
const MANAGER: &str = "cmdr-preview";
impl Cluster {
    /// Returns the objects of a manifest that would change.
    ///
    /// # Errors
    /// If the API rejects an object.
    pub async fn differences(&self, manifest: &str, namespace: &str) -> Result<Vec<Difference>, ClusterError> {
        let mut differences = Vec::new();
        for wanted in read_objects(manifest)? {
            differences.extend(self.difference(wanted, namespace).await?);
        }
        Ok(differences)
    }

    async fn difference(&self, wanted: Value, namespace: &str) -> Result<Option<Difference>, ClusterError> {
        let text = |pointer: &str| wanted.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        if kind.is_empty() {
            return Ok(None);
        }
        let object = format!("{kind}/{name}");
        // A kind that is not installed yet is installed by this manifest.
        let (resource, scope) =
            self.discover(&version, &kind).await?.unwrap_or((api_resource(&version, &kind), Scope::Namespaced));
        let own = text("/metadata/namespace");
        let namespace = if own.is_empty() { namespace } else { own.as_str() };
        let api: Api<DynamicObject> = match scope {
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, &resource),
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
        };
        let live = match api.get_opt(&name).await.map_err(ClusterError::asking(format!("read {object}"))) {
            Ok(live) => live,
            // The kind is not installed yet, because this manifest installs it.
            Err(error) if error.is_status(404) => None,
            Err(error) => return Err(error),
        };
        let parameters = PatchParams { dry_run: true, force: true, ..PatchParams::apply(MANAGER) };
        let applied = api.patch(&name, &parameters, &Patch::Apply(&wanted)).await;
        let after = match applied.map_err(ClusterError::asking(format!("preview {object}"))) {
            Ok(after) => serde_json::to_value(after).unwrap_or_default(),
            // Its namespace or its kind does not exist yet, so the object will be as rendered.
            Err(error) if error.is_status(404) && live.is_none() => wanted,
            Err(error) => return Err(error),
        };
        let before = live.map(|live| serde_json::to_value(live).unwrap_or_default());
        let after = readable(after, before.as_ref());
        let before = before.map(|before| readable(before.clone(), Some(&before))).unwrap_or_default();
        Ok((before != after).then_some(Difference { object, before, after }))
    }
}

/// Formats an object for a diff, without the keys that the server manages and without the values of Secrets. A value
/// that differs from `before` is only marked as changed.
fn readable(mut object: Value, before: Option<&Value>) -> String {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in SERVER_KEYS {
            metadata.remove(*key);
        }
    }
    let is_secret = object.get("kind").is_some_and(|kind| kind == "Secret");
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        for part in ["data", "stringData"].iter().filter(|_| is_secret) {
            let values = object.get_mut(*part).and_then(Value::as_object_mut);
            for (key, value) in values.into_iter().flatten() {
                let is_same = before.and_then(|before| before.get(part)?.get(key)).is_some_and(|old| old == value);
                *value = Value::from(if is_same { "***" } else { "*** (changed)" });
            }
        }
    }
    yaml::write(&object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked() {
        let secret = |value: &str| json!({"kind": "Secret", "metadata": {"uid": "1"}, "data": {"password": value}});
        let same = readable(secret("canary"), Some(&secret("canary")));
        assert!(!same.contains("canary") && !same.contains("uid"), "{same}");
        assert_eq!(yaml::read::<Value>(&same).unwrap()["data"]["password"], "***");
        let other = readable(secret("canary"), Some(&secret("old")));
        assert!(!other.contains("canary") && other.contains("*** (changed)"), "{other}");
    }
}
