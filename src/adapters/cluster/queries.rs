//! Objects of any kind, for questions: which kinds a cluster has, their objects, and when these change.

use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, ListParams},
    core::{
        DynamicResourceScope, PartialObjectMeta,
        discovery::v2::{APIGroupDiscovery, APIResourceDiscovery},
    },
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;

use super::{Cluster, ClusterError};
use crate::domain::query::ResourceKind;

/// The number of objects to request at once.
const PAGE: u32 = 500;

impl Cluster {
    /// Returns the kinds of objects that can be listed, in the order in which the API server prefers them.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn kinds(&self) -> Result<Vec<ResourceKind>, ClusterError> {
        let what = || ClusterError::asking("list the kinds of objects");
        let core = self.client.list_core_api_versions_aggregated().await.map_err(what())?;
        let others = self.client.list_api_groups_aggregated().await.map_err(what())?;
        Ok(core.items.iter().chain(&others.items).flat_map(kinds_of_group).collect())
    }

    /// Returns all objects of a kind; of a kind with namespaces, those in `namespaces`.
    ///
    /// # Errors
    /// If the API does not respond, or the account may not list them.
    pub async fn objects(&self, kind: &ResourceKind, namespaces: &[String]) -> Result<Vec<Value>, ClusterError> {
        let lists = self.apis(kind, namespaces).into_iter().map(|api| list_all(api, kind));
        Ok(futures::future::try_join_all(lists).await?.into_iter().flatten().collect())
    }

    /// Reports, until it is dropped, each time when an object of one of these kinds changed. It connects again by itself.
    pub fn changes(&self, kinds: &[ResourceKind], namespaces: &[String]) -> impl Stream<Item = ()> + use<> {
        let apis = kinds.iter().flat_map(|kind| self.apis::<PartialObjectMeta<DynamicObject>>(kind, namespaces));
        let watches = apis.map(|api| {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let changes = events.filter_map(|event| async move {
                matches!(event, Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone))
                    .then_some(())
            });
            changes.boxed()
        });
        stream::select_all(watches)
    }

    fn apis<K>(&self, kind: &ResourceKind, namespaces: &[String]) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        let resource = resource(kind);
        if !kind.is_namespaced {
            return vec![Api::all_with(self.client.clone(), &resource)];
        }
        let of = |namespace: &String| Api::namespaced_with(self.client.clone(), namespace, &resource);
        namespaces.iter().map(of).collect()
    }
}

fn resource(kind: &ResourceKind) -> ApiResource {
    let ResourceKind { group, version, kind, plural, .. } = kind.clone();
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    ApiResource { group, version, api_version, kind, plural }
}

/// Lists page by page, so that thousands of objects are not one response.
async fn list_all(api: Api<DynamicObject>, kind: &ResourceKind) -> Result<Vec<Value>, ClusterError> {
    let mut parameters = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(ClusterError::asking(format!("list {}", kind.plural)))?;
        found.extend(page.items.into_iter().map(|object| complete(object, kind)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// The items of a list do not say their kind.
fn complete(object: DynamicObject, kind: &ResourceKind) -> Value {
    let resource = resource(kind);
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".to_owned(), Value::from(resource.api_version));
        map.insert("kind".to_owned(), Value::from(resource.kind));
    }
    value
}

/// The kinds of the preferred version of a group, and those that only other versions have.
fn kinds_of_group(group: &APIGroupDiscovery) -> Vec<ResourceKind> {
    let name = group.metadata.as_ref().and_then(|metadata| metadata.name.clone()).unwrap_or_default();
    let mut found: Vec<ResourceKind> = Vec::new();
    for version in &group.versions {
        let of_version = version.version.clone().unwrap_or_default();
        let kinds = version.resources.iter().filter_map(|resource| kind(&name, &of_version, resource));
        for kind in kinds {
            if !found.iter().any(|known| known.plural == kind.plural) {
                found.push(kind);
            }
        }
    }
    found
}

fn kind(group: &str, version: &str, resource: &APIResourceDiscovery) -> Option<ResourceKind> {
    if !resource.verbs.iter().any(|verb| verb == "list") {
        return None;
    }
    Some(ResourceKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: resource.response_kind.as_ref()?.kind.clone()?,
        plural: resource.resource.clone()?,
        singular: resource.singular_resource.clone().unwrap_or_default(),
        short_names: resource.short_names.clone(),
        is_namespaced: resource.scope.as_deref() == Some("Namespaced"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_preferred_version_of_a_group_counts() {
        let resource = |plural: &str, kind: &str, verbs: &[&str]| {
            json!({"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": verbs,
                "singularResource": kind.to_lowercase(), "shortNames": [&plural[..2]]})
        };
        let group = json!({"metadata": {"name": "batch"}, "versions": [
            {"version": "v1", "resources": [resource("jobs", "Job", &["get", "list"]), resource("reviews", "Review", &["create"])]},
            {"version": "v1beta1", "resources": [resource("jobs", "Job", &["list"]), resource("queues", "Queue", &["list"])]},
        ]});
        let found = kinds_of_group(&serde_json::from_value(group).unwrap());
        let shown: Vec<_> = found.iter().map(|kind| (kind.plural.as_str(), kind.version.as_str())).collect();
        assert_eq!(shown, [("jobs", "v1"), ("queues", "v1beta1")]);
        assert_eq!((found[0].short_names.as_slice(), found[0].is_namespaced), (&["jo".to_owned()][..], true));
        let object = complete(DynamicObject::new("nightly", &super::resource(&found[0])), &found[0]);
        assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("batch/v1"), &json!("Job")));
    }
}
