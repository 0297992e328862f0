//! Validates that what a project needs is enabled wherever the project is.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::EnvironmentNames;
use crate::{
    config::{
        error::{ConfigError, quoted},
        sources::Sources,
        tree::Cursor,
    },
    domain::Presence,
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let projects: BTreeMap<&str, Cursor<'_>> =
        sources.entries("projects").map(|(_, project)| (project.key(), project)).collect();
    // One list may be wrong in several environments.
    let mut reported = BTreeSet::new();
    for environment in EnvironmentNames::all(sources) {
        for project in projects.values() {
            let list = environment.holder(*project, &["needs"]).get("needs");
            for need in list.into_iter().flat_map(|list| list.items()) {
                let Some(other) = need.text().and_then(|name| projects.get(name)) else { continue };
                let is_absent = environment.presence(*other) < environment.presence(*project);
                if is_absent && reported.insert((project.key(), other.key(), need.node.range.start)) {
                    found.push(absent(&environment, *project, *other, need));
                }
            }
        }
    }
}

fn absent(environment: &EnvironmentNames<'_>, project: Cursor<'_>, other: Cursor<'_>, need: Cursor<'_>) -> ConfigError {
    let (here, own, name) = (environment.name, project.key(), other.key());
    let (state, edit) = match environment.presence(other) {
        Presence::Disabled => (
            format!("disabled in environment `{here}`"),
            format!("enable `{name}` there, or disable `{own}` there as well"),
        ),
        _ => ("optional".to_owned(), format!("make `{own}` optional as well, or enable `{name}` in `{here}`")),
    };
    let message = format!("{} needs {}, which is {state}", quoted(own), quoted(name));
    let help = format!("{edit}; `projects.{own}.environments.{here}.needs` replaces this list");
    let error = ConfigError::error(need.location(), message, "expected a project that is enabled wherever this one is");
    let holder = environment.holder(other, &["enabled"]);
    match holder.get("enabled").or_else(|| holder.get("profiles")) {
        Some(key) => error.with_other(key.key_location(), format!("{state} here")),
        None => error,
    }
    .with_help(help)
}
