//! Kept nodes: keeps a copy of a new node before anything is installed on it, and starts the next cluster from it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{LOOK, LocalCluster, stop_start::wait_for_api};
use crate::{
    adapters::{
        docker::{CopyJob, DockerError, IMAGE_STORE},
        host,
        kind::configuration::{API_PORT, NODE_PORTS, lasting_configuration, mark, node_files},
        wait::{Wait, every},
    },
    domain::{
        Problem,
        kept_node::{NodeOrigin, is_outdated, key},
        pool::Pool,
        snapshot::{Snapshot, SnapshotKind},
    },
    engine::{Reporter, StepFailure},
};

/// The API of a node that starts from a copy responds within seconds; a busy laptop needs more.
const API_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes that stay free on the engine's disk when a node is kept.
const RESERVE: u64 = 1_000_000_000;
const MEGABYTE: u64 = 1_000_000;

impl LocalCluster {
    /// Returns the key of the node that this run would make with the image store in the folder `store`.
    pub(super) async fn kept_key(
        &self,
        pool: Pool,
        variables: &[(&'static str, String)],
        store: &str,
    ) -> Result<String, DockerError> {
        let (image, folder, mounts) = (self.node_image.to_string(), self.folder.node(), [(store, IMAGE_STORE)]);
        let origin = NodeOrigin {
            image_id: &self.docker.image_id(&self.node_image).await?,
            kind: &self.kind.version().to_string(),
            configuration: &lasting_configuration(&self.node_settings(pool, (&image, &folder), &mounts)),
            variables,
            files: &node_files(),
        };
        Ok(key(&origin))
    }

    /// Returns the kept node, if it is the same as the one that this run would make.
    async fn usable_kept(
        &self,
        pool: Pool,
        variables: &[(&'static str, String)],
    ) -> Result<Option<Snapshot>, DockerError> {
        let kept = self.docker.snapshots(SnapshotKind::KeptNode, Some(&self.name)).await?;
        // A volume that is not cmdr's is reported when the images are prepared.
        let store = self.docker.image_store_folder(&self.name).await.unwrap_or_default();
        let (Some(store), false) = (store, kept.is_empty()) else { return Ok(None) };
        let key = self.kept_key(pool, variables, &store).await?;
        let now = Timestamp::now();
        Ok(kept.into_iter().find(|kept| kept.name == key && !is_outdated(kept, now)))
    }

    /// Starts the cluster from the kept node; `None` if there is none that can be used. One that does not start is removed.
    pub(super) async fn start_from_kept(
        &self,
        pool: Pool,
        variables: &[(&'static str, String)],
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let Some(kept) = self.usable_kept(pool, variables).await? else { return Ok(None) };
        let started = tokio::select! {
            started = self.start_kept(&kept, pool, reporter, cancel) => started,
            () = cancel.cancelled() => Err(StepFailure::Interrupted),
        };
        if started.is_ok() {
            self.folder.finish().map_err(|error| self.cannot_write(&error))?;
            return Ok(Some(format!("{}, from the kept node", self.created())));
        }
        self.docker.sweep_copies(&self.name).await?;
        self.docker.remove(&self.node(), true).await?;
        self.docker.forget_restored(&self.name).await?;
        match started {
            Err(StepFailure::Failed(problem)) => {
                let cause = format!("the kept node did not start, and is removed: {}", problem.message);
                let warning = Problem { message: cause, help: None, ..*problem };
                reporter.warn(warning.detail("kind creates the cluster, which takes longer"));
                self.docker.delete_snapshot(&kept).await?;
                Ok(None)
            }
            failed => {
                self.abandon().await;
                failed.map(|()| None)
            }
        }
    }

    async fn start_kept(
        &self,
        kept: &Snapshot,
        pool: Pool,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        reporter.progress("copying the kept node");
        let free = host::free_port().map_err(|error| Problem::new(format!("no free port: {error}")))?;
        let ports = [(NODE_PORTS.0, self.http_port), (NODE_PORTS.1, self.https_port), (API_PORT, free)];
        let (mark, ports) = (mark(pool), BTreeMap::from(ports));
        let created = self.create_from(kept, &mark, &ports, cancel);
        let (store, ()) = tokio::try_join!(self.image_store(reporter), created)?;
        if store.is_none() {
            return Err(Problem::new("its images are not available").into());
        }
        reporter.progress("starting the kept node");
        let node = self.node();
        self.upload_start_files(&node).await?;
        self.docker.start(&node).await?;
        tokio::select! {
            reached = self.reach_kept(cancel) => reached,
            ended = self.docker.until_ended(&node) => {
                ended?;
                Err(Problem::new("its container ended").into())
            }
        }
    }

    /// Waits for the API of a started node, and gives the cluster its identity.
    async fn reach_kept(&self, cancel: &CancellationToken) -> Result<(), StepFailure> {
        let kubeconfig = self.folder.kubeconfig();
        self.kind.export_kubeconfig(&self.name, &kubeconfig, cancel).await?;
        let cluster = wait_for_api(&kubeconfig, API_TIMEOUT, cancel).await?;
        let node = self.node_container().await?;
        let mut wait = Wait::new(every(LOOK), API_TIMEOUT);
        // An API that was just started sometimes drops a connection.
        while let Err(error) = cluster.write_identity(&node.id).await {
            wait.pause_or(error, cancel).await?;
        }
        Ok(())
    }

    /// Keeps the node for the next cluster. If that fails, only time is lost.
    pub(super) async fn keep_node(&self, key: &str, reporter: &Reporter, cancel: &CancellationToken) {
        reporter.progress("keeping the node for the next cluster");
        let Err(failure) = self.try_to_keep(key, cancel).await else { return };
        if let StepFailure::Failed(problem) = failure {
            let cause = format!("the node cannot be kept for the next cluster: {}", problem.message);
            reporter.warn(Problem { message: cause, ..*problem });
        }
        // What is left is removed before the next copy.
        let _ = self.docker.sweep_snapshots(&self.name).await;
    }

    async fn try_to_keep(&self, key: &str, cancel: &CancellationToken) -> Result<(), StepFailure> {
        let engine = self.docker.info().await?;
        if let Some(free) = self.docker.free_disk_bytes(&engine).filter(|free| *free < RESERVE) {
            return Err(Problem::new(format!("only {} MB are free on Docker's disk", free / MEGABYTE)).into());
        }
        for former in self.docker.snapshots(SnapshotKind::KeptNode, Some(&self.name)).await? {
            self.docker.delete_snapshot(&former).await?;
        }
        self.docker.sweep_snapshots(&self.name).await?;
        let node = self.node_container().await?;
        let (folders, volumes) = self.volumes_of_copy(&node, SnapshotKind::KeptNode, key).await?;
        let job = CopyJob { cluster: &self.name, image: &self.helper_image(&node).await?, folders: &folders };
        self.docker.pause(&node.name).await?;
        let copied = self.copy(&job, cancel).await;
        self.docker.unpause(&node.name).await?;
        Ok(self.commit(&node, SnapshotKind::KeptNode, key, (volumes, copied?)).await?)
    }
}
