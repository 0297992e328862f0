//! What is deployed: waits for it, restarts it, and reads what Helm rendered.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{Connection, Runner, rollout::RolloutTarget};
use crate::{
    adapters::cluster::{ClusterError, Object, Rendered, StoredRelease, rollout},
    domain::{Problem, ReleaseKey},
    engine::{Reporter, StepFailure},
    plan::RolloutSpec,
};

/// Releases by name, as one list has found them.
pub(super) type ReleaseList = BTreeMap<ReleaseKey, StoredRelease>;

impl Runner {
    /// Waits for a release that the run does not change.
    pub(super) async fn await_release(
        &self,
        rollout: &RolloutSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let release = &rollout.release;
        let (objects, contents): (Vec<Object>, Vec<serde_json::Value>) = self
            .rendered_before(release)
            .await?
            .iter()
            .map(|rendered| (rendered.object.clone(), rendered.content.clone()))
            .unzip();
        self.provide_for(release, &contents, reporter, cancel).await?;
        // In other clusters the account may not have permission to delete pods.
        if self.local.is_some() {
            self.retry_pulls(&objects, cancel).await?;
        }
        let targets: Vec<RolloutTarget> =
            objects.into_iter().map(|object| RolloutTarget { object, meant: None }).collect();
        Ok(Some(self.await_rollout(&targets, rollout.timeout_seconds, reporter, cancel).await?))
    }

    /// Deletes the pods of these objects that wait for an image, so that their replacements pull it at once with the
    /// current credentials. kubelet itself would wait up to 5 minutes.
    async fn retry_pulls(&self, objects: &[Object], cancel: &CancellationToken) -> Result<(), StepFailure> {
        let connection = self.connected()?;
        for object in objects.iter().filter(|object| rollout::is_workload(object)) {
            let snapshot = tokio::select! {
                snapshot = connection.view().whole_snapshot(&object.namespace) => snapshot,
                () = cancel.cancelled() => return Err(StepFailure::Interrupted),
            };
            for pod in rollout::waiting_for_image(&snapshot, object) {
                connection.cluster.delete_pod(&pod).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn restart(
        &self,
        rollout: &RolloutSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let mut targets = Vec::new();
        for object in
            self.rendered_before(&rollout.release).await?.iter().map(|it| &it.object).filter(|it| is_restartable(it))
        {
            let meant = Some(self.connected()?.cluster.restart(object, &now).await?);
            targets.push(RolloutTarget { object: object.clone(), meant });
        }
        if targets.is_empty() {
            return Err(Problem::new("no Deployment, StatefulSet or DaemonSet to restart").into());
        }
        Ok(Some(self.await_rollout(&targets, rollout.timeout_seconds, reporter, cancel).await?))
    }

    /// Returns what Helm rendered for a release that the run does not change. All releases are listed once in a run.
    pub(super) async fn rendered_before(&self, release: &ReleaseKey) -> Result<&[Rendered], StepFailure> {
        let Connection { cluster, releases, .. } = self.connected()?;
        let list = async || -> Result<ReleaseList, ClusterError> {
            let list = cluster.releases().await?;
            Ok(list.into_iter().map(|found| (found.key.clone(), found)).collect())
        };
        let found = releases.get_or_try_init(list).await?.get(release).ok_or_else(|| not_deployed(release))?;
        Ok(found.readable()?)
    }

    /// Returns what Helm rendered for a release, as it is now.
    pub(super) async fn rendered_of(&self, release: &ReleaseKey) -> Result<Vec<Rendered>, StepFailure> {
        let found = self.connected()?.cluster.release(release).await?.ok_or_else(|| not_deployed(release))?;
        found.readable()?;
        Ok(found.rendered)
    }
}

fn not_deployed(release: &ReleaseKey) -> Problem {
    Problem::new(format!("'{}' is not deployed", release.name)).help("run cmdr up to deploy it")
}

/// A Job runs once, so it cannot be restarted.
fn is_restartable(object: &Object) -> bool {
    rollout::is_workload(object) && object.kind != "Job"
}
