//! Pulls images to the local node before the pods that run them start.

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{domain::ImageReference, engine::StepFailure};

impl Runner {
    /// Pulls public images one at a time, because the node is busy with other work. If a pull fails, the pod reports
    /// the error.
    pub(super) async fn pull_images(
        &self,
        images: &[ImageReference],
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let local = self.local()?;
        let mut pulled = 0;
        for image in images {
            let found = self.credentials.for_registries(&[&image.registry], cancel).await;
            if found.credentials.is_empty() {
                tokio::select! {
                    done = local.pull_onto_node(image) => pulled += usize::from(done),
                    () = cancel.cancelled() => return Err(StepFailure::Interrupted),
                }
            }
        }
        Ok(Some(format!("{pulled} of {} pulled in advance", images.len())))
    }
}
