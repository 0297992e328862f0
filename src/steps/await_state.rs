//! Waits for the state of a release that another run deploys, and changes nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Runner, rollout::RolloutTarget};
use crate::{
    adapters::{
        cluster::{Object, rollout},
        wait::pause,
    },
    domain::{Problem, ReleaseKey, wait_reason::WaitReason},
    engine::{Reporter, StepFailure},
    plan::wait::WaitSpec,
};

/// How often a release is read until it has been deployed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Runner {
    /// # Errors
    /// If the state is not reached in time, or can no longer be reached.
    pub(super) async fn await_state(
        &self,
        spec: &WaitSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let seconds = spec.rollout.timeout_seconds;
        tokio::select! {
            reached = self.reach(spec, reporter, cancel) => reached,
            () = tokio::time::sleep(Duration::from_secs(seconds)) => Err(self.too_late(spec).await.into()),
        }
    }

    async fn reach(
        &self,
        WaitSpec { rollout, is_done }: &WaitSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let objects = self.deployed(&rollout.release, reporter, cancel).await?;
        let is_meant = |object: &Object| object.kind == "Job" || !is_done && rollout::is_workload(object);
        let targets = objects.into_iter().filter(is_meant).map(|object| RolloutTarget { object, meant: None });
        let targets: Vec<RolloutTarget> = targets.collect();
        if *is_done && targets.is_empty() {
            let problem = Problem::new(format!("'{}' has no Job", rollout.release.name));
            return Err(problem.help("wait for its pods: cmdr wait --for ready").into());
        }
        // Without progress, the rollout would fail at the same time, and name its cause.
        let progress_seconds = rollout.timeout_seconds.saturating_sub(1).max(1);
        let ready = self.await_rollout(&targets, progress_seconds, reporter, cancel).await?;
        Ok(Some(ready).filter(|ready| !ready.is_empty()))
    }

    /// Waits until Helm has deployed a release, and no other run changes it.
    async fn deployed(
        &self,
        key: &ReleaseKey,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Vec<Object>, StepFailure> {
        loop {
            let found = self.connected()?.cluster.release(key).await?;
            let found = found.filter(|found| !found.status.starts_with("pending-") && !found.rendered.is_empty());
            if let Some(found) = found {
                return Ok(found.rendered.into_iter().map(|rendered| rendered.object).collect());
            }
            let message = format!("waiting for {} to be deployed", key.name);
            reporter.waits_for(WaitReason::Problem { message });
            pause(LOOK_AGAIN, cancel).await?;
        }
    }

    async fn too_late(&self, spec: &WaitSpec) -> Problem {
        let ReleaseKey { name, .. } = &spec.rollout.release;
        let state = if spec.is_done { "done" } else { "ready" };
        let is_deployed = self.rendered_of(&spec.rollout.release).await.is_ok();
        let problem = Problem::new(format!("'{name}' is not {state} after {} s", spec.rollout.timeout_seconds));
        if is_deployed {
            problem.help(format!("see why with cmdr status {name}, or wait longer with --timeout"))
        } else {
            problem.detail("it is not deployed").help(format!("deploy it with cmdr up {name}"))
        }
    }
}
