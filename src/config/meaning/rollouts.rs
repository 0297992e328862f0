//! Validates `rollout`: its steps, and that two versions of the project can run side by side.

use std::collections::BTreeSet;

use super::{checks, overrides::EnvironmentNames};
use crate::{
    config::{
        error::{ConfigError, quoted},
        read::rollouts::rollout,
        sources::Sources,
        tree::Cursor,
        universal::aliases::aliases,
    },
    domain::{
        Name, Presence, ResolvedProject, Workspace,
        objects::{has_routes, unfit_route},
        resolve,
        rollout::{ALL, Rollout, RolloutKind, next_name, shared_replicas, unfit_values},
        workspace::LOCAL,
    },
};

/// The maximum length of the name of a Helm release.
const LONGEST: usize = 53;

/// Reports steps without an order, or without an end, and checks of something that does not exist.
pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for (_, project) in sources.entries("projects") {
        let overrides = project.get("environments").into_iter().flat_map(|map| map.entries());
        for holder in std::iter::once(project).chain(overrides) {
            let Some(written) = holder.get("rollout") else { continue };
            if let Some(read) = rollout(written) {
                found.extend(unused_keys(written, &read));
                found.extend(unfit_steps(written, &read));
            }
            if let Some(map) = written.get("checks") {
                checks::check(sources, map, Some(project.key()), found);
            }
        }
    }
}

fn unused_keys(written: Cursor<'_>, read: &Rollout) -> Option<ConfigError> {
    let other = written.entries().find(|key| key.key() != "kind").filter(|_| read.is_none())?;
    let message = format!("{} has no effect with `kind: none`", quoted(other.key()));
    Some(ConfigError::error(other.key_location(), message, "expected no other key, or another kind"))
}

fn unfit_steps(written: Cursor<'_>, read: &Rollout) -> Option<ConfigError> {
    let steps = written.get("steps")?;
    let items: Vec<Cursor<'_>> = steps.items().collect();
    // Another mistake is reported for a step that cannot be read.
    if items.len() != read.steps.len() || items.is_empty() {
        return None;
    }
    let error = |at: usize, message: String, expected: &str| {
        let place = items[at].get("weight").unwrap_or(items[at]);
        Some(ConfigError::error(place.location(), message, expected))
    };
    let weights: Vec<u8> = read.steps.iter().map(|step| step.weight).collect();
    if let Some(at) = weights.windows(2).position(|pair| pair[0] >= pair[1]) {
        let message = format!("the step {}% follows the step {}%", weights[at + 1], weights[at]);
        return error(at + 1, message, "expected a higher share than in the step before");
    }
    let last = weights.len() - 1;
    if weights[last] != ALL {
        let message = format!("the last step is {}%", weights[last]);
        return error(last, message, "expected `100%`, with which the new version takes over");
    }
    let split = weights.iter().position(|weight| (1..ALL).contains(weight));
    let at = split.filter(|_| read.kind == RolloutKind::BlueGreen)?;
    error(at, format!("the step {}% splits the traffic", weights[at]), "expected `0%` or `100%`, or `kind: canary`")
}

/// Reports rollouts of projects that cannot run in two versions side by side, once for each place where they are
/// written.
pub(in crate::config) fn check_projects(sources: &Sources, workspace: &Workspace, found: &mut Vec<ConfigError>) {
    let mut reported = BTreeSet::new();
    for names in EnvironmentNames::all(sources).iter().filter(|names| names.name != LOCAL) {
        let Some(environment) = workspace.environments.values().find(|it| it.name.as_str() == names.name) else {
            continue;
        };
        let all = resolve(workspace, environment);
        for resolved in all.iter().filter(|project| project.external.is_none()) {
            let written = sources.entries("projects").find(|(_, entry)| entry.key() == resolved.name.as_str());
            let Some((_, project)) = written.filter(|(_, entry)| names.presence(*entry) != Presence::Disabled) else {
                continue;
            };
            let Some(place) = names.holder(project, &["rollout"]).get("rollout") else { continue };
            for why in resolved.rollout.iter().flat_map(|rollout| unfit((workspace, &all), project, resolved, rollout))
            {
                let message = format!("{} cannot have a rollout: {why}", quoted(project.key()));
                let location = place.key_location();
                if reported.insert((location.range.start, message.clone())) {
                    let expected = "expected no `rollout`, or `kind: none`";
                    found.push(ConfigError::error(location, message, expected));
                }
            }
        }
    }
}

/// Why a project cannot have its rollout.
fn unfit(
    (workspace, others): (&Workspace, &[ResolvedProject]),
    project: Cursor<'_>,
    resolved: &ResolvedProject,
    rollout: &Rollout,
) -> Vec<String> {
    if rollout.is_none() {
        return Vec::new();
    }
    if !resolved.is_on_universal_chart() {
        return vec!["it has a chart of its own, whose objects cmdr does not know".to_owned()];
    }
    let next = next_name(project.key());
    let can_share = has_routes(&resolved.values) || shared_replicas(&resolved.values).is_some();
    let is_irreversible = project.get("irreversible").and_then(|it| it.boolean()) == Some(true);
    let routes = resolved.values.get("routes").and_then(serde_json::Value::as_object).into_iter().flatten();
    let routes = routes.filter_map(|(name, route)| {
        unfit_route(route, rollout.preview.is_some()).map(|why| format!("its route '{name}' {why}"))
    });
    let reasons = [
        unfit_values(&resolved.values),
        is_irreversible.then(|| "it is irreversible: the old version could not take the traffic back".to_owned()),
        (!can_share).then(|| "it has no routes, and no fixed number of `replicas` above 1 to share".to_owned()),
        workspace.projects.contains_key(next.as_str()).then(|| format!("'{next}' is a project, too")),
        alias_owner(others, &next).map(|owner| format!("'{next}' is an alias of '{owner}'")),
        (next.len() > LONGEST).then(|| format!("its second release '{next}' has more than {LONGEST} characters")),
    ];
    // A workload that is not a Deployment has no routes in most cases: one reason is enough.
    reasons.into_iter().flatten().take(1).chain(routes).collect()
}

/// The project that has this name for a further Service, which may be the one that is rolled out.
fn alias_owner<'a>(projects: &'a [ResolvedProject], name: &str) -> Option<&'a Name> {
    projects.iter().find(|project| aliases(&project.values).any(|alias| alias == name)).map(|project| &project.name)
}
