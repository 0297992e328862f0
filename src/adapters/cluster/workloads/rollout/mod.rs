//! Determines the progress of a rollout and its problems, only from a snapshot.

mod causes;
mod health;
mod rules;

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::ResourceExt;

pub use causes::RolloutProblem;
pub(in crate::adapters::cluster) use causes::waits_for_image;
pub use health::{healthy_since, running_images};
pub use rules::GiveUpAfter;
pub(in crate::adapters::cluster) use rules::essence;

use crate::adapters::cluster::{Generation, Object, WorkloadSnapshot};

/// The revision of a Deployment; its newest ReplicaSet has the same number.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The progress of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub ready: i32,
    pub wanted: i32,
    pub is_complete: bool,
    /// Whether it is complete only because of containers that were started recently and have no probes.
    pub is_young: bool,
    /// Whether it is a Job that has used all its attempts, and makes no further progress.
    pub is_over: bool,
    /// Its problems, worst first.
    pub problems: Vec<RolloutProblem>,
    /// A container that is running but not ready: it is slow, or does not respond to its probe.
    pub unready: Option<RolloutProblem>,
    /// Changes with any progress; used to detect a stalled rollout.
    pub signature: String,
}

/// Returns whether this kind has pods to wait for.
pub fn is_workload(object: &Object) -> bool {
    matches!(object.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "Job")
}

/// Assesses one workload, optionally from a generation on; `None` while the snapshot does not contain it.
pub fn assess(snapshot: &WorkloadSnapshot, object: &Object, meant: Option<&Generation>) -> Option<Progress> {
    let name = &object.name;
    match object.kind.as_str() {
        "Deployment" => find(&snapshot.deployments, name, meant).map(|it| deployment(it, snapshot)),
        "StatefulSet" => find(&snapshot.stateful_sets, name, meant).map(|it| stateful_set(it, snapshot)),
        "DaemonSet" => find(&snapshot.daemon_sets, name, meant).map(|it| daemon_set(it, snapshot)),
        "Job" => find(&snapshot.jobs, name, meant).map(|it| job(it, snapshot)),
        _ => None,
    }
}

/// A watch reports a change with a delay: until then the snapshot contains the previous generation.
fn find<'a, K: ResourceExt>(objects: &'a [Arc<K>], name: &str, meant: Option<&Generation>) -> Option<&'a K> {
    let found = objects.iter().map(AsRef::as_ref).find(|object| object.name_any() == name)?;
    meant.is_none_or(|meant| meant.is_reached_by(found.meta())).then_some(found)
}

fn deployment(deployment: &Deployment, snapshot: &WorkloadSnapshot) -> Progress {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    let is_seen = status.observed_generation >= deployment.metadata.generation;
    let is_complete = is_seen && updated >= wanted && status.replicas.unwrap_or(0) <= updated && available >= updated;
    let newest = newest_replica_set(deployment, snapshot);
    let pods = newest.map(|set| owned(&snapshot.pods, set.metadata.uid.as_deref())).unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let set_conditions = newest.and_then(|set| set.status.as_ref()?.conditions.clone()).unwrap_or_default();
    let refused = conditions
        .iter()
        .map(|it| (it.type_.as_str(), it.status.as_str(), it.message.as_deref()))
        .chain(set_conditions.iter().map(|it| (it.type_.as_str(), it.status.as_str(), it.message.as_deref())))
        .find(|(kind, status, _)| *kind == "ReplicaFailure" && *status == "True")
        .and_then(|(_, _, message)| message);
    let stalled = conditions.iter().find(|it| it.reason.as_deref() == Some("ProgressDeadlineExceeded"));
    let stalled = stalled.filter(|_| is_seen).and_then(|it| it.message.as_deref());
    ControllerStatus { ready: available.min(updated), wanted, is_complete, refused, stalled }.progress(&pods)
}

/// Returns the ReplicaSet of the Deployment's newest revision: pods of older ones are being replaced.
fn newest_replica_set<'a>(deployment: &Deployment, snapshot: &'a WorkloadSnapshot) -> Option<&'a ReplicaSet> {
    let revision = |object: &dyn Fn() -> Option<String>| object().and_then(|text| text.parse::<u64>().ok());
    let wanted = revision(&|| deployment.annotations().get(REVISION).cloned());
    let own = snapshot.replica_sets.iter().map(AsRef::as_ref);
    own.filter(|set| is_owner(set.owner_references(), deployment.metadata.uid.as_deref()))
        .filter(|set| wanted.is_none() || revision(&|| set.annotations().get(REVISION).cloned()) == wanted)
        .max_by_key(|set| revision(&|| set.annotations().get(REVISION).cloned()))
}

fn stateful_set(set: &StatefulSet, snapshot: &WorkloadSnapshot) -> Progress {
    let status = set.status.clone().unwrap_or_default();
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or(0);
    let updated = status.updated_replicas.unwrap_or(0);
    let is_seen = status.observed_generation >= set.metadata.generation;
    let pods = owned(&snapshot.pods, set.metadata.uid.as_deref());
    let is_complete =
        is_seen && ready >= wanted && (updated >= wanted || status.current_revision == status.update_revision);
    ControllerStatus { ready: ready.min(updated.max(0)), wanted, is_complete, ..Default::default() }.progress(&pods)
}

fn daemon_set(set: &DaemonSet, snapshot: &WorkloadSnapshot) -> Progress {
    let status = set.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let ready = status.number_available.unwrap_or(0).min(status.updated_number_scheduled.unwrap_or(0));
    let is_seen = status.observed_generation >= set.metadata.generation;
    let pods = owned(&snapshot.pods, set.metadata.uid.as_deref());
    let is_complete = is_seen && ready >= wanted;
    ControllerStatus { ready, wanted, is_complete, ..Default::default() }.progress(&pods)
}

fn job(job: &Job, snapshot: &WorkloadSnapshot) -> Progress {
    let status = job.status.clone().unwrap_or_default();
    let wanted = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(1);
    let done = status.succeeded.unwrap_or(0);
    let conditions = status.conditions.unwrap_or_default();
    let holds = |kind: &str| conditions.iter().find(|it| it.type_ == kind && it.status == "True");
    let failed = holds("Failed").map(|it| it.message.clone().unwrap_or_default());
    let is_complete = holds("Complete").is_some() || holds("Suspended").is_some();
    let pods = owned(&snapshot.pods, job.metadata.uid.as_deref());
    // A failed attempt is not a problem while another one follows: the Job itself reports when it has failed.
    let has_failed = |pod: &&&Pod| pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Failed");
    let trying: Vec<&Pod> = pods.iter().filter(|pod| !has_failed(pod)).copied().collect();
    let status = ControllerStatus { ready: done, wanted, is_complete, ..Default::default() };
    let mut progress = status.progress(&trying);
    (progress.is_complete, progress.is_young) = (is_complete, false);
    progress.problems.iter_mut().for_each(causes::leave_crashes_to_the_job);
    if let Some(message) = failed {
        progress.is_over = true;
        progress.problems.insert(0, causes::failed_job(&message, &pods, Timestamp::now()));
    }
    progress
}

/// What a controller reports about its workload.
#[derive(Debug, Default)]
struct ControllerStatus<'a> {
    ready: i32,
    wanted: i32,
    is_complete: bool,
    /// Why the API server rejects its pods.
    refused: Option<&'a str>,
    /// Why it no longer expects progress.
    stalled: Option<&'a str>,
}

impl ControllerStatus<'_> {
    /// Returns the progress, from this status and the pods.
    fn progress(self, pods: &[&Pod]) -> Progress {
        let Self { ready, wanted, is_complete, refused, stalled } = self;
        let now = Timestamp::now();
        let is_complete =
            is_complete && is_borne_out(ready, pods) && pods.iter().all(|pod| causes::is_settled(pod, now));
        let mut problems: Vec<RolloutProblem> = pods.iter().filter_map(|pod| causes::pod_problem(pod, now)).collect();
        problems.extend(refused.map(causes::refused_pods));
        if problems.is_empty() {
            problems.extend(stalled.map(|message| causes::stalled(message, pods)));
        }
        problems.sort_by_key(|problem| problem.patience);
        let signature = pods.iter().map(|pod| causes::pod_signature(pod)).collect::<Vec<_>>().join(",");
        let signature = format!("{ready}/{wanted} {signature}");
        let unready = causes::unready_container(pods);
        let is_young = pods.iter().any(|pod| causes::is_young(pod, now));
        Progress { ready, wanted, is_complete, is_young, is_over: false, problems, unready, signature }
    }
}

/// Returns whether the pods confirm their controller's status, which is stale after a start of the node.
fn is_borne_out(ready: i32, pods: &[&Pod]) -> bool {
    let unready = pods.iter().filter(|pod| causes::is_unready(pod)).count();
    unready <= pods.len().saturating_sub(usize::try_from(ready).unwrap_or(0))
}

/// Returns the pods of one owner that are not being deleted.
fn owned<'a>(pods: &'a [Arc<Pod>], owner: Option<&str>) -> Vec<&'a Pod> {
    let own = pods.iter().map(AsRef::as_ref).filter(|pod: &&Pod| is_owner(pod.owner_references(), owner));
    own.filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

fn is_owner(references: &[OwnerReference], owner: Option<&str>) -> bool {
    owner.is_some_and(|owner| references.iter().any(|reference| reference.uid == owner))
}

#[cfg(test)]
mod tests;
