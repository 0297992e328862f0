//! Determines the progress of a rollout and its problems, only from a snapshot.

mod causes;
mod events;
mod health;
mod pulls;
mod rules;
mod strategy;
mod waits;

use std::{collections::BTreeSet, sync::Arc};

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

pub use crate::domain::causes::GiveUpAfter;
pub use causes::{PodName, RolloutProblem};
pub(in crate::adapters::cluster) use causes::{containers, ended_with_node, is_ready, project_of};
pub use events::{EventFindings, EventSource};
pub(in crate::adapters::cluster) use health::pods_of;
pub use health::{healthy_since, running_images, waiting_for_image};
pub use pulls::UnavailableImage;
pub(in crate::adapters::cluster) use rules::essence;
pub use strategy::KeptPods;

use self::strategy::Strategy;
use crate::{
    adapters::cluster::{Generation, Object, WorkloadSnapshot},
    domain::wait_reason::WaitReason,
};

/// The revision of a Deployment; its newest ReplicaSet has the same number.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The progress of one workload.
#[derive(Debug, Clone, PartialEq, Default)]
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
    /// What runs without a problem, for its log: the pod of a Job.
    pub running: Option<RolloutProblem>,
    /// What is in work and counts as progress for as long as it lasts, such as the pull of an image.
    pub work: Option<WaitReason>,
    /// What it waits for, if its pods show it.
    pub waits_for: Option<WaitReason>,
    /// An object that waits for a reason that only its events contain.
    pub silent: Option<EventSource>,
    /// Pods that keep the previous revision, because the update strategy says so.
    pub kept: Option<KeptPods>,
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
        "Pod" => find(&snapshot.pods, name, meant).map(hook_pod),
        _ => None,
    }
}

/// A watch reports a change with a delay: until then the snapshot contains the previous generation.
fn find<'a, K: ResourceExt>(objects: &'a [Arc<K>], name: &str, meant: Option<&Generation>) -> Option<&'a K> {
    let found = objects.iter().map(AsRef::as_ref).find(|object| object.meta().name.as_deref() == Some(name))?;
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
    let deadline = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds).unwrap_or(600);
    let is_under_way = || pods.iter().any(|pod| causes::is_under_way(pod, Timestamp::now(), deadline));
    let stalled =
        stalled.filter(|_| is_seen && !is_under_way() && !newest.is_some_and(|set| is_younger(set, deadline)));
    let stalled = stalled.and_then(|it| it.message.as_deref());
    let mut progress =
        ControllerStatus { ready: available.min(updated), wanted, is_complete, refused, stalled }.progress(&pods);
    if !is_complete && deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true) {
        progress.problems.insert(0, causes::paused(&deployment.name_any()));
    }
    progress
}

/// Returns whether a ReplicaSet is younger than its Deployment's deadline in seconds. Its controller may still report the
/// exceeded deadline of the previous one.
fn is_younger(set: &ReplicaSet, deadline: i32) -> bool {
    set.metadata
        .creation_timestamp
        .as_ref()
        .is_some_and(|created| causes::is_within(created, Timestamp::now(), deadline))
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
    match strategy::of_stateful_set(set) {
        Strategy::OnDelete => {
            strategy::on_delete(strategy::pods_of_stateful_set(set, &pods), ready, status.replicas - updated)
                .progress(wanted, is_seen)
        }
        Strategy::Rolling { partition } => {
            let is_updated = updated >= wanted - partition || status.current_revision == status.update_revision;
            let is_complete = is_seen && ready >= wanted && is_updated;
            let kept = partition.min(wanted - updated).max(0);
            let ready = ready.min(updated + kept);
            let mut progress = ControllerStatus { ready, wanted, is_complete, ..Default::default() }.progress(&pods);
            progress.kept = strategy::kept_by_partition(&strategy::pods_of_stateful_set(set, &pods));
            progress.or_silent("StatefulSet", &set.name_any(), pods.len())
        }
    }
}

fn daemon_set(set: &DaemonSet, snapshot: &WorkloadSnapshot) -> Progress {
    let status = set.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let (available, updated) = (status.number_available.unwrap_or(0), status.updated_number_scheduled.unwrap_or(0));
    let is_seen = status.observed_generation >= set.metadata.generation;
    let pods = owned(&snapshot.pods, set.metadata.uid.as_deref());
    if strategy::of_daemon_set(set) == Strategy::OnDelete {
        let old = status.current_number_scheduled - updated;
        return strategy::on_delete(strategy::pods_of_daemon_set(set, &pods), available, old).progress(wanted, is_seen);
    }
    let ready = available.min(updated);
    let status = ControllerStatus { ready, wanted, is_complete: is_seen && ready >= wanted, ..Default::default() };
    status.progress(&pods).or_silent("DaemonSet", &set.name_any(), pods.len())
}

fn job(job: &Job, snapshot: &WorkloadSnapshot) -> Progress {
    let status = job.status.clone().unwrap_or_default();
    let done = status.succeeded.unwrap_or(0);
    let conditions = status.conditions.unwrap_or_default();
    let holds = |kind: &str| conditions.iter().find(|it| it.type_ == kind && it.status == "True");
    let failed = holds("Failed").map(|it| it.message.clone().unwrap_or_default());
    let is_suspended = holds("Suspended").is_some();
    let wanted = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(1);
    let wanted = if is_suspended { done } else { wanted };
    let is_complete = holds("Complete").is_some() || is_suspended;
    let pods = owned(&snapshot.pods, job.metadata.uid.as_deref());
    // A failed attempt is not a problem while another one follows: the Job itself reports when it has failed.
    let has_failed = |pod: &&&Pod| pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Failed");
    let trying: Vec<&Pod> = pods.iter().filter(|pod| !has_failed(pod)).copied().collect();
    let attempts = format!("{:?}/{:?}/{:?}", status.active, status.succeeded, status.failed);
    let status = ControllerStatus { ready: done, wanted, is_complete, ..Default::default() };
    let mut progress = status.progress(&trying);
    (progress.is_complete, progress.is_young) = (is_complete, false);
    progress.signature.push_str(&attempts);
    progress.running = causes::running_job(&trying);
    // Such a Job is ended by Kubernetes itself.
    let has_deadline = job.spec.as_ref().is_some_and(|spec| spec.active_deadline_seconds.is_some());
    if progress.running.is_some() && progress.problems.is_empty() {
        let running = WaitReason::Job { job: job.name_any() };
        progress.work = progress.work.or_else(|| has_deadline.then(|| running.clone()));
        progress.waits_for = progress.waits_for.or(Some(running));
    }
    progress.problems.iter_mut().for_each(causes::leave_crashes_to_the_job);
    if let Some(message) = failed {
        progress.is_over = true;
        progress.problems.insert(0, causes::failed_job(&message, &pods, Timestamp::now()));
    }
    progress.or_silent("Job", &job.name_any(), pods.len())
}

/// A pod as a Helm hook, which must succeed.
fn hook_pod(pod: &Pod) -> Progress {
    let is_complete = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
    let mut progress =
        ControllerStatus { ready: i32::from(is_complete), wanted: 1, ..Default::default() }.progress(&[pod]);
    progress.is_complete = is_complete;
    progress.running = causes::running_pod(pod);
    progress
}

/// Returns the UIDs of the Jobs and pods of a namespace.
pub fn identities(snapshot: &WorkloadSnapshot) -> BTreeSet<String> {
    let jobs = snapshot.jobs.iter().filter_map(|job| job.metadata.uid.clone());
    jobs.chain(snapshot.pods.iter().filter_map(|pod| pod.metadata.uid.clone())).collect()
}

impl Progress {
    /// Adds that a controller has not created all its pods: it reports the reason only in events.
    fn or_silent(mut self, kind: &'static str, name: &str, pods: usize) -> Self {
        let lacks_pods = !self.is_complete && pods < usize::try_from(self.wanted).unwrap_or(0);
        self.silent = self.silent.or_else(|| lacks_pods.then(|| EventSource::new(kind, name.to_owned())));
        self
    }
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
        let work = pods.iter().find_map(|pod| waits::image(pod));
        let waits_for = if is_complete { None } else { waits::wait_reason(pods, wanted) };
        let silent = pods.iter().find(|pod| causes::is_silent(pod)).map(|pod| EventSource::new("Pod", pod.name_any()));
        Progress {
            ready,
            wanted,
            is_complete,
            is_young,
            problems,
            unready,
            work,
            waits_for,
            silent,
            signature,
            ..Default::default()
        }
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
