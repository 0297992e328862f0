//! Objects that a chart renders.

use std::collections::BTreeSet;

use kube::{
    api::{ApiResource, GroupVersionKind},
    core::ObjectMeta,
};
use serde_json::Value;

use crate::adapters::cluster::ClusterError;
use crate::domain::{labels, yaml};

/// The identity of an object in a rendered manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Object {
    pub api_version: String,
    pub kind: String,
    /// The release's namespace if the manifest does not set one; also set for cluster-wide kinds.
    pub namespace: String,
    pub name: String,
    /// Whether it is a Service that waits for the address of a load balancer.
    pub wants_address: bool,
    /// Whether it is a Job that Kubernetes deletes some time after it has ended.
    pub expires: bool,
}

impl Object {
    /// `Deployment/shop`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    pub(in crate::adapters::cluster) fn resource(&self) -> ApiResource {
        api_resource(&self.api_version, &self.kind)
    }
}

/// An object with its rendered content.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub object: Object,
    pub content: Value,
}

/// Returns the API resource of a kind, with its plural by the usual rule.
pub(in crate::adapters::cluster) fn api_resource(api_version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&group_version_kind(api_version, kind))
}

pub(in crate::adapters::cluster) fn group_version_kind(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    GroupVersionKind::gvk(group, version, kind)
}

/// The state of a workload to wait for: this object, at this generation or a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub uid: String,
    pub number: i64,
}

impl Generation {
    pub(in crate::adapters::cluster) fn of(metadata: &ObjectMeta) -> Self {
        Self { uid: metadata.uid.clone().unwrap_or_default(), number: metadata.generation.unwrap_or_default() }
    }

    /// Returns whether `metadata` is this generation or a later one.
    pub(in crate::adapters::cluster) fn is_reached_by(&self, metadata: &ObjectMeta) -> bool {
        let seen = Self::of(metadata);
        seen.uid == self.uid && seen.number >= self.number
    }
}

/// Parses a manifest as Helm prints it: YAML documents.
///
/// # Errors
/// If a document is not a Kubernetes object.
pub fn parse_manifest(manifest: &str, namespace: &str) -> Result<Vec<Rendered>, ClusterError> {
    let objects = read_objects(manifest)?.into_iter();
    objects.map(|content| Ok(Rendered { object: object(&content, namespace)?, content })).collect()
}

/// Reads the objects of a manifest. The items of a list are objects of their own, as for Helm.
pub(in crate::adapters::cluster) fn read_objects(manifest: &str) -> Result<Vec<Value>, ClusterError> {
    let invalid = |error| ClusterError::BadManifest(format!("a rendered manifest is not valid YAML: {error}"));
    Ok(yaml::read_documents(manifest).map_err(invalid)?.into_iter().flat_map(flattened).collect())
}

/// The items of a list, whatever its kind and whether it has a name. Without a kind of their own, they have that of
/// the list without `List`.
fn flattened(mut object: Value) -> Vec<Value> {
    let Some(Value::Array(items)) = object.get_mut("items").map(Value::take) else { return vec![object] };
    let kind = object.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
    let inherited = [("apiVersion", object.get("apiVersion").cloned()), ("kind", kind.map(Value::from))];
    let complete = |mut item: Value| {
        for (key, value) in &inherited {
            if let (Some(item), Some(value)) = (item.as_object_mut(), value) {
                item.entry(*key).or_insert_with(|| value.clone());
            }
        }
        flattened(item)
    };
    items.into_iter().flat_map(complete).collect()
}

/// Returns every image of the pods in a manifest, each once, including those of Helm hooks.
///
/// # Errors
/// If a document is not valid YAML.
pub fn images_of_manifest(manifest: &str) -> Result<BTreeSet<String>, ClusterError> {
    let mut images = BTreeSet::new();
    read_objects(manifest)?.iter().for_each(|object| note_images(object, &mut images));
    Ok(images)
}

/// Lists of containers contain maps with a name and an image, wherever the pod template is in a kind.
fn note_images(value: &Value, images: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let are_containers = matches!(key.as_str(), "containers" | "initContainers");
                for container in value.as_array().into_iter().flatten().filter(|_| are_containers) {
                    images.extend(container.get("image").and_then(|image| image.as_str().map(str::to_owned)));
                }
                note_images(value, images);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| note_images(item, images)),
        _ => (),
    }
}

/// The identity of an object.
pub(in crate::adapters::cluster) fn object(value: &Value, namespace: &str) -> Result<Object, ClusterError> {
    let text = |value: &Value, key: &str| value.get(key).and_then(|text| text.as_str().map(str::to_owned));
    let metadata = value.get("metadata").cloned().unwrap_or_default();
    let missing = |what: &str| ClusterError::BadManifest(format!("a rendered object has no {what}"));
    let kind = text(value, "kind").ok_or_else(|| missing("kind"))?;
    let spec = value.get("spec");
    let service_type = spec.and_then(|spec| text(spec, "type"));
    Ok(Object {
        api_version: text(value, "apiVersion").ok_or_else(|| missing("apiVersion"))?,
        wants_address: kind == "Service" && service_type.as_deref() == Some("LoadBalancer"),
        expires: kind == "Job" && spec.is_some_and(|spec| spec.get("ttlSecondsAfterFinished").is_some()),
        kind,
        namespace: text(&metadata, "namespace").unwrap_or_else(|| namespace.to_owned()),
        name: text(&metadata, "name").ok_or_else(|| missing("name"))?,
    })
}

/// Returns the checksum of an object that cmdr created.
pub(in crate::adapters::cluster) fn checksum(metadata: &ObjectMeta) -> Option<String> {
    metadata.annotations.as_ref()?.get(labels::CHECKSUM).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_helm_renders() {
        let manifest = "---\n# Source: shop/templates/service.yaml\napiVersion: v1\nkind: Service\nmetadata: {name: shop}\n\
                        spec: {type: LoadBalancer}\n---\n# nothing\n---\napiVersion: apps/v1\nkind: Deployment\n\
                        metadata: {name: shop, namespace: other}\n";
        let objects = parse_manifest(manifest, "tunes").unwrap();
        let objects: Vec<Object> = objects.into_iter().map(|rendered| rendered.object).collect();
        let shown: Vec<_> = objects.iter().map(|o| (o.label(), o.namespace.as_str(), o.wants_address)).collect();
        assert_eq!(shown, [("Service/shop".to_owned(), "tunes", true), ("Deployment/shop".to_owned(), "other", false)]);
        assert_eq!(objects[1].resource().plural, "deployments");
    }

    #[test]
    fn a_key_that_is_rendered_twice_counts_once() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a, app: b}}\n\
                        spec: {containers: [{image: a:1}]}\n";
        assert_eq!(parse_manifest(manifest, "tunes").unwrap()[0].content["metadata"]["labels"]["app"], "b");
        assert_eq!(images_of_manifest(manifest).unwrap().len(), 1);
    }

    #[test]
    fn lists_are_flattened_as_by_helm() {
        let manifest = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n\
                        - {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: b}}]}\n\
                        ---\napiVersion: v1\nkind: ConfigMapList\nmetadata: {name: named}\nitems:\n\
                        - metadata: {name: c}\n---\napiVersion: v1\nkind: List\nitems: []\n";
        let objects = parse_manifest(manifest, "tunes").unwrap();
        let labels: Vec<String> = objects.iter().map(|rendered| rendered.object.label()).collect();
        assert_eq!(labels, ["Secret/a", "Pod/b", "ConfigMap/c"]);
        assert_eq!(objects[2].content["apiVersion"], "v1");
    }

    #[test]
    fn images_are_found_wherever_pods_are_described() {
        let manifest = "kind: Deployment\nspec: {template: {spec: {containers: [{image: a:1}], initContainers: [{image: b}]}}}\n\
                        ---\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a:1}, {image: c}]}}}}}\n\
                        ---\nkind: ConfigMap\ndata: {image: not-this}\n";
        assert_eq!(images_of_manifest(manifest).unwrap().into_iter().collect::<Vec<_>>(), ["a:1", "b", "c"]);
    }

    #[test]
    fn refuses_what_is_no_object() {
        assert!(parse_manifest("kind: Service\n", "tunes").is_err());
        assert!(parse_manifest(": :\n- [", "tunes").is_err());
    }
}
