//! Creates volumes on the local node before the pods that claim them start.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        cluster::{LocalVolume, SAVED_DATA, SavedData},
        kind::node_scripts::COPY_VOLUMES,
    },
    domain::{Problem, snapshot::Snapshot},
    engine::{Reporter, StepFailure},
    plan::{CopiedVolumes, DataPlace, DataSource, VolumeSpec},
};

/// The folder in which the node's own provisioner stores volumes (kind's storage manifest).
pub(super) const FOLDER: &str = "/var/local-path-provisioner";

impl Runner {
    /// Existing claims keep their volumes.
    pub(super) async fn provide_volumes(&self, volumes: &[VolumeSpec]) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let node = self.local()?.node();
        let there = try_join_all(volumes.iter().map(|it| cluster.has_claim(&it.namespace, &it.claim))).await?;
        let missing: Vec<(&VolumeSpec, String)> = volumes
            .iter()
            .zip(there)
            .filter(|(_, is_there)| !is_there)
            .map(|(it, _)| (it, format!("{FOLDER}/{}_{}", it.namespace, it.claim)))
            .collect();
        if !missing.is_empty() {
            cluster.let_nodes_read_volumes().await?;
        }
        self.make_folders(missing.iter().map(|(_, folder)| folder.as_str()).collect()).await?;
        let applied = missing.iter().map(|(volume, folder)| {
            let VolumeSpec { namespace, claim, size, access_mode } = volume;
            let volume = LocalVolume { node: &node, folder, namespace, claim, size, access_mode };
            async move { cluster.apply_volume(&volume).await }
        });
        try_join_all(applied).await?;
        Ok(Some(format!("{} of {}", missing.len(), volumes.len())))
    }

    /// Copies the folders of volumes before there are claims for them. Containers that use them are paused meanwhile, so
    /// that a database finds the state of one moment, as after a crash.
    pub(super) async fn copy_volumes(
        &self,
        copied: &CopiedVolumes,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let CopiedVolumes { source, volumes } = copied;
        let there = try_join_all(volumes.iter().map(|it| cluster.has_claim(&it.namespace, &it.claim))).await?;
        let mut found = match &source.place {
            DataPlace::Cluster { .. } => cluster.claim_folders(&source.namespace).await?,
            DataPlace::Snapshot(snapshot) => self.saved_data(snapshot).await?.claim_folders(&source.namespace),
        };
        let missing = volumes.iter().zip(there).filter(|(_, is_there)| !is_there).map(|(volume, _)| volume);
        let pairs: Vec<[String; 2]> = missing
            .filter_map(|it| Some([found.remove(&it.claim)?, format!("{FOLDER}/{}_{}", it.namespace, it.claim)]))
            .collect();
        found.retain(|claim, _| volumes.iter().all(|volume| volume.claim != *claim));
        if !found.is_empty() {
            reporter.warn(not_copied(&source.shown(), &found));
        }
        reporter.progress(format!("copying {} volumes of '{}'", pairs.len(), source.shown()));
        match &source.place {
            DataPlace::Cluster { .. } => self.copy_paused(source, &pairs).await?,
            DataPlace::Snapshot(snapshot) => self.local()?.copy_from_snapshot(snapshot, &pairs, cancel).await?,
        }
        Ok(Some(format!("{} of {} volumes of '{}'", pairs.len(), volumes.len(), source.shown())))
    }

    async fn copy_paused(&self, source: &DataSource, pairs: &[[String; 2]]) -> Result<(), StepFailure> {
        let local = self.local()?;
        let script = ["bash", "-c", COPY_VOLUMES, "copy-volumes"].into_iter();
        let command: Vec<&str> = script.chain(pairs.iter().flatten().map(String::as_str)).collect();
        let output = local.docker.exec(&local.node(), &command).await?;
        if output.exit_code == 0 {
            return Ok(());
        }
        let cause = format!("cannot copy the volumes of '{}' on the node", source.shown());
        Err(Problem::new(cause).detail(output.stderr.trim()).into())
    }

    /// Returns what the node of a snapshot saved before it stopped.
    pub(super) async fn saved_data(&self, snapshot: &Snapshot) -> Result<&SavedData, StepFailure> {
        let read = async || {
            let content = self.local()?.docker.read_snapshot_file(snapshot, SAVED_DATA).await?;
            let content = content.ok_or_else(|| no_saved_data(snapshot))?;
            SavedData::parse(&content).map_err(|error| no_saved_data(snapshot).detail(error.to_string()).into())
        };
        self.saved_data.get_or_try_init(read).await
    }

    /// The folders are writable for every user, like those of the provisioner, because only the pods know their owner.
    async fn make_folders(&self, folders: Vec<&str>) -> Result<(), StepFailure> {
        if folders.is_empty() {
            return Ok(());
        }
        let local = self.local()?;
        let command: Vec<&str> = ["mkdir", "--parents", "--mode", "0777"].into_iter().chain(folders).collect();
        let output = local.docker.exec(&local.node(), &command).await?;
        if output.exit_code == 0 {
            return Ok(());
        }
        Err(Problem::new("cannot create folders for volumes on the node").detail(output.stderr.trim()).into())
    }
}

fn no_saved_data(snapshot: &Snapshot) -> Problem {
    let cause =
        format!("the snapshot '{}' does not contain the passwords of its databases in a readable form", snapshot.name);
    Problem::new(cause).help(
        "it is from an older version of cmdr, or its cluster did not stop cleanly: restore it, then use \
         --data-from original",
    )
}

/// Only the names of claims of StatefulSets of the universal chart are known before their pods exist.
fn not_copied(source: &str, claims: &BTreeMap<String, String>) -> Problem {
    let names: Vec<&str> = claims.keys().map(String::as_str).collect();
    Problem::new(format!("volumes of '{source}' that are not copied: {}", names.join(", ")))
        .help("--data-from copies the volumes of StatefulSets of the universal chart; other volumes start empty")
}
