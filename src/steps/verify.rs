//! Verifies a deployment after its rollout with Jobs that the workspace defines.

use tokio_util::sync::CancellationToken;

use super::{Runner, rollout::RolloutTarget};
use crate::{
    adapters::cluster::jobs::VerifyJob,
    domain::name::shortened,
    engine::{Reporter, StepFailure},
    plan::VerifySpec,
};

/// The Job of a verification in a workspace.
pub(crate) fn verify_job(verify: &VerifySpec, workspace: &str) -> VerifyJob {
    VerifyJob {
        namespace: verify.namespace.clone(),
        name: shortened(&format!("{}-verify-{}", verify.project, verify.name)),
        workspace: workspace.to_owned(),
        image: verify.image.clone(),
        command: verify.command.clone(),
        timeout_seconds: verify.timeout_seconds,
    }
}

impl Runner {
    pub(super) async fn verify(
        &self,
        verify: &VerifySpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let verification = verify_job(verify, &self.release.origin.workspace);
        reporter.progress(format!("job {}", verification.name));
        let object = self.connected()?.cluster.run_job(&verification).await?;
        let generation = self.connected()?.cluster.generation(&object).await?;
        let target = RolloutTarget { object, meant: Some(generation) };
        // The Job's own deadline ends it first, and its log is kept.
        self.await_rollout(&[target], verify.timeout_seconds + 10, reporter, cancel).await?;
        Ok(Some(format!("{} has succeeded", verification.name)))
    }
}
