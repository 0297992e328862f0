//! Objects that a chart renders, and whether they are in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
    core::{ObjectMeta, PartialObjectMeta},
};
use serde::Deserialize;

use super::{Cluster, ClusterError};
use crate::domain::labels;

/// An object of a rendered manifest, by what names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    pub api_version: String,
    pub kind: String,
    /// The release's namespace when the manifest names none; kept for cluster-wide kinds too.
    pub namespace: String,
    pub name: String,
    /// A Service that waits for an address of a load balancer.
    pub wants_address: bool,
}

impl Object {
    /// `Deployment/shop`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    pub(super) fn resource(&self) -> ApiResource {
        api_resource(&self.api_version, &self.kind)
    }
}

/// How the API names a kind, its plural by the usual rule.
pub(super) fn api_resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Which state of a workload is meant: what is seen must be this object, at this generation or a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub uid: String,
    pub number: i64,
}

impl Generation {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self { uid: metadata.uid.clone().unwrap_or_default(), number: metadata.generation.unwrap_or_default() }
    }

    /// Whether `metadata` is what was meant, or newer.
    pub(super) fn is_reached_by(&self, metadata: &ObjectMeta) -> bool {
        let seen = Self::of(metadata);
        seen.uid == self.uid && seen.number >= self.number
    }
}

/// The objects of a manifest in Helm's form: YAML documents.
///
/// # Errors
/// When a document is no object of Kubernetes.
pub fn parse_manifest(manifest: &str, namespace: &str) -> Result<Vec<Object>, ClusterError> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let value = serde_yaml::Value::deserialize(document)
            .map_err(|error| ClusterError::BadManifest(format!("a rendered manifest is no YAML: {error}")))?;
        if value.is_null() {
            continue;
        }
        objects.push(object(&value, namespace)?);
    }
    Ok(objects)
}

/// Every image that a manifest's pods name, each once, hooks of Helm's among them.
///
/// # Errors
/// When a document is no YAML.
pub fn images_of_manifest(manifest: &str) -> Result<BTreeSet<String>, ClusterError> {
    let mut images = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let value = serde_yaml::Value::deserialize(document)
            .map_err(|error| ClusterError::BadManifest(format!("a rendered manifest is no YAML: {error}")))?;
        note_images(&value, &mut images);
    }
    Ok(images)
}

/// Lists of containers hold maps with a name and an image, wherever a kind keeps its pod template.
fn note_images(value: &serde_yaml::Value, images: &mut BTreeSet<String>) {
    match value {
        serde_yaml::Value::Mapping(map) => {
            for (key, value) in map {
                let are_containers = matches!(key.as_str(), Some("containers" | "initContainers"));
                for container in value.as_sequence().into_iter().flatten().filter(|_| are_containers) {
                    images.extend(container.get("image").and_then(|image| image.as_str().map(str::to_owned)));
                }
                note_images(value, images);
            }
        }
        serde_yaml::Value::Sequence(items) => items.iter().for_each(|item| note_images(item, images)),
        _ => (),
    }
}

fn object(value: &serde_yaml::Value, namespace: &str) -> Result<Object, ClusterError> {
    let text = |value: &serde_yaml::Value, key: &str| value.get(key).and_then(|text| text.as_str().map(str::to_owned));
    let metadata = value.get("metadata").cloned().unwrap_or_default();
    let missing = |what: &str| ClusterError::BadManifest(format!("a rendered object has no {what}"));
    let kind = text(value, "kind").ok_or_else(|| missing("kind"))?;
    let service_type = value.get("spec").and_then(|spec| text(spec, "type"));
    Ok(Object {
        api_version: text(value, "apiVersion").ok_or_else(|| missing("apiVersion"))?,
        wants_address: kind == "Service" && service_type.as_deref() == Some("LoadBalancer"),
        kind,
        namespace: text(&metadata, "namespace").unwrap_or_else(|| namespace.to_owned()),
        name: text(&metadata, "name").ok_or_else(|| missing("name"))?,
    })
}

/// What an object of cmdr's own was made from.
pub(super) fn checksum(metadata: &ObjectMeta) -> Option<String> {
    metadata.annotations.as_ref()?.get(labels::CHECKSUM).cloned()
}

/// What is known of a live object: its name and who manages it.
pub(super) type Live = PartialObjectMeta<DynamicObject>;

impl Cluster {
    /// Which of `objects` are gone. One list a kind, however many objects; finished Jobs are not missed.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn missing(&self, objects: &BTreeSet<Object>) -> Result<BTreeSet<Object>, ClusterError> {
        let mut kinds: BTreeMap<(&str, &str), Vec<&Object>> = BTreeMap::new();
        for object in objects.iter().filter(|object| object.kind != "Job") {
            kinds.entry((&object.api_version, &object.kind)).or_default().push(object);
        }
        let lists = kinds.into_values().map(|wanted| async move {
            let live = match &self.reach {
                None => self.live_names(Api::all_with(self.client.clone(), &wanted[0].resource()), wanted[0]).await?,
                Some(namespaces) => self.live_names_within(namespaces, &wanted).await?,
            };
            let is_gone = |object: &&Object| {
                !live.iter().any(|(namespace, name)| {
                    *name == object.name && (namespace.is_empty() || *namespace == object.namespace)
                })
            };
            Ok::<Vec<Object>, ClusterError>(wanted.into_iter().filter(is_gone).cloned().collect())
        });
        Ok(futures::future::try_join_all(lists).await?.into_iter().flatten().collect())
    }

    /// The same in a few namespaces. A kind that lives in none is asked for by the names of its objects.
    async fn live_names_within(
        &self,
        namespaces: &[String],
        wanted: &[&Object],
    ) -> Result<BTreeSet<(String, String)>, ClusterError> {
        let resource = wanted[0].resource();
        let mut live = BTreeSet::new();
        for namespace in namespaces {
            live.extend(
                self.live_names(Api::namespaced_with(self.client.clone(), namespace, &resource), wanted[0]).await?,
            );
        }
        let everywhere: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let unseen = wanted.iter().filter(|object| !live.contains(&(object.namespace.clone(), object.name.clone())));
        let unseen: Vec<&&Object> = unseen.collect();
        for object in unseen {
            match everywhere.get_metadata_opt(&object.name).await.map_err(ClusterError::asking("read an object")) {
                Ok(None) => (),
                Ok(Some(_)) => drop(live.insert((String::new(), object.name.clone()))),
                // Who may not look cannot miss it.
                Err(error) if error.is_status(403) => drop(live.insert((String::new(), object.name.clone()))),
                Err(error) if error.is_status(404) || error.is_status(405) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(live)
    }

    /// Namespace and name of every object of this one's kind; none when the cluster does not know the kind.
    async fn live_names(
        &self,
        api: Api<DynamicObject>,
        example: &Object,
    ) -> Result<BTreeSet<(String, String)>, ClusterError> {
        let list = api.list_metadata(&ListParams::default()).await;
        match list.map_err(ClusterError::asking(format!("list {} objects", example.kind))) {
            Ok(list) => Ok(list.items.into_iter().map(|live| place(&live)).collect()),
            Err(error) if error.is_status(404) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }
}

fn place(live: &Live) -> (String, String) {
    (live.metadata.namespace.clone().unwrap_or_default(), live.metadata.name.clone().unwrap_or_default())
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
        let told: Vec<_> = objects.iter().map(|o| (o.label(), o.namespace.as_str(), o.wants_address)).collect();
        assert_eq!(told, [("Service/shop".to_owned(), "tunes", true), ("Deployment/shop".to_owned(), "other", false)]);
        assert_eq!(objects[1].resource().plural, "deployments");
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
