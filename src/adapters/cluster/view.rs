//! A live picture of the cluster's workloads: one watch a kind for the whole run, however many releases.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::Pod,
};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, reflector, reflector::Store, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinSet};

use super::Cluster;

/// The workloads of a cluster, as they are now. Ends its watches when it is dropped.
#[derive(Debug)]
pub struct ClusterView {
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    stateful_sets: Store<StatefulSet>,
    daemon_sets: Store<DaemonSet>,
    jobs: Store<Job>,
    pods: Store<Pod>,
    changes: watch::Receiver<u64>,
    _watches: JoinSet<()>,
}

/// The workloads of one namespace at one moment.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    pub deployments: Vec<Arc<Deployment>>,
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    pub stateful_sets: Vec<Arc<StatefulSet>>,
    pub daemon_sets: Vec<Arc<DaemonSet>>,
    pub jobs: Vec<Arc<Job>>,
    pub pods: Vec<Arc<Pod>>,
}

impl ClusterView {
    /// Begins to watch.
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

    /// Waits until each kind has been listed once.
    pub async fn filled(&self) {
        let _ = futures::join!(
            self.deployments.wait_until_ready(),
            self.replica_sets.wait_until_ready(),
            self.stateful_sets.wait_until_ready(),
            self.daemon_sets.wait_until_ready(),
            self.jobs.wait_until_ready(),
            self.pods.wait_until_ready(),
        );
    }

    /// Tells of each change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    pub fn snapshot(&self, namespace: &str) -> Snapshot {
        Snapshot {
            deployments: within(&self.deployments, namespace),
            replica_sets: within(&self.replica_sets, namespace),
            stateful_sets: within(&self.stateful_sets, namespace),
            daemon_sets: within(&self.daemon_sets, namespace),
            jobs: within(&self.jobs, namespace),
            pods: within(&self.pods, namespace),
        }
    }
}

fn within<K>(store: &Store<K>, namespace: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state_filter(|object| object.meta().namespace.as_deref() == Some(namespace))
}

/// Keeps a store of one kind up to date, through broken connections and restarts of the API server.
fn follow<K>(cluster: &Cluster, changes: &watch::Sender<u64>, watches: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let changes = changes.clone();
    let stream = watcher(Api::<K>::all(cluster.client.clone()), watcher::Config::default())
        // The list of who manages which field is most of an object's size, and nobody here asks for it.
        .modify(|object| object.meta_mut().managed_fields = None)
        .backoff(Retry::default())
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

/// Tries a broken watch again after 100 ms, then after twice as long, up to 2 s: on a laptop a server that comes
/// back is worth seeing at once.
#[derive(Debug, Clone, Default)]
struct Retry {
    failures: u32,
}

impl Iterator for Retry {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = 100 * 2u64.pow(self.failures.min(5));
        self.failures += 1;
        Some(Duration::from_millis(wait.min(2000)))
    }
}

impl kube::runtime::utils::Backoff for Retry {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
