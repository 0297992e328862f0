//! External projects: their desired state, and the keys that they cannot have.

use crate::{
    config::{ConfigError, ValuesHolder},
    domain::{
        External, Name, ResolvedProject,
        external::{ExternalService, mistakes},
    },
    ops::{secrets::external_secrets, session::Session},
    plan::{ExternalSpec, externals::DescribedExternal},
};

/// The desired services in place of `projects`.
pub(crate) fn described(session: &Session, projects: &[ResolvedProject]) -> Vec<DescribedExternal> {
    let namespace = &session.environment.namespace;
    let described = with_places(projects).map(|(project, external)| {
        let service = ExternalService::new(project, external);
        DescribedExternal {
            name: project.name.clone(),
            spec: ExternalSpec { namespace: namespace.clone(), checksum: service.checksum(), service },
            external_secrets: external_secrets(project, namespace),
        }
    });
    described.collect()
}

/// The keys of `projects` that are not allowed where they are external, each with its location.
pub(crate) fn misplaced(session: &Session, projects: &[ResolvedProject]) -> Vec<ConfigError> {
    let environment = &session.environment;
    let origin = session.value_origin();
    let found = with_places(projects).flat_map(|(project, external)| {
        let written = &session.loaded.workspace.projects[&project.name].environments;
        let says_so = |name: &&Name| written.get(*name).is_some_and(|over| over.external.is_some());
        let place = environment.overrides().rev().find(says_so).unwrap_or(&environment.name);
        let mistakes = mistakes(project, external, place.as_str());
        mistakes.into_iter().filter_map(|mistake| {
            let path: Vec<&str> = mistake.path.iter().map(String::as_str).collect();
            origin.misplaced(ValuesHolder::Project(&project.name), &path, mistake.message, &mistake.expected)
        })
    });
    found.collect()
}

fn with_places(projects: &[ResolvedProject]) -> impl Iterator<Item = (&ResolvedProject, &External)> {
    projects.iter().filter_map(|project| Some((project, project.external.as_ref()?)))
}
