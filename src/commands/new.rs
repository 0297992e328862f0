//! `cmdr new`: creates a project from a template.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::NewOptions,
    error::CommandError,
    ops::{
        new::{self, NewProject, NewRequest},
        session::Session,
    },
    settings::OutputFormat,
    ui,
};

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NewDocument {
    project: String,
    template: String,
    /// `null` if the template has no choice of languages.
    language: Option<String>,
    /// Relative to the workspace, as all paths here.
    folder: PathBuf,
    /// The created files.
    created: Vec<PathBuf>,
    /// The files of the workspace that were changed.
    changed: Vec<PathBuf>,
    /// What is left to do.
    notes: Vec<String>,
    /// Whether nothing was written.
    dry_run: bool,
}

/// # Errors
/// When something is missing or wrong, or a file cannot be written.
pub(super) async fn new(session: &Session, options: &NewOptions) -> Result<(), CommandError> {
    let NewOptions { name, template, language, folder, set, no_pipeline } = options.clone();
    let request = NewRequest { name, template, language, folder, set, without_pipeline: no_pipeline };
    let project = new::prepare(session, &request).await?;
    if !session.settings.dry_run {
        new::write(&project)?;
    }
    let document = document(session, &project);
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", serde_json::json!(document))),
        OutputFormat::Text => show(session, &project, &document),
    }
    Ok(())
}

fn document(session: &Session, project: &NewProject) -> NewDocument {
    let root = &session.loaded.workspace.root;
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
    let folder = below(&project.folder);
    NewDocument {
        project: project.name.to_string(),
        template: project.template.clone(),
        language: project.language.clone(),
        created: project.files.keys().map(|file| folder.join(file)).collect(),
        changed: project.edits.iter().map(|(edited, _)| below(&edited.path)).collect(),
        folder,
        notes: project.notes.clone(),
        dry_run: session.settings.dry_run,
    }
}

fn show(session: &Session, project: &NewProject, document: &NewDocument) {
    let would = if document.dry_run { "would " } else { "" };
    let files = |what: &str, paths: &[PathBuf]| {
        let lines: String = paths.iter().map(|path| format!("  {}\n", path.display())).collect();
        format!("{would}{what}:\n{lines}")
    };
    ui::print(&(files("create", &document.created) + &files("change", &document.changed)));
    if document.dry_run {
        let lines: String = project.entry.lines().map(|line| format!("    {line}\n")).collect();
        ui::print(&format!("the entry of projects.yaml:\n  {}:\n{lines}", project.name));
    }
    for note in &project.notes {
        session.note(note);
    }
    if !document.dry_run {
        session.note(&format!("created '{}'; deploy it with `cmdr up {}`", project.name, project.name));
    }
}
