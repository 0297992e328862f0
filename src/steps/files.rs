//! ConfigMaps with files from disk: created before a release that mounts them, deleted when nothing refers to them.

use super::Runner;
use crate::{domain::ReleaseKey, engine::StepFailure, plan::ReleaseSpec};

impl Runner {
    /// Creates the ConfigMaps of a release that do not exist yet.
    pub(super) async fn provide_files(&self, release: &ReleaseSpec) -> Result<(), StepFailure> {
        for map in &release.files {
            self.connected()?.cluster.create_file_map(&release.key(), map).await?;
        }
        Ok(())
    }

    /// Deletes the files of a release that nothing refers to anymore. The release is as described without that, so a
    /// failure is only returned as text.
    pub(super) async fn sweep_files(&self, release: &ReleaseKey) -> Option<String> {
        let cluster = &self.connection.get()?.cluster;
        let swept = cluster.sweep_file_maps(release, self.ledger.as_deref()).await;
        swept.err().map(|error| format!("unused files were not deleted: {}", error.problem().message))
    }
}
