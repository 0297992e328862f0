//! What a process needs to know about the pods whose place it takes.

use std::{collections::BTreeMap, net::Ipv4Addr};

use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        core::v1::{Pod, Service, Volume},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::json;

use crate::{
    adapters::cluster::{Cluster, ClusterError, workloads::rollout::is_ready},
    domain::{labels, local_run::Destination},
};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A pod with an address.
#[derive(Debug, Clone)]
pub struct ReplacedPod {
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub address: Ipv4Addr,
    pub is_ready: bool,
    /// Whether it uses the network of its node.
    pub is_on_host_network: bool,
    /// Its containers, the main one first.
    pub containers: Vec<ReplacedContainer>,
    owner: Option<OwnerReference>,
}

impl ReplacedPod {
    /// Returns the kind of the object that created the pod: `ReplicaSet`, `Job`.
    pub fn owner_kind(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| owner.kind.as_str())
    }
}

/// A container that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedContainer {
    pub name: String,
    /// The ID in the container runtime.
    pub id: String,
    pub mounts: Vec<VolumeMounted>,
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMounted {
    pub path: String,
    pub content: VolumeContent,
}

/// What a volume contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeContent {
    /// Files from the API: of ConfigMaps, Secrets, the pod, or a token.
    Projected,
    /// Nothing at first.
    Temporary,
    /// Data that only the pod can use.
    Persistent,
}

/// The names of the cluster, and the ports of pods to which Services send traffic.
#[derive(Debug, Clone, Default)]
pub struct ServiceNames {
    pub destinations: Vec<Destination>,
    slices: Vec<EndpointSlice>,
}

impl ServiceNames {
    /// Returns the TCP ports of a pod to which Services send traffic.
    pub fn ports_of(&self, pod: &ReplacedPod) -> Vec<u16> {
        let own = self.slices.iter().filter(|slice| {
            slice.namespace().as_deref() == Some(&pod.namespace)
                && slice.endpoints.iter().any(|endpoint| {
                    endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref()) == Some(&pod.name)
                })
        });
        let ports = own.flat_map(|slice| slice.ports.iter().flatten());
        let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
        let mut numbers: Vec<u16> = tcp.filter_map(|port| u16::try_from(port.port?).ok()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

impl Cluster {
    /// Lists the pods of a namespace that have an address and a started container, ready and newer ones first.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn replaced_pods(&self, namespace: &str) -> Result<Vec<ReplacedPod>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let listed = pods.list(&ListParams::default()).await;
        let listed = listed.map_err(ClusterError::asking(format!("list the pods of {namespace}")))?;
        let mut pods: Vec<_> = listed.items.iter().filter_map(|pod| Some((created(pod), replaced_pod(pod)?))).collect();
        pods.sort_by_key(|(created, pod)| std::cmp::Reverse((pod.is_ready, *created)));
        Ok(pods.into_iter().map(|(_, pod)| pod).collect())
    }

    /// Lists the names of Services, and of the pods of headless ones.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn service_names(&self) -> Result<ServiceNames, ClusterError> {
        let all = ListParams::default();
        let (services, slices) = tokio::try_join!(
            self.list::<Service>(&all, "services"),
            self.list::<EndpointSlice>(&all, "endpoint slices")
        )?;
        let destinations = services.iter().flat_map(|service| destinations(service, &slices)).collect();
        Ok(ServiceNames { destinations, slices })
    }

    /// Sets or removes the annotation with the local run on the workload of a pod.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn annotate_workload(&self, pod: &ReplacedPod, holder: Option<&str>) -> Result<(), ClusterError> {
        let Some(owner) = self.workload_of(pod).await? else { return Ok(()) };
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &owner.kind));
        let objects: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &pod.namespace, &kind);
        let patch = json!({"metadata": {"annotations": {labels::LOCAL_RUN: holder}}});
        let patched = objects.patch_metadata(&owner.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map_err(ClusterError::asking(format!("annotate {} {}", owner.kind, owner.name)))?;
        Ok(())
    }

    /// The owner of the pod, or the Deployment above it.
    async fn workload_of(&self, pod: &ReplacedPod) -> Result<Option<OwnerReference>, ClusterError> {
        let Some(owner) = pod.owner.clone() else { return Ok(None) };
        if owner.kind != "ReplicaSet" {
            return Ok(Some(owner));
        }
        let sets: Api<ReplicaSet> = self.namespaced(&pod.namespace);
        let set = sets.get_metadata(&owner.name).await;
        let set = set.map_err(ClusterError::asking(format!("read ReplicaSet {}", owner.name)))?;
        Ok(Some(controller(set.owner_references()).unwrap_or(owner)))
    }
}

fn controller(owners: &[OwnerReference]) -> Option<OwnerReference> {
    owners.iter().find(|owner| owner.controller == Some(true)).cloned()
}

fn created(pod: &Pod) -> Option<jiff::Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn replaced_pod(pod: &Pod) -> Option<ReplacedPod> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    if pod.metadata.deletion_timestamp.is_some() || status.phase.as_deref() != Some("Running") {
        return None;
    }
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let container = |it: &k8s_openapi::api::core::v1::Container| {
        let statuses = status.container_statuses.iter().flatten();
        let id = statuses.into_iter().find(|status| status.name == it.name)?.container_id.as_deref()?;
        let mounts = it.volume_mounts.iter().flatten().map(|mount| VolumeMounted {
            path: mount.mount_path.clone(),
            content: volumes.iter().find(|volume| volume.name == mount.name).map_or(VolumeContent::Persistent, content),
        });
        let id = id.rsplit("://").next().unwrap_or_default().to_owned();
        Some(ReplacedContainer { name: it.name.clone(), id, mounts: mounts.collect() })
    };
    let mut containers: Vec<ReplacedContainer> = spec.containers.iter().filter_map(container).collect();
    // The main container has the name of the project, which is in the labels.
    containers.sort_by_key(|container| !pod.labels().values().any(|label| *label == container.name));
    Some(ReplacedPod {
        name: pod.name_any(),
        namespace: pod.namespace().unwrap_or_default(),
        labels: pod.labels().clone(),
        address: status.pod_ip.as_deref()?.parse().ok()?,
        is_ready: is_ready(pod),
        is_on_host_network: spec.host_network == Some(true),
        containers,
        owner: controller(pod.owner_references()),
    })
    .filter(|pod| !pod.containers.is_empty())
}

fn content(volume: &Volume) -> VolumeContent {
    let is_projected = volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some();
    match volume.empty_dir {
        _ if is_projected => VolumeContent::Projected,
        Some(_) => VolumeContent::Temporary,
        None => VolumeContent::Persistent,
    }
}

/// The address of a Service; for a headless one, that of a ready pod, and those of all pods with their names.
fn destinations(service: &Service, slices: &[EndpointSlice]) -> Vec<Destination> {
    let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
    let to = |name: String, address: Ipv4Addr| Destination { name, namespace: namespace.clone(), address };
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    if let Ok(address) = address.parse() {
        return vec![to(name, address)];
    }
    let own = slices.iter().filter(|slice| {
        slice.namespace().as_deref() == Some(&namespace) && slice.labels().get(SERVICE_NAME) == Some(&name)
    });
    let endpoints = own.flat_map(|slice| &slice.endpoints);
    let endpoints = endpoints.filter_map(|it| Some((it, it.addresses.first()?.parse::<Ipv4Addr>().ok()?)));
    let (mut found, mut first) = (Vec::new(), None);
    for (endpoint, address) in endpoints {
        let is_ready = endpoint.conditions.as_ref().is_none_or(|it| it.ready != Some(false));
        first = first.or(is_ready.then_some(address));
        found.extend(endpoint.hostname.as_ref().map(|host| to(format!("{host}.{name}"), address)));
    }
    found.extend(first.map(|address| to(name, address)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn slice() -> EndpointSlice {
        read(json!({
            "metadata": {"name": "db-1", "namespace": "shop", "labels": {SERVICE_NAME: "db"}},
            "addressType": "IPv4",
            "ports": [{"port": 5432, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
            "endpoints": [
                {"addresses": ["10.244.0.7"], "hostname": "db-0", "conditions": {"ready": false},
                    "targetRef": {"name": "db-0"}},
                {"addresses": ["10.244.0.8"], "hostname": "db-1", "targetRef": {"name": "db-1"}},
            ],
        }))
    }

    #[test]
    fn a_headless_service_has_the_address_of_a_ready_pod_and_the_names_of_all() {
        let service = |address: &str| -> Service {
            read(json!({"metadata": {"name": "db", "namespace": "shop"}, "spec": {"clusterIP": address}}))
        };
        let names = |service: &Service| -> Vec<String> {
            destinations(service, &[slice()]).iter().map(|it| format!("{} {}", it.name, it.address)).collect()
        };
        assert_eq!(names(&service("None")), ["db-0.db 10.244.0.7", "db-1.db 10.244.0.8", "db 10.244.0.8"]);
        assert_eq!(names(&service("10.96.0.9")), ["db 10.96.0.9"]);
    }

    #[test]
    fn a_pod_has_the_ports_of_its_services_and_the_content_of_its_volumes() {
        let pod = replaced_pod(&read(json!({
            "metadata": {"name": "db-1", "namespace": "shop", "labels": {"app": "db"}},
            "spec": {
                "containers": [{"name": "proxy"}, {"name": "db", "volumeMounts": [
                    {"name": "files", "mountPath": "/etc/db"}, {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "data", "mountPath": "/data"}]}],
                "volumes": [{"name": "files", "configMap": {"name": "files"}}, {"name": "tmp", "emptyDir": {}},
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
            "status": {"phase": "Running", "podIP": "10.244.0.8", "containerStatuses": [
                {"name": "db", "image": "", "imageID": "", "ready": true, "restartCount": 0, "containerID": "containerd://a1"}]},
        })))
        .unwrap();
        assert_eq!((pod.containers.len(), pod.containers[0].id.as_str()), (1, "a1"));
        let contents: Vec<VolumeContent> = pod.containers[0].mounts.iter().map(|mount| mount.content).collect();
        assert_eq!(contents, [VolumeContent::Projected, VolumeContent::Temporary, VolumeContent::Persistent]);
        assert_eq!(ServiceNames { slices: vec![slice()], ..ServiceNames::default() }.ports_of(&pod), [5432]);
    }
}
