//! Objects of any kind that cmdr creates beside the releases of projects, such as those of a maintenance.

use std::collections::BTreeMap;

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch},
};
use serde_json::{Value, json};

use crate::adapters::cluster::{
    Cluster, ClusterError, Generation, Object,
    releases::objects::{api_resource, object as identity},
    store::apply::apply,
};
use crate::domain::{ReleaseKey, labels, maintenance::MaintenanceMark, objects::TRAEFIK};

/// The kinds whose objects route requests to projects.
const ROUTES: [(&str, &str); 5] = [
    ("networking.k8s.io/v1", "Ingress"),
    (TRAEFIK, "IngressRoute"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
];

impl Cluster {
    /// Applies an object of cmdr. Returns its generation.
    ///
    /// # Errors
    /// If the API returns an error, or another tool has created an object with this name.
    pub async fn apply_own(&self, object: &Value) -> Result<(Object, Generation), ClusterError> {
        let own = identity(object, "")?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &own.namespace, &own.resource());
        let asking = || ClusterError::asking(format!("create {}", own.label()));
        let found = api.get_metadata_opt(&own.name).await.map_err(asking())?;
        let is_own = |labels: &BTreeMap<String, String>| labels.contains_key(labels::PURPOSE);
        if found.is_some_and(|found| !found.metadata.labels.as_ref().is_some_and(is_own)) {
            return Err(ClusterError::Foreign { kind: own.kind, name: own.name });
        }
        let applied = api.patch(&own.name, &apply(), &Patch::Apply(object)).await.map_err(asking())?;
        Ok((own, Generation::of(&applied.metadata)))
    }

    /// Returns whether a namespace has an object of a kind with this purpose.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn has_own(
        &self,
        (api_version, kind): (&str, &str),
        purpose: &str,
        namespace: &str,
    ) -> Result<bool, ClusterError> {
        let api = self.of_kind((api_version, kind), namespace);
        let own = ListParams::default().labels(&format!("{}={purpose}", labels::PURPOSE)).limit(1);
        let found = api.list_metadata(&own).await.map_err(ClusterError::asking(format!("list {kind}s")))?;
        Ok(!found.items.is_empty())
    }

    /// Deletes the objects of a kind with a purpose in a namespace, but those that are named. `project`: only those of
    /// this project.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn delete_own(
        &self,
        (api_version, kind): (&str, &str),
        purpose: &str,
        (namespace, project): (&str, Option<&str>),
        kept: &[&str],
    ) -> Result<(), ClusterError> {
        let api = self.of_kind((api_version, kind), namespace);
        let names = self.names_of_own((api_version, kind), purpose, (namespace, project)).await?;
        for name in names.iter().filter(|name| !kept.contains(&name.as_str())) {
            let deleted = api.delete(name, &DeleteParams::background()).await;
            match deleted.map_err(ClusterError::asking(format!("delete {kind} {name}"))) {
                Err(error) if !error.is_status(404) => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }

    /// Returns the names of the objects of a kind with a purpose in a namespace. `project`: only those of this project.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn names_of_own(
        &self,
        (api_version, kind): (&str, &str),
        purpose: &str,
        (namespace, project): (&str, Option<&str>),
    ) -> Result<Vec<String>, ClusterError> {
        let project = project.map(|project| format!(",{}={project}", labels::PROJECT)).unwrap_or_default();
        let labels = format!("{}={purpose}{project}", labels::PURPOSE);
        let api = self.of_kind((api_version, kind), namespace);
        let found = api.list_metadata(&ListParams::default().labels(&labels)).await;
        let found = found.map_err(ClusterError::asking(format!("list {kind}s")))?;
        Ok(found.items.into_iter().filter_map(|object| object.metadata.name).collect())
    }

    fn of_kind(&self, (api_version, kind): (&str, &str), namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &api_resource(api_version, kind))
    }

    /// Returns the objects of a namespace that route requests, except those of cmdr. Kinds that the cluster does not have,
    /// or that the account may not list, have none.
    ///
    /// # Errors
    /// If the API does not respond, or does not have the kinds of Traefik.
    pub async fn routes(&self, namespace: &str) -> Result<Vec<Value>, ClusterError> {
        let mut found = Vec::new();
        for (api_version, kind) in ROUTES {
            let api = self.of_kind((api_version, kind), namespace);
            let without_own = ListParams::default().labels(&format!("{} notin (maintenance,rollout)", labels::PURPOSE));
            match api.list(&without_own).await.map_err(ClusterError::asking(format!("list {kind}s"))) {
                Ok(list) => found.extend(list.items.into_iter().map(|object| {
                    let mut object = json!(object);
                    object["kind"] = json!(kind);
                    object
                })),
                Err(error) if api_version != TRAEFIK && (error.is_status(404) || error.is_status(403)) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Returns the closed projects. Without the kinds of Traefik there are none, and an account that may not list them
    /// sees none.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn maintenances(&self) -> Result<BTreeMap<ReleaseKey, MaintenanceMark>, ClusterError> {
        let resource = api_resource(TRAEFIK, "IngressRoute");
        let apis: Vec<Api<DynamicObject>> = match &self.reach {
            None => vec![Api::all_with(self.client.clone(), &resource)],
            Some(reach) => reach.iter().map(|it| Api::namespaced_with(self.client.clone(), it, &resource)).collect(),
        };
        let own = ListParams::default().labels(&format!("{}=maintenance", labels::PURPOSE));
        let mut found = BTreeMap::new();
        for api in apis {
            match api.list_metadata(&own).await.map_err(ClusterError::asking("list closed projects")) {
                Ok(list) => found.extend(list.items.iter().filter_map(|object| closed(&object.metadata))),
                Err(error) if error.is_status(404) || error.is_status(403) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

fn closed(metadata: &kube::core::ObjectMeta) -> Option<(ReleaseKey, MaintenanceMark)> {
    let project = metadata.labels.as_ref()?.get(labels::PROJECT)?;
    let mark = serde_json::from_str(metadata.annotations.as_ref()?.get(labels::MAINTENANCE)?).ok()?;
    Some((ReleaseKey::new(metadata.namespace.clone()?, project), mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_project_is_known_by_its_annotation() {
        let metadata = |annotation: &str| {
            let labels = json!({(labels::PROJECT): "shop"});
            let annotations = json!({(labels::MAINTENANCE): annotation});
            serde_json::from_value(json!({"namespace": "tunes", "labels": labels, "annotations": annotations})).unwrap()
        };
        let (key, mark) = closed(&metadata(r#"{"since": "2026-11-27T03:00:00Z", "by": "ann"}"#)).unwrap();
        assert_eq!((key, mark.by.as_str()), (ReleaseKey::new("tunes", "shop"), "ann"));
        assert_eq!(closed(&metadata("none")), None);
    }
}
