//! The images of a local cluster, stored unpacked in a Docker volume that survives the cluster. A re-created cluster
//! need not pull or unpack images again. Unpacking takes most of a node's CPU time while a platform starts.

use std::collections::HashMap;

use bollard::{
    errors::Error,
    models::{ContainerCreateBody, HostConfig, Volume},
    query_parameters::{CreateContainerOptions, InspectContainerOptions, StartContainerOptions, WaitContainerOptions},
};
use futures::TryStreamExt;

use super::{Docker, DockerError};

/// The folder in a node where containerd stores all its data.
pub const IMAGE_STORE: &str = "/var/lib/containerd";
/// Label of the volume: the cluster whose images it stores. A volume without it does not belong to cmdr.
const CLUSTER_LABEL: &str = "cmdr/image-store";
/// Label of the volume: the ID of the node image that filled it. Another node image may contain another containerd.
const NODE_IMAGE_LABEL: &str = "cmdr/node-image";
/// Prepares a store for a new node.
const PREPARE: &str = include_str!("prepare-image-store.sh");
/// The script's exit code for a store that is incomplete or too large: start again with an empty one.
const BEGIN_AGAIN: i64 = 3;

impl Docker {
    /// Prepares the image store of a cluster for a new node of `node_image`. A new store is filled with the images in
    /// that node image; in an existing one, the containers of the previous node are removed. Returns its folder on the
    /// Docker host, to be mounted at [`IMAGE_STORE`].
    ///
    /// # Errors
    /// If the engine returns an error, or a volume with this name does not belong to cmdr.
    pub async fn prepare_image_store(&self, cluster: &str, node_image: &str) -> Result<String, DockerError> {
        let inspected = self.client.inspect_image(node_image).await;
        let id = inspected.map_err(DockerError::request(format!("inspect image {node_image}")))?.id;
        let id = id.unwrap_or_default();
        for _ in 0..2 {
            let (folder, is_new) = self.store_volume(cluster, &id).await?;
            match self.run_prepare(cluster, node_image, is_new).await? {
                0 => return Ok(folder),
                BEGIN_AGAIN => self.remove_image_store(cluster).await?,
                code => return Err(failed(cluster, format!("the preparation exited with code {code}"))),
            }
        }
        Err(failed(cluster, "it is incomplete after two attempts".to_owned()))
    }

    /// Returns the folder of a cluster's image store on the Docker host, if there is one. It may not be prepared.
    ///
    /// # Errors
    /// If the engine returns an error, or a volume with this name does not belong to cmdr.
    pub async fn image_store_folder(&self, cluster: &str) -> Result<Option<String>, DockerError> {
        Ok(self.own_volume(cluster).await?.map(|volume| volume.mountpoint))
    }

    /// Removes the image store of a cluster, if it exists.
    ///
    /// # Errors
    /// If the engine returns an error, most often because a node still uses it.
    pub async fn remove_image_store(&self, cluster: &str) -> Result<(), DockerError> {
        if self.own_volume(cluster).await?.is_none() {
            return Ok(());
        }
        self.release_image_store(cluster).await?;
        self.remove_volume(&volume_name(cluster)).await
    }

    /// Removes the image stores of clusters that no longer exist, and returns the names of their volumes.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn remove_unused_image_stores(&self) -> Result<Vec<String>, DockerError> {
        let nodes = self.node_containers().await?;
        let volumes = self.volumes(Some(CLUSTER_LABEL)).await?;
        let clusters = volumes.into_iter().filter_map(|mut volume| volume.labels.remove(CLUSTER_LABEL));
        let mut removed = Vec::new();
        for cluster in clusters.filter(|cluster| !nodes.iter().any(|node| node.cluster == *cluster)) {
            self.remove_image_store(&cluster).await?;
            removed.push(volume_name(&cluster));
        }
        Ok(removed)
    }

    /// Returns the folder of the cluster's volume, and whether it is new. Creates the volume if there is none for this
    /// node image.
    async fn store_volume(&self, cluster: &str, image_id: &str) -> Result<(String, bool), DockerError> {
        match self.own_volume(cluster).await? {
            Some(volume) if volume.labels.get(NODE_IMAGE_LABEL).is_some_and(|id| id == image_id) => {
                return Ok((volume.mountpoint, false));
            }
            Some(_) => self.remove_image_store(cluster).await?,
            None => (),
        }
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let labels = HashMap::from([label(CLUSTER_LABEL, cluster), label(NODE_IMAGE_LABEL, image_id)]);
        Ok((self.create_volume(&volume_name(cluster), labels).await?, true))
    }

    async fn own_volume(&self, cluster: &str) -> Result<Option<Volume>, DockerError> {
        let name = volume_name(cluster);
        match self.client.inspect_volume(&name).await {
            Ok(volume) if is_of(Some(&volume.labels), cluster) => Ok(Some(volume)),
            Ok(_) => Err(failed(cluster, "a volume with this name was not created by cmdr".to_owned())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(DockerError::request(format!("inspect volume {name}"))(error)),
        }
    }

    /// Runs [`PREPARE`] on the store, in a container of the node image: Docker fills an empty volume with the image's
    /// content at the mount point.
    async fn run_prepare(&self, cluster: &str, node_image: &str, is_new: bool) -> Result<i64, DockerError> {
        let wrong = || DockerError::request(format!("prepare the image store {}", volume_name(cluster)));
        let body = ContainerCreateBody {
            image: Some(node_image.to_owned()),
            entrypoint: Some(
                ["sh", "-c", PREPARE, "prepare", if is_new { "new" } else { "known" }].map(str::to_owned).into(),
            ),
            labels: Some(HashMap::from([(CLUSTER_LABEL.to_owned(), cluster.to_owned())])),
            host_config: Some(HostConfig {
                // containerd tests its snapshotters at startup by mounting.
                privileged: Some(true),
                network_mode: Some("none".to_owned()),
                binds: Some(vec![format!("{}:{IMAGE_STORE}", volume_name(cluster))]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.release_image_store(cluster).await?;
        let options = CreateContainerOptions { name: Some(volume_name(cluster)), ..CreateContainerOptions::default() };
        let container = self.client.create_container(Some(options), body).await.map_err(wrong())?.id;
        self.run_to_end(&container).await.map_err(wrong())
    }

    /// Removes the container that prepared the store, after the last node that uses it. Until then the container is
    /// kept, although it has exited: the node mounts a folder, so only this container protects the volume from `docker
    /// volume prune --all`.
    ///
    /// # Errors
    /// If the engine returns an error, or a container with this name does not belong to cmdr.
    pub async fn release_image_store(&self, cluster: &str) -> Result<(), DockerError> {
        let name = volume_name(cluster);
        match self.client.inspect_container(&name, None::<InspectContainerOptions>).await {
            Ok(found) if is_of(found.config.as_ref().and_then(|config| config.labels.as_ref()), cluster) => {
                self.remove(&name, true).await
            }
            Ok(_) => Err(failed(cluster, "a container with this name was not created by cmdr".to_owned())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(DockerError::request(format!("inspect container {name}"))(error)),
        }
    }

    /// Starts a container and returns its exit code.
    pub(super) async fn run_to_end(&self, container: &str) -> Result<i64, Error> {
        self.client.start_container(container, None::<StartContainerOptions>).await?;
        let ended = self.client.wait_container(container, None::<WaitContainerOptions>).try_collect::<Vec<_>>().await;
        match ended {
            Ok(words) => Ok(words.first().map_or(0, |word| word.status_code)),
            Err(Error::DockerContainerWaitError { code, .. }) => Ok(code),
            Err(error) => Err(error),
        }
    }
}

fn is_of(labels: Option<&HashMap<String, String>>, cluster: &str) -> bool {
    labels.and_then(|labels| labels.get(CLUSTER_LABEL)).is_some_and(|of| of == cluster)
}

/// The name of the volume, and of the container that prepares it.
fn volume_name(cluster: &str) -> String {
    format!("cmdr-images.{cluster}")
}

fn failed(cluster: &str, why: String) -> DockerError {
    DockerError::Request {
        action: format!("use the image store {}", volume_name(cluster)),
        source: why.into(),
        status: None,
    }
}
