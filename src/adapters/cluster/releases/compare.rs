//! Compares the objects that a chart rendered with those in the cluster: missing objects, and fields that others
//! changed.

use std::collections::BTreeMap;

use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
    core::PartialObjectMeta,
};

use crate::adapters::cluster::{Cluster, ClusterError, Object, Rendered, releases::drift::drift};

/// How an object in the cluster differs from the rendered one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    Gone,
    /// Changed fields, each with its current manager.
    Drifted(Vec<String>),
}

/// A live object: its name and the managers of its fields.
type LiveObject = PartialObjectMeta<DynamicObject>;
/// By namespace and name; objects of cluster-wide kinds have no namespace.
type LiveObjects = BTreeMap<(String, String), LiveObject>;

impl Cluster {
    /// Returns the rendered objects that differ, and how. Lists each kind once, regardless of the number of objects.
    /// Jobs are not compared: they run once, and a finished one may have been deleted.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn deviations(&self, rendered: &[&Rendered]) -> Result<BTreeMap<Object, Deviation>, ClusterError> {
        let mut kinds: BTreeMap<(&str, &str), Vec<&Rendered>> = BTreeMap::new();
        for one in rendered.iter().filter(|one| one.object.kind != "Job") {
            kinds.entry((&one.object.api_version, &one.object.kind)).or_default().push(one);
        }
        let lists = kinds.into_values().map(|wanted| async move {
            let Object { api_version, kind, .. } = &wanted[0].object;
            let live = match (self.resource_of(api_version, kind).await?, &self.reach) {
                (None, _) => LiveObjects::new(),
                (Some(resource), None) => self.live(Api::all_with(self.client.clone(), &resource), wanted[0]).await?,
                (Some(resource), Some(namespaces)) => self.live_within(namespaces, &resource, &wanted).await?,
            };
            let differs = |one: &Rendered| Some((one.object.clone(), deviation(one, &live)?));
            Ok::<Vec<(Object, Deviation)>, ClusterError>(wanted.into_iter().filter_map(differs).collect())
        });
        Ok(futures::future::try_join_all(lists).await?.into_iter().flatten().collect())
    }

    /// As [`Cluster::live`], in a few namespaces. Objects of cluster-wide kinds are requested by name.
    async fn live_within(
        &self,
        namespaces: &[String],
        resource: &ApiResource,
        wanted: &[&Rendered],
    ) -> Result<LiveObjects, ClusterError> {
        let mut live = LiveObjects::new();
        for namespace in namespaces {
            live.extend(self.live(Api::namespaced_with(self.client.clone(), namespace, resource), wanted[0]).await?);
        }
        let everywhere: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let unseen = wanted.iter().map(|one| &one.object).filter(|object| find(&live, object).is_none());
        let names: Vec<String> = unseen.map(|object| object.name.clone()).collect();
        for name in names {
            let place = (String::new(), name.clone());
            match everywhere.get_metadata_opt(&name).await.map_err(ClusterError::asking("read an object")) {
                Ok(None) => (),
                Ok(Some(found)) => drop(live.insert(place, found)),
                // Without permission to read an object, it cannot be reported as missing.
                Err(error) if error.is_status(403) => drop(live.insert(place, unknown(&name))),
                Err(error) if error.is_status(404) || error.is_status(405) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(live)
    }

    /// Returns every object of the same kind; none if the kind is not installed in the cluster.
    async fn live(&self, api: Api<DynamicObject>, example: &Rendered) -> Result<LiveObjects, ClusterError> {
        let list = api.list_metadata(&ListParams::default()).await;
        match list.map_err(ClusterError::asking(format!("list {} objects", example.object.kind))) {
            Ok(list) => Ok(list.items.into_iter().map(|live| (place(&live), live)).collect()),
            Err(error) if error.is_status(404) => Ok(LiveObjects::new()),
            Err(error) => Err(error),
        }
    }
}

fn deviation(rendered: &Rendered, live: &LiveObjects) -> Option<Deviation> {
    let Some(found) = find(live, &rendered.object) else { return Some(Deviation::Gone) };
    let fields = drift(&rendered.content, found.metadata.managed_fields.as_deref().unwrap_or_default());
    (!fields.is_empty()).then_some(Deviation::Drifted(fields))
}

fn find<'a>(live: &'a LiveObjects, object: &Object) -> Option<&'a LiveObject> {
    let in_namespace = live.get(&(object.namespace.clone(), object.name.clone()));
    in_namespace.or_else(|| live.get(&(String::new(), object.name.clone())))
}

fn place(live: &LiveObject) -> (String, String) {
    (live.metadata.namespace.clone().unwrap_or_default(), live.metadata.name.clone().unwrap_or_default())
}

/// An object that is assumed to exist, because the account may not read it.
fn unknown(name: &str) -> LiveObject {
    let metadata = kube::core::ObjectMeta { name: Some(name.to_owned()), ..kube::core::ObjectMeta::default() };
    LiveObject { types: None, metadata, _phantom: std::marker::PhantomData }
}
