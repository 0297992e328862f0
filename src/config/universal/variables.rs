//! Environment variables that name others as `$(NAME)`.

use std::collections::BTreeSet;

use super::{
    Mistake,
    containers::{ContainerValues, containers},
};
use crate::{
    config::{
        error::{ConfigError, choice, quoted},
        meaning::circles::{CycleText, Graph},
        values::{ValueOrigin, ValuesHolder},
    },
    domain::ResolvedProject,
};

/// Every container has variables of the API server with this prefix.
const OF_KUBERNETES: &str = "KUBERNETES_";

/// Returns the names that `text` refers to as `$(NAME)`. `$$` is an escaped `$`, and only valid names are references.
fn references(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            names.extend(Some(name).filter(|name| is_name(name)));
            rest = after;
        }
    }
    names
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    text.bytes().all(allowed) && text.starts_with(|first: char| !first.is_ascii_digit())
}

/// The variables with a plain value, which may name others.
fn plain<'a>(container: &ContainerValues<'a>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    container.entries("env").filter_map(|(name, value)| Some((name, value.as_str()?)))
}

/// The variables that the container's ConfigMap provides, which come before those of `env`.
fn loaded<'a>(container: &ContainerValues<'a>) -> BTreeSet<&'a str> {
    let config = container.entries("config").filter(|_| container.is_main);
    config.map(|(name, _)| name).collect()
}

/// Returns a mistake for each `$(NAME)` that names nothing.
pub(super) fn unknown(project: &ResolvedProject) -> Vec<Mistake> {
    let mut found = Vec::new();
    for container in containers(&project.values) {
        // Which variables a source has is known to the cluster only.
        if container.entries("envFrom").next().is_some() {
            continue;
        }
        let mut known = loaded(&container);
        known.extend(container.entries("env").map(|(name, _)| name));
        for (variable, text) in plain(&container) {
            let is_unknown = |name: &&str| !known.contains(name) && !name.starts_with(OF_KUBERNETES);
            for name in references(text).into_iter().filter(is_unknown) {
                let others = || known.iter().copied().filter(|other| *other != variable);
                let reference = quoted(&format!("$({name})"));
                let message =
                    format!("{} names {reference}, which is not a variable of its container", quoted(variable));
                let expected = match others().next() {
                    Some(_) => format!("expected {}", choice(name, others())),
                    None => "expected a variable from `env`".to_owned(),
                };
                let mistake = Mistake::new(container.path(&["env", variable]), message, expected);
                let mistake = mistake.with_nearest(name, others());
                let literal = || Some(format!("for the text itself, write `$$({name})`"));
                let help = mistake.help.clone().or_else(literal);
                found.push(mistake.with_help(help));
            }
        }
    }
    found
}

/// Returns a mistake for each circle of variables that name one another.
pub(super) fn circles(origin: ValueOrigin<'_>, project: &ResolvedProject) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for container in containers(&project.values) {
        let loaded = loaded(&container);
        let mut graph = Graph::default();
        for (variable, text) in plain(&container).filter(|(_, text)| !references(text).is_empty()) {
            let path = container.path(&["env", variable]);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some(place) = origin.misplaced(ValuesHolder::Project(&project.name), &path, "", "") else { continue };
            for name in references(text) {
                // `PATH: "$(PATH):/x"` extends what the ConfigMap provides.
                if name != variable || !loaded.contains(name) {
                    graph.edge(variable, Some(name), place.location.clone());
                }
            }
        }
        let text = CycleText {
            verb: "names",
            message: "cycle between environment variables",
            expected: "expected variables without a cycle",
            help: None,
        };
        graph.report(&text, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::references;

    #[test]
    fn references_are_found_and_escapes_are_not() {
        for (text, names) in [
            ("http://$(HOST):$(PORT)/", vec!["HOST", "PORT"]),
            ("$$(HOST)", vec![]),
            ("$$$(HOST)", vec!["HOST"]),
            ("$HOST $(date +%s) $(", vec![]),
            ("$($(HOST))", vec![]),
            ("$(a.b-c_1)$(1A)$()", vec!["a.b-c_1"]),
        ] {
            assert_eq!(references(text), names, "{text}");
        }
    }
}
