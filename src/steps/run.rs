//! Runs a Job on demand: creates it, passes on its log, and returns the exit code of its container.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{LOOK, Runner, rollout::RolloutTarget};
use crate::{
    adapters::cluster::{Cluster, ClusterError, Object, runs::RunPod},
    domain::Problem,
    engine::{Reporter, StepFailure},
    plan::run::RunSpec,
};

/// How long the last lines of logs may take after the Job has ended.
const LAST_LINES: Duration = Duration::from_secs(10);
/// How often the memory of the containers is read.
const MEMORY: Duration = Duration::from_secs(2);
/// A run may take as long as its own deadline allows.
const NEVER_SECONDS: u64 = 100 * 365 * 86_400;

/// A run that has been created.
struct Followed<'a> {
    cluster: &'a Cluster,
    spec: &'a RunSpec,
    job: Object,
}

impl Runner {
    /// # Errors
    /// With the exit code of the container, or why it did not run. An interrupted run is deleted.
    pub(super) async fn run_job(
        &self,
        spec: &RunSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let job = cluster.create_run(&spec.release.namespace, &spec.job).await?;
        if spec.is_detached {
            return Ok(Some(format!("{} has been started", job.name)));
        }
        reporter.progress(format!("job {}", job.name));
        let run = Followed { cluster, spec, job };
        let target = RolloutTarget { meant: Some(cluster.generation(&run.job).await?), object: run.job.clone() };
        let is_over = CancellationToken::new();
        let wait = async {
            let ended = self.await_rollout(&[target], NEVER_SECONDS, reporter, cancel).await;
            is_over.cancel();
            ended
        };
        let (ended, logs, peak) = tokio::join!(wait, run.pass_on_logs(reporter, &is_over), run.measure(&is_over));
        if let Some(bytes) = peak {
            // What cannot be stored is only missing in the list of runs.
            let _ = run.cluster.note_peak_memory(&run.job, bytes).await;
        }
        let result = run.conclude(ended, reporter).await?;
        logs?;
        Ok(Some(result))
    }
}

impl Followed<'_> {
    /// Passes on the log of every container until the Job has ended.
    async fn pass_on_logs(&self, reporter: &Reporter, is_over: &CancellationToken) -> Result<(), ClusterError> {
        let (mut followed, mut logs) = (BTreeSet::new(), JoinSet::new());
        loop {
            // The last look is after the end, so that no pod is left out.
            let is_last = is_over.is_cancelled();
            let pods = self.cluster.run_pods(&self.job, &self.spec.container).await?;
            for pod in pods.into_iter().filter(|pod| pod.has_log) {
                if followed.insert(pod.name.clone()) {
                    logs.spawn(self.pass_on_log(pod, reporter.clone()));
                }
            }
            if is_last {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => (),
                () = is_over.cancelled() => (),
            }
        }
        let all = async { while logs.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_LINES, all).await;
        Ok(())
    }

    /// Passes on the log of one container. A connection that ends early is opened again.
    fn pass_on_log(&self, pod: RunPod, reporter: Reporter) -> impl Future<Output = ()> + use<> {
        let (cluster, job, container) = (self.cluster.clone(), self.job.clone(), self.spec.container.clone());
        async move {
            let mut since: Option<Timestamp> = None;
            loop {
                let line = |text: &str| reporter.output(pod.part, text);
                let read = cluster.follow_log((&job.namespace, &pod.name), &container, since, line).await;
                since = read.unwrap_or(since);
                let pods = cluster.run_pods(&job, &container).await.unwrap_or_default();
                if pods.iter().find(|it| it.name == pod.name).is_none_or(|it| it.exit_code.is_some()) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Returns the most memory that a container used, if it is known.
    async fn measure(&self, is_over: &CancellationToken) -> Option<u64> {
        let mut peak = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(MEMORY) => (),
                () = is_over.cancelled() => return peak,
            }
            let container = &self.spec.container;
            let mut pods = self.cluster.run_pods(&self.job, container).await.unwrap_or_default();
            pods.retain(|pod| pod.has_log && pod.exit_code.is_none());
            peak = peak.max(self.cluster.peak_memory(&self.job.namespace, &pods, container).await);
        }
    }

    /// The result of the step. A run that was interrupted, or did not start, is deleted.
    async fn conclude(&self, ended: Result<String, StepFailure>, reporter: &Reporter) -> Result<String, StepFailure> {
        if !matches!(ended, Err(StepFailure::Interrupted)) {
            self.report_exits(reporter).await?;
        }
        let Err(failure) = ended else { return Ok(format!("{} has succeeded", self.job.name)) };
        if let StepFailure::Failed(_) = &failure
            && let Some(code) = self.cluster.run_exit_code(&self.job, &self.spec.container).await?
            && code != 0
        {
            let problem = Problem::new(format!("{} has failed with exit code {code}", self.job.name));
            return Err(StepFailure::Exited { problem: Box::new(problem), code });
        }
        self.cluster.delete_job(&self.job.namespace, &self.job.name).await?;
        Err(failure)
    }

    async fn report_exits(&self, reporter: &Reporter) -> Result<(), ClusterError> {
        for pod in self.cluster.run_pods(&self.job, &self.spec.container).await? {
            if let Some(code) = pod.exit_code {
                reporter.exited(pod.part, code);
            }
        }
        Ok(())
    }
}
