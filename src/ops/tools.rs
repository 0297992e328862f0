//! Finds the programs that a command needs: those on PATH, those that cmdr downloaded, or, after one question, a download.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        download::{DownloadError, Downloader},
        host,
        process::find_program,
        tool_folder::{ToolError, ToolFolder},
    },
    domain::{
        Problem,
        pinned_tools::{HELM, KIND, PinnedTool, SOPS, ToolFile, ToolPlatform},
        preflight::is_supported,
    },
    error::{CommandError, ErrorKind},
    ops::{secrets::uses_sops, session::Session},
    settings::{Settings, display_path},
    ui,
};

/// The path of the program for a tool: on PATH, else the one that cmdr downloaded; its name, if there is none.
pub(crate) fn program(settings: &Settings, tool: &PinnedTool) -> PathBuf {
    if let Some(found) = find_program(tool.name, &settings.variables.path) {
        return found;
    }
    ToolFolder::in_cache(&settings.folders.cache).installed(tool).unwrap_or_else(|| PathBuf::from(tool.name))
}

/// Returns a program that cmdr downloaded, because the one on PATH is missing or has a version that is not supported.
/// It is downloaded first, together with everything else that is missing, after one question.
///
/// # Errors
/// `problem` and the files to bring, if the user does not want the download; or why the download failed.
pub(crate) async fn provide(
    session: &Session,
    tool: &'static PinnedTool,
    problem: Problem,
) -> Result<PathBuf, CommandError> {
    let folder = ToolFolder::in_cache(&session.settings.folders.cache);
    if let Some(program) = folder.installed(tool) {
        return Ok(program);
    }
    let missing = missing(session, tool, &folder).await;
    let Some(files) = files(&missing, session.user.tools_mirror.as_deref()) else {
        return Err(CommandError::failed(problem));
    };
    let settings = &session.settings;
    let names: Vec<String> = missing.iter().map(|tool| format!("{} {}", tool.name, tool.version)).collect();
    let (names, shown) = (names.join(", "), display_path(folder.path(), &settings.home));
    let is_wanted = settings.yes || (settings.may_ask() && ui::confirm(&format!("Download {names} to {shown}?")));
    if !is_wanted {
        let install = problem.help.clone().unwrap_or_else(|| format!("install {}", tool.name));
        let help = format!("{install}, or download it with --yes; {}", files_to_bring(&files, &shown));
        return Err(CommandError::failed(problem.help(help)));
    }
    session.note(&format!("downloading {names}"));
    let downloader = downloader(session)?;
    for (tool, file) in missing.iter().zip(&files) {
        folder.install(tool, file, &downloader).await.map_err(|error| failed(&error, &files, &shown))?;
    }
    Ok(folder.installed(tool).unwrap_or_else(|| PathBuf::from(tool.name)))
}

fn downloader(session: &Session) -> Result<Downloader, CommandError> {
    let authority = session.certificate_authority()?;
    let made = Downloader::new(authority.as_deref(), &session.cancel);
    made.map_err(|why| CommandError::failed(Problem::new(format!("cannot download: {why}"))))
}

/// `tool`, and the other programs that the environment needs and that are neither on PATH nor downloaded.
async fn missing(session: &Session, tool: &'static PinnedTool, folder: &ToolFolder) -> Vec<&'static PinnedTool> {
    let is_local = session.environment.is_local();
    let needed = [(&KIND, is_local), (&HELM, true), (&SOPS, uses_sops(session))];
    let mut missing = Vec::new();
    for (other, is_needed) in needed {
        let is_other = other.name != tool.name;
        let is_absent =
            !is_other || (is_needed && folder.installed(other).is_none() && !is_usable(other, &session.cancel).await);
        if is_absent {
            missing.push(other);
        }
    }
    missing
}

/// Whether the program on PATH has a supported version.
async fn is_usable(tool: &PinnedTool, cancel: &CancellationToken) -> bool {
    host::tool(tool.name, Path::new(tool.name), cancel).await.is_some_and(|found| is_supported(&found))
}

/// The file of each program for this machine; `None` if one of them has none.
fn files(tools: &[&PinnedTool], mirror: Option<&str>) -> Option<Vec<ToolFile>> {
    let platform = ToolPlatform::of(std::env::consts::OS, std::env::consts::ARCH)?;
    tools.iter().map(|tool| tool.file_for(platform, mirror)).collect()
}

/// What to do without internet access.
fn files_to_bring(files: &[ToolFile], folder: &str) -> String {
    let list: String = files.iter().map(|file| format!("\n    {} (SHA-256 {})", file.url, file.checksum)).collect();
    format!("without internet access, put these files into {folder}:{list}")
}

fn failed(error: &ToolError, files: &[ToolFile], folder: &str) -> CommandError {
    if matches!(error, ToolError::Download(DownloadError::Interrupted)) {
        return CommandError::reported(ErrorKind::Interrupted);
    }
    let help = match error {
        ToolError::Download(DownloadError::Checksum { .. }) => {
            "do not use this file; correct the mirror of CMDR_TOOLS_MIRROR, or try again".to_owned()
        }
        _ => format!("set CMDR_TOOLS_MIRROR to a mirror; {}", files_to_bring(files, folder)),
    };
    CommandError::failed(Problem::of(error).help(help))
}
