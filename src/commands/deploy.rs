//! `cmdr deploy`: new builds or a changed configuration for an environment.

use std::collections::BTreeSet;

use crate::{
    cli::DeployOptions,
    domain::{Name, Problem, ResolvedProject},
    error::{CommandError, ErrorKind},
    ops::{
        options::{ChangeRequest, UpRequest},
        prepared::show_urls,
        remote::{
            access::refuse_local,
            deploy_request::DeployRequest,
            driver::apply_driven,
            named_images::{NamedImages, split},
        },
        session::Session,
    },
};

/// # Errors
/// When a project or tag is invalid, a gate refuses, or a step fails; the error's kind is the exit code.
pub(super) async fn deploy(session: &Session, options: &DeployOptions) -> Result<(), CommandError> {
    refuse_local(session, "use cmdr up there: it deploys the images in projects.yaml")?;
    let (request, change) = (request(session, options)?, ChangeRequest::from(&options.change));
    let urls = apply_driven(session, &request, &change).await?;
    show_urls(session, &urls);
    Ok(())
}

/// # Errors
/// When a project, tag or version is invalid.
pub(super) fn request(session: &Session, options: &DeployOptions) -> Result<DeployRequest, CommandError> {
    let is_tagged = |target: &String| split(target).1.is_some();
    if let Some(tag) = options.tag.as_ref().filter(|_| options.projects.iter().all(is_tagged)) {
        let cause = format!("--tag {tag} applies to nothing: every project is named with a tag of its own");
        return Err(CommandError::usage(Problem::new(cause).help("leave out --tag, or the tag of a project")));
    }
    let NamedImages { projects, bundles, images } =
        NamedImages::read(session, &options.projects, options.tag.as_deref())?;
    refuse_versions(session, &projects, options)?;
    Ok(DeployRequest {
        verb: "deploy",
        up: UpRequest { set: options.set.clone(), ..UpRequest::default() },
        only: Some(projects),
        images,
        app_version: options.app_version.clone(),
        chart_version: options.chart_version.clone(),
        bundles,
        is_detached: options.detach,
        ..DeployRequest::default()
    })
}

/// Refuses `--app-version` and `--chart-version` for projects that have no such version to choose.
fn refuse_versions(session: &Session, names: &BTreeSet<Name>, options: &DeployOptions) -> Result<(), CommandError> {
    let projects = || session.projects.iter().filter(|project| names.contains(&project.name));
    let mut problems = Vec::new();
    if let Some(version) = &options.app_version {
        let unfit = projects().filter(|project| !project.is_on_universal_chart());
        let why = "whose own chart contains the version to show";
        problems.extend(unfit.map(|project| unfit_version(project, &format!("--app-version {version}"), why)));
    }
    if let Some(version) = &options.chart_version {
        let unfit = projects().filter(|project| project.chart.version.is_none());
        let why = "whose chart is not from a repository or registry";
        problems.extend(unfit.map(|project| unfit_version(project, &format!("--chart-version {version}"), why)));
    }
    CommandError::require_none(ErrorKind::Usage, problems)
}

fn unfit_version(project: &ResolvedProject, option: &str, why: &str) -> Problem {
    Problem::new(format!("{option} does not apply to '{}', {why}", project.name))
        .help(format!("leave out the option, or deploy '{}' without it", project.name))
}
