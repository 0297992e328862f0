//! Replaces this cmdr by a release, from the folder on the web that `install.sh` uses.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use semver::Version;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        download::{DownloadError, Downloader},
        process::Tool,
        tool_folder::unpack,
    },
    domain::{
        Problem,
        cmdr_release::{CHECKSUMS, CmdrRelease, other_installer, release_target, releases},
    },
    error::{CommandError, ErrorKind},
    ops::user_configuration,
    settings::{RELEASE_URL, Settings, own_program},
};

/// What the names of folders begin with that contain an unfinished program.
const UNFINISHED: &str = ".cmdr.new-";
/// An older unfinished folder was abandoned.
const ABANDONED: Duration = Duration::from_hours(1);

/// The releases, and how they are downloaded.
#[derive(Debug)]
pub(crate) struct ReleaseFolder {
    url: String,
    downloader: Downloader,
    target: &'static str,
}

impl ReleaseFolder {
    /// # Errors
    /// If there is no folder, or no release for this platform.
    pub(crate) fn open(settings: &Settings, cancel: &CancellationToken) -> Result<Self, CommandError> {
        let usage = |text: &str, help: &str| CommandError::usage(Problem::new(text).help(help));
        let url = settings.variables.download_url.as_deref().or(RELEASE_URL).filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| {
            usage("the URL of the releases is unknown", "set CMDR_DOWNLOAD_URL to the folder that contains SHA256SUMS")
        })?;
        let target = release_target(std::env::consts::OS, std::env::consts::ARCH).ok_or_else(|| {
            usage("there is no release for this platform", "build from source: cargo install --locked --path .")
        })?;
        let user = user_configuration::read(settings)?;
        let authority = user_configuration::certificate_authority(settings, &user)?;
        let downloader = Downloader::new(authority.as_deref(), cancel)
            .map_err(|why| CommandError::failed(Problem::new(format!("cannot download: {why}"))))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), downloader, target })
    }

    /// Returns the release with this version, or the newest one.
    ///
    /// # Errors
    /// If the folder cannot be read, or does not contain the version.
    pub(crate) async fn find(&self, version: Option<&Version>) -> Result<CmdrRelease, CommandError> {
        let sums = self.downloader.text(&format!("{}/{CHECKSUMS}", self.url)).await.map_err(|error| failed(&error))?;
        let all = releases(&sums, self.target);
        let names: Vec<String> = all.iter().map(|release| release.version.to_string()).collect();
        let found = all.into_iter().find(|release| version.is_none_or(|version| release.version == *version));
        found.ok_or_else(|| {
            let what = version.map_or_else(|| "a release".to_owned(), |version| format!("cmdr {version}"));
            let help = match names.as_slice() {
                [] => "set CMDR_DOWNLOAD_URL to the folder of a release".to_owned(),
                names => {
                    format!("it contains {}; set CMDR_DOWNLOAD_URL to the folder of another release", names.join(", "))
                }
            };
            CommandError::failed(
                Problem::new(format!("{} does not contain {what} for {}", self.url, self.target)).help(help),
            )
        })
    }

    /// Downloads, checks and starts the new program, which then replaces `program` as a whole.
    ///
    /// # Errors
    /// If a step fails; the program is then unchanged.
    pub(crate) async fn install(
        &self,
        release: &CmdrRelease,
        program: &Path,
        cancel: &CancellationToken,
    ) -> Result<(), CommandError> {
        let folder = program.parent().unwrap_or(program);
        remove_abandoned(folder);
        let work = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(folder);
        let work = work.map_err(|error| not_writable(folder, &error))?;
        let (archive, new) = (work.path().join("archive"), work.path().join("cmdr"));
        let url = format!("{}/{}", self.url, release.archive);
        self.downloader.file(&url, &archive, &release.checksum).await.map_err(|error| failed(&error))?;
        let wrong = |why: String| {
            CommandError::failed(
                Problem::new(format!("{url}: {why}")).help("cmdr was not changed; report this release"),
            )
        };
        let is_unpacked = unpack(&archive, &release.member(), &new).map_err(|error| wrong(error.to_string()))?;
        if !is_unpacked {
            return Err(wrong(format!("the archive does not contain {}", release.member())));
        }
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).map_err(|error| not_writable(folder, &error))?;
        let printed = Tool::new(&new).arg("--version").run(cancel).await;
        let printed = printed.map_err(|error| wrong(format!("cmdr does not run on this machine: {error}")))?.stdout;
        if printed.trim() != format!("cmdr {}", release.version) {
            return Err(wrong(format!("it contains {}", printed.trim())));
        }
        fs::rename(&new, program).map_err(|error| not_writable(folder, &error))
    }
}

/// The path of this program, if cmdr may replace it.
///
/// # Errors
/// If something else has installed it.
pub(crate) fn replaceable_program() -> Result<PathBuf, CommandError> {
    let program = own_program().and_then(fs::canonicalize);
    let program =
        program.map_err(|error| CommandError::failed(Problem::new(format!("cannot find this program: {error}"))))?;
    match other_installer(&program) {
        Some(help) => {
            let cause = format!("cmdr does not replace {}", program.display());
            Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)))
        }
        None => Ok(program),
    }
}

fn not_writable(folder: &Path, error: &std::io::Error) -> CommandError {
    let problem = Problem::new(format!("cannot write to {}: {error}", folder.display()));
    let help = "run it as the user who owns the folder, or install cmdr into ~/.local/bin with install.sh";
    CommandError::failed(problem.help(help))
}

fn failed(error: &DownloadError) -> CommandError {
    if matches!(error, DownloadError::Interrupted) {
        return CommandError::reported(ErrorKind::Interrupted);
    }
    let help = match error {
        DownloadError::Checksum { .. } => {
            "cmdr was not changed; download again, and do not use the file if it fails again"
        }
        _ => "cmdr was not changed; set CMDR_DOWNLOAD_URL to the folder of a release",
    };
    CommandError::failed(Problem::of(error).help(help))
}

/// Removes what killed runs have left.
fn remove_abandoned(folder: &Path) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_unfinished = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
        let modified = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
        if is_unfinished && modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED)) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
