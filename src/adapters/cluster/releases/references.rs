//! The ConfigMaps and Secrets that pods refer to, each with a hash of its content. A record does not contain them, but
//! they are part of what was deployed.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};

use crate::adapters::cluster::{Cluster, ClusterError, Object, WorkloadSnapshot};
use crate::domain::digest::sha256;

/// Keys of a pod template that refer to a ConfigMap or a Secret, the key below them that contains its name, and its
/// kind.
const PLACES: &[(&str, &str, &str)] = &[
    ("secretKeyRef", "name", "Secret"),
    ("secretRef", "name", "Secret"),
    ("secret", "secretName", "Secret"),
    ("secret", "name", "Secret"),
    ("configMapKeyRef", "name", "ConfigMap"),
    ("configMapRef", "name", "ConfigMap"),
    ("configMap", "name", "ConfigMap"),
];
/// The number of hexadecimal digits of a hash that are stored.
const LENGTH: usize = 16;

impl Cluster {
    /// Returns the objects that the pods of these workloads refer to, as `Secret/shop-db`, with a hash of each. The
    /// hash of a Secret includes its UID, so that equal passwords have different hashes.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn references(
        &self,
        namespace: &str,
        snapshot: &WorkloadSnapshot,
        workloads: &[&Object],
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        let names: BTreeSet<(&str, String)> = workloads.iter().flat_map(|object| referred(snapshot, object)).collect();
        let mut references = BTreeMap::new();
        for (kind, name) in names {
            let content = match kind {
                "Secret" => self
                    .namespaced::<Secret>(namespace)
                    .get_opt(&name)
                    .await
                    .map(|found| found.map(|it| json!([it.metadata.uid, it.data]))),
                _ => self
                    .namespaced::<ConfigMap>(namespace)
                    .get_opt(&name)
                    .await
                    .map(|found| found.map(|it| json!([it.data, it.binary_data]))),
            };
            if let Some(content) = content.map_err(ClusterError::asking(format!("read {kind} {name}")))? {
                let digest = sha256(content.to_string().as_bytes());
                references.insert(format!("{kind}/{name}"), digest[..LENGTH].to_owned());
            }
        }
        Ok(references)
    }
}

/// Returns the objects that a workload's pod template refers to.
fn referred(snapshot: &WorkloadSnapshot, object: &Object) -> BTreeSet<(&'static str, String)> {
    let template = match object.kind.as_str() {
        "Deployment" => find(&snapshot.deployments, &object.name),
        "StatefulSet" => find(&snapshot.stateful_sets, &object.name),
        "DaemonSet" => find(&snapshot.daemon_sets, &object.name),
        "Job" => find(&snapshot.jobs, &object.name),
        _ => Value::Null,
    };
    let mut names = BTreeSet::new();
    note(&template, &mut names);
    names
}

fn find<K: kube::ResourceExt + serde::Serialize>(objects: &[std::sync::Arc<K>], name: &str) -> Value {
    let found = objects.iter().find(|object| object.name_any() == name);
    let value = found.and_then(|object| serde_json::to_value(object.as_ref()).ok()).unwrap_or_default();
    value.pointer("/spec/template").cloned().unwrap_or_default()
}

fn note(value: &Value, names: &mut BTreeSet<(&'static str, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let here = PLACES.iter().filter(|(place, ..)| place == key);
                names.extend(here.filter_map(|(_, name, kind)| Some((*kind, value.get(name)?.as_str()?.to_owned()))));
                note(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| note(item, names)),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reference_is_found() {
        let template = json!({"spec": {
            "containers": [{"name": "shop",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
                "envFrom": [{"configMapRef": {"name": "shop"}}]}],
            "volumes": [{"name": "tls", "secret": {"secretName": "tls"}},
                {"name": "all", "projected": {"sources": [{"secret": {"name": "extra"}}, {"configMap": {"name": "files"}}]}}],
        }});
        let mut names = BTreeSet::new();
        note(&template, &mut names);
        let shown: Vec<String> = names.iter().map(|(kind, name)| format!("{kind}/{name}")).collect();
        assert_eq!(shown, ["ConfigMap/files", "ConfigMap/shop", "Secret/db", "Secret/extra", "Secret/tls"]);
    }
}
