//! The Secrets that a project of the universal chart defines under `secrets`, and those that its pods use.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Serialize;
use serde_json::Value;

use super::{ResolvedProject, Values};

/// How often External Secrets reads a value again, unless the project sets it.
const REFRESH: &str = "1h";
/// The default kind of a store, as in External Secrets.
const STORE_KIND: &str = "SecretStore";
/// The keys of Helm values that refer to a Secret by name.
const NAMING_KEYS: [&str; 2] = ["secret", "existing"];

/// A Secret that cmdr provides for a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectSecret {
    /// The name within the project: `db`.
    pub short_name: String,
    /// The name in the cluster: `shop-db`.
    pub name: String,
    pub source: SecretSource,
}

/// The source of a Secret's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A random value under this key, generated once.
    Generate { key: String },
    /// A file that sops decrypts; its path is relative to the workspace folder.
    Sops { file: PathBuf },
    /// A store outside the cluster, read by External Secrets.
    External(ExternalSecret),
}

/// The specification of an `ExternalSecret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalSecret {
    pub store: String,
    /// `SecretStore` or `ClusterSecretStore`.
    pub store_kind: String,
    /// The refresh interval, such as `1h`.
    pub refresh: String,
    /// The location of the value in the store, by key of the Secret.
    pub data: BTreeMap<String, RemoteKey>,
}

/// A value in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteKey {
    pub key: String,
    /// One field of the value under the key; `None`: the whole value.
    pub property: Option<String>,
}

impl RemoteKey {
    /// Parses `tunes/api#password`.
    fn read(text: &str) -> Self {
        match text.rsplit_once('#') {
            Some((key, property)) => Self { key: key.to_owned(), property: Some(property.to_owned()) },
            None => Self { key: text.to_owned(), property: None },
        }
    }
}

/// Returns the Secrets that cmdr provides for `project`. Entries that violate the chart's schema are skipped, because
/// validation reports them.
pub fn project_secrets(project: &ResolvedProject) -> Vec<ProjectSecret> {
    let secrets = project.values.get("secrets").filter(|_| project.is_on_universal_chart());
    let secrets = secrets.and_then(Value::as_object).into_iter().flatten();
    let provided = secrets.filter_map(|(short_name, secret)| {
        let name = own_name(project.name.as_str(), short_name);
        Some(ProjectSecret { short_name: short_name.clone(), name, source: source(secret)? })
    });
    provided.collect()
}

/// The name in the cluster of a Secret that cmdr provides.
fn own_name(project: &str, short_name: &str) -> String {
    format!("{project}-{short_name}")
}

/// Returns the name in the cluster of a Secret that values refer to: `secrets` of the project may define it, or it is the
/// name of any Secret.
pub(in crate::domain) fn name_of(project: &str, values: &Values, written: &str) -> String {
    let secret = values.get("secrets").and_then(|secrets| secrets.get(written)).filter(|secret| !secret.is_null());
    let Some(secret) = secret else { return written.to_owned() };
    let existing = secret.get("existing").and_then(Value::as_str);
    existing.map_or_else(|| own_name(project, written), str::to_owned)
}

fn source(secret: &Value) -> Option<SecretSource> {
    let text = |key: &str| secret.get(key).and_then(Value::as_str);
    if let Some(key) = text("generate") {
        return Some(SecretSource::Generate { key: key.to_owned() });
    }
    if let Some(file) = text("sops") {
        return Some(SecretSource::Sops { file: file.into() });
    }
    external(secret.get("external")?).map(SecretSource::External)
}

fn external(external: &Value) -> Option<ExternalSecret> {
    let text = |key: &str| external.get(key).and_then(Value::as_str);
    let data = external.get("data")?.as_object()?.iter();
    Some(ExternalSecret {
        store: text("store")?.to_owned(),
        store_kind: text("kind").unwrap_or(STORE_KIND).to_owned(),
        refresh: text("refresh").unwrap_or(REFRESH).to_owned(),
        data: data.filter_map(|(key, remote)| Some((key.clone(), RemoteKey::read(remote.as_str()?)))).collect(),
    })
}

/// Returns the cluster names of the Secrets that the pods of `project` may read: its own, and those of other projects
/// that its values refer to. An external project has no pods, so only its own Secrets count.
pub fn used_secrets(project: &ResolvedProject) -> BTreeSet<String> {
    let own = project_secrets(project).into_iter().map(|secret| secret.name);
    let mut names: BTreeSet<String> = own.collect();
    if project.is_on_universal_chart() && project.external.is_none() {
        note_named(&project.values, &mut names);
    }
    names
}

fn note_named(values: &Values, names: &mut BTreeSet<String>) {
    for (key, value) in values {
        match value {
            Value::String(name) if NAMING_KEYS.contains(&key.as_str()) => drop(names.insert(name.clone())),
            Value::Object(below) => note_named(below, names),
            _ => (),
        }
    }
}

/// Removes `null` from the entries of `secrets`. Otherwise the chart would find two sources if an environment uses
/// a different one than the project.
pub fn without_removed_sources(values: &mut Values) {
    let secrets = values.get_mut("secrets").and_then(Value::as_object_mut);
    for secret in secrets.into_iter().flat_map(Values::values_mut).filter_map(Value::as_object_mut) {
        secret.retain(|_, source| !source.is_null());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_source_is_read() {
        let of = |secret: Value| source(&secret);
        assert_eq!(of(json!({"generate": "password"})), Some(SecretSource::Generate { key: "password".to_owned() }));
        assert_eq!(of(json!({"sops": "a/b.yaml"})), Some(SecretSource::Sops { file: "a/b.yaml".into() }));
        assert_eq!(of(json!({"existing": "some"})), None);
        assert_eq!(of(json!({"generate": null, "sops": "a.yaml"})), Some(SecretSource::Sops { file: "a.yaml".into() }));
        let remote =
            json!({"external": {"store": "vault", "data": {"A": "tunes/api#password", "B": "plain", "C": null}}});
        let Some(SecretSource::External(external)) = of(remote) else { panic!("no external secret") };
        assert_eq!((external.store_kind.as_str(), external.refresh.as_str()), ("SecretStore", "1h"));
        let remote = |key: &str, property: Option<&str>| RemoteKey {
            key: key.to_owned(),
            property: property.map(str::to_owned),
        };
        assert_eq!(external.data["A"], remote("tunes/api", Some("password")));
        assert_eq!(external.data["B"], remote("plain", None));
        assert_eq!(external.data.len(), 2);
    }

    #[test]
    fn names_of_secrets_are_found_wherever_the_chart_takes_one() {
        let values = json!({
            "env": {"A": {"secret": "one", "key": "k"}, "B": "secret"},
            "sidecars": {"x": {"env": {"C": {"secret": "two", "key": "k"}}}},
            "volumes": {"v": {"path": "/v", "secret": "three"}},
            "secretFiles": {"/f": {"secret": "four", "key": "k"}},
            "secrets": {"s": {"existing": "five"}},
        });
        let mut names = BTreeSet::new();
        note_named(values.as_object().unwrap(), &mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["five", "four", "one", "three", "two"]);
    }

    #[test]
    fn a_source_that_an_environment_removes_is_missing() {
        let mut values =
            json!({"secrets": {"db": {"generate": null, "existing": "x"}, "gone": null}, "env": {"A": null}});
        without_removed_sources(values.as_object_mut().unwrap());
        assert_eq!(values, json!({"secrets": {"db": {"existing": "x"}, "gone": null}, "env": {"A": null}}));
    }
}
