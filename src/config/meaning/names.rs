//! Names that refer to projects and environments, and names given twice.

use std::collections::BTreeMap;

use crate::{
    config::{
        diagnostic::{Diagnostic, listed, quoted},
        nearest::did_you_mean,
        source::Location,
        sources::Sources,
        tree::Cursor,
    },
    domain::workspace::LOCAL,
};

pub(super) fn check(sources: &Sources, found: &mut Vec<Diagnostic>) {
    let projects = Known { kind: "project", names: sources.names("projects") };
    let mut environments = Known { kind: "environment", names: sources.names("environments") };
    if !environments.names.contains(&LOCAL) {
        environments.names.push(LOCAL);
    }
    for key in ["projects", "bundles"] {
        check_twice(sources, key, found);
    }
    for (_, project) in sources.entries("projects") {
        projects.check_items(project.get("needs"), found);
        for environment in project.get("environments").into_iter().flat_map(|map| map.entries()) {
            environments.check(environment.key(), &environment.key_location(), found);
        }
        check_image_in_values(sources, project, found);
    }
    for (_, bundle) in sources.entries("bundles") {
        projects.check_items(bundle.get("projects"), found);
    }
    for (_, environment) in sources.entries("environments") {
        if let Some((from, name)) = environment.at(&["promote", "from"]).and_then(|from| Some((from, from.text()?))) {
            environments.check(name, &from.location(), found);
        }
    }
    for project in
        sources.local().and_then(|local| local.cursor().get("projects")).into_iter().flat_map(|map| map.entries())
    {
        projects.check(project.key(), &project.key_location(), found);
        check_image_in_values(sources, project, found);
    }
    for (_, release) in sources.entries("platform") {
        check_platform_chart(release, found);
    }
}

/// The names that may be referred to.
struct Known<'a> {
    kind: &'static str,
    names: Vec<&'a str>,
}

impl Known<'_> {
    fn check(&self, name: &str, location: &Location, found: &mut Vec<Diagnostic>) {
        if self.names.contains(&name) {
            return;
        }
        let expected = match self.names.as_slice() {
            [] => format!("expected a {}; there is none", self.kind),
            names if names.len() <= 8 => format!("expected {}", listed(names.iter().copied())),
            _ => format!("expected the name of {} {}", if self.kind == "environment" { "an" } else { "a" }, self.kind),
        };
        let message = format!("there is no {} {}", self.kind, quoted(name));
        let help = did_you_mean(name, self.names.iter().copied());
        found.push(Diagnostic::error(location.clone(), message, expected).with_help(help));
    }

    /// Each item of a list names one, and each one once.
    fn check_items(&self, list: Option<Cursor<'_>>, found: &mut Vec<Diagnostic>) {
        let mut before: BTreeMap<&str, Location> = BTreeMap::new();
        for item in list.into_iter().flat_map(|list| list.items()) {
            let Some(name) = item.text() else { continue };
            let location = item.location();
            self.check(name, &location, found);
            if let Some(first) = before.get(name) {
                let message = format!("{} is listed twice", quoted(name));
                let diagnostic = Diagnostic::error(location.clone(), message, "expected each name once");
                found.push(diagnostic.with_other(first.clone(), "first listed here"));
            }
            before.entry(name).or_insert(location);
        }
    }
}

/// One name in two files; twice in one file is a key written twice.
fn check_twice(sources: &Sources, key: &str, found: &mut Vec<Diagnostic>) {
    let mut first: BTreeMap<&str, Location> = BTreeMap::new();
    for (_, entry) in sources.entries(key) {
        let location = entry.key_location();
        if let Some(before) = first.get(entry.key()) {
            let one = key.trim_end_matches('s');
            let message = format!("the {one} {} is described in two files", quoted(entry.key()));
            let diagnostic = Diagnostic::error(location, message, format!("expected each {one} once"));
            found.push(diagnostic.with_other(before.clone(), "first described here"));
        } else {
            first.insert(entry.key(), location);
        }
    }
}

/// cmdr hands the universal chart its image: a second place for it would be overwritten.
fn check_image_in_values(sources: &Sources, project: Cursor<'_>, found: &mut Vec<Diagnostic>) {
    if sources.find(&["projects", project.key(), "chart"]).is_some() {
        return;
    }
    let environments = project.get("environments").into_iter().flat_map(|map| map.entries());
    for image in environments.chain([project]).filter_map(|holder| holder.at(&["values", "image"])) {
        let message = "`image` stands under `values`, where cmdr puts it itself";
        let help = "move it out of `values`, one level up".to_owned();
        found.push(Diagnostic::error(image.key_location(), message, "expected values without `image`").with_help(help));
    }
}

fn check_platform_chart(release: Cursor<'_>, found: &mut Vec<Diagnostic>) {
    const OWN: [&str; 2] = ["metallb", "traefik"];
    if release.get("chart").is_some() || OWN.contains(&release.key()) {
        return;
    }
    let message = format!("the platform release {} has no `chart`", quoted(release.key()));
    let help = did_you_mean(release.key(), OWN);
    let expected = "expected `chart`, since cmdr brings only `metallb` and `traefik` itself";
    found.push(Diagnostic::error(release.key_location(), message, expected).with_help(help));
}
