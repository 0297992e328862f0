//! Copies of nodes in the engine, snapshots and kept nodes: listed, created, restored to a node, removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::{
    models::{
        ContainerConfig, ContainerCreateBody, HostConfig, Mount as NewMount, MountType, MountVolumeOptions, PortBinding,
    },
    query_parameters::{
        CommitContainerOptions, CreateContainerOptions, InspectContainerOptions, ListImagesOptions, RemoveImageOptions,
        TagImageOptions,
    },
};
use serde::{Deserialize, Serialize};

use super::{Docker, DockerError, volumes::HELPER_LABEL};
use crate::domain::snapshot::{NODE_IMAGE_LABEL, Snapshot, SnapshotKind, WORKSPACE_LABEL};

/// The prefix of cmdr's own labels.
const OWN_LABELS: &str = "cmdr/";

/// The configuration of a node's container, as Docker accepts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recipe {
    config: ContainerConfig,
    host: HostConfig,
}

/// The settings that change when a node is restored.
#[derive(Debug, Clone)]
pub struct NodePlace<'a> {
    /// The container's name.
    pub name: &'a str,
    /// The mount that marks the node as created by cmdr: its folder on the Docker host, and the new and the former
    /// mount point.
    pub mark_folder: &'a str,
    pub mark: &'a str,
    pub former_mark: &'a str,
    /// Ports of the node that are published at other ports of 127.0.0.1; 0: Docker chooses one.
    pub ports: &'a BTreeMap<u16, u16>,
}

impl Docker {
    /// Returns the complete snapshots of one or all workspaces, sorted by name. A partly deleted one is not included.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn snapshots(&self, kind: SnapshotKind, workspace: Option<&str>) -> Result<Vec<Snapshot>, DockerError> {
        let of_workspace = workspace.map(|workspace| format!("{WORKSPACE_LABEL}={workspace}"));
        let labels = of_workspace.into_iter().chain([kind.label().to_owned()]).collect();
        let filters = Some(HashMap::from([("label".to_owned(), labels)]));
        let listed = self.client.list_images(Some(ListImagesOptions { filters, ..ListImagesOptions::default() })).await;
        let listed = listed.map_err(DockerError::request("list snapshots"))?;
        let mut snapshots: Vec<Snapshot> = listed
            .iter()
            .filter_map(|image| {
                let snapshot = Snapshot::from_labels(kind, &image.labels)?;
                image.repo_tags.contains(&snapshot.reference()).then_some(snapshot)
            })
            .collect();
        snapshots.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(snapshots)
    }

    /// Removes the remains of interrupted copies and deletions of a workspace.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn sweep_snapshots(&self, workspace: &str) -> Result<(), DockerError> {
        self.sweep_copies(workspace).await?;
        let volumes = self.volumes(Some(&format!("{WORKSPACE_LABEL}={workspace}"))).await?;
        for kind in SnapshotKind::ALL {
            let whole = self.snapshots(kind, Some(workspace)).await?;
            let whole: BTreeSet<String> = whole.into_iter().map(|it| it.name).collect();
            let is_left = |name: &String| !whole.contains(name);
            for volume in volumes.iter().filter(|volume| volume.labels.get(kind.label()).is_some_and(is_left)) {
                self.remove_volume(&volume.name).await?;
            }
        }
        Ok(())
    }

    /// Returns the configuration of a node's container as JSON, for [`Docker::create_node`].
    ///
    /// # Errors
    /// If the engine returns an error, or the container does not exist.
    pub async fn describe_node(&self, container: &str) -> Result<String, DockerError> {
        let wrong = || DockerError::request(format!("inspect container {container}"));
        let inspected = self.client.inspect_container(container, None::<InspectContainerOptions>).await;
        let inspected = inspected.map_err(wrong())?;
        let mut recipe =
            Recipe { config: inspected.config.unwrap_or_default(), host: inspected.host_config.unwrap_or_default() };
        // A restored node inherits the labels of its image, which describe an earlier snapshot.
        recipe.config.labels.get_or_insert_default().retain(|label, _| !label.starts_with(OWN_LABELS));
        serde_json::to_string(&recipe).map_err(unreadable)
    }

    /// Creates the image of a snapshot. It is the last part: with it, the snapshot is complete.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn commit_snapshot(&self, container: &str, snapshot: &Snapshot) -> Result<(), DockerError> {
        let options = CommitContainerOptions {
            container: Some(container.to_owned()),
            repo: Some(snapshot.repository()),
            tag: Some(snapshot.name.clone()),
            pause: false,
            ..CommitContainerOptions::default()
        };
        let labels = snapshot.labels().into_iter().collect();
        let config = ContainerConfig { labels: Some(labels), ..ContainerConfig::default() };
        let committed = self.client.commit_container(options, config).await;
        committed.map_err(DockerError::request(format!("commit container {container}")))?;
        Ok(())
    }

    /// Creates a node from a snapshot's image, with empty volumes in place of the stored ones. The node is not started.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn create_node(&self, snapshot: &Snapshot, place: &NodePlace<'_>) -> Result<(), DockerError> {
        let wrong = || DockerError::request(format!("create container {}", place.name));
        let recipe: Recipe = serde_json::from_str(&snapshot.node).map_err(unreadable)?;
        // The image gets its own name, so that the snapshot can be deleted while the node is running.
        let (repository, tag) = restored_image(&snapshot.workspace);
        let options = TagImageOptions { repo: Some(repository), tag: Some(tag) };
        self.client.tag_image(&snapshot.reference(), Some(options)).await.map_err(wrong())?;
        let image = Self::restored_reference(&snapshot.workspace);
        let body = body(recipe, snapshot, place, image).map_err(unreadable)?;
        let options = CreateContainerOptions { name: Some(place.name.to_owned()), ..CreateContainerOptions::default() };
        self.client.create_container(Some(options), body).await.map_err(wrong())?;
        Ok(())
    }

    /// Reads one file of a snapshot's node, from a container that is not started; `None` if it does not exist.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn read_snapshot_file(&self, snapshot: &Snapshot, path: &str) -> Result<Option<Vec<u8>>, DockerError> {
        let wrong = || DockerError::request(format!("read the snapshot {}", snapshot.name));
        let binds = snapshot.volumes.iter().map(|kept| format!("{}:{}:ro,nocopy", kept.volume, kept.destination));
        let body = ContainerCreateBody {
            image: Some(snapshot.reference()),
            labels: Some(HashMap::from([(HELPER_LABEL.to_owned(), snapshot.workspace.clone())])),
            host_config: Some(HostConfig { binds: Some(binds.collect()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let container = self.client.create_container(None::<CreateContainerOptions>, body).await.map_err(wrong())?.id;
        let content = self.read_file(&container, path).await;
        // The image may declare volumes of its own, which are anonymous.
        self.remove(&container, true).await?;
        match content {
            Err(error) if error.is_not_found() => Ok(None),
            content => content.map(Some),
        }
    }

    /// Removes a snapshot, beginning with the image that makes it complete.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn delete_snapshot(&self, snapshot: &Snapshot) -> Result<(), DockerError> {
        self.remove_image(&snapshot.reference()).await?;
        for kept in &snapshot.volumes {
            self.remove_volume(&kept.volume).await?;
        }
        Ok(())
    }

    /// Removes the kept nodes of clusters that no longer exist, also unfinished ones, and returns the names of their
    /// volumes.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn remove_unused_kept_nodes(&self) -> Result<Vec<String>, DockerError> {
        let kind = SnapshotKind::KeptNode;
        let nodes = self.node_containers().await?;
        let is_unused = |workspace: &str| !nodes.iter().any(|node| node.cluster == workspace);
        for kept in self.snapshots(kind, None).await?.iter().filter(|kept| is_unused(&kept.workspace)) {
            self.remove_image(&kept.reference()).await?;
        }
        let volumes = self.volumes(Some(kind.label())).await?.into_iter();
        let unused = volumes.filter(|volume| volume.labels.get(WORKSPACE_LABEL).is_some_and(|it| is_unused(it)));
        let mut removed = Vec::new();
        for volume in unused {
            self.remove_volume(&volume.name).await?;
            removed.push(volume.name);
        }
        Ok(removed)
    }

    /// Removes the image name of a restored node; call it when the node no longer exists.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn forget_restored(&self, workspace: &str) -> Result<(), DockerError> {
        self.remove_image(&Self::restored_reference(workspace)).await
    }

    /// Returns the image name of a restored node.
    pub fn restored_reference(workspace: &str) -> String {
        let (repository, tag) = restored_image(workspace);
        format!("{repository}:{tag}")
    }

    async fn remove_image(&self, reference: &str) -> Result<(), DockerError> {
        let removed = self.client.remove_image(reference, None::<RemoveImageOptions>, None).await;
        match removed.map_err(DockerError::request(format!("remove image {reference}"))) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn restored_image(workspace: &str) -> (String, String) {
    (format!("cmdr-restored/{workspace}"), "node".to_owned())
}

fn unreadable(error: serde_json::Error) -> DockerError {
    let action = "read the configuration of the node".to_owned();
    DockerError::Request { action, source: error.into(), status: None }
}

fn body(
    recipe: Recipe,
    snapshot: &Snapshot,
    place: &NodePlace<'_>,
    image: String,
) -> Result<ContainerCreateBody, serde_json::Error> {
    let Recipe { mut config, mut host } = recipe;
    config.image = Some(image);
    // Its volumes are listed below, one by one.
    config.volumes = None;
    config.labels.get_or_insert_default().insert(NODE_IMAGE_LABEL.to_owned(), snapshot.node_image.clone());
    let kept: Vec<&str> = snapshot.volumes.iter().map(|kept| kept.destination.as_str()).collect();
    let binds = host.binds.take().unwrap_or_default().into_iter();
    let binds = binds.filter(|bind| !kept.contains(&destination(bind)) && destination(bind) != place.former_mark);
    host.binds = Some(binds.chain([format!("{}:{}:ro", place.mark_folder, place.mark)]).collect());
    let others = host.mounts.take().unwrap_or_default().into_iter();
    let others = others.filter(|mount| !mount.target.as_deref().is_some_and(|target| kept.contains(&target)));
    host.mounts = Some(others.chain(kept.iter().map(|target| empty_volume(target))).collect());
    for (port, published) in place.ports {
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(published.to_string()) };
        host.port_bindings.get_or_insert_default().insert(format!("{port}/tcp"), Some(vec![binding]));
    }
    let mut body: ContainerCreateBody = serde_json::from_value(serde_json::to_value(config)?)?;
    body.host_config = Some(host);
    Ok(body)
}

/// Returns an anonymous volume, which is removed with its container. Its content comes only from the snapshot.
fn empty_volume(target: &str) -> NewMount {
    NewMount {
        typ: Some(MountType::VOLUME),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..NewMount::default()
    }
}

/// Returns the mount point of a bind such as `/a:/b:ro`.
fn destination(bind: &str) -> &str {
    bind.split(':').nth(1).unwrap_or(bind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::KeptVolume;

    #[test]
    fn a_node_comes_back_as_it_was_made() {
        let node = r#"{
            "config": {"Hostname": "tunes-control-plane", "Volumes": {"/var": {}}, "Labels": {"io.x-k8s.kind.cluster": "tunes"}},
            "host": {
                "Binds": ["/lib/modules:/lib/modules:ro", "/old/node:/etc/cmdr/pool-a:ro", "/volumes/x:/var/lib/containerd"],
                "Privileged": true,
                "PortBindings": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4711"}]}
            }
        }"#;
        let kept = |destination: &str| KeptVolume { volume: "v".to_owned(), destination: destination.to_owned() };
        let snapshot = Snapshot {
            kind: SnapshotKind::Saved,
            workspace: "tunes".to_owned(),
            name: "before".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            node_image: "kindest/node:v1.34.0".to_owned(),
            version: "1".to_owned(),
            bytes: 1,
            volumes: vec![kept("/var"), kept("/var/lib/containerd")],
            files: None,
            node: node.to_owned(),
        };
        let place = NodePlace {
            name: "tunes-control-plane",
            mark_folder: "/new/node",
            mark: "/etc/cmdr/pool-b",
            former_mark: "/etc/cmdr/pool-a",
            ports: &BTreeMap::from([(6443, 0), (30047, 8080)]),
        };
        let body = body(serde_json::from_str(node).unwrap(), &snapshot, &place, "i".to_owned()).unwrap();
        let host = body.host_config.unwrap();
        let binds = ["/lib/modules:/lib/modules:ro", "/new/node:/etc/cmdr/pool-b:ro"];
        assert_eq!(host.binds.unwrap(), binds);
        let targets: Vec<Option<String>> = host.mounts.unwrap().into_iter().map(|mount| mount.target).collect();
        assert_eq!(targets, [Some("/var".to_owned()), Some("/var/lib/containerd".to_owned())]);
        assert_eq!((host.privileged, body.hostname.as_deref()), (Some(true), Some("tunes-control-plane")));
        assert_eq!(body.labels.unwrap()[NODE_IMAGE_LABEL], "kindest/node:v1.34.0");
        let ports = host.port_bindings.unwrap();
        let port = |port: &str| ports[port].clone().unwrap()[0].host_port.clone().unwrap();
        assert_eq!([port("6443/tcp"), port("30047/tcp")], ["0", "8080"]);
    }
}
