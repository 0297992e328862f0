//! Resolves image tags to digests, and writes them into what is deployed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::registry::{Registry, RegistryError},
    domain::{ImageReference, Name, Problem, ResolvedProject, image::digests_by_name},
    error::{CommandError, ErrorKind},
    ops::{selection::Selection, session::Session},
    plan::{ReleaseSpec, known_images::KnownImages, up::Described},
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

/// Writes the digest of every tag into the described releases, except for projects in `settled` and contents of records.
/// A tag that is in `known` gets the digest from there, any other tag is resolved. Nothing else of a description depends
/// on a digest, so an environment is described once.
///
/// # Errors
/// When images do not exist, or a registry is unreachable: all problems at once.
pub(crate) async fn pin(
    session: &Session,
    registry: &Registry,
    (selection, settled): (&Selection, &BTreeSet<Name>),
    known: &BTreeMap<Name, KnownImages>,
    described: &mut Described,
) -> Result<(), CommandError> {
    let is_written = |project: &&ResolvedProject| {
        !selection.contents.contains_key(project.name.as_str()) && !settled.contains(&project.name)
    };
    // In `local`, a chart of its own gets the image as written.
    let has_digests = |project: &&ResolvedProject| project.is_on_universal_chart() || !session.environment.is_local();
    let projects: Vec<&ResolvedProject> = selection.projects.iter().filter(is_written).filter(has_digests).collect();
    let promoted = |project: &Name, image: &ImageReference| {
        known.get(project).and_then(|known| known.exact(image)).unwrap_or_else(|| image.clone())
    };
    let images = |project: &&ResolvedProject| {
        let images = project.images().into_iter();
        images.map(|image| promoted(&project.name, &image)).collect::<Vec<_>>()
    };
    let pinned = resolved(session, registry, &projects.iter().flat_map(images).collect::<Vec<_>>()).await?;
    for release in described.projects.iter_mut().map(|project| &mut project.release) {
        let Some(project) = projects.iter().find(|project| project.name.as_str() == release.name) else { continue };
        use_digests(release, project, |image| pinned.get(&promoted(&project.name, image).to_string()).cloned());
    }
    Ok(())
}

/// Sets the images of a described project. The fingerprint stays: it is the hash of what is written.
fn use_digests(
    release: &mut ReleaseSpec,
    project: &ResolvedProject,
    exact: impl Fn(&ImageReference) -> Option<ImageReference>,
) {
    let mut pinned = project.clone();
    pinned.values = std::mem::take(&mut release.content.values);
    pinned.use_images(|_, image| exact(image?));
    release.content.images = digests_by_name(pinned.images());
    release.content.values = pinned.values;
    release.image = pinned.image;
    release.record = release.content.id();
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
        CommandError { problems, ..CommandError::reported(kind) }
    })?;
    Ok(answers.into_iter().map(|answer| (answer.image.to_string(), answer.pinned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Digest, resolve::resolve},
        plan::change::tests::spec,
    };

    /// A project as projects.yaml describes it.
    fn project(written: &str) -> ResolvedProject {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("version: 1\nname: tunes\nprojects:\n  shop: {written}\n");
        std::fs::create_dir_all(folder.path().join("chart/templates")).unwrap();
        std::fs::write(folder.path().join("chart/Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 0.1.0\n")
            .unwrap();
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let workspace = crate::config::load(folder.path()).unwrap().workspace;
        resolve(&workspace, workspace.environments.values().next().unwrap()).remove(0)
    }

    /// The release of a project, as it is described.
    fn described(project: &ResolvedProject) -> ReleaseSpec {
        let mut release = ReleaseSpec { image: project.image.clone(), ..spec("shop") };
        release.content.values.clone_from(&project.values);
        release.content.version = project.image.as_ref().map(ImageReference::version).unwrap_or_default();
        release.content.images = digests_by_name(project.images());
        release.record = release.content.id();
        release
    }

    #[test]
    fn a_pinned_release_equals_one_described_with_digests() {
        for written in [
            "{image: docker.io/shop, values: {sidecars: {logs: {image: docker.io/logs:1}}}}",
            "{image: docker.io/shop:2, values: {version: v7, sidecars: {logs: {image: docker.io/logs:1}}}}",
            "{image: docker.io/shop:2, chart: {path: chart, image: {repository: web.image, digest: web.digest}}}",
            "{chart: {path: chart}}",
        ] {
            let written = project(written);
            let exact = |image: &ImageReference| image.with_digest(&Digest::of(b"a"));
            let mut with_digests = written.clone();
            with_digests.use_images(|_, image| image.map(exact));
            let (mut release, expected) = (described(&written), described(&with_digests));
            use_digests(&mut release, &written, |image| Some(exact(image)));
            assert_eq!(release, expected);
            assert_eq!(release.content.images.len(), written.images().len());
        }
    }
}
