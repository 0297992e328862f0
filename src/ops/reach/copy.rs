//! Files to and from containers, as archives through `tar`.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncSeekExt};

use super::{
    DEBUG_IMAGE, ReachRequest,
    exec::{start_debug, stop_debug},
};
use crate::{
    adapters::cluster::{
        Cluster,
        exec::{ExecEnd, ExecStreams, ExecTarget},
    },
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::session::Session,
};

/// Says with its exit code whether the path is a folder, and whether its folder exists, if the image has `tar`.
const PROBE: &str = "command -v tar >/dev/null 2>&1 || exit 12; [ -d \"$1\" ] && exit 10; [ -e \"$1\" ] && exit 11; \
     [ -d \"$2\" ] && exit 13; exit 14";
const FOLDER: u8 = 10;
const FILE: u8 = 11;
const NO_TAR: u8 = 12;
const NO_FOLDER: u8 = 14;

/// Which way files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyPaths {
    FromContainer { remote: String, local: PathBuf },
    ToContainer { local: PathBuf, remote: String },
}

/// A container with `tar`, and where it sees the files of the target.
struct Archiver {
    cluster: Cluster,
    container: ExecTarget,
    /// Put before paths: the root or the working folder of the target, from its debug container.
    prefix: Option<&'static str>,
    state: u8,
    path: String,
}

/// Copies files or folders. Nothing is written before the whole archive has arrived.
///
/// # Errors
/// When a path does not exist, the container is not reachable, or it refuses to write.
pub async fn copy(session: &Session, request: &ReachRequest, paths: &CopyPaths) -> Result<(), CommandError> {
    if let CopyPaths::ToContainer { local, .. } = paths
        && !local.exists()
    {
        return Err(CommandError::usage(Problem::new(format!("file not found: {}", local.display()))));
    }
    let (cluster, target) = request.open(session, "cp").await?;
    let (CopyPaths::FromContainer { remote, .. } | CopyPaths::ToContainer { remote, .. }) = paths;
    let archiver = Archiver::open(session, cluster, target, (remote, request.image.as_deref())).await?;
    let copied = async {
        match paths {
            CopyPaths::FromContainer { local, .. } => archiver.fetch(local).await,
            CopyPaths::ToContainer { local, .. } => archiver.send(local).await,
        }
    };
    let copied = tokio::select! {
        copied = copied => copied,
        () = session.cancel.cancelled() => Err(CommandError::reported(ErrorKind::Interrupted)),
    };
    if archiver.prefix.is_some() {
        stop_debug(session, &archiver.cluster, &archiver.container, &request.project).await;
    }
    copied
}

impl Archiver {
    async fn open(
        session: &Session,
        cluster: Cluster,
        target: ExecTarget,
        (path, image): (&str, Option<&str>),
    ) -> Result<Self, CommandError> {
        let path = path.to_owned();
        let own = Self { cluster, container: target, prefix: None, state: NO_TAR, path };
        if let ExecEnd::Exited(state) = own.probe().await?
            && state != NO_TAR
        {
            return Ok(Self { state, ..own });
        }
        let image = image.unwrap_or(DEBUG_IMAGE);
        session.note(&format!("{} has no tar: starting a debug container ({image})", own.container.container));
        let container = start_debug(&own.cluster, &own.container, image).await?;
        let prefix = if own.path.starts_with('/') { "/proc/1/root" } else { "/proc/1/cwd/" };
        let mut debug = Self { container, prefix: Some(prefix), ..own };
        match debug.probe().await? {
            ExecEnd::Exited(state) => debug.state = state,
            end => return Err(debug.failed(&end, String::new())),
        }
        Ok(debug)
    }

    async fn probe(&self) -> Result<ExecEnd, CommandError> {
        let command = ["sh", "-c", PROBE, "probe", &self.shown(&self.path), &self.shown(split(&self.path).0)];
        Ok(self.cluster.output(&self.container, &command).await?.end)
    }

    /// A path as the container with `tar` sees it.
    fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.prefix.unwrap_or_default())
    }

    async fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: &mut (dyn tokio::io::AsyncWrite + Send + Unpin),
    ) -> Result<(ExecEnd, String), CommandError> {
        let mut errors = Vec::new();
        let streams = ExecStreams { input, output, errors: &mut errors, terminal: None };
        let end = self.cluster.exec(&self.container, command, streams).await?;
        Ok((end, String::from_utf8_lossy(&errors).trim().to_owned()))
    }

    async fn fetch(&self, local: &Path) -> Result<(), CommandError> {
        if self.state != FOLDER && self.state != FILE {
            return Err(CommandError::usage(Problem::new(format!("file not found in the container: {}", self.path))));
        }
        let (folder, name) = split(self.path.trim_end_matches('/'));
        let command = ["tar", "cf", "-", "-C", &self.shown(folder), "--", name].map(str::to_owned);
        let archive = tempfile::tempfile().map_err(|error| local_error(local, &error))?;
        let mut file = tokio::fs::File::from_std(archive);
        let (end, errors) = self.run(&command, None, &mut file).await?;
        if end != ExecEnd::Exited(0) {
            return Err(self.failed(&end, errors));
        }
        file.rewind().await.map_err(|error| local_error(local, &error))?;
        let (archive, name, local) = (file.into_std().await, name.to_owned(), local.to_owned());
        let shown = local.clone();
        let unpacked = tokio::task::spawn_blocking(move || unpack(archive, &name, &local)).await;
        unpacked
            .unwrap_or_else(|_| Err(std::io::Error::other("interrupted")))
            .map_err(|error| local_error(&shown, &error))
    }

    async fn send(&self, local: &Path) -> Result<(), CommandError> {
        if self.state == NO_FOLDER {
            let folder = split(&self.path).0;
            let problem = Problem::new(format!("folder not found in the container: {folder}"));
            return Err(CommandError::usage(problem.help("choose a folder that exists, or create it first")));
        }
        let own = local.canonicalize().map_err(|error| local_error(local, &error))?;
        let own_name = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (folder, name) = match self.state {
            FOLDER => (self.path.as_str(), own_name.as_str()),
            _ => split(&self.path),
        };
        let name = if name.is_empty() { own_name.as_str() } else { name };
        let packed = pack(&own, name).map_err(|error| local_error(local, &error))?;
        let input: Box<dyn AsyncRead + Send + Unpin> = Box::new(tokio::fs::File::from_std(packed));
        let command = ["tar", "xmf", "-", "-C", &self.shown(folder)].map(str::to_owned);
        match self.run(&command, Some(input), &mut tokio::io::sink()).await? {
            (ExecEnd::Exited(0), _) => Ok(()),
            (end, errors) => Err(self.failed(&end, errors)),
        }
    }

    fn failed(&self, end: &ExecEnd, errors: String) -> CommandError {
        let reason = match end {
            ExecEnd::Exited(code) if errors.is_empty() => format!("tar has ended with exit code {code}"),
            ExecEnd::Exited(_) => errors,
            ExecEnd::OutputClosed => "the output cannot be written".to_owned(),
            ExecEnd::NotFound(message) | ExecEnd::Failed(message) => message.clone(),
        };
        let is_read_only = reason.contains("Read-only file system");
        let cause = format!("cannot copy {} in the container '{}'", self.path, self.container.container);
        let problem = Problem { details: vec![reason], ..Problem::new(cause) };
        CommandError::failed(if is_read_only {
            problem.help(
                "the container's file system is read-only: copy into one of its volumes, or add a temporary volume",
            )
        } else {
            problem
        })
    }
}

/// The folder and the name of a path in a container.
fn split(path: &str) -> (&str, &str) {
    let whole = path.trim_end_matches('/');
    match whole.rsplit_once('/') {
        _ if path.ends_with('/') && path.len() > 1 => (whole, ""),
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None if whole.is_empty() => ("/", "."),
        None => (".", whole),
    }
}

fn local_error(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(Problem::new(format!("cannot copy {}: {error}", path.display())))
}

/// Writes the archive with one entry `name` to `local`: into it if it is a folder, else under this name.
fn unpack(archive: std::fs::File, name: &str, local: &Path) -> std::io::Result<()> {
    let parent = local.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = Path::new(name).file_name().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let (target, scratch_in) = if local.is_dir() { (local.join(&base), local) } else { (local.to_owned(), parent) };
    let scratch = tempfile::Builder::new().prefix(".cmdr-").tempdir_in(scratch_in)?;
    tar::Archive::new(std::io::BufReader::new(archive)).unpack(scratch.path())?;
    let arrived = scratch.path().join(&base);
    if target.is_dir() {
        return merge(&arrived, &target);
    }
    std::fs::rename(arrived, target)
}

/// Moves the content of a folder into an existing one.
fn merge(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let (entry, target) = (entry?.path(), to.to_owned());
        let target = target.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() && target.is_dir() {
            merge(&entry, &target)?;
        } else {
            std::fs::rename(&entry, &target)?;
        }
    }
    Ok(())
}

/// An archive of a file or folder, whose top entry is `name`.
fn pack(local: &Path, name: &str) -> std::io::Result<std::fs::File> {
    use std::io::Seek;
    let mut archive = tar::Builder::new(tempfile::tempfile()?);
    archive.follow_symlinks(false);
    if local.is_dir() {
        archive.append_dir_all(name, local)?;
    } else {
        archive.append_path_with_name(local, name)?;
    }
    let mut file = archive.into_inner()?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_path_has_a_folder_and_a_name() {
        for (path, parts) in [
            ("/etc/nginx/nginx.conf", ("/etc/nginx", "nginx.conf")),
            ("/etc", ("/", "etc")),
            ("data", (".", "data")),
            ("/tmp/", ("/tmp", "")),
            ("a/b", ("a", "b")),
        ] {
            assert_eq!(split(path), parts, "{path}");
        }
    }

    #[test]
    fn an_archive_arrives_under_its_new_name_or_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("from")).unwrap();
        fs::write(at("from/file"), "text").unwrap();
        unpack(pack(&at("from"), "conf").unwrap(), "conf", &at("new")).unwrap();
        assert_eq!(fs::read_to_string(at("new/file")).unwrap(), "text");
        fs::write(at("from/other"), "more").unwrap();
        fs::create_dir(at("into")).unwrap();
        for _ in 0..2 {
            unpack(pack(&at("from"), "conf").unwrap(), "conf", &at("into")).unwrap();
        }
        assert_eq!(fs::read_to_string(at("into/conf/other")).unwrap(), "more");
        unpack(pack(&at("from/file"), "file").unwrap(), "file", &at("copy")).unwrap();
        assert_eq!(fs::read_to_string(at("copy")).unwrap(), "text");
        assert_eq!(fs::read_dir(at("into")).unwrap().count(), 1, "nothing is left over");
    }
}
