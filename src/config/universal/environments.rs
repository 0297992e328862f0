//! Names the environments of mistakes that not all of them have.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{
        error::{ConfigError, listed},
        sources::Sources,
    },
    domain::Name,
};

/// The mistakes in values, by environment and project.
#[derive(Default)]
pub(super) struct FoundByEnvironment<'a> {
    /// The environments in which each project is checked.
    checked: BTreeMap<&'a Name, BTreeSet<&'a Name>>,
    found: Vec<(&'a Name, &'a Name, ConfigError)>,
}

impl<'a> FoundByEnvironment<'a> {
    pub(super) fn add(&mut self, environment: &'a Name, project: &'a Name, found: Vec<ConfigError>) {
        self.checked.entry(project).or_default().insert(environment);
        self.found.extend(found.into_iter().map(|error| (environment, project, error)));
    }

    /// Returns all mistakes. One that only some environments have names them, unless it is written for an environment.
    pub(super) fn named(self, sources: &Sources) -> Vec<ConfigError> {
        // What is expected can differ between environments.
        let is_same =
            |one: &ConfigError, other: &ConfigError| (&one.location, &one.message) == (&other.location, &other.message);
        let name = |(_, project, error): &(&Name, &Name, ConfigError)| {
            let here =
                self.found.iter().filter(|(_, _, other)| is_same(error, other)).map(|(environment, ..)| *environment);
            let here: BTreeSet<&Name> = here.collect();
            let mut error = error.clone();
            let is_everywhere = self.checked.get(*project).is_none_or(|checked| checked.len() == here.len());
            if !is_everywhere && !is_of_environment(sources, project, &error) {
                let names = listed(here.iter().map(|name| name.as_str())).replace(" or ", " and ");
                error.message = format!("{}, in {names}", error.message);
            }
            error
        };
        self.found.iter().map(name).collect()
    }
}

/// Whether a mistake is at an override of an environment, or in another file than the project.
fn is_of_environment(sources: &Sources, project: &Name, error: &ConfigError) -> bool {
    let overrides = sources.locate(&["projects", project.as_str(), "environments"]);
    let (place, file) = (&error.location.range, &error.location.file);
    let is_within = overrides.is_some_and(|it| {
        std::sync::Arc::ptr_eq(&it.file, file) && it.range.start <= place.start && place.end <= it.range.end
    });
    is_within || sources.local().is_some_and(|local| std::sync::Arc::ptr_eq(&local.file, file))
}
