//! `cmdr agent init`: a skill file for coding agents.

use std::{
    fs,
    path::{Component, Path},
};

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::AgentInitOptions,
    domain::{
        Problem,
        skill::{is_unedited, skill_text},
    },
    error::CommandError,
    ops::session::Session,
    settings::{OutputFormat, Settings},
    ui,
};

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WrittenSkill {
    /// The path below the workspace.
    pub(crate) file: String,
    /// `created`, `updated`, `unchanged`; with `--dry-run` what would be done.
    pub(crate) result: &'static str,
}

/// # Errors
/// When the file was edited and `--force` is not set, or it cannot be written.
pub(super) fn init(
    settings: Settings,
    cancel: CancellationToken,
    options: &AgentInitOptions,
) -> Result<(), CommandError> {
    let session = Session::open(settings, cancel)?;
    let (root, shown) = (&session.loaded.workspace.root, options.into.join("cmdr/SKILL.md"));
    if options.into.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        let cause = format!("--into {} is not below the workspace {}", options.into.display(), root.display());
        return Err(CommandError::usage(Problem::new(cause).help("choose a folder in the workspace")));
    }
    let file = root.join(&shown);
    let text = skill_text(&session.loaded.workspace);
    let result = match fs::read_to_string(&file) {
        Ok(current) if current == text => "unchanged",
        Ok(current) if is_unedited(&current) || options.force => "updated",
        Ok(_) => {
            let problem = Problem::new(format!("{} was edited: nothing was changed", shown.display()));
            return Err(CommandError::usage(problem.help("replace it with --force, or write another one with --into")));
        }
        Err(_) => "created",
    };
    if result != "unchanged" && !session.settings.dry_run {
        write(&file, &text)?;
    }
    let skill = WrittenSkill { file: shown.display().to_string(), result };
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(skill))),
        OutputFormat::Text => {
            let would = if session.settings.dry_run && result != "unchanged" { "would be " } else { "" };
            session.note(&format!("{}: {would}{result}", skill.file));
        }
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text));
    written.map_err(|error| {
        let problem = Problem::new(format!("cannot write {}: {error}", file.display()));
        CommandError::failed(problem.help("choose another folder with --into"))
    })
}
