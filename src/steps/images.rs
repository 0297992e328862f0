//! Images on the local node, ahead of the pods that run them.

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{domain::ImageReference, engine::StepFailure};

impl Runner {
    /// Pulls what needs no password, one after the other: the node has other work too. What cannot be pulled is left
    /// to its pod, which tells why.
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
        Ok(Some(format!("{pulled} of {} ahead of their pods", images.len())))
    }
}
