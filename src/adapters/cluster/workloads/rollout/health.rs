//! Determines since when a workload has been healthy, and which images its containers run.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod},
    jiff::Timestamp,
};

use super::{Object, PodName, WorkloadSnapshot, causes, find, newest_replica_set, owned, strategy};
use crate::domain::ImageReference;

/// What nodes with Docker write before the image.
const DOCKER: &str = "docker-pullable://";

/// Returns since when this workload has been healthy without interruption: the last change of its availability, or the
/// last exit of one of its containers. `None` if it is not healthy or does not exist.
pub fn healthy_since(snapshot: &WorkloadSnapshot, object: &Object) -> Option<Timestamp> {
    if !super::assess(snapshot, object, None)?.is_complete {
        return None;
    }
    let pods = pods_of(snapshot, object);
    let ends = pods.iter().flat_map(|pod| last_ends(pod));
    let changes = match object.kind.as_str() {
        "Deployment" => available_since(find(&snapshot.deployments, &object.name, None)?).into_iter().collect(),
        "Job" => done_since(find(&snapshot.jobs, &object.name, None)?).into_iter().collect(),
        _ => pods.iter().filter_map(|pod| ready_since(pod)).collect::<Vec<_>>(),
    };
    changes.into_iter().chain(ends).max()
}

/// When a Job has finished, or was suspended.
fn done_since(job: &Job) -> Option<Timestamp> {
    let status = job.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let suspended = conditions.filter(|it| it.type_ == "Suspended" && it.status == "True");
    let times = suspended.filter_map(|it| it.last_transition_time.as_ref()).chain(&status.completion_time);
    times.map(|time| time.0).max()
}

/// Returns the images that a workload's containers run, by their digests, as the container runtime reports them:
/// `docker.io/library/redis@sha256:...`. Pods that keep the previous revision do not count.
pub fn running_images(snapshot: &WorkloadSnapshot, object: &Object) -> BTreeSet<ImageReference> {
    let pods = newest_pods_of(snapshot, object);
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
        let kinds = [&status.container_statuses, &status.init_container_statuses];
        kinds.into_iter().flatten().flatten()
    });
    statuses.filter_map(|status| ImageReference::parse(status.image_id.trim_start_matches(DOCKER)).ok()).collect()
}

/// Returns the pods of a workload that wait for an image that could not be pulled, and that would be replaced.
pub fn waiting_for_image(snapshot: &WorkloadSnapshot, object: &Object) -> Vec<PodName> {
    pods_of(snapshot, object).into_iter().filter(|pod| causes::waits_for_image(pod)).map(PodName::from).collect()
}

/// Returns the pods of a workload; of a Deployment, those of its newest revision.
pub(in crate::adapters::cluster) fn pods_of<'a>(snapshot: &'a WorkloadSnapshot, object: &Object) -> Vec<&'a Pod> {
    let owner = match object.kind.as_str() {
        "Deployment" => find(&snapshot.deployments, &object.name, None)
            .and_then(|deployment| newest_replica_set(deployment, snapshot))
            .and_then(|set| set.metadata.uid.as_deref()),
        "StatefulSet" => find(&snapshot.stateful_sets, &object.name, None).and_then(|it| it.metadata.uid.as_deref()),
        "DaemonSet" => find(&snapshot.daemon_sets, &object.name, None).and_then(|it| it.metadata.uid.as_deref()),
        "Job" => find(&snapshot.jobs, &object.name, None).and_then(|it| it.metadata.uid.as_deref()),
        _ => None,
    };
    owned(&snapshot.pods, owner)
}

/// Returns the pods of a workload without those that keep the previous revision.
fn newest_pods_of<'a>(snapshot: &'a WorkloadSnapshot, object: &Object) -> Vec<&'a Pod> {
    let pods = pods_of(snapshot, object);
    match object.kind.as_str() {
        "StatefulSet" => match find(&snapshot.stateful_sets, &object.name, None) {
            Some(set) => strategy::pods_of_stateful_set(set, &pods).current,
            None => pods,
        },
        "DaemonSet" => match find(&snapshot.daemon_sets, &object.name, None) {
            Some(set) => strategy::pods_of_daemon_set(set, &pods).current,
            None => pods,
        },
        _ => pods,
    }
}

fn available_since(deployment: &Deployment) -> Option<Timestamp> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let available = conditions.iter().find(|it| it.type_ == "Available" && it.status == "True")?;
    Some(available.last_transition_time.as_ref()?.0)
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|it| it.type_ == "Ready" && it.status == "True")?;
    Some(ready.last_transition_time.as_ref()?.0)
}

/// Returns when previous containers of a pod exited.
fn last_ends(pod: &Pod) -> Vec<Timestamp> {
    let statuses = pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
    let ended = statuses.filter_map(|status| status.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ended.map(|at| at.0).collect()
}
