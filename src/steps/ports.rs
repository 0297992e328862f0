//! Publishes ports of projects on this machine, and stops and starts that with the cluster.

use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{LocalCluster, local_images::make_present};
use crate::{
    adapters::{
        docker::{DockerError, ForwarderOwner},
        host::published_port_state,
        lock::Lock,
        wait::{Wait, every},
    },
    domain::{
        ImageReference, Problem,
        exposed::{Forwarder, PublishedPort, ports_of_copy},
        ports::PortState,
    },
    engine::{Reporter, StepFailure},
};

/// Names are resolved immediately, unless the DNS server of a new cluster has not started yet. Nothing depends on it.
const READY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);
/// How long another copy may publish its ports.
const PATIENCE: Duration = Duration::from_secs(30);

impl LocalCluster {
    /// Publishes these ports instead of those that are published now.
    pub(super) async fn publish_ports(
        &self,
        forwarder: &Forwarder,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        if forwarder.forwards.is_empty() {
            self.docker.remove_forwarder(self.forwarder_owner()).await?;
            return Ok(None);
        }
        let node = self.node_container().await?;
        let image = ImageReference::parse(&node.image).map_err(|error| Problem::new(error.to_string()))?;
        make_present(&self.docker, &self.mirrors, &image, reporter, cancel).await?;
        let owner = self.forwarder_owner();
        let (forwarder, _lock) = &self.with_free_ports(forwarder).await?;
        let made = self.docker.make_forwarder(owner, (&node.name, &node.image), forwarder).await;
        made.map_err(|error| cannot_publish(&error))?;
        let mut wait = Wait::new(every(LOOK), READY);
        while !self.docker.is_forwarding(owner).await && wait.sleep_or(()).await.is_ok() {}
        let published: Vec<String> = forwarder.forwards.iter().map(ToString::to_string).collect();
        Ok(Some(published.join(", ")))
    }

    /// Chooses again for a copy where another one has taken a port since the plan was made. The lock is held until the
    /// ports are published, because copies are brought up at the same time.
    async fn with_free_ports(&self, forwarder: &Forwarder) -> Result<(Forwarder, Option<Lock>), StepFailure> {
        let mut forwarder = forwarder.clone();
        if self.copy.is_none() {
            return Ok((forwarder, None));
        }
        let lock = Lock::take(&self.folder.0.with_extension("ports"), PATIENCE).await;
        let lock = lock.map_err(|error| Problem::of(&error))?;
        self.docker.remove_forwarder(self.forwarder_owner()).await?;
        let (holders, rootless) = (self.docker.published_ports().await?, self.docker.info().await?.rootless);
        let written: BTreeSet<PublishedPort> = forwarder.forwards.iter().map(|forward| forward.written).collect();
        let is_free = |port: PublishedPort| {
            !holders.contains_key(&port)
                && !written.contains(&port)
                && published_port_state(port, rootless) == PortState::Free
        };
        let kept = forwarder.forwards.iter().filter(|forward| is_free(forward.published));
        let kept = kept.map(|forward| (forward.written, forward.published)).collect();
        let chosen = ports_of_copy(written.iter(), &kept, is_free);
        for forward in &mut forwarder.forwards {
            forward.published = chosen[&forward.written];
        }
        Ok((forwarder, Some(lock)))
    }

    fn forwarder_owner(&self) -> ForwarderOwner<'_> {
        ForwarderOwner { workspace: &self.name, copy: self.copy.as_deref() }
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
