//! Publishes ports of projects on this machine, and stops and starts that with the cluster.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{LocalCluster, local_images::make_present};
use crate::{
    adapters::{
        docker::DockerError,
        wait::{Wait, every},
    },
    domain::{ImageReference, Problem, exposed::Forwarder},
    engine::{Reporter, StepFailure},
};

/// Names are resolved immediately, unless the DNS server of a new cluster has not started yet. Nothing depends on it.
const READY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

impl LocalCluster {
    /// Publishes these ports instead of those that are published now.
    pub(super) async fn publish_ports(
        &self,
        forwarder: &Forwarder,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        if forwarder.forwards.is_empty() {
            self.docker.remove_forwarder(&self.name).await?;
            return Ok(None);
        }
        let node = self.node_container().await?;
        let image = ImageReference::parse(&node.image).map_err(|error| Problem::new(error.to_string()))?;
        make_present(&self.docker, &self.mirrors, &image, reporter, cancel).await?;
        let made = self.docker.make_forwarder(&self.name, (&node.name, &node.image), forwarder).await;
        made.map_err(|error| cannot_publish(&error))?;
        let mut wait = Wait::new(every(LOOK), READY);
        while !self.docker.is_forwarding(&self.name).await && wait.sleep_or(()).await.is_ok() {}
        let published: Vec<String> = forwarder.forwards.iter().map(ToString::to_string).collect();
        Ok(Some(published.join(", ")))
    }

    /// Frees the published ports while the cluster does not run.
    pub(super) async fn stop_ports(&self) -> Result<(), StepFailure> {
        for forwarder in self.docker.forwarders(Some(&self.name)).await? {
            self.docker.stop(&forwarder.name, 0).await?;
        }
        Ok(())
    }

    /// Publishes the ports of a started cluster again. The cluster is useful without them.
    pub(super) async fn start_ports(&self, reporter: &Reporter) -> Result<(), StepFailure> {
        for forwarder in self.docker.forwarders(Some(&self.name)).await? {
            if let Err(error) = self.docker.start(&forwarder.name).await {
                reporter.warn(cannot_publish(&error));
            }
        }
        Ok(())
    }
}

fn cannot_publish(error: &DockerError) -> Problem {
    error.problem().help("stop the program that uses the port, or change environments.local.expose in projects.yaml")
}
