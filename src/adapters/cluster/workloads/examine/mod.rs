//! Examines a running cluster: nodes, DNS, webhooks, certificates, volumes, addresses, pods and the clock.
//!
//! Each rule is a pure function from Kubernetes objects to symptoms. What the account may not read causes none.

mod requests;
mod rules;

use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::{Event, Node, PersistentVolumeClaim, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde::de::DeserializeOwned;

use crate::{
    adapters::cluster::{Cluster, ClusterError, workloads::rollout::PodName},
    domain::Problem,
};

/// The namespace of the system's pods.
const SYSTEM: &str = "kube-system";
/// The label of the pods of CoreDNS.
const DNS: &str = "k8s-app=kube-dns";

/// Something that is wrong in a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Symptom {
    /// The name of the check: `node`, `dns`, `webhook`, `certificate`, `volume`, `address`, `pod`, `clock`.
    pub check: &'static str,
    /// Whether projects fail because of it.
    pub is_failure: bool,
    pub problem: Problem,
    /// A pod whose deletion is safe and helps.
    pub delete: Option<PodName>,
}

/// What the cluster has of each kind.
#[derive(Debug, Default)]
struct ExaminedObjects {
    nodes: Vec<Node>,
    dns: Vec<Pod>,
    /// Whether the resolver answered; `None` if it could not be asked.
    lookup: Option<bool>,
    pods: Vec<Pod>,
    claims: Vec<PersistentVolumeClaim>,
    services: Vec<Service>,
    events: Vec<Event>,
    slices: Vec<EndpointSlice>,
    secrets: Vec<Secret>,
    validating: Vec<ValidatingWebhookConfiguration>,
    mutating: Vec<MutatingWebhookConfiguration>,
    /// When the certificate of the API server ends, if it could be read.
    api_certificate: Option<Timestamp>,
    /// How many seconds the clock of the API server is ahead of this machine's.
    clock_ahead: Option<i64>,
}

impl Cluster {
    /// Returns what is wrong, the most likely cause of other symptoms first. `api_certificate` is when the certificate
    /// of the API server ends, if that is known.
    ///
    /// # Errors
    /// If the API does not respond.
    pub async fn examine(
        &self,
        api_certificate: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Symptom>, ClusterError> {
        let all = ListParams::default();
        let nodes: Api<Node> = Api::all(self.client.clone());
        let clock_ahead = self.clock_ahead(now).await?;
        let dns: Api<Pod> = self.namespaced(SYSTEM);
        let (of_dns, tls) = (ListParams::default().labels(DNS), ListParams::default().fields("type=kubernetes.io/tls"));
        let events = ListParams::default().fields("type=Warning,involvedObject.kind=Service");
        let (nodes, dns, pods, claims, services, events, slices) = futures::join!(
            nodes.list(&all),
            dns.list(&of_dns),
            self.listed(&all),
            self.listed(&all),
            self.listed(&all),
            self.listed(&events),
            self.listed(&all),
        );
        let dns = dns.map(|list| list.items).unwrap_or_default();
        let (lookup, secrets, validating, mutating) =
            futures::join!(self.lookup(&dns), self.listed(&tls), self.all_of(), self.all_of(),);
        let nodes = nodes.map(|list| list.items).unwrap_or_default();
        let observed = ExaminedObjects {
            nodes,
            dns,
            lookup,
            pods,
            claims,
            services,
            events,
            slices,
            secrets,
            validating,
            mutating,
            api_certificate,
            clock_ahead,
        };
        Ok(observed.symptoms(now))
    }

    /// Deletes a pod that its controller replaces, or that has ended.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn delete_pod(&self, pod: &PodName) -> Result<(), ClusterError> {
        let pods: Api<Pod> = self.namespaced(&pod.namespace);
        let deleted = pods.delete(&pod.name, &DeleteParams::default()).await;
        match deleted.map_err(ClusterError::asking(format!("delete pod {}", pod.name))) {
            Err(error) if !error.is_status(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Lists a kind in the accessible namespaces; none without permission.
    async fn listed<K>(&self, parameters: &ListParams) -> Vec<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        self.list(parameters, "objects").await.unwrap_or_default()
    }

    /// Lists a kind without a namespace; none without permission.
    async fn all_of<K>(&self) -> Vec<K>
    where
        K: kube::Resource<Scope = k8s_openapi::ClusterResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::all(self.client.clone());
        api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
    }
}
