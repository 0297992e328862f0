//! Reads the variables and files of a container from its node, as the kubelet resolved them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::adapters::docker::{Docker, DockerError};

/// Where containerd stores what the kubelet requested.
const METADATA: &str = "io.cri-containerd.container.metadata";
/// Prints the archive of each path, one a line. What the kubelet uses to replace files at once is left out.
const ARCHIVE: &str = r#"
for path; do
  if [[ -d $path ]]; then folder=$path name=.; else folder=${path%/*} name=${path##*/}; fi
  tar --create --dereference --exclude='./..*' --directory "$folder" "$name" | base64 --wrap=0
  echo
done
"#;

/// The variables and mounts of a container.
#[derive(Debug, Clone, Default)]
pub struct ContainerFacts {
    /// Without those of its image.
    pub variables: BTreeMap<String, String>,
    /// The paths in the node, by the path in the container.
    pub mounts: BTreeMap<String, String>,
}

/// A folder or a file that is mounted in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerMount {
    /// The path in the container.
    pub path: String,
    /// The path in the node.
    pub source: String,
}

/// A mount whose content is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Folder,
    File,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "Extensions")]
    extensions: BTreeMap<String, Extension>,
}

#[derive(Deserialize)]
struct Extension {
    value: String,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "Metadata")]
    metadata: KubeletRequest,
}

#[derive(Deserialize)]
struct KubeletRequest {
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    envs: Vec<Variable>,
    #[serde(default)]
    mounts: Vec<RequestedMount>,
}

#[derive(Deserialize)]
struct Variable {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct RequestedMount {
    container_path: String,
    host_path: String,
}

/// Reads what the kubelet requested for a container; it need not be running any more.
///
/// # Errors
/// If the engine returns an error. `Ok(None)` if the node does not know the container, or describes it in another way.
pub async fn read_container(docker: &Docker, node: &str, id: &str) -> Result<Option<ContainerFacts>, DockerError> {
    let output = docker.exec(node, &["ctr", "-n", "k8s.io", "containers", "info", id]).await?;
    Ok(facts(&output.stdout))
}

fn facts(text: &str) -> Option<ContainerFacts> {
    let info: Info = serde_json::from_str(text).ok()?;
    let stored = STANDARD.decode(&info.extensions.get(METADATA)?.value).ok()?;
    let config = serde_json::from_slice::<Stored>(&stored).ok()?.metadata.config;
    Some(ContainerFacts {
        variables: config.envs.into_iter().map(|it| (it.key, it.value)).collect(),
        mounts: config.mounts.into_iter().map(|it| (it.container_path, it.host_path)).collect(),
    })
}

/// Copies mounts from the node to their paths below `folder`. Returns what each one is.
///
/// # Errors
/// If the engine returns an error, or a file cannot be written.
pub async fn read_files(
    docker: &Docker,
    node: &str,
    mounts: &[ContainerMount],
    folder: &Path,
) -> Result<Vec<Fetched>, DockerError> {
    if mounts.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = vec!["bash", "-c", ARCHIVE, "archive"];
    args.extend(mounts.iter().map(|mount| mount.source.as_str()));
    let output = docker.exec(node, &args).await?;
    let unpacked = output.stdout.lines().zip(mounts).map(|(line, mount)| {
        let why = |error: io::Error| DockerError::File {
            container: node.to_owned(),
            path: mount.path.clone(),
            why: format!("cannot be copied: {error}"),
        };
        unpack(line, &folder.join(mount.path.trim_start_matches('/'))).map_err(why)
    });
    unpacked.collect()
}

fn unpack(line: &str, target: &Path) -> io::Result<Fetched> {
    let bytes = STANDARD.decode(line).map_err(io::Error::other)?;
    let mut archive = tar::Archive::new(bytes.as_slice());
    archive.set_preserve_permissions(true);
    let mut fetched = Fetched::File;
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.components().all(|part| part == Component::CurDir) {
            fetched = Fetched::Folder;
            fs::create_dir_all(target)?;
        } else if fetched == Fetched::Folder {
            entry.unpack_in(target)?;
        } else {
            fs::create_dir_all(target.parent().unwrap_or(target))?;
            entry.unpack(target)?;
        }
    }
    Ok(fetched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_or_a_file_is_unpacked_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let packed = |entries: &[(&str, &[u8])]| {
            let mut builder = tar::Builder::new(Vec::new());
            for (path, content) in entries {
                let mut header = tar::Header::new_gnu();
                header.set_mode(if path.ends_with('/') { 0o755 } else { 0o600 });
                header.set_entry_type(if path.ends_with('/') {
                    tar::EntryType::Directory
                } else {
                    tar::EntryType::Regular
                });
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, *content).unwrap();
            }
            STANDARD.encode(builder.into_inner().unwrap())
        };
        let target = folder.path().join("etc/app");
        let line = packed(&[("./", b""), ("./a.toml", b"x"), ("./sub/", b""), ("./sub/b", b"y")]);
        assert_eq!(unpack(&line, &target).unwrap(), Fetched::Folder);
        assert_eq!(fs::read(target.join("sub/b")).unwrap(), b"y");
        let target = folder.path().join("run/secrets/token");
        assert_eq!(unpack(&packed(&[("0", b"secret")]), &target).unwrap(), Fetched::File);
        assert_eq!(fs::read(target).unwrap(), b"secret");
    }

    #[test]
    fn variables_and_mounts_are_those_that_the_kubelet_requested() {
        let stored = r#"{"Version":"v1","Metadata":{"Config":{
            "envs":[{"key":"A","value":"1"},{"key":"EMPTY"}],
            "mounts":[{"container_path":"/etc/app","host_path":"/var/lib/kubelet/pods/x"}]}}}"#;
        let value = STANDARD.encode(stored);
        let facts =
            facts(&format!(r#"{{"Extensions":{{"{METADATA}":{{"type_url":"x","value":"{value}"}}}}}}"#)).unwrap();
        assert_eq!(facts.variables.get("A").map(String::as_str), Some("1"));
        assert_eq!(facts.variables.get("EMPTY").map(String::as_str), Some(""));
        assert_eq!(facts.mounts.get("/etc/app").map(String::as_str), Some("/var/lib/kubelet/pods/x"));
    }
}
