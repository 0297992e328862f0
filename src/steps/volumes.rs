//! Creates volumes on the local node before the pods that claim them start.

use futures::future::try_join_all;

use super::Runner;
use crate::{adapters::cluster::LocalVolume, domain::Problem, engine::StepFailure, plan::VolumeSpec};

/// The folder in which the node's own provisioner stores volumes (kind's storage manifest).
const FOLDER: &str = "/var/local-path-provisioner";

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
