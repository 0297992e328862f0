//! `cmdr deploy`: new builds or a changed configuration for an environment.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cli::DeployOptions,
    domain::{Environment, ImageReference, Name, Problem, Project},
    error::{CommandError, ErrorKind},
    ops::{
        options::{ChangeRequest, UpRequest},
        prepared::show_urls,
        remote::{
            access::refuse_local,
            apply::apply,
            deploy_request::{DeployRequest, expand_enabled, is_external},
        },
        session::Session,
    },
};

/// # Errors
/// When a project or tag is invalid, a gate refuses, or a step fails; the error's kind is the exit code.
pub(super) async fn deploy(session: &Session, options: &DeployOptions) -> Result<(), CommandError> {
    refuse_local(session, "use cmdr up there: it deploys the images in projects.yaml")?;
    let request = request(session, options)?;
    let urls = apply(session, &request, &ChangeRequest::from(&options.change)).await?;
    show_urls(session, &urls);
    Ok(())
}

fn request(session: &Session, options: &DeployOptions) -> Result<DeployRequest, CommandError> {
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    let mut names = Vec::new();
    for target in &options.projects {
        let (name, tag) = target.split_once('=').map_or((target.as_str(), None), |(name, tag)| (name, Some(tag)));
        names.push(name.to_owned());
        if let Some(tag) = tag.or(options.tag.as_deref()) {
            tags.insert(name.to_owned(), tag.to_owned());
        }
    }
    if let Some(tag) = options.tag.as_ref().filter(|_| options.projects.iter().all(|target| target.contains('='))) {
        let cause = format!("--tag {tag} applies to nothing: every project is named with a tag of its own");
        return Err(CommandError::usage(Problem::new(cause).help("leave out --tag, or the tag of a project")));
    }
    let (projects, bundles) = expand_enabled(session, &names)?;
    let images = images(session, &projects, &bundles, &tags)?;
    refuse_externals(session, &projects)?;
    Ok(DeployRequest {
        verb: "deploy",
        up: UpRequest { set: options.set.clone(), ..UpRequest::default() },
        only: Some(projects),
        images,
        app_version: options.app_version.clone(),
        chart_version: options.chart_version.clone(),
        bundles,
        ..DeployRequest::default()
    })
}

/// The image of each project with a tag; a bundle's tag applies to all its members.
fn images(
    session: &Session,
    projects: &BTreeSet<Name>,
    bundles: &BTreeMap<Name, Name>,
    tags: &BTreeMap<String, String>,
) -> Result<BTreeMap<Name, ImageReference>, CommandError> {
    let (mut images, mut wrong) = (BTreeMap::new(), Vec::new());
    for name in projects {
        let of_bundle = || bundles.get(name).and_then(|bundle| tags.get(bundle.as_str()));
        let Some(tag) = tags.get(name.as_str()).or_else(of_bundle) else { continue };
        match tagged(&session.loaded.workspace.projects[name], &session.environment, tag) {
            Ok(image) => drop(images.insert(name.clone(), image)),
            Err(problem) => wrong.push(problem),
        }
    }
    if wrong.is_empty() {
        Ok(images)
    } else {
        Err(CommandError { kind: ErrorKind::Usage, problems: wrong, report: None })
    }
}

/// The project's image with another tag or digest.
fn tagged(project: &Project, environment: &Environment, tag: &str) -> Result<ImageReference, Problem> {
    let project = project.overridden(environment);
    if !project.takes_image() {
        let cause = format!(
            "the chart of '{}' determines its image: projects.yaml does not say where a tag goes",
            project.name
        );
        let help = "add 'image: REPOSITORY' to the project, and to its chart 'image: {repository: image.repository, tag: \
                    image.tag}' with the chart's values that take it; or set the value once with --set image.tag=TAG";
        return Err(Problem::new(cause).help(help));
    }
    let Some(image) = project.image else {
        let cause = format!("'{}' has no image in projects.yaml for the tag '{tag}'", project.name);
        return Err(Problem::new(cause).help("add 'image: REPOSITORY', without a tag"));
    };
    let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
    ImageReference::parse(&format!("{}{separator}{tag}", image.name()))
        .map_err(|error| Problem::new(format!("'{}': {error}", project.name)))
}

fn refuse_externals(session: &Session, projects: &BTreeSet<Name>) -> Result<(), CommandError> {
    let environment = &session.environment.name;
    let wrong: Vec<Problem> = projects
        .iter()
        .filter(|name| is_external(session, name.as_str()))
        .map(|name| Problem::new(format!("'{name}' is external in '{environment}': cmdr does not deploy it there")))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(CommandError { kind: ErrorKind::Usage, problems: wrong, report: None }) }
}
