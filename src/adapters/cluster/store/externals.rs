//! The objects for external projects: a Service that points to a host outside the cluster, and the project's
//! `ConfigMap`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch},
    core::{ObjectMeta, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::adapters::cluster::{
    Cluster, ClusterError,
    releases::objects::checksum,
    store::apply::{apply, purpose},
    store::secrets::refuse_foreign,
};
use crate::domain::{ReleaseKey, external::ExternalService, labels};

const PURPOSE: &str = "external";

/// The objects of an external project: kind and checksum.
type Kinds = BTreeMap<String, Option<String>>;

impl Cluster {
    /// Points a project's Service to its external host. `checksum` is stored to detect later changes.
    ///
    /// # Errors
    /// If the API returns an error, or an object with this name was not created by cmdr.
    pub async fn apply_external(
        &self,
        namespace: &str,
        workspace: &str,
        service: &ExternalService,
        checksum: &str,
    ) -> Result<(), ClusterError> {
        let name = &service.name;
        let (services, maps) = (self.namespaced::<Service>(namespace), self.namespaced::<ConfigMap>(namespace));
        refuse_foreign(&services, "Service", name).await?;
        refuse_foreign(&maps, "ConfigMap", name).await?;
        let metadata = metadata(service, workspace, checksum);
        let what = || ClusterError::asking(format!("point service {name} to {}", service.place()));
        let object = service_object(service, &metadata);
        let applied = services.patch(name, &apply(), &Patch::Apply(object)).await.map_err(what())?;
        let slices: Api<EndpointSlice> = self.namespaced(namespace);
        match service.address() {
            Some(address) => {
                let slice = slice_object(service, address, &metadata, applied.metadata.uid.as_deref());
                slices.patch(name, &apply(), &Patch::Apply(slice)).await.map_err(what())?;
            }
            None => delete(&slices, "EndpointSlice", name).await?,
        }
        if service.config.is_empty() {
            return delete(&maps, "ConfigMap", name).await;
        }
        let applied = maps.patch(name, &apply(), &Patch::Apply(map_object(service, &metadata))).await;
        applied.map_err(ClusterError::asking(format!("write configmap {name}")))?;
        Ok(())
    }

    /// Removes the objects of an external project. The Service is last, because it is used to find the others.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn remove_external(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        delete(&self.namespaced::<ConfigMap>(namespace), "ConfigMap", name).await?;
        delete(&self.namespaced::<EndpointSlice>(namespace), "EndpointSlice", name).await?;
        delete(&self.namespaced::<Service>(namespace), "Service", name).await
    }

    /// Returns the objects of a workspace's external projects. Kinds other than Services are
    /// listed only if such Services exist, because not every account may list them.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn externals(&self, workspace: &str) -> Result<BTreeMap<ReleaseKey, Kinds>, ClusterError> {
        let own = format!("{}={PURPOSE},{}={}", labels::PURPOSE, labels::WORKSPACE, labels::value(workspace));
        let own = ListParams::default().labels(&own);
        let mut found = BTreeMap::new();
        note("Service", self.list_metadata::<Service>(&own, "services").await?, &mut found);
        if !found.is_empty() {
            note("ConfigMap", self.list_metadata::<ConfigMap>(&own, "configmaps").await?, &mut found);
            note("EndpointSlice", self.list_metadata::<EndpointSlice>(&own, "endpointslices").await?, &mut found);
        }
        Ok(found)
    }
}

fn note<K>(kind: &str, objects: Vec<PartialObjectMeta<K>>, found: &mut BTreeMap<ReleaseKey, Kinds>) {
    for object in objects {
        let made_from = checksum(&object.metadata);
        let (namespace, name) =
            (object.metadata.namespace.unwrap_or_default(), object.metadata.name.unwrap_or_default());
        found.entry(ReleaseKey::new(namespace, name)).or_default().insert(kind.to_owned(), made_from);
    }
}

/// Deletes an object if cmdr created it for an external project.
async fn delete<K>(api: &Api<K>, kind: &str, name: &str) -> Result<(), ClusterError>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let asking = || ClusterError::asking(format!("delete {kind} {name}"));
    let found = api.get_metadata_opt(name).await.map_err(asking())?;
    let is_own = |labels: &BTreeMap<String, String>| labels.get(labels::PURPOSE).is_some_and(|it| it == PURPOSE);
    if !found.is_some_and(|found| found.metadata.labels.as_ref().is_some_and(is_own)) {
        return Ok(());
    }
    match api.delete(name, &DeleteParams::default()).await.map_err(asking()) {
        Err(error) if !error.is_status(404) => Err(error),
        _ => Ok(()),
    }
}

/// Returns the objects of an external project as manifests.
pub fn external_objects(workspace: &str, service: &ExternalService, checksum: &str) -> Vec<Value> {
    let metadata = metadata(service, workspace, checksum);
    let slice = service.address().map(|address| slice_object(service, address, &metadata, None));
    let map = (!service.config.is_empty()).then(|| map_object(service, &metadata));
    [Some(service_object(service, &metadata)), slice, map].into_iter().flatten().collect()
}

fn map_object(service: &ExternalService, metadata: &ObjectMeta) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": service.config})
}

fn metadata(service: &ExternalService, workspace: &str, checksum: &str) -> ObjectMeta {
    let mut own = purpose(PURPOSE);
    own.insert("app.kubernetes.io/name".to_owned(), service.name.clone());
    own.insert("app.kubernetes.io/part-of".to_owned(), workspace.to_owned());
    own.insert(labels::WORKSPACE.to_owned(), labels::value(workspace));
    own.insert(labels::PROJECT.to_owned(), service.name.clone());
    ObjectMeta {
        name: Some(service.name.clone()),
        labels: Some(own),
        annotations: Some(BTreeMap::from([(labels::CHECKSUM.to_owned(), checksum.to_owned())])),
        ..ObjectMeta::default()
    }
}

/// For an IP address, the Service has an `EndpointSlice`; for a DNS name, it is an alias, which does not map ports.
fn service_object(service: &ExternalService, metadata: &ObjectMeta) -> Value {
    let ports = service.ports.iter().map(
        |port| json!({"name": port.name, "port": port.service, "targetPort": port.target, "protocol": port.protocol}),
    );
    let mut spec = json!({"type": "ClusterIP", "ports": ports.collect::<Vec<Value>>()});
    if service.address().is_none() {
        spec["type"] = json!("ExternalName");
        spec["externalName"] = json!(service.host);
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}

/// The Service owns it, so both are deleted together.
fn slice_object(service: &ExternalService, address: Ipv4Addr, metadata: &ObjectMeta, owner: Option<&str>) -> Value {
    let ports =
        service.ports.iter().map(|port| json!({"name": port.name, "port": port.target, "protocol": port.protocol}));
    let mut metadata = json!(metadata);
    metadata["labels"]["kubernetes.io/service-name"] = json!(service.name);
    metadata["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("cmdr");
    if let Some(uid) = owner {
        metadata["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Service", "name": service.name, "uid": uid}]);
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": ports.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::external::ExternalPort;

    fn service(host: &str) -> ExternalService {
        let port =
            ExternalPort { name: "postgres".to_owned(), service: 5432, target: 6432, protocol: "TCP".to_owned() };
        ExternalService {
            name: "database".to_owned(),
            host: host.to_owned(),
            port: 6432,
            ports: vec![port],
            config: BTreeMap::new(),
        }
    }

    #[test]
    fn an_address_is_reached_through_a_slice() {
        let service = service("10.0.0.1");
        let metadata = metadata(&service, "tunes", "new");
        let object = service_object(&service, &metadata);
        assert_eq!((&object["spec"]["type"], &object["spec"]["selector"]), (&json!("ClusterIP"), &Value::Null));
        assert_eq!(object["spec"]["ports"][0]["port"], 5432);
        assert_eq!(object["metadata"]["labels"][labels::PURPOSE], "external");
        let slice = slice_object(&service, service.address().unwrap(), &metadata, Some("1-2-3"));
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        assert_eq!(slice.endpoints[0].addresses, ["10.0.0.1"]);
        assert_eq!(slice.ports.unwrap()[0].port, Some(6432));
        assert_eq!(slice.metadata.labels.unwrap()["kubernetes.io/service-name"], "database");
        assert_eq!(slice.metadata.owner_references.unwrap()[0].uid, "1-2-3");
    }

    #[test]
    fn a_name_is_left_to_dns() {
        let service = service("db.internal");
        let object = service_object(&service, &metadata(&service, "tunes", "new"));
        assert_eq!(object["spec"]["type"], "ExternalName");
        assert_eq!(object["spec"]["externalName"], "db.internal");
    }
}
