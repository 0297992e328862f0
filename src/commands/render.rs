//! `cmdr render`: the manifests of a project, as Helm renders them from what `up` would pass to it.

use crate::{
    adapters::cluster::file_maps,
    cli::RenderOptions,
    domain::{Name, Problem, ports::STANDARD, yaml},
    error::CommandError,
    ops::{
        describe::{describe, platform_names},
        manifest::manifest,
        options::UpRequest,
        selection::Selection,
        session::{Session, unknown},
    },
    ui,
};

/// # Errors
/// When the project is unknown, its values are invalid or its chart does not render.
pub(super) async fn render(session: &Session, options: &RenderOptions) -> Result<(), CommandError> {
    let selection = selection(session, options)?;
    let helm = session.helm().await?;
    let described = describe(session, &helm, &selection, &UpRequest::default(), STANDARD).await?;
    let projects = described.projects.iter().map(|project| &project.release);
    let release = described.platform.iter().chain(projects).find(|release| release.name == options.project);
    let release = release.ok_or_else(|| nothing(session, &options.project))?;
    if options.values {
        let values = yaml::write(&release.content.values);
        ui::print(&values);
        return Ok(());
    }
    ui::print(&manifest(session, &helm, release).await?);
    for map in &release.files {
        ui::print(&format!("---\n{}", yaml::write(&file_maps::manifest(&release.key(), map))));
    }
    Ok(())
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
        let cause = format!("'{name}' is external in this environment: it has no manifests here");
        return CommandError::failed(Problem::new(cause));
    }
    let platform = platform_names(session);
    unknown("project", name, projects.keys().map(Name::as_str).chain(platform.iter().map(String::as_str)))
}
