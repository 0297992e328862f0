//! What a rollout waits for if no status shows it: the events of silent objects, and Jobs that Kubernetes has deleted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::rollout::RolloutTarget;
use crate::{
    adapters::cluster::{
        Cluster, ClusterError,
        rollout::{EventFindings, EventSource, PodName, Progress},
    },
    domain::wait_reason::WaitReason,
};

/// How often events are read: the first ones follow within a second.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// The response of a probe is read when a container is not ready after this time: most are ready earlier.
const UNREADY: Duration = Duration::from_secs(4);
/// How often the response of a probe is read.
const READ_AGAIN: Duration = Duration::from_secs(3);

/// What is known from events and requests of one rollout.
pub(super) struct Hints {
    asked: Instant,
    /// By namespace and object.
    findings: BTreeMap<(String, EventSource), EventFindings>,
    /// Deleted Jobs by namespace and name.
    ended: BTreeMap<(String, String), Progress>,
    /// By namespace and pod.
    probes: BTreeMap<(String, String), ProbeHint>,
}

/// What is known about the probe of a pod that is not ready.
struct ProbeHint {
    due: Instant,
    response: Option<String>,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self { asked: Instant::now(), findings: BTreeMap::new(), ended: BTreeMap::new(), probes: BTreeMap::new() }
    }

    /// Adds to the progress of each workload what the cluster's watch does not show.
    ///
    /// # Errors
    /// If the API does not respond.
    pub(super) async fn add(
        &mut self,
        cluster: &Cluster,
        workloads: &[&RolloutTarget],
        progress: &mut [Option<Progress>],
    ) -> Result<(), ClusterError> {
        let is_due = self.asked.elapsed() >= ASK_AGAIN;
        for (object, one) in workloads.iter().map(|target| &target.object).zip(progress) {
            if one.is_none() && object.expires {
                let job = (object.namespace.clone(), object.name.clone());
                if !self.ended.contains_key(&job)
                    && let Some(ended) = cluster.expired_job(object).await?
                {
                    self.ended.insert(job.clone(), ended);
                }
                *one = self.ended.get(&job).cloned();
            }
            if let Some(one) = one {
                self.add_probe(cluster, one).await;
            }
            let Some(one) = one.as_mut().filter(|one| one.problems.is_empty()) else { continue };
            let Some(source) = one.silent.clone() else { continue };
            let source = (object.namespace.clone(), source);
            if is_due {
                self.asked = Instant::now();
                let found = cluster.found_in_events(&source.0, &source.1).await;
                self.findings.insert(source.clone(), found);
            }
            if let Some(found) = self.findings.get(&source) {
                add_findings(one, found);
            }
        }
        Ok(())
    }

    /// Adds the last response of the probe that a rollout waits for.
    async fn add_probe(&mut self, cluster: &Cluster, progress: &mut Progress) {
        let Some(WaitReason::Probe { response, .. }) = &mut progress.waits_for else { return };
        let Some(PodName { namespace, name }) = progress.unready.as_ref().and_then(|problem| problem.pod.clone())
        else {
            return;
        };
        let now = Instant::now();
        let unknown = || ProbeHint { due: now + UNREADY, response: None };
        let hint = self.probes.entry((namespace.clone(), name.clone())).or_insert_with(unknown);
        if hint.due <= now {
            hint.due = now + READ_AGAIN;
            hint.response = cluster.probe_response(&namespace, &name).await;
        }
        response.clone_from(&hint.response);
    }
}

/// Adds what events contain: a problem, or a pull, which is work that no status shows.
fn add_findings(progress: &mut Progress, found: &EventFindings) {
    progress.problems.extend(found.problem.clone());
    if let Some(image) = &found.pulls {
        let pull = WaitReason::Image { image: image.clone(), bytes_done: None, bytes_total: None };
        progress.work = Some(pull.clone());
        progress.waits_for = Some(pull);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::wait_reason::PodStage;

    #[test]
    fn a_pull_in_the_events_is_work() {
        let waits_for = Some(WaitReason::Pod { stage: PodStage::Preparing });
        let mut progress = Progress { waits_for, ..Progress::default() };
        add_findings(&mut progress, &EventFindings::default());
        assert_eq!(progress.work, None);
        add_findings(&mut progress, &EventFindings { pulls: Some("shop:2".to_owned()), problem: None });
        assert_eq!(progress.waits_for.as_ref().map(ToString::to_string).as_deref(), Some("pulling shop:2"));
        assert_eq!(progress.work, progress.waits_for);
    }
}
