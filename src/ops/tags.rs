//! Resolves image tags to digests, and writes them into what is deployed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::registry::{Registry, RegistryError},
    domain::{ImageReference, Name, Problem, ResolvedProject},
    error::{CommandError, ErrorKind},
    ops::{selection::Selection, session::Session},
    plan::known_images::KnownImages,
};

/// Returns a registry client with the credentials of the user's Docker.
///
/// # Errors
/// When the user's certificates or Docker's configuration cannot be read.
pub(crate) fn registry(session: &Session) -> Result<Registry, CommandError> {
    let credentials = session.credentials()?;
    let authority = session.certificate_authority()?;
    let mirrors = session.user.mirrors.images.clone();
    Registry::new(mirrors, credentials, authority.as_deref(), session.cancel.clone())
        .map_err(|error| CommandError::failed(Problem::of(&error)))
}

/// Writes the digest of every tag into the values, except for projects in `settled`. A tag that is in `known` gets the
/// digest from there, any other tag is resolved. The projects as written are kept in `selection.written`.
///
/// # Errors
/// When images do not exist, or a registry is unreachable: all problems at once.
pub(crate) async fn pin(
    session: &Session,
    registry: &Registry,
    selection: &mut Selection,
    settled: &BTreeSet<Name>,
    known: &BTreeMap<Name, KnownImages>,
) -> Result<(), CommandError> {
    selection.written = selection.projects.iter().map(|project| (project.name.clone(), project.clone())).collect();
    let given = &selection.contents;
    let is_described =
        |project: &&mut ResolvedProject| !given.contains_key(project.name.as_str()) && !settled.contains(&project.name);
    // In `local`, a chart of its own gets the image as written.
    let has_digests =
        |project: &&mut ResolvedProject| project.is_on_universal_chart() || !session.environment.is_local();
    let mut projects: Vec<&mut ResolvedProject> =
        selection.projects.iter_mut().filter(is_described).filter(has_digests).collect();
    for project in &mut projects {
        let known = known.get(&project.name);
        project.use_images(|_, image| known?.exact(image?));
    }
    let written: Vec<ImageReference> = projects.iter().flat_map(|project| project.images()).collect();
    let pinned = resolved(session, registry, &written).await?;
    for project in &mut projects {
        project.use_images(|_, image| pinned.get(&image?.to_string()).cloned());
    }
    Ok(())
}

/// Resolves each image to its digest. The keys are the images as written.
///
/// # Errors
/// As [`pin`].
pub(crate) async fn resolved(
    session: &Session,
    registry: &Registry,
    images: &[ImageReference],
) -> Result<BTreeMap<String, ImageReference>, CommandError> {
    let answers = registry.resolve_all(images).await.map_err(|failures| {
        if session.cancel.is_cancelled() {
            return CommandError::reported(ErrorKind::Interrupted);
        }
        let is_transient = failures.iter().all(RegistryError::is_transient);
        let kind = if is_transient { ErrorKind::Transient } else { ErrorKind::Failed };
        let problems = failures.iter().map(RegistryError::problem).collect();
        CommandError { kind, problems, report: None }
    })?;
    Ok(answers.into_iter().map(|answer| (answer.image.to_string(), answer.pinned)).collect())
}
