//! Validates procedures: what their steps refer to, circles, and that there is a way back where one is required.

mod projects;

use std::collections::BTreeMap;

pub(in crate::config) use projects::check_projects;

use super::{
    checks,
    circles::{CycleText, Graph},
    names::KnownNames,
};
use crate::{
    config::{
        error::{ConfigError, quoted},
        read::is_reversible,
        source::Location,
        sources::Sources,
        tree::Cursor,
    },
    domain::workspace::LOCAL,
};

/// The keys of steps that change something, which can be undone.
const CHANGES: [&str; 6] = ["maintenance", "drain", "fill", "scale", "run", "deploy"];

/// The names that steps can refer to.
struct Known<'a> {
    sources: &'a Sources,
    projects: KnownNames<'a>,
    /// With bundles.
    groups: KnownNames<'a>,
    environments: KnownNames<'a>,
    procedures: KnownNames<'a>,
}

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let projects = || KnownNames::new("project", sources.names("projects"));
    let remote = sources.names("environments").into_iter().filter(|name| *name != LOCAL).collect();
    let known = Known {
        sources,
        projects: projects(),
        groups: projects().and(sources.names("bundles")),
        environments: KnownNames::new("environment", remote),
        procedures: KnownNames::new("procedure", sources.names("procedures")),
    };
    let mut runs = Graph::default();
    for (_, procedure) in sources.entries("procedures") {
        let mut names: BTreeMap<&str, Location> = BTreeMap::new();
        for step in procedure.get("steps").into_iter().flat_map(|steps| steps.items()) {
            if let Some(other) = step.get("procedure") {
                runs.edge(procedure.key(), other.text(), other.location());
            }
            known.check_step(step, found);
            check_twice(step, &mut names, found);
            if is_reversible(procedure) {
                check_way_back(step, found);
                check_reversible_too(sources, procedure, step, found);
            }
        }
    }
    let text = CycleText {
        verb: "runs",
        message: "cycle of procedures",
        expected: "expected procedures that do not run each other",
        help: None,
    };
    runs.report(&text, found);
}

impl Known<'_> {
    fn check_step(&self, step: Cursor<'_>, found: &mut Vec<ConfigError>) {
        self.check_act(step, found);
        for undo in step.get("undo").into_iter().flat_map(|undo| undo.items()) {
            self.check_act(undo, found);
        }
        check_name(&self.procedures, step.get("procedure"), found);
        if let Some(map) = step.get("check") {
            checks::check(self.sources, map, None, found);
        }
    }

    fn check_act(&self, act: Cursor<'_>, found: &mut Vec<ConfigError>) {
        check_name(&self.environments, act.get("env"), found);
        check_name(&self.groups, act.get("drain"), found);
        check_name(&self.groups, act.get("fill"), found);
        check_name(&self.projects, act.get("run"), found);
        if let Some((name, value)) = act.get("run").and_then(|run| Some((run.text()?, run))) {
            checks::check_is_job(self.sources, name, value, found);
        }
        self.projects.check_items(act.at(&["maintenance", "projects"]), found);
        self.groups.check_items(act.at(&["deploy", "projects"]), found);
        for entry in act.get("scale").into_iter().flat_map(|scale| scale.entries()) {
            self.projects.check(entry.key(), &entry.key_location(), found);
        }
        if let Some(message) = act.at(&["maintenance", "message"])
            && act.at(&["maintenance", "state"]).and_then(|state| state.text()) == Some("off")
        {
            let what = "`message` has no effect: maintenance ends";
            found.push(ConfigError::error(message.key_location(), what, "expected a message only with `state: on`"));
        }
    }
}

fn check_name(known: &KnownNames<'_>, value: Option<Cursor<'_>>, found: &mut Vec<ConfigError>) {
    if let Some((name, value)) = value.and_then(|value| Some((value.text()?, value))) {
        known.check(name, &value.location(), found);
    }
}

/// Detects two steps of one name.
fn check_twice<'a>(step: Cursor<'a>, names: &mut BTreeMap<&'a str, Location>, found: &mut Vec<ConfigError>) {
    let Some((name, value)) = step.get("name").and_then(|name| Some((name.text()?, name))) else { return };
    if let Some(first) = names.get(name) {
        let message = format!("two steps have the name {}", quoted(name));
        let error = ConfigError::error(value.location(), message, "expected each name once in a procedure");
        found.push(error.with_other(first.clone(), "first used here"));
    }
    names.entry(name).or_insert_with(|| value.location());
}

/// Reports a step that runs a procedure whose steps need no way back.
fn check_reversible_too(sources: &Sources, outer: Cursor<'_>, step: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let Some((name, value)) = step.get("procedure").and_then(|name| Some((name.text()?, name))) else { return };
    if sources.find(&["procedures", name]).is_some_and(|inner| !is_reversible(inner)) {
        let message = format!("{} is reversible, but runs {}, which is not", quoted(outer.key()), quoted(name));
        let expected = format!("expected `reversible: true` in `{name}`, too");
        found.push(ConfigError::error(value.location(), message, expected));
    }
}

/// Reports a step of a reversible procedure that has no way back.
fn check_way_back(step: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let change = CHANGES.iter().find_map(|key| step.get(key));
    if let Some(key) = change.filter(|_| step.get("undo").is_none()) {
        let name = step.get("name").and_then(|name| name.text()).unwrap_or_default();
        let message = format!("the step {} has no way back, but its procedure is reversible", quoted(name));
        let expected = "expected `undo` in the step; `undo: []` if nothing needs to be undone";
        found.push(ConfigError::error(key.key_location(), message, expected));
    }
}
