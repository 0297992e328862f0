//! What a chart rendered beside what is in the cluster: objects that are gone, fields that others have changed.

use std::collections::BTreeMap;

use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::PartialObjectMeta,
};

use crate::adapters::cluster::{Cluster, ClusterError, Object, Rendered, releases::drift::drift};

/// How an object of the cluster differs from what was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    Gone,
    /// Fields, each with who has it now.
    Drifted(Vec<String>),
}

/// What is known of a live object: its name and who manages which of its fields.
type Live = PartialObjectMeta<DynamicObject>;
/// By namespace and name; those of cluster-wide kinds without a namespace.
type LiveObjects = BTreeMap<(String, String), Live>;

impl Cluster {
    /// Which of the rendered objects differ, and how. One list a kind, however many objects. Jobs are not compared:
    /// they run once, and a finished one may be cleared away.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn deviations(&self, rendered: &[&Rendered]) -> Result<BTreeMap<Object, Deviation>, ClusterError> {
        let mut kinds: BTreeMap<(&str, &str), Vec<&Rendered>> = BTreeMap::new();
        for one in rendered.iter().filter(|one| one.object.kind != "Job") {
            kinds.entry((&one.object.api_version, &one.object.kind)).or_default().push(one);
        }
        let lists = kinds.into_values().map(|wanted| async move {
            let live = match &self.reach {
                None => self.live(Api::all_with(self.client.clone(), &wanted[0].object.resource()), wanted[0]).await?,
                Some(namespaces) => self.live_within(namespaces, &wanted).await?,
            };
            let differs = |one: &Rendered| Some((one.object.clone(), deviation(one, &live)?));
            Ok::<Vec<(Object, Deviation)>, ClusterError>(wanted.into_iter().filter_map(differs).collect())
        });
        Ok(futures::future::try_join_all(lists).await?.into_iter().flatten().collect())
    }

    /// The same in a few namespaces. A kind that lives in none is asked for by the names of its objects.
    async fn live_within(&self, namespaces: &[String], wanted: &[&Rendered]) -> Result<LiveObjects, ClusterError> {
        let resource = wanted[0].object.resource();
        let mut live = LiveObjects::new();
        for namespace in namespaces {
            live.extend(self.live(Api::namespaced_with(self.client.clone(), namespace, &resource), wanted[0]).await?);
        }
        let everywhere: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let unseen = wanted.iter().map(|one| &one.object).filter(|object| find(&live, object).is_none());
        let names: Vec<String> = unseen.map(|object| object.name.clone()).collect();
        for name in names {
            let place = (String::new(), name.clone());
            match everywhere.get_metadata_opt(&name).await.map_err(ClusterError::asking("read an object")) {
                Ok(None) => (),
                Ok(Some(found)) => drop(live.insert(place, found)),
                // Who may not look cannot miss it.
                Err(error) if error.is_status(403) => drop(live.insert(place, unknown(&name))),
                Err(error) if error.is_status(404) || error.is_status(405) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(live)
    }

    /// Every object of this one's kind; none when the cluster does not know the kind.
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

fn find<'a>(live: &'a LiveObjects, object: &Object) -> Option<&'a Live> {
    let in_namespace = live.get(&(object.namespace.clone(), object.name.clone()));
    in_namespace.or_else(|| live.get(&(String::new(), object.name.clone())))
}

fn place(live: &Live) -> (String, String) {
    (live.metadata.namespace.clone().unwrap_or_default(), live.metadata.name.clone().unwrap_or_default())
}

/// An object that is there for all that this account may know.
fn unknown(name: &str) -> Live {
    let metadata = kube::core::ObjectMeta { name: Some(name.to_owned()), ..kube::core::ObjectMeta::default() };
    Live { types: None, metadata, _phantom: std::marker::PhantomData }
}
