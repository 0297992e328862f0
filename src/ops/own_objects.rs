//! The objects of a project that cmdr applies beside its Helm release, as manifests.

use serde_json::{Value, json};

use crate::{
    adapters::cluster::{external_objects, external_secret, file_maps, jobs},
    domain::ResolvedProject,
    ops::{selection::Selection, session::Session},
    plan::{VerifySpec, up::Described},
    steps::verify_job,
};

/// Returns the ConfigMaps with files from disk, the `ExternalSecret`s, the objects of an external project, and the verify
/// Jobs. Secrets are not among them, because their values are nowhere in the workspace.
pub(crate) fn own_objects(session: &Session, selection: &Selection, described: &Described, name: &str) -> Vec<Value> {
    let workspace = session.workspace().as_str();
    let project = described.projects.iter().find(|project| project.name.as_str() == name);
    let external = described.externals.iter().find(|external| external.name.as_str() == name);
    let files = project.map(|project| &project.release).into_iter();
    let files = files.flat_map(|release| release.files.iter().map(|map| file_maps::manifest(&release.key(), map)));
    let secrets = project.map(|project| &project.external_secrets);
    let secrets = secrets.into_iter().chain(external.map(|external| &external.external_secrets)).flatten();
    let secrets = secrets.map(|secret| external_secret(&secret.name, &secret.checksum, &secret.content));
    let services = external.map(|it| external_objects(workspace, &it.spec.service, &it.spec.checksum));
    let resolved = selection.projects.iter().find(|project| project.name.as_str() == name);
    let verified = resolved.filter(|_| !session.environment.is_local());
    let verifications = verified.into_iter().flat_map(|project| verifications(session, project));
    let verifications = verifications.map(|verify| json!(jobs::job(&verify_job(&verify, workspace))));
    let namespace = &session.environment.namespace;
    let objects = files.chain(secrets).chain(services.into_iter().flatten()).chain(verifications);
    objects
        .map(|mut object| {
            object["metadata"]["namespace"] = json!(namespace);
            object
        })
        .collect()
}

/// The verify Jobs, with images as they are written: a deployment resolves their tags.
fn verifications<'a>(session: &'a Session, project: &'a ResolvedProject) -> impl Iterator<Item = VerifySpec> + 'a {
    let own = project.image_in(&project.values).or_else(|| project.image.clone());
    project.verify.iter().filter_map(move |(name, verify)| {
        Some(VerifySpec {
            project: project.name.clone(),
            name: name.clone(),
            namespace: session.environment.namespace.clone(),
            image: verify.image.as_ref().or(own.as_ref())?.to_string(),
            command: verify.command.clone(),
            when: verify.when,
            timeout_seconds: verify.timeout.as_secs().max(1),
        })
    })
}
