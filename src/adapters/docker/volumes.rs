//! Docker volumes: listed, created, copied, removed.

use std::{collections::HashMap, path::Path};

use bollard::{
    container::LogOutput,
    errors::Error,
    models::{ContainerCreateBody, HostConfig, Mount, MountType, Volume, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptions, ListContainersOptions, ListVolumesOptions, LogsOptions, RemoveVolumeOptions,
    },
};
use futures::TryStreamExt;

use super::{Docker, DockerError};

const KEEP: &str = include_str!("keep-volumes.sh");
/// Label of the containers that copy: their cluster.
pub(super) const HELPER_LABEL: &str = "cmdr/copies-for";

/// Folders on the Docker host to copy, each the folder of a volume or below one.
#[derive(Debug, Clone)]
pub struct CopyJob<'a> {
    /// The cluster whose volumes are copied.
    pub cluster: &'a str,
    /// An image with a shell and the tools of a Linux distribution.
    pub image: &'a str,
    pub folders: &'a [CopiedFolder],
}

/// A folder on the Docker host to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedFolder {
    pub from: String,
    pub to: String,
    /// Folders in it that other mounts hide: their content is not copied.
    pub hidden: Vec<String>,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The size on the disk, without what is shared with the source by hard links.
    pub bytes: u64,
    /// The checksum of the names and sizes of the files.
    pub files: String,
}

/// The size of a copy, and the free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    pub bytes: u64,
    pub free: u64,
}

impl Docker {
    /// Returns all volumes, or those with a label: `key`, or `key=value`.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn volumes(&self, label: Option<&str>) -> Result<Vec<Volume>, DockerError> {
        let filters = label.map(|label| HashMap::from([("label".to_owned(), vec![label.to_owned()])]));
        let listed = self.client.list_volumes(Some(ListVolumesOptions { filters })).await;
        Ok(listed.map_err(DockerError::request("list volumes"))?.volumes.unwrap_or_default())
    }

    /// Creates a volume; returns its folder on the Docker host.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn create_volume(&self, name: &str, labels: HashMap<String, String>) -> Result<String, DockerError> {
        let request =
            VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..VolumeCreateRequest::default() };
        let made = self.client.create_volume(request).await;
        Ok(made.map_err(DockerError::request(format!("create volume {name}")))?.mountpoint)
    }

    /// Removes a volume, if it exists.
    ///
    /// # Errors
    /// If the engine returns an error, most often because a container uses it.
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        let removed = self.client.remove_volume(name, None::<RemoveVolumeOptions>).await;
        match removed.map_err(DockerError::request(format!("remove volume {name}"))) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Returns the size of a copy, and the free space.
    ///
    /// # Errors
    /// If a folder does not exist, or the engine returns an error.
    pub async fn measure_copy(&self, job: &CopyJob<'_>) -> Result<Measured, DockerError> {
        let detail = self.run_keep("measure", job).await?;
        let mut numbers = detail.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(bytes)), Some(Ok(free))) => Ok(Measured { bytes, free }),
            _ => Err(failed("measure", &detail)),
        }
    }

    /// Copies the data of a stopped or paused node. The content of the target folders is replaced.
    ///
    /// # Errors
    /// If a folder does not exist, the disk is full, or the engine returns an error.
    pub async fn copy_volumes(&self, job: &CopyJob<'_>) -> Result<Copied, DockerError> {
        let detail = self.run_keep("copy", job).await?;
        let mut words = detail.split_whitespace();
        match (words.next().map(str::parse), words.next()) {
            (Some(Ok(bytes)), Some(files)) => Ok(Copied { bytes, files: files.to_owned() }),
            _ => Err(failed("copy", &detail)),
        }
    }

    /// Removes running containers of interrupted copies of a cluster.
    ///
    /// # Errors
    /// If the engine returns an error.
    pub async fn sweep_copies(&self, cluster: &str) -> Result<(), DockerError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{HELPER_LABEL}={cluster}")])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let listed = self.client.list_containers(Some(options)).await;
        for container in listed.map_err(DockerError::request("list containers"))?.into_iter().filter_map(|it| it.id) {
            self.remove(&container, true).await?;
        }
        Ok(())
    }

    /// Runs [`KEEP`] in a container that mounts all volumes in one place, because hard links need one file system.
    async fn run_keep(&self, what: &str, job: &CopyJob<'_>) -> Result<String, DockerError> {
        let wrong = || DockerError::request(format!("{what} volumes of {}", job.cluster));
        let root = job.folders.first().and_then(|folder| volumes_root(&folder.from));
        let root = root.ok_or_else(|| failed(what, "they are not in Docker's volume folder"))?;
        let below = |folder: &str| {
            let inner = Path::new(folder).strip_prefix(&root).ok().and_then(Path::to_str).map(str::to_owned);
            inner.ok_or_else(|| failed(what, &format!("{folder} is not below {root}")))
        };
        let mut words = ["sh", "-c", KEEP, "keep", what].map(str::to_owned).to_vec();
        for folder in job.folders {
            words.extend([below(&folder.from)?, below(&folder.to)?, folder.hidden.join(" ")]);
        }
        let body = ContainerCreateBody {
            image: Some(job.image.to_owned()),
            entrypoint: Some(words),
            cmd: Some(Vec::new()),
            labels: Some(HashMap::from([(HELPER_LABEL.to_owned(), job.cluster.to_owned())])),
            host_config: Some(HostConfig {
                // Only root may write some file attributes of image layers.
                privileged: Some(true),
                network_mode: Some("none".to_owned()),
                binds: Some(vec![format!("{root}:/volumes")]),
                // Otherwise Docker would fill a volume with the image's content at this path.
                mounts: Some(vec![Mount {
                    typ: Some(MountType::TMPFS),
                    target: Some("/var".to_owned()),
                    ..Mount::default()
                }]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let container = self.client.create_container(None::<CreateContainerOptions>, body).await.map_err(wrong())?.id;
        let ran = self.run_to_end(&container).await.map_err(wrong());
        let detail = self.detail(&container).await.map_err(wrong());
        self.remove(&container, true).await?;
        match (ran?, detail?) {
            (0, (printed, _)) => Ok(printed),
            (_, (_, complaints)) => Err(failed(what, &first_line(&complaints))),
        }
    }

    /// Returns the standard output and the standard error of a container.
    async fn detail(&self, container: &str) -> Result<(String, String), Error> {
        let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
        let parts: Vec<LogOutput> = self.client.logs(container, Some(options)).try_collect().await?;
        let (complaints, printed): (Vec<LogOutput>, Vec<LogOutput>) =
            parts.into_iter().partition(|part| matches!(part, LogOutput::StdErr { .. }));
        let text = |parts: Vec<LogOutput>| {
            parts.into_iter().map(|part| String::from_utf8_lossy(&part.into_bytes()).into_owned()).collect()
        };
        Ok((text(printed), text(complaints)))
    }
}

/// Returns the folder of all volumes, from a folder in one: `/var/lib/docker/volumes/x/_data`, or below it.
fn volumes_root(folder: &str) -> Option<String> {
    let volume = Path::new(folder).ancestors().find(|folder| folder.ends_with("_data"))?;
    Some(volume.parent()?.parent()?.to_str()?.to_owned())
}

/// Returns the first line, and the number of the others: on a full disk, there is one for each file.
fn first_line(complaints: &str) -> String {
    let mut lines = complaints.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => first.to_owned(),
        others => format!("{first}, and {others} more lines"),
    }
}

fn failed(what: &str, why: &str) -> DockerError {
    DockerError::Request { action: format!("{what} volumes"), source: why.into(), status: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_one_line() {
        let complaint = |file: &str| format!("cp: error writing '{file}': No space left on device\n");
        assert_eq!(first_line(&complaint("a")), complaint("a").trim());
        let all = complaint("a") + &complaint("b") + &complaint("c");
        assert_eq!(first_line(&all), format!("{}, and 2 more lines", complaint("a").trim()));
        assert_eq!(first_line("\n"), "");
    }

    #[test]
    fn volumes_lie_side_by_side() {
        assert_eq!(volumes_root("/var/lib/docker/volumes/x/_data").as_deref(), Some("/var/lib/docker/volumes"));
        assert_eq!(volumes_root("/var/lib/docker/volumes/x/_data/a/b").as_deref(), Some("/var/lib/docker/volumes"));
        assert_eq!(volumes_root("x"), None);
    }
}
