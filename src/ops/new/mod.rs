//! Creates a project from a template: its files, its entry in `projects.yaml`, and its build in the GitLab pipeline.

mod answers;
mod pipeline;
mod render;
mod write;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    adapters::templates::{self, own_template, own_templates},
    config::{self, EditedFile, LoadError, ProjectHome, project_home, with_project},
    domain::{
        Name, Problem,
        nearest::nearest,
        project_template::{FileTree, MANIFEST, TemplateFiles, TemplateManifest},
    },
    error::CommandError,
    ops::session::{Session, load_error},
};
use answers::NewAnswers;
pub(crate) use write::write;

/// What is to be created, as far as it was said.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewRequest {
    pub name: Option<String>,
    pub template: Option<String>,
    pub language: Option<String>,
    /// The folder of the project, relative to the working directory.
    pub folder: Option<PathBuf>,
    /// Answers to the questions of the template, as `KEY=VALUE`.
    pub set: Vec<String>,
    pub without_pipeline: bool,
}

/// A project that is ready to be written.
#[derive(Debug)]
pub(crate) struct NewProject {
    pub name: Name,
    pub template: String,
    pub language: Option<String>,
    /// The absolute path of its folder.
    pub folder: PathBuf,
    /// By their paths below the folder.
    pub files: FileTree,
    /// The entry in `projects.yaml`.
    pub entry: String,
    /// The files of the workspace that get the project, with the text that they have now. `projects.yaml` is the last one.
    pub edits: Vec<(EditedFile, String)>,
    /// What the user has to do.
    pub notes: Vec<String>,
}

/// A template with its manifest.
struct ReadTemplate {
    files: TemplateFiles,
    manifest: TemplateManifest,
}

/// Reads, asks and renders; writes nothing.
///
/// # Errors
/// Everything that is wrong or missing in the request, the template, or the workspace.
pub(crate) async fn prepare(session: &Session, request: &NewRequest) -> Result<NewProject, CommandError> {
    let mut answers = NewAnswers::new(session, request)?;
    let name = answers.name(request)?;
    let home = project_home(&session.loaded.sources, &absolute(&session.settings.directory)?)
        .ok_or_else(|| CommandError::failed(Problem::new("the workspace has no projects.yaml")))?;
    let folder = folder(session, request, &home, &name)?;
    let template = NewAnswers::template(request, &descriptions(session))?;
    let read = read_template(session, &template).await?;
    let language = answers.language(request, &template, &read.manifest)?;
    let mut variables = answers.rest(&read.manifest)?;
    let context = relative(&folder, home.folder())?;
    let known = [
        ("name", name.as_str()),
        ("folder", context.as_str()),
        ("template", template.as_str()),
        ("language", language.as_deref().unwrap_or_default()),
        ("workspace", session.workspace().as_str()),
    ];
    variables.extend(known.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let rendered = render::render(&read.files, &read.manifest, &variables, language.as_deref())
        .map_err(|problem| CommandError::usage(problem.help("correct the template")))?;
    write::check_absent(&folder, &rendered.files)?;
    let edited = entered(session, &home, &name, &rendered.entry)?;
    let (mut edits, mut notes) = (Vec::new(), Vec::new());
    notes.extend(missing_image(session, &name, &rendered.entry));
    if !request.without_pipeline {
        let found = pipeline::edit(&session.loaded.workspace.root, &name, &folder);
        edits.extend(found.edit);
        notes.extend(found.note);
    }
    edits.push((edited, home.text().to_owned()));
    Ok(NewProject { name, template, language, folder, files: rendered.files, entry: rendered.entry, edits, notes })
}

/// What to add to an entry without an image, if the workspace has other environments than `local`.
fn missing_image(session: &Session, name: &Name, entry: &str) -> Option<String> {
    let has_others = session.loaded.workspace.environments.values().any(|environment| !environment.is_local());
    let has_image = entry.lines().any(|line| line.starts_with("image:") || line.starts_with("chart:"));
    (has_others && !has_image)
        .then(|| format!("other environments need its image: set `image: REGISTRY/{name}` under `projects.{name}`"))
}

/// The text of projects.yaml with the project, checked as every workspace is.
fn entered(session: &Session, home: &ProjectHome<'_>, name: &Name, entry: &str) -> Result<EditedFile, CommandError> {
    let shown = home.shown().display();
    let text = with_project(home, name, entry).ok_or_else(|| {
        let lines: String = entry.lines().map(|line| format!("\n      {line}")).collect();
        let help =
            format!("add it to `projects` yourself, and create the files in another workspace:\n    {name}:{lines}");
        CommandError::failed(Problem::new(format!("cannot add '{name}' to {shown}")).help(help))
    })?;
    let edited = EditedFile { path: home.path(), text };
    let checked = config::load_edited(&session.settings.directory, &edited);
    checked.map(|_| edited).map_err(|error| match error {
        LoadError::Invalid(_) => load_error(&error, session.settings.color),
        other => CommandError::failed(Problem::of(&other)),
    })
}

/// The folder of the new project.
fn folder(
    session: &Session,
    request: &NewRequest,
    home: &ProjectHome<'_>,
    name: &Name,
) -> Result<PathBuf, CommandError> {
    let Some(given) = &request.folder else { return Ok(home.folder().join(name.as_str())) };
    let root = &session.loaded.workspace.root;
    // An absolute path replaces the working directory.
    let wanted = absolute(&session.settings.directory)?.join(given);
    let wanted = config::join(Path::new("/"), &wanted.to_string_lossy());
    if wanted.starts_with(root) && wanted != *root {
        return Ok(wanted);
    }
    let cause = format!("--folder {} is not below the workspace {}", given.display(), root.display());
    Err(CommandError::usage(Problem::new(cause).help("choose a folder in the workspace")))
}

fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(path)
        .map_err(|error| CommandError::failed(Problem::new(format!("cannot resolve {}: {error}", path.display()))))
}

/// `folder` as it is written in a file of `base`, quoted if YAML needs it.
fn relative(folder: &Path, base: &Path) -> Result<String, CommandError> {
    let below = folder.strip_prefix(base).map_err(|_| {
        let cause = format!("{} is not below {}", folder.display(), base.display());
        CommandError::usage(Problem::new(cause).help("run cmdr in the folder of the workspace"))
    })?;
    let text = below.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._/-".contains(letter);
    let plain = text.chars().all(is_plain) && text.starts_with(|first: char| first.is_ascii_alphabetic());
    Ok(if plain { text } else { serde_json::json!(text).to_string() })
}

/// The names of all templates with their descriptions, those of the workspace first.
fn descriptions(session: &Session) -> Vec<(String, String)> {
    let own = &session.loaded.workspace.templates;
    let described =
        |name: &str| own_template(name).and_then(|files| manifest(&files).ok()).map(|read| read.description);
    let others = own_templates().filter(|name| !own.contains_key(*name));
    let others = others.map(|name| (name.to_owned(), described(name).unwrap_or_default()));
    own.keys().map(|name| (name.to_string(), "a template of this workspace".to_owned())).chain(others).collect()
}

async fn read_template(session: &Session, name: &str) -> Result<ReadTemplate, CommandError> {
    let files = match session.loaded.workspace.templates.get(name) {
        Some(source) => templates::read(source, &session.settings.folders.cache, &session.cancel)
            .await
            .map_err(|error| CommandError::failed(Problem::of(&error).help(format!("correct `templates.{name}`")))),
        None => own_template(name).ok_or_else(|| unknown_template(name, &descriptions(session))),
    }?;
    let manifest =
        manifest(&files).map_err(|report| load_error(&LoadError::Invalid(report), session.settings.color))?;
    Ok(ReadTemplate { files, manifest })
}

fn manifest(files: &TemplateFiles) -> Result<TemplateManifest, config::Report> {
    let text = files.own.get(MANIFEST).map(|file| String::from_utf8_lossy(&file.bytes).into_owned());
    config::read_manifest(&Path::new(&files.shown).join(MANIFEST), &text.unwrap_or_default())
}

fn unknown_template(name: &str, known: &[(String, String)]) -> CommandError {
    let names = || known.iter().map(|(name, _)| name.as_str());
    let help = match nearest(name, names()) {
        Some(close) => format!("did you mean '{close}'?"),
        None => format!("the templates are {}", names().collect::<Vec<_>>().join(", ")),
    };
    CommandError::usage(Problem::new(format!("unknown template '{name}'")).help(help))
}

/// Whether a path exists in any form, also as a link to nothing.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
