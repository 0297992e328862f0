//! Snapshots: saves a stopped cluster under a name, and replaces the cluster with a saved one.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{ClusterFolder, LocalCluster};
use crate::{
    adapters::{
        docker::{
            Copied, CopiedFolder, CopyJob, Docker, DockerError, IMAGE_STORE, Measured, Mount, NETWORK, NodeContainer,
            NodePlace,
        },
        host,
        kind::configuration::{API_PORT, mark, pool_of_mark},
    },
    domain::{
        Name, Problem,
        pool::Pool,
        snapshot::{KeptVolume, Snapshot, SnapshotKind, WORKSPACE_LABEL},
    },
    engine::{Reporter, StepFailure},
};

/// The folder in a node that contains all its data.
const STATE: &str = "/var";
/// The length of the name that Docker generates for an anonymous volume.
const ANONYMOUS: usize = 64;
const MEGABYTE: u64 = 1_000_000;
/// Creates an empty folder `X.part` for each of its arguments X that does not exist, and prints these.
const BEGIN_FOLDERS: &str = r#"for folder; do [[ -e $folder ]] || { rm -rf "$folder.part" && mkdir -p "$folder.part" && echo "$folder"; } || exit; done"#;
/// Renames the folders `X.part` to X, for each of its arguments X.
const COMPLETE_FOLDERS: &str = r#"for folder; do mv --no-target-directory "$folder.part" "$folder" || exit; done"#;

impl ClusterFolder {
    /// The file with the volumes of replaced clusters, to be removed after the new cluster is complete.
    fn given_up(&self) -> std::path::PathBuf {
        self.0.join("given-up")
    }
}

impl LocalCluster {
    /// Returns the size of a snapshot of the cluster, and the free space.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn measure(&self, node: &NodeContainer) -> Result<Measured, DockerError> {
        let image = self.helper_image(node).await?;
        let kept = self.kept_mounts(&node.mounts).await?;
        let folder = |(_, Mount { source, destination }): (String, Mount)| {
            let hidden = hidden(&destination, &node.mounts);
            CopiedFolder { from: source.clone(), to: source, hidden }
        };
        let folders: Vec<CopiedFolder> = kept.into_iter().map(folder).collect();
        self.docker.measure_copy(&CopyJob { cluster: &self.name, image: &image, folders: &folders }).await
    }

    pub(super) async fn save_snapshot(
        &self,
        name: &Name,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let node = self.node_container().await?;
        let (folders, volumes) = self.volumes_of_copy(&node, SnapshotKind::Saved, name.as_str()).await?;
        let image = self.helper_image(&node).await?;
        let job = CopyJob { cluster: &self.name, image: &image, folders: &folders };
        let bytes = self.docker.measure_copy(&job).await?.bytes;
        reporter.progress(format!("copying {} MB", bytes / MEGABYTE));
        let copied = self.copy(&job, cancel).await?;
        self.commit(&node, SnapshotKind::Saved, name.as_str(), (volumes, Copied { bytes, ..copied })).await?;
        Ok(Some(format!("{name}, {} MB", bytes / MEGABYTE)))
    }

    /// Creates the volumes of a copy of the node. A kept node has none for the images, whose own volume outlives the node.
    pub(super) async fn volumes_of_copy(
        &self,
        node: &NodeContainer,
        kind: SnapshotKind,
        name: &str,
    ) -> Result<(Vec<CopiedFolder>, Vec<KeptVolume>), DockerError> {
        let mut kept = self.kept_mounts(&node.mounts).await?;
        kept.retain(|(_, mount)| kind == SnapshotKind::Saved || mount.destination != IMAGE_STORE);
        let (mut folders, mut volumes) = (Vec::new(), Vec::new());
        for (number, (_, mount)) in kept.into_iter().enumerate() {
            let volume = Snapshot::volume_name(kind, &self.name, name, number);
            let labels = [(kind.label(), name), (WORKSPACE_LABEL, &self.name)];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let hidden = hidden(&mount.destination, &node.mounts);
            let to = self.docker.create_volume(&volume, HashMap::from(labels)).await?;
            folders.push(CopiedFolder { from: mount.source, to, hidden });
            volumes.push(KeptVolume { volume, destination: mount.destination });
        }
        Ok((folders, volumes))
    }

    /// Creates the image of a copy of the node, whose volumes are copied: with it, the copy is complete.
    pub(super) async fn commit(
        &self,
        node: &NodeContainer,
        kind: SnapshotKind,
        name: &str,
        (volumes, copied): (Vec<KeptVolume>, Copied),
    ) -> Result<(), DockerError> {
        let snapshot = Snapshot {
            kind,
            workspace: self.name.clone(),
            name: name.to_owned(),
            created: Timestamp::now(),
            node_image: node.image.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bytes: copied.bytes,
            volumes,
            files: Some(copied.files),
            node: self.docker.describe_node(&node.name).await?,
        };
        self.docker.commit_snapshot(&node.name, &snapshot).await
    }

    pub(super) async fn restore_snapshot(
        &self,
        snapshot: &Snapshot,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let former = former_mark(snapshot)?;
        let mark = mark(self.pool_again(&former).await?);
        reporter.progress("removing the current cluster");
        self.give_up().await?;
        let is_taken = self.api_port_taken(snapshot).await?;
        let ports = is_taken.then_some((API_PORT, 0)).into_iter().collect();
        reporter.progress(format!("copying {} MB", snapshot.bytes / MEGABYTE));
        self.create_from(snapshot, &mark, &ports, cancel).await?;
        self.folder.finish().map_err(|error| self.cannot_write(&error))?;
        Ok(Some(format!("{} of {}", snapshot.name, snapshot.created)))
    }

    /// Creates the node from a copy, with other ports than those of the copy. The node is not started.
    pub(super) async fn create_from(
        &self,
        snapshot: &Snapshot,
        mark: &str,
        ports: &BTreeMap<u16, u16>,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let (name, mark_folder) = (self.node(), self.folder.node().display().to_string());
        let former_mark = &former_mark(snapshot)?;
        let place = NodePlace { name: &name, mark_folder: &mark_folder, mark, former_mark, ports };
        self.docker.create_node(snapshot, &place).await?;
        let folders = self.folders_of_restore(snapshot).await?;
        let job = CopyJob { cluster: &self.name, image: &snapshot.reference(), folders: &folders };
        let copied = self.copy(&job, cancel).await?;
        if snapshot.files.as_ref().is_some_and(|files| *files != copied.files) {
            return Err(Problem::new("its copy is damaged: files are missing or have another size").into());
        }
        Ok(())
    }

    /// Copies folders below [`STATE`] from a snapshot to the running node, each to another path. A target that exists is
    /// complete, and is kept.
    pub(super) async fn copy_from_snapshot(
        &self,
        snapshot: &Snapshot,
        pairs: &[[String; 2]],
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let volumes = self.docker.volumes(Some(&format!("{WORKSPACE_LABEL}={}", self.name))).await?;
        let node = self.node_container().await?;
        let kept = snapshot.volumes.iter().find(|kept| kept.destination == STATE);
        let from = kept.and_then(|kept| volumes.iter().find(|volume| volume.name == kept.volume));
        let from = from.ok_or_else(|| Problem::new("a volume of the snapshot is missing"))?.mountpoint.clone();
        let to = node.mounts.iter().find(|mount| mount.destination == STATE);
        let to = to.ok_or_else(|| Problem::new(format!("the node has no volume at {STATE}")))?.source.clone();
        let targets: Vec<&str> = pairs.iter().map(|[_, target]| target.as_str()).collect();
        let missing = self.in_node(BEGIN_FOLDERS, &targets).await?;
        let missing: Vec<&str> = missing.lines().collect();
        let folders = pairs.iter().filter(|[_, target]| missing.contains(&target.as_str()));
        let folders: Vec<CopiedFolder> = folders
            .map(|[source, target]| CopiedFolder {
                from: source.replacen(STATE, &from, 1),
                to: format!("{}.part", target.replacen(STATE, &to, 1)),
                hidden: Vec::new(),
            })
            .collect();
        if folders.is_empty() {
            return Ok(());
        }
        let image = self.helper_image(&node).await?;
        self.copy(&CopyJob { cluster: &self.name, image: &image, folders: &folders }, cancel).await?;
        self.in_node(COMPLETE_FOLDERS, &missing).await?;
        Ok(())
    }

    /// Runs a script in the node, and returns what it prints.
    async fn in_node(&self, script: &str, words: &[&str]) -> Result<String, StepFailure> {
        let command: Vec<&str> = ["bash", "-c", script, "folders"].into_iter().chain(words.iter().copied()).collect();
        let output = self.docker.exec(&self.node(), &command).await?;
        if output.exit_code == 0 {
            return Ok(output.stdout);
        }
        Err(Problem::new("cannot write the folders of volumes on the node").detail(output.stderr.trim()).into())
    }

    /// Copies volumes, and cleans up after an interrupt.
    pub(super) async fn copy(&self, job: &CopyJob<'_>, cancel: &CancellationToken) -> Result<Copied, StepFailure> {
        tokio::select! {
            copied = self.docker.copy_volumes(job) => Ok(copied?),
            () = cancel.cancelled() => {
                self.docker.sweep_copies(&self.name).await?;
                Err(StepFailure::Interrupted)
            }
        }
    }

    /// Returns an image in the engine that contains the tools for copying.
    pub(super) async fn helper_image(&self, node: &NodeContainer) -> Result<String, DockerError> {
        let has_own = self.docker.has_image(&node.image).await?;
        Ok(if has_own { node.image.clone() } else { Docker::restored_reference(&self.name) })
    }

    /// Returns the mounts of volumes below [`STATE`], each with the volume's name. Parent folders come first.
    async fn kept_mounts(&self, mounts: &[Mount]) -> Result<Vec<(String, Mount)>, DockerError> {
        let volumes = self.docker.volumes(None).await?;
        let volume_of = |mount: &Mount| {
            volumes.iter().find(|volume| is_below(&mount.source, &volume.mountpoint)).map(|volume| volume.name.clone())
        };
        let state = mounts.iter().filter(|mount| is_below(&mount.destination, STATE));
        let mut kept: Vec<(String, Mount)> =
            state.filter_map(|mount| Some((volume_of(mount)?, mount.clone()))).collect();
        kept.sort_by(|(_, one), (_, other)| one.destination.cmp(&other.destination));
        Ok(kept)
    }

    /// Returns the pool of the snapshot's cluster, or another one if it is in use or the network has changed.
    async fn pool_again(&self, former: &str) -> Result<Pool, StepFailure> {
        let network = self.docker.ensure_network(NETWORK).await?;
        let nodes = self.docker.node_containers().await?;
        let others = nodes.iter().filter(|node| node.cluster != self.name).flat_map(|node| &node.mounts);
        let taken: Vec<Pool> = others.filter_map(|mount| pool_of_mark(&mount.destination)).collect();
        let is_free =
            |pool: &Pool| network.subnet.contains(pool.first) && !taken.iter().any(|other| pool.overlaps(*other));
        match pool_of_mark(former).filter(is_free) {
            Some(pool) => Ok(pool),
            None => self.choose_pool(&network).await,
        }
    }

    /// Removes the current node. Its volumes are removed later, by [`Self::remove_given_up`], because the disk is
    /// needed now. Until the new cluster is complete, the folder marks it as unfinished.
    async fn give_up(&self) -> Result<(), StepFailure> {
        let nodes = self.docker.node_containers().await?;
        let own: Vec<&NodeContainer> = nodes.iter().filter(|node| node.cluster == self.name).collect();
        self.folder.begin(None).map_err(|error| self.cannot_write(&error))?;
        let mut volumes = fs::read_to_string(self.folder.given_up()).unwrap_or_default();
        for node in &own {
            for (volume, _) in self.kept_mounts(&node.mounts).await? {
                if volume.len() == ANONYMOUS {
                    volumes.push_str(&format!("{volume}\n"));
                }
            }
        }
        fs::write(self.folder.given_up(), volumes).map_err(|error| self.cannot_write(&error))?;
        for node in own {
            self.docker.remove(&node.name, false).await?;
        }
        // The API may be another one with its own keys: an empty kubeconfig is rewritten at the next start.
        fs::write(self.folder.kubeconfig(), "").map_err(|error| self.cannot_write(&error))?;
        Ok(self.docker.forget_restored(&self.name).await?)
    }

    /// Removes the volumes of replaced clusters. Volumes that cannot be removed are retried later.
    pub async fn remove_given_up(&self) {
        let volumes = fs::read_to_string(self.folder.given_up()).unwrap_or_default();
        let mut left = String::new();
        for volume in volumes.lines() {
            if self.docker.remove_volume(volume).await.is_err() {
                left.push_str(&format!("{volume}\n"));
            }
        }
        let _ = if left.is_empty() {
            fs::remove_file(self.folder.given_up())
        } else {
            fs::write(self.folder.given_up(), left)
        };
    }

    /// Returns whether the port of the snapshot's API is in use.
    async fn api_port_taken(&self, snapshot: &Snapshot) -> Result<bool, StepFailure> {
        let Some(port) = snapshot.host_ports().get(&API_PORT).copied() else { return Ok(false) };
        let rootless = self.docker.info().await?.rootless;
        let holders = self.docker.port_holders().await?;
        Ok(holders.contains_key(&port) || !host::port_state(port, rootless).is_free())
    }

    /// Returns the folders of the snapshot's volumes, each with the folder of the new node's volume.
    async fn folders_of_restore(&self, snapshot: &Snapshot) -> Result<Vec<CopiedFolder>, StepFailure> {
        let volumes = self.docker.volumes(Some(&format!("{WORKSPACE_LABEL}={}", self.name))).await?;
        let mounts = self.node_container().await?.mounts;
        let folder = |kept: &KeptVolume| {
            let from = volumes.iter().find(|volume| volume.name == kept.volume)?.mountpoint.clone();
            let to = mounts.iter().find(|mount| mount.destination == kept.destination)?.source.clone();
            Some(CopiedFolder { from, to, hidden: hidden(&kept.destination, &mounts) })
        };
        let folders: Option<Vec<_>> = snapshot.volumes.iter().map(folder).collect();
        folders.ok_or_else(|| Problem::new("a volume of the snapshot is missing").into())
    }
}

/// Returns the folders below a mount point that other mounts hide, relative to it.
fn hidden(destination: &str, mounts: &[Mount]) -> Vec<String> {
    let below =
        mounts.iter().filter_map(|mount| std::path::Path::new(&mount.destination).strip_prefix(destination).ok());
    below.filter(|path| *path != std::path::Path::new("")).map(|path| path.display().to_string()).collect()
}

/// Returns the mount point that marks the node of a copy as created by cmdr.
fn former_mark(snapshot: &Snapshot) -> Result<String, StepFailure> {
    let former = snapshot.mounted().into_iter().find(|place| pool_of_mark(place).is_some());
    former.ok_or_else(|| Problem::new("the snapshot is not from a cluster that cmdr created").into())
}

/// Returns whether a path is this folder or inside it.
fn is_below(path: &str, folder: &str) -> bool {
    std::path::Path::new(path).starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_below_itself_and_no_namesake() {
        assert!(is_below("/var", STATE) && is_below("/var/lib/containerd", STATE));
        assert!(!is_below("/variant", STATE) && !is_below("/", STATE));
    }

    #[test]
    fn a_mount_hides_what_is_below_it() {
        let mount = |destination: &str| Mount { source: String::new(), destination: destination.to_owned() };
        let mounts = ["/lib/modules", "/var", "/var/lib/containerd", "/variant"].map(mount);
        assert_eq!(hidden("/var", &mounts), ["lib/containerd"]);
        assert_eq!(hidden("/var/lib/containerd", &mounts), Vec::<String>::new());
    }
}
