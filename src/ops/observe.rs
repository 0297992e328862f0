//! Observes an environment: its cluster, its releases, and the other tools that manage objects there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    adapters::{
        cluster::{
            Cluster, ClusterError, Deviation, ExternalState, Object, Rendered, StoredRelease, WorkloadSnapshot,
            Workloads, jobs::SuspendedCronJob, rollout,
        },
        docker::State,
    },
    domain::{Digest, ReleaseKey, dev_state::DevState, drain_state::DrainMark, labels},
    ops::session::LocalAccess,
    plan::{
        Developed, ObservedRelease,
        dev::WorkloadName,
        secrets::ObservedExternalSecret,
        up::{Observed, ObservedCluster},
    },
};

/// An environment's state, with the details that only `status` shows.
#[derive(Debug, Default)]
pub struct Observation {
    pub observed: Observed,
    /// Ready and desired pods.
    pub pods: BTreeMap<ReleaseKey, (i32, i32)>,
    /// Releases that cannot be read, each with the reason, as warnings.
    pub unreadable: Vec<String>,
    /// The start time of the oldest container, according to the API.
    pub running_since: Option<Timestamp>,
    /// The pods of which a container has restarted, with the workloads that select pods, as the API shows them.
    pub restarted_pods: Vec<Value>,
}

/// The state of a local environment's cluster.
pub fn local_cluster(access: &LocalAccess, recreate: bool) -> ObservedCluster {
    match &access.node {
        None => ObservedCluster::Absent,
        Some(_) if recreate => ObservedCluster::GivenUp,
        Some(_) if access.folder.is_unfinished() => ObservedCluster::Unfinished,
        Some(node) if node.state == State::Running => ObservedCluster::Running,
        Some(_) => ObservedCluster::Stopped,
    }
}

/// Observes a running local cluster.
///
/// # Errors
/// When its API does not respond.
pub async fn look(
    kubeconfig: &Path,
    workspace: &str,
    external_secrets_in: Option<&str>,
) -> Result<Observation, ClusterError> {
    let cluster = Cluster::open(kubeconfig, None).await?;
    let looks = futures::try_join!(
        look_at(&cluster, workspace, external_secrets_in),
        cluster.announced_registry(),
        cluster.copies(workspace),
    );
    let (mut observation, announced, copies) = looks?;
    observation.observed.copies = copies;
    observation.observed.announced_registry = announced;
    Ok(observation)
}

/// Observes a cluster; external secrets only in the namespace that needs them, since not every account may read them.
///
/// # Errors
/// When its API does not respond.
pub async fn look_at(
    cluster: &Cluster,
    workspace: &str,
    external_secrets_in: Option<&str>,
) -> Result<Observation, ClusterError> {
    let (mut releases, workloads, namespaces, pools, external_secrets, externals, definitions, closed, suspended) = futures::try_join!(
        cluster.releases(),
        cluster.workloads(workspace),
        cluster.namespaces(),
        cluster.address_pools(),
        external_secrets(cluster, external_secrets_in),
        cluster.externals(workspace),
        cluster.definitions(),
        cluster.maintenances(),
        cluster.suspended_cron_jobs(workspace),
    )?;
    // What is in a namespace that is being deleted goes with it.
    releases.retain(|release| namespaces.contains_key(&release.key.namespace));
    let own = releases.iter().filter(|release| is_own(release, workspace));
    let rendered: Vec<&Rendered> = own.flat_map(|release| &release.rendered).collect();
    let deviations = cluster.deviations(&rendered).await?;
    let mut observation = Observation::default();
    for release in releases {
        let key = release.key.clone();
        observation.unreadable.extend(warning(&release));
        note_stopped(&mut observation.observed, &release, &workloads, &suspended);
        let (observed, pods) = observe_release(release, &workloads, &deviations);
        observation.pods.insert(key.clone(), pods);
        observation.observed.releases.insert(key, observed);
    }
    observation.running_since = workloads.running_since();
    observation.restarted_pods = workloads.restarted_pods();
    observation.observed.cluster = ObservedCluster::Running;
    observation.observed.holders = workloads.holders;
    observation.observed.namespaces = namespaces;
    observation.observed.external_secrets = external_secrets;
    observation.observed.externals = externals;
    observation.observed.definitions = definitions;
    observation.observed.maintenance = closed;
    observation.observed.at = Some(Timestamp::now());
    observation.observed.has_address_pool = !pools.is_empty();
    Ok(observation)
}

/// The warning about a release that cannot be read, which hides nothing of the others.
pub fn warning(release: &StoredRelease) -> Option<String> {
    let ReleaseKey { namespace, name } = &release.key;
    let reason = release.unreadable.as_ref()?;
    Some(format!("warning: cannot read the release '{name}' in the namespace '{namespace}': {reason}"))
}

/// The state of one release, and how many of its pods are ready of how many.
fn observe_release(
    release: StoredRelease,
    workloads: &Workloads,
    deviations: &BTreeMap<Object, Deviation>,
) -> (ObservedRelease, (i32, i32)) {
    let objects: Vec<&Object> = release.rendered.iter().map(|rendered| &rendered.object).collect();
    let (ready, pods) = readiness(&objects, workloads);
    let (missing, drifted) = deviating(&objects, deviations);
    let observed = ObservedRelease {
        revision: release.revision,
        status: release.status,
        labels: release.labels,
        values: release.values,
        missing,
        drifted,
        unreadable: release.unreadable,
        failed_jobs: failed_jobs(&objects, workloads),
        digests: digests(&objects, workloads),
        ready,
        healthy_since: healthy_since(&objects, workloads).filter(|_| ready),
        developed: developed(&objects, workloads),
    };
    (observed, pods)
}

/// Notes that a release is stopped: by a drain, or as a suspended `CronJob`.
fn note_stopped(
    observed: &mut Observed,
    release: &StoredRelease,
    workloads: &Workloads,
    suspended: &[SuspendedCronJob],
) {
    let cron_job = suspended.iter().find(|job| has_cron_job(release, job));
    let mark = drained(release, workloads).or_else(|| cron_job.and_then(|job| job.drain.clone()));
    observed.drained.extend(mark.map(|mark| (release.key.clone(), mark)));
    observed.suspended.extend(cron_job.map(|_| release.key.clone()));
}

/// Whether a release has rendered this `CronJob`.
fn has_cron_job(release: &StoredRelease, job: &SuspendedCronJob) -> bool {
    let is_own = |object: &Object| object.kind == "CronJob" && object.name == job.name;
    release.rendered.iter().any(|it| is_own(&it.object) && it.object.namespace == job.namespace)
}

/// The mark of a workload of a release that a drain has stopped. A `CronJob` is not among the workloads.
fn drained(release: &StoredRelease, workloads: &Workloads) -> Option<DrainMark> {
    release.rendered.iter().find_map(|Rendered { object, .. }| {
        let snapshot = workloads.snapshots.get(&object.namespace)?;
        DrainMark::read(snapshot.annotations(&object.kind, &object.name)?.get(labels::DRAIN)?)
    })
}

/// What `cmdr dev` has changed of a release. Whether it still runs, this machine knows.
fn developed(objects: &[&Object], workloads: &Workloads) -> Option<Developed> {
    let found = objects.iter().filter_map(|object| {
        let state = DevState::of(workloads.snapshots.get(&object.namespace)?.annotations(&object.kind, &object.name)?)?;
        Some((state.holder, WorkloadName { kind: object.kind.clone(), name: object.name.clone() }))
    });
    let (holders, workloads): (Vec<String>, Vec<WorkloadName>) = found.unzip();
    Some(Developed { holder: holders.into_iter().next()?, workloads, is_running: false })
}

async fn external_secrets(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<BTreeMap<(String, String), ObservedExternalSecret>, ClusterError> {
    let Some(namespace) = namespace else { return Ok(BTreeMap::new()) };
    let found = cluster.external_secrets(namespace).await?.into_iter().map(|(name, checksum, state)| {
        let is_ready = state == ExternalState::Ready;
        ((namespace.to_owned(), name), ObservedExternalSecret { checksum, is_ready })
    });
    Ok(found.collect())
}

/// The objects of a release that are gone, and the fields of others that were changed manually.
fn deviating(objects: &[&Object], deviations: &BTreeMap<Object, Deviation>) -> (Vec<String>, Vec<String>) {
    let (mut missing, mut drifted) = (Vec::new(), Vec::new());
    for object in objects {
        match deviations.get(*object) {
            Some(Deviation::Gone) => missing.push(object.label()),
            Some(Deviation::Drifted(fields)) => {
                drifted.extend(fields.iter().map(|field| format!("{} {field}", object.label())));
            }
            None => (),
        }
    }
    (missing, drifted)
}

fn is_own(release: &StoredRelease, workspace: &str) -> bool {
    release.labels.get(labels::WORKSPACE).is_some_and(|owner| owner == workspace)
}

/// The digests of the images that a release's pods run.
fn digests(objects: &[&Object], workloads: &Workloads) -> BTreeSet<Digest> {
    let images = objects
        .iter()
        .filter_map(|object| Some(rollout::running_images(workloads.snapshots.get(&object.namespace)?, object)));
    images.flatten().filter_map(|image| image.digest).collect()
}

/// Jobs of a release that have used up their retries.
fn failed_jobs(objects: &[&Object], workloads: &Workloads) -> Vec<String> {
    let is_over = |object: &&&Object| {
        let snapshot = workloads.snapshots.get(&object.namespace);
        snapshot.and_then(|snapshot| rollout::assess(snapshot, object, None)).is_some_and(|progress| progress.is_over)
    };
    objects.iter().filter(|object| object.kind == "Job").filter(is_over).map(|job| job.name.clone()).collect()
}

/// Since when all workloads of a release have been healthy without interruption. CronJobs, objects without pods, and
/// Jobs that Kubernetes has deleted after they ended do not count.
fn healthy_since(objects: &[&Object], workloads: &Workloads) -> Option<Timestamp> {
    let is_gone = |object: &Object| {
        let snapshot = workloads.snapshots.get(&object.namespace);
        object.expires && snapshot.and_then(|snapshot| rollout::assess(snapshot, object, None)).is_none()
    };
    let own = objects.iter().filter(|object| rollout::is_workload(object) && !is_gone(object));
    let since = own.map(|object| rollout::healthy_since(workloads.snapshots.get(&object.namespace)?, object));
    since.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
}

/// Whether all workloads of a release have rolled out, and how many pods are ready of how many.
fn readiness(objects: &[&Object], workloads: &Workloads) -> (bool, (i32, i32)) {
    let nothing = WorkloadSnapshot::default();
    let progress = objects.iter().filter(|object| rollout::is_workload(object)).map(|object| {
        let snapshot = workloads.snapshots.get(&object.namespace).unwrap_or(&nothing);
        rollout::assess(snapshot, object, None)
    });
    progress.fold((true, (0, 0)), |(ready, (available, wanted)), one| match one {
        Some(one) => (ready && one.is_complete, (available + one.ready, wanted + one.wanted)),
        // Objects that are gone are reported as missing.
        None => (ready, (available, wanted)),
    })
}
