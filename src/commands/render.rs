//! `cmdr render`: the manifests of a project, as Helm renders them from what `up` would pass to it.

use crate::{
    cli::RenderOptions,
    domain::{Name, Problem, yaml},
    error::CommandError,
    ops::{
        describe::{Selection, describe},
        manifest::manifest,
        options::UpRequest,
        session::{Session, unknown},
    },
    plan::up::Described,
    ui,
};

/// # Errors
/// When the project is unknown, its values are invalid or its chart does not render.
pub(super) async fn render(session: &Session, options: &RenderOptions) -> Result<(), CommandError> {
    let project = session.loaded.workspace.projects.get(options.project.as_str());
    let projects = project.map(|project| project.name.to_string()).into_iter().collect();
    let up = UpRequest { projects, set: options.set.clone(), ..UpRequest::default() };
    let selection = Selection::choose(session, &up)?;
    let helm = session.helm().await?;
    let described = describe(session, &helm, &selection, &up, 80).await?;
    let projects = described.projects.iter().map(|project| &project.release);
    let release = described.platform.iter().chain(projects).find(|release| release.name == options.project);
    let release = release.ok_or_else(|| nothing(session, &options.project, &described))?;
    if options.values {
        let values = yaml::write(&release.content.values);
        ui::print(&values);
        return Ok(());
    }
    ui::print(&manifest(session, &helm, release).await?);
    Ok(())
}

/// The error if there is nothing to render under this name.
fn nothing(session: &Session, name: &str, described: &Described) -> CommandError {
    let projects = &session.loaded.workspace.projects;
    if projects.contains_key(name) {
        let cause = format!("'{name}' is external in this environment: it has no manifests here");
        return CommandError::failed(Problem::new(cause));
    }
    let platform = described.platform.iter().map(|release| release.name.as_str());
    unknown("project", name, projects.keys().map(Name::as_str).chain(platform))
}
