//! `cmdr render`: the manifests of a project, as Helm renders them from what `up` would pass to it, and those that cmdr
//! applies itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cli::RenderOptions,
    domain::{Name, Problem, ports::STANDARD, yaml},
    error::CommandError,
    ops::{
        describe::{describe, platform_names},
        manifest::manifest,
        options::UpRequest,
        own_objects::own_objects,
        selection::Selection,
        session::{Session, unknown},
    },
    settings::OutputFormat,
    ui,
};

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RenderDocument {
    /// The objects, in the order in which the chart renders them.
    Manifests(Vec<Value>),
    /// The values that the chart gets.
    Values(Value),
}

/// # Errors
/// When the project is unknown, its values are invalid or its chart does not render.
pub(super) async fn render(session: &Session, options: &RenderOptions) -> Result<(), CommandError> {
    let selection = selection(session, options)?;
    let helm = session.helm().await?;
    let described = describe(session, &helm, &selection, &UpRequest::default(), STANDARD).await?;
    let projects = described.projects.iter().map(|project| &project.release);
    let release = described.platform.iter().chain(projects).find(|release| release.name == options.project);
    let objects = own_objects(session, &selection, &described, &options.project);
    let values = release.filter(|_| options.values).map(|release| &release.content.values);
    if let Some(values) = values {
        print(session, &RenderDocument::Values(json!(values)), &yaml::write(values));
        return Ok(());
    }
    if release.is_none() && (objects.is_empty() || options.values) {
        return Err(nothing(session, &options.project));
    }
    let mut text = match release {
        Some(release) => manifest(session, &helm, release).await?,
        None => String::new(),
    };
    for object in &objects {
        text.push_str(&format!("---\n{}", yaml::write(object)));
    }
    let invalid = |error| CommandError::failed(Problem::new(format!("the chart does not render valid YAML: {error}")));
    let manifests = match session.settings.output {
        OutputFormat::Json => yaml::read_documents(&text).map_err(invalid)?,
        OutputFormat::Text => Vec::new(),
    };
    print(session, &RenderDocument::Manifests(manifests), &text);
    Ok(())
}

fn print(session: &Session, document: &RenderDocument, text: &str) {
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", json!(document))),
        OutputFormat::Text => ui::print(text),
    }
}

/// Selects only what is rendered, so that no other chart is fetched.
fn selection(session: &Session, options: &RenderOptions) -> Result<Selection, CommandError> {
    let name = &options.project;
    let is_project = session.loaded.workspace.projects.contains_key(name.as_str());
    if !is_project && !options.set.is_empty() {
        let cause = format!("--set applies to projects, and '{name}' is not a project");
        let help = format!("set its values in projects.yaml: platform.{name}.values");
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    let mut selection = if is_project { Selection::single(session, name, &options.set)? } else { Selection::default() };
    selection.platform = Some([name.clone()].into());
    Ok(selection)
}

/// The error if there is nothing to render under this name.
fn nothing(session: &Session, name: &str) -> CommandError {
    let projects = &session.loaded.workspace.projects;
    if projects.contains_key(name) {
        let cause = format!("'{name}' is external in this environment: it has no values here");
        return CommandError::failed(Problem::new(cause));
    }
    let platform = platform_names(session);
    unknown("project", name, projects.keys().map(Name::as_str).chain(platform.iter().map(String::as_str)))
}
