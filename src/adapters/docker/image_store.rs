//! The images of a local cluster, kept unpacked in a Docker volume that outlives it: a cluster that is made again
//! neither pulls nor unpacks what an earlier one had. Unpacking is most of what a node's processor does while a
//! platform comes up.

use std::collections::HashMap;

use bollard::{
    errors::Error,
    models::{ContainerCreateBody, HostConfig, Volume},
    query_parameters::{CreateContainerOptions, InspectContainerOptions, StartContainerOptions, WaitContainerOptions},
};
use futures::TryStreamExt;

use super::{Docker, DockerError};

/// Where containerd keeps everything, inside a node.
pub const IMAGE_STORE: &str = "/var/lib/containerd";
/// On the volume: the cluster whose images it keeps. Without it a volume is not cmdr's.
const CLUSTER_LABEL: &str = "cmdr/image-store";
/// On the volume: the ID of the node image that it was filled from. Another one may bring another containerd.
const NODE_IMAGE_LABEL: &str = "cmdr/node-image";
/// Makes a store ready for a new node.
const PREPARE: &str = include_str!("prepare-image-store.sh");
/// The script's word for a store that was not filled to its end, or has grown too large: begin again with an empty one.
const BEGIN_AGAIN: i64 = 3;

impl Docker {
    /// Makes the image store of a cluster ready for a new node of `node_image`: filled with that image's own images
    /// where it is new, without the containers of the node before where it is not. Gives its folder on the engine's
    /// machine, to be mounted at [`IMAGE_STORE`].
    ///
    /// # Errors
    /// When the engine refuses, or the volume of that name is somebody else's.
    pub async fn prepare_image_store(&self, cluster: &str, node_image: &str) -> Result<String, DockerError> {
        let inspected = self.client.inspect_image(node_image).await;
        let id = inspected.map_err(DockerError::request(format!("look at the image {node_image}")))?.id;
        let id = id.unwrap_or_default();
        for _ in 0..2 {
            let (folder, is_new) = self.store_volume(cluster, &id).await?;
            match self.run_prepare(cluster, node_image, is_new).await? {
                0 => return Ok(folder),
                BEGIN_AGAIN => self.remove_image_store(cluster).await?,
                code => return Err(failed(cluster, format!("its preparation ended with {code}"))),
            }
        }
        Err(failed(cluster, "it stays unfinished".to_owned()))
    }

    /// Removes the image store of a cluster; one that is not there is left alone.
    ///
    /// # Errors
    /// When the engine refuses, most often because a node still uses it.
    pub async fn remove_image_store(&self, cluster: &str) -> Result<(), DockerError> {
        if self.own_volume(cluster).await?.is_none() {
            return Ok(());
        }
        self.release_image_store(cluster).await?;
        self.remove_volume(&volume_name(cluster)).await
    }

    /// Removes the image stores of clusters that are gone, and gives the names of their volumes.
    ///
    /// # Errors
    /// When the engine refuses.
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

    /// The folder of the cluster's volume, made where there is none for this node image; and whether it is new.
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
            Ok(_) => Err(failed(cluster, "a volume of that name is not cmdr's own".to_owned())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(DockerError::request(format!("look at the volume {name}"))(error)),
        }
    }

    /// Runs [`PREPARE`] on the store, in a container of the node image: Docker fills a volume that is still empty with
    /// what that image has at the place where it is mounted.
    async fn run_prepare(&self, cluster: &str, node_image: &str, is_new: bool) -> Result<i64, DockerError> {
        let wrong = || DockerError::request(format!("prepare the image store {}", volume_name(cluster)));
        let body = ContainerCreateBody {
            image: Some(node_image.to_owned()),
            entrypoint: Some(
                ["sh", "-c", PREPARE, "prepare", if is_new { "new" } else { "known" }].map(str::to_owned).into(),
            ),
            labels: Some(HashMap::from([(CLUSTER_LABEL.to_owned(), cluster.to_owned())])),
            host_config: Some(HostConfig {
                // containerd tries its snapshotters out when it starts, by mounting.
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

    /// Removes the container that prepared the store, once no node uses it. Until then it stays, though it has ended:
    /// the node mounts a folder, of which `docker volume prune --all` knows nothing.
    ///
    /// # Errors
    /// When the engine refuses, or the container of that name is somebody else's.
    pub async fn release_image_store(&self, cluster: &str) -> Result<(), DockerError> {
        let name = volume_name(cluster);
        match self.client.inspect_container(&name, None::<InspectContainerOptions>).await {
            Ok(found) if is_of(found.config.as_ref().and_then(|config| config.labels.as_ref()), cluster) => {
                self.remove(&name, true).await
            }
            Ok(_) => Err(failed(cluster, "a container of that name is not cmdr's own".to_owned())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(DockerError::request(format!("look at the container {name}"))(error)),
        }
    }

    /// Starts a container and gives its exit code.
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

/// Of the volume, and of the container that prepares it.
fn volume_name(cluster: &str) -> String {
    format!("cmdr-images.{cluster}")
}

fn failed(cluster: &str, why: String) -> DockerError {
    DockerError::Request { action: format!("use the image store {}", volume_name(cluster)), why, status: None }
}
