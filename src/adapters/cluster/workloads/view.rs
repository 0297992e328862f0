//! A live view of the cluster's workloads: one watch per kind for the whole run, regardless of the number of releases.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::Pod,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector, reflector::Store, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinSet};

use crate::adapters::{cluster::Cluster, wait::growing};

/// The delay before a broken watch is started again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The current workloads of a cluster. The watches end when this is dropped.
#[derive(Debug)]
pub struct ClusterView {
    deployments: Vec<Store<Deployment>>,
    replica_sets: Vec<Store<ReplicaSet>>,
    stateful_sets: Vec<Store<StatefulSet>>,
    daemon_sets: Vec<Store<DaemonSet>>,
    jobs: Vec<Store<Job>>,
    pods: Vec<Store<Pod>>,
    changes: watch::Receiver<u64>,
    _watches: JoinSet<()>,
}

/// The current pods of a cluster. The watches end when this is dropped.
#[derive(Debug)]
pub struct PodView {
    pods: Vec<Store<Pod>>,
    _watches: JoinSet<()>,
}

impl PodView {
    /// Starts the watches.
    pub fn start(cluster: &Cluster) -> Self {
        let (sender, mut watches) = (watch::channel(0).0, JoinSet::new());
        Self { pods: follow(cluster, &sender, &mut watches), _watches: watches }
    }

    /// Returns the pods; `None` until they have been listed.
    pub(super) fn pods(&self) -> Option<Vec<Arc<Pod>>> {
        is_reported(&self.pods).then(|| self.pods.iter().flat_map(Store::state).collect())
    }
}

/// The workloads of one namespace at one moment.
#[derive(Debug, Default, Clone)]
pub struct WorkloadSnapshot {
    pub deployments: Vec<Arc<Deployment>>,
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    pub stateful_sets: Vec<Arc<StatefulSet>>,
    pub daemon_sets: Vec<Arc<DaemonSet>>,
    pub jobs: Vec<Arc<Job>>,
    pub pods: Vec<Arc<Pod>>,
}

impl WorkloadSnapshot {
    /// Returns the annotations of a workload whose pods stay.
    pub fn annotations(&self, kind: &str, name: &str) -> Option<&BTreeMap<String, String>> {
        match kind {
            "Deployment" => annotations_of(&self.deployments, name),
            "StatefulSet" => annotations_of(&self.stateful_sets, name),
            "DaemonSet" => annotations_of(&self.daemon_sets, name),
            _ => None,
        }
    }
}

fn annotations_of<'a, K: ResourceExt>(objects: &'a [Arc<K>], name: &str) -> Option<&'a BTreeMap<String, String>> {
    objects.iter().find(|object| object.name_any() == name).map(|object| object.annotations())
}

impl ClusterView {
    /// Starts the watches.
    pub fn start(cluster: &Cluster) -> Self {
        let (sender, changes) = watch::channel(0);
        let mut watches = JoinSet::new();
        Self {
            deployments: follow(cluster, &sender, &mut watches),
            replica_sets: follow(cluster, &sender, &mut watches),
            stateful_sets: follow(cluster, &sender, &mut watches),
            daemon_sets: follow(cluster, &sender, &mut watches),
            jobs: follow(cluster, &sender, &mut watches),
            pods: follow(cluster, &sender, &mut watches),
            changes,
            _watches: watches,
        }
    }

    /// Returns a receiver that is notified of each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// As [`ClusterView::snapshot`], once all kinds have been listed.
    pub async fn whole_snapshot(&self, namespace: &str) -> WorkloadSnapshot {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            match self.snapshot(namespace) {
                Some(snapshot) => return snapshot,
                // The watches send changes for as long as this exists.
                None => drop(changes.changed().await),
            }
        }
    }

    /// Returns `None` until all kinds have been listed, because a controller's status is checked against its pods.
    pub fn snapshot(&self, namespace: &str) -> Option<WorkloadSnapshot> {
        let is_whole = is_reported(&self.deployments)
            && is_reported(&self.replica_sets)
            && is_reported(&self.stateful_sets)
            && is_reported(&self.daemon_sets)
            && is_reported(&self.jobs)
            && is_reported(&self.pods);
        is_whole.then(|| WorkloadSnapshot {
            deployments: within(&self.deployments, namespace),
            replica_sets: within(&self.replica_sets, namespace),
            stateful_sets: within(&self.stateful_sets, namespace),
            daemon_sets: within(&self.daemon_sets, namespace),
            jobs: within(&self.jobs, namespace),
            pods: within(&self.pods, namespace),
        })
    }
}

fn is_reported<K>(stores: &[Store<K>]) -> bool
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    stores.iter().all(|store| store.wait_until_ready().now_or_never().is_some_and(|shown| shown.is_ok()))
}

fn within<K>(stores: &[Store<K>], namespace: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let is_there = |object: &K| object.meta().namespace.as_deref() == Some(namespace);
    stores.iter().flat_map(|store| store.state_filter(is_there)).collect()
}

/// Creates a store of one kind for each accessible namespace.
fn follow<K>(cluster: &Cluster, changes: &watch::Sender<u64>, watches: &mut JoinSet<()>) -> Vec<Store<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    cluster.reached::<K>().into_iter().map(|api| follow_one(api, changes, watches)).collect()
}

/// Keeps a store of one kind up to date, across broken connections and restarts of the API server.
fn follow_one<K>(api: Api<K>, changes: &watch::Sender<u64>, watches: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let changes = changes.clone();
    let stream = watcher(api, watcher::Config::default())
        // `managedFields` is most of an object's size, and is not used here.
        .modify(|object| object.meta_mut().managed_fields = None)
        // A local API server is soon available again.
        .backoff(watcher::ExponentialBackoff::from(growing(FIRST_PAUSE, LONGEST_PAUSE)))
        .reflect(writer);
    watches.spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            if event.is_ok() {
                changes.send_modify(|count| *count += 1);
            }
        }
    });
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_reported_once_its_first_list_is_whole() {
        let (store, mut writer) = reflector::store::<Pod>();
        let stores = [store];
        assert!(!is_reported(&stores));
        writer.apply_watcher_event(&watcher::Event::Init);
        assert!(!is_reported(&stores));
        writer.apply_watcher_event(&watcher::Event::InitDone);
        assert!(is_reported(&stores));
    }
}
