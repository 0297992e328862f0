//! The projects and images that a command line names, as `PROJECT=TAG`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{Environment, ImageReference, Name, Problem, Project},
    error::{CommandError, ErrorKind},
    ops::{
        remote::deploy_request::{expand_enabled, is_external},
        session::Session,
    },
};

/// Named projects, and the images of those that are named with a tag.
#[derive(Debug)]
pub struct NamedImages {
    pub projects: BTreeSet<Name>,
    /// The bundle of each project that was named by one.
    pub bundles: BTreeMap<Name, Name>,
    pub images: BTreeMap<Name, ImageReference>,
}

impl NamedImages {
    /// Reads targets such as `shop=1.4.2` or `shop`, which gets the tag `common`, if there is one. A bundle's tag
    /// applies to all its members.
    ///
    /// # Errors
    /// All targets that are unknown, disabled or external here, that have two tags, or whose tag is invalid.
    pub fn read(session: &Session, targets: &[String], common: Option<&str>) -> Result<Self, CommandError> {
        let mut tags: BTreeMap<&str, &str> = BTreeMap::new();
        let mut names = Vec::new();
        for target in targets {
            let (name, tag) = split(target);
            names.push(name.to_owned());
            let Some(tag) = tag.or(common) else { continue };
            if let Some(other) = tags.insert(name, tag).filter(|other| *other != tag) {
                let cause = format!("'{name}' is named with two tags: {other} and {tag}");
                return Err(CommandError::usage(Problem::new(cause).help("name it once")));
            }
        }
        let (projects, bundles) = expand_enabled(session, &names)?;
        let images = images(session, &projects, &bundles, &tags)?;
        refuse_externals(session, &projects)?;
        Ok(Self { projects, bundles, images })
    }
}

/// The name and the tag of a target such as `shop=1.4.2`.
pub fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('=').map_or((target, None), |(name, tag)| (name, Some(tag)))
}

fn images(
    session: &Session,
    projects: &BTreeSet<Name>,
    bundles: &BTreeMap<Name, Name>,
    tags: &BTreeMap<&str, &str>,
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
    CommandError::require_none(ErrorKind::Usage, wrong)?;
    Ok(images)
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
    CommandError::require_none(ErrorKind::Usage, wrong)
}
