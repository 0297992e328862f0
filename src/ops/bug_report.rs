//! `cmdr doctor --report`: packs what helps to find a bug into one archive, without secrets.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{cluster::Cluster, host},
    config,
    domain::{
        Problem,
        preflight::{Finding, FoundTool},
        redact::{masked_urls, redacted},
        yaml,
    },
    error::CommandError,
    log,
    ops::{describe::namespaces_of, options::check_output_files, remote::access::RemoteAccess, session::Session},
    settings::Settings,
    steps::ClusterFolder,
};

/// The number of logs in a report.
const LOGS: usize = 10;
/// The timeout for reading the state of the cluster.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first line of each file of the workspace.
const REDACTED: &str = "# Written by cmdr doctor --report, without secret-looking values and comments.\n";

/// What `doctor` found.
#[derive(Debug, Clone, Copy)]
pub struct Diagnosis<'a> {
    pub findings: &'a [Finding],
    pub tools: &'a [FoundTool],
    /// `None` if the workspace is not valid.
    pub session: Option<&'a Session>,
}

/// A file of the report: its name and its content.
type ArchiveEntry = (String, Vec<u8>);

/// Refuses a file that exists or cannot be written, before anything is gathered.
///
/// # Errors
/// If the file exists, or its folder does not.
pub fn check_path(path: &Path) -> Result<(), CommandError> {
    let refused = |cause: String, help: &str| Err(CommandError::usage(Problem::new(cause).help(help)));
    if path.symlink_metadata().is_ok() {
        return refused(format!("--report: '{}' already exists", path.display()), "choose another file");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refused(format!("--report: folder not found: {}", folder.display()), "create the folder first");
    }
    check_output_files([("--report", path)].into_iter())
}

/// Writes the report and returns the names of the files in it.
///
/// # Errors
/// If the file exists or cannot be written.
pub async fn write(
    path: &Path,
    settings: &Settings,
    diagnosis: Diagnosis<'_>,
    cancel: &CancellationToken,
) -> Result<Vec<String>, CommandError> {
    let mut entries = vec![
        ("versions.txt".to_owned(), versions(diagnosis.tools, cancel).await.into_bytes()),
        ("findings.json".to_owned(), pretty(&redacted(&json!({ "findings": diagnosis.findings })))),
        ("cluster.json".to_owned(), pretty(&cluster(diagnosis.session).await)),
    ];
    entries.extend(workspace(&settings.directory));
    // At the end, so that the log of this run is complete.
    entries.extend(logs(&log::folder(&settings.folders.state)));
    pack(path, &entries).map_err(|error| {
        let cause = format!("cannot write the report {}: {error}", path.display());
        CommandError::failed(Problem::new(cause).help("choose another file"))
    })?;
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

async fn versions(tools: &[FoundTool], cancel: &CancellationToken) -> String {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let mut text = format!("cmdr {} ({system}, {processor})\n", env!("CARGO_PKG_VERSION"));
    for tool in tools {
        text.push_str(&format!("{} {}\n", tool.name, tool.version));
    }
    text.push_str(&format!("kubectl {}\n", host::kubectl(cancel).await));
    masked_urls(&text)
}

/// The state of the environment's cluster, or why it is unknown.
async fn cluster(session: Option<&Session>) -> Value {
    let Some(session) = session else { return json!({"unknown": "the workspace is not valid"}) };
    let read = async {
        let cluster = open(session).await?;
        Ok::<_, String>(cluster.overview(&namespaces_of(session)).await)
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(overview)) => json!({"environment": session.environment.name.as_str(), "state": overview}),
        Ok(Err(why)) => json!({"unknown": why}),
        Err(_) => json!({"unknown": format!("timed out after {} s", PATIENCE.as_secs())}),
    }
}

async fn open(session: &Session) -> Result<Cluster, String> {
    if !session.environment.is_local() {
        let access = RemoteAccess::follow(session).await;
        // Without the cause: the error of a credential plugin contains its output.
        let failed = |error: CommandError| format!("the cluster cannot be read: {:?}", error.kind);
        return access.map(|access| access.cluster).map_err(failed);
    }
    let folder = ClusterFolder(session.settings.cluster_folder(session.workspace().as_str()));
    let kubeconfig = folder.kubeconfig();
    if !kubeconfig.is_file() {
        return Err("there is no local cluster".to_owned());
    }
    Cluster::open(&kubeconfig, None).await.map_err(|_| "the kubeconfig cannot be read".to_owned())
}

/// The files of the workspace without secrets; none if there is no workspace.
fn workspace(directory: &Path) -> Vec<ArchiveEntry> {
    let files = config::read_files(directory).unwrap_or_default();
    let entry = |file: std::sync::Arc<config::SourceFile>| {
        let content = match yaml::read::<Value>(&file.text) {
            Ok(document) => format!("{REDACTED}{}", yaml::write(&redacted(&document))),
            // The text around a mistake may be part of a secret.
            Err(_) => "# left out by cmdr doctor --report: not valid YAML\n".to_owned(),
        };
        (format!("workspace/{}", inner(&file.path).display()), content.into_bytes())
    };
    files.into_iter().map(entry).collect()
}

/// The path without its root and `..`, so that an archive never writes outside of its folder.
fn inner(path: &Path) -> PathBuf {
    path.components().filter(|component| matches!(component, Component::Normal(_))).collect()
}

fn logs(folder: &Path) -> Vec<ArchiveEntry> {
    let entry = |path: &PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((format!("logs/{name}"), fs::read(path).ok()?))
    };
    log::newest(folder).iter().take(LOGS).filter_map(entry).collect()
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Writes the archive, which only its user can read.
fn pack(path: &Path, entries: &[ArchiveEntry]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = append(file, entries);
    if written.is_err() {
        // An incomplete archive would only confuse.
        let _ = fs::remove_file(path);
    }
    written
}

fn append(file: File, entries: &[ArchiveEntry]) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let time = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(time);
        archive.append_data(&mut header, format!("cmdr-report/{name}"), content.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_workspace_lose_their_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("projects.yaml", "version: 1\nname: shop\ninclude: [more.yaml, broken.yaml]\n# canary\nprojects: {}\n");
        write("more.yaml", "projects:\n  a:\n    image: a:1\n    values: {env: {API_TOKEN: canary, LEVEL: debug}}\n");
        write("broken.yaml", "projects: {a: [canary\n");
        write("projects.local.yaml", "projects: {a: {values: {secrets: {x: canary}}}}\n");
        let entries = workspace(folder.path());
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["projects.yaml", "more.yaml", "broken.yaml", "projects.local.yaml"];
        assert_eq!(names, expected.map(|name| format!("workspace/{name}")));
        let text: String = entries.iter().map(|(_, content)| String::from_utf8_lossy(content)).collect();
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("LEVEL: debug") && text.contains("left out"), "{text}");
    }

    #[test]
    fn an_archive_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.tar.gz");
        assert!(check_path(&path).is_ok());
        pack(&path, &[("a/b.txt".to_owned(), b"text".to_vec())]).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let names: Vec<PathBuf> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("cmdr-report/a/b.txt")]);
        assert!(check_path(&path).is_err() && pack(&path, &[]).is_err());
        assert!(check_path(&folder.path().join("nowhere/x.tar.gz")).is_err());
        assert_eq!(inner(Path::new("/../teams/x.yaml")), Path::new("teams/x.yaml"));
    }
}
