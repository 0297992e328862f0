//! Sets the number of pods of a release.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Runner, rollout::RolloutTarget};
use crate::{
    engine::{Reporter, StepFailure},
    plan::scale::ScaleSpec,
};

/// The field manager while the number is written. It is forgotten at once, so that the next deployment sets its own.
const MANAGER: &str = "cmdr-scale";
/// The kinds with a number of pods.
const SCALABLE: [&str; 2] = ["Deployment", "StatefulSet"];

impl Runner {
    pub(super) async fn scale(
        &self,
        scale: &ScaleSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        // A rollout scales the second release, which the same run has installed.
        let rendered = self.rendered_of(&scale.rollout.release).await?.into_iter().map(|rendered| rendered.object);
        let mut targets = Vec::new();
        for object in rendered.filter(|object| SCALABLE.contains(&object.kind.as_str())) {
            let patch = json!({"spec": {"replicas": scale.replicas}});
            let meant = Some(cluster.patch_workload(&object, &patch, MANAGER).await?);
            cluster.forget_manager(&object, MANAGER).await?;
            targets.push(RolloutTarget { object, meant });
        }
        if scale.replicas == 0 {
            self.await_no_pods(&scale.rollout.release, reporter, cancel).await?;
            return Ok(Some("no pods".to_owned()));
        }
        Ok(Some(self.await_rollout(&targets, scale.rollout.timeout_seconds, reporter, cancel).await?))
    }
}
