//! Images on the local node, ahead of the pods that run them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{LocalCluster, Runner, pause};
use crate::{domain::ImageReference, engine::StepFailure, plan::PullSpec};

/// Between two looks whether a node that is being made takes images yet.
const LOOK: Duration = Duration::from_millis(250);

impl Runner {
    /// Pulls what needs no password, one after the other: the node has other work too. What cannot be pulled is left
    /// to its pod, which tells why.
    pub(super) async fn pull_images(
        &self,
        spec: &PullSpec,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let local = self.local()?;
        let mut pulled = 0;
        if !spec.at_boot.is_empty() && local.await_containerd(cancel).await? {
            for image in &spec.at_boot {
                if local.is_made() {
                    break;
                }
                pulled += usize::from(self.pull_image(local, image, cancel).await?);
            }
        }
        local.await_made(cancel).await?;
        for image in &spec.later {
            pulled += usize::from(self.pull_image(local, image, cancel).await?);
        }
        Ok(Some(format!("{pulled} ahead of their pods")))
    }

    /// Whether the image is on the node now.
    async fn pull_image(
        &self,
        local: &LocalCluster,
        image: &ImageReference,
        cancel: &CancellationToken,
    ) -> Result<bool, StepFailure> {
        let found = self.credentials.for_registries(&[&image.registry], cancel).await;
        if !found.credentials.is_empty() {
            return Ok(false);
        }
        tokio::select! {
            done = local.pull_onto_node(image) => Ok(done),
            () = cancel.cancelled() => Err(StepFailure::Interrupted),
        }
    }
}

impl LocalCluster {
    /// Waits until the node that is being made takes images, by way of the user's mirrors; tells whether it does.
    /// kind starts containerd anew before it calls kubeadm, whose first files tell that this is over.
    async fn await_containerd(&self, cancel: &CancellationToken) -> Result<bool, StepFailure> {
        let has_begun = ["test", "-e", "/etc/kubernetes/admin.conf"];
        while !self.is_made() {
            let asked = self.docker.exec(&self.node(), &has_begun).await;
            if asked.is_ok_and(|output| output.exit_code == 0) {
                return Ok(self.upload_mirrors().await.is_ok());
            }
            pause(LOOK, cancel).await?;
        }
        Ok(false)
    }

    /// Waits for the end of the cluster's creation, where this run creates it.
    async fn await_made(&self, cancel: &CancellationToken) -> Result<(), StepFailure> {
        tokio::select! {
            () = self.made.cancelled() => Ok(()),
            () = cancel.cancelled() => Err(StepFailure::Interrupted),
        }
    }
}
