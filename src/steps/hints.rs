//! What a rollout waits for if no status shows it: the events of silent objects, and Jobs that Kubernetes has deleted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::rollout::RolloutTarget;
use crate::adapters::cluster::{
    Cluster, ClusterError,
    rollout::{EventSource, Progress, RolloutProblem},
};

/// How often events are read: the first ones follow within a second.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What is known from events and requests of one rollout.
pub(super) struct Hints {
    asked: Instant,
    /// By namespace and object.
    problems: BTreeMap<(String, EventSource), RolloutProblem>,
    /// Deleted Jobs by namespace and name.
    ended: BTreeMap<(String, String), Progress>,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self { asked: Instant::now(), problems: BTreeMap::new(), ended: BTreeMap::new() }
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
            let Some(one) = one.as_mut().filter(|one| one.problems.is_empty()) else { continue };
            let Some(source) = one.silent.clone() else { continue };
            let source = (object.namespace.clone(), source);
            if is_due {
                self.asked = Instant::now();
                match cluster.problem_in_events(&source.0, &source.1).await {
                    Some(problem) => drop(self.problems.insert(source.clone(), problem)),
                    None => drop(self.problems.remove(&source)),
                }
            }
            one.problems.extend(self.problems.get(&source).cloned());
        }
        Ok(())
    }
}
