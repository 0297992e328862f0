//! Validates names that refer to projects and environments, and detects duplicate names.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{
        error::{ConfigError, did_you_mean, listed, quoted},
        source::Location,
        sources::Sources,
        tree::Cursor,
    },
    domain::{platform::PLATFORM, workspace::LOCAL},
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let projects = KnownNames::new("project", sources.names("projects"));
    let mut platform = sources.names("platform");
    platform.extend(PLATFORM.iter().map(|own| own.name).filter(|own| sources.find(&["platform", own]).is_none()));
    let needed = KnownNames::new("project", sources.names("projects")).and(platform.clone());
    let platform = KnownNames::new("platform release", platform);
    let mut environments = sources.names("environments");
    if !environments.contains(&LOCAL) {
        environments.push(LOCAL);
    }
    let environments = KnownNames::new("environment", environments);
    for key in ["projects", "bundles", "procedures"] {
        check_twice(sources, key, found);
    }
    for (_, project) in sources.entries("projects") {
        check_project(project, &needed, &environments, found);
    }
    for (_, bundle) in sources.entries("bundles") {
        projects.check_items(bundle.get("projects"), found);
        if sources.find(&["projects", bundle.key()]).is_some() {
            let message = format!("{} is the name of a bundle and of a project", quoted(bundle.key()));
            found.push(ConfigError::error(bundle.key_location(), message, "expected a name that no project has"));
        }
    }
    for (_, environment) in sources.entries("environments") {
        for key in ["promote", "review"] {
            if let Some((from, name)) = environment.at(&[key, "from"]).and_then(|from| Some((from, from.text()?))) {
                environments.check(name, &from.location(), found);
            }
        }
    }
    for (_, release) in sources.entries("platform") {
        check_platform_chart(release, found);
        check_platform_needs(release, &projects, &platform, found);
        check_environments(release, &environments, found);
    }
    check_local(sources, &projects, found);
}

fn check_project(
    project: Cursor<'_>,
    needed: &KnownNames<'_>,
    environments: &KnownNames<'_>,
    found: &mut Vec<ConfigError>,
) {
    needed.check_items(project.get("needs"), found);
    check_environments(project, environments, found);
    for environment in project.get("environments").into_iter().flat_map(|map| map.entries()) {
        needed.check_items(environment.get("needs"), found);
    }
    if project.get("chart").is_none() {
        check_image_in_values(project, found);
    }
}

fn check_environments(entry: Cursor<'_>, environments: &KnownNames<'_>, found: &mut Vec<ConfigError>) {
    for environment in entry.get("environments").into_iter().flat_map(|map| map.entries()) {
        environments.check(environment.key(), &environment.key_location(), found);
    }
}

/// A platform release cannot wait for a project, because projects wait for the platform.
fn check_platform_needs(
    release: Cursor<'_>,
    projects: &KnownNames<'_>,
    platform: &KnownNames<'_>,
    found: &mut Vec<ConfigError>,
) {
    platform.check_items(release.get("needs"), found);
    let needs = release.get("needs").into_iter().flat_map(|list| list.items());
    let is_project = |name: &str| projects.sorted.contains(name) && !platform.sorted.contains(name);
    for need in needs.filter(|need| need.text().is_some_and(is_project)) {
        if let Some(last) = found.last_mut().filter(|last| last.location.range == need.location().range) {
            last.help = Some("projects start after the platform: only projects can need projects".to_owned());
        }
    }
}

/// `projects.local.yaml` can only override existing projects.
fn check_local(sources: &Sources, projects: &KnownNames<'_>, found: &mut Vec<ConfigError>) {
    let local = sources.local().and_then(|local| local.cursor().get("projects"));
    for project in local.into_iter().flat_map(|projects| projects.entries()) {
        projects.check(project.key(), &project.key_location(), found);
        if sources.find(&["projects", project.key(), "chart"]).is_none() {
            check_image_in_values(project, found);
        }
    }
}

/// The names that can be referred to.
pub(super) struct KnownNames<'a> {
    kind: &'static str,
    /// In the order of the files.
    names: Vec<&'a str>,
    sorted: BTreeSet<&'a str>,
}

impl<'a> KnownNames<'a> {
    pub(super) fn new(kind: &'static str, names: Vec<&'a str>) -> Self {
        Self { kind, sorted: names.iter().copied().collect(), names }
    }

    /// Also knows other names, which are not listed.
    pub(super) fn and(mut self, others: Vec<&'a str>) -> Self {
        self.sorted.extend(others);
        self
    }

    pub(super) fn check(&self, name: &str, location: &Location, found: &mut Vec<ConfigError>) {
        if self.sorted.contains(name) {
            return;
        }
        let a = if self.kind == "environment" { "an" } else { "a" };
        let expected = match self.names.as_slice() {
            [] => format!("expected {a} {}, but none is defined", self.kind),
            names if names.len() <= 8 => format!("expected {}", listed(names.iter().copied())),
            _ => format!("expected the name of {a} {}", self.kind),
        };
        let message = format!("unknown {} {}", self.kind, quoted(name));
        let help = did_you_mean(name, self.sorted.iter().copied());
        found.push(ConfigError::error(location.clone(), message, expected).with_help(help));
    }

    /// Checks that each item of a list is a known name, and that no name is listed twice.
    pub(super) fn check_items(&self, list: Option<Cursor<'_>>, found: &mut Vec<ConfigError>) {
        let mut before: BTreeMap<&str, Location> = BTreeMap::new();
        for item in list.into_iter().flat_map(|list| list.items()) {
            let Some(name) = item.text() else { continue };
            let location = item.location();
            self.check(name, &location, found);
            if let Some(first) = before.get(name) {
                let message = format!("{} is listed twice", quoted(name));
                let diagnostic = ConfigError::error(location.clone(), message, "expected each name once");
                found.push(diagnostic.with_other(first.clone(), "first listed here"));
            }
            before.entry(name).or_insert(location);
        }
    }
}

/// Detects one name in two files; the parser detects duplicate keys in one file.
fn check_twice(sources: &Sources, key: &str, found: &mut Vec<ConfigError>) {
    let mut first: BTreeMap<&str, Location> = BTreeMap::new();
    for (_, entry) in sources.entries(key) {
        let location = entry.key_location();
        if let Some(before) = first.get(entry.key()) {
            let one = key.trim_end_matches('s');
            let message = format!("{one} {} is defined in two files", quoted(entry.key()));
            let diagnostic = ConfigError::error(location, message, format!("expected each {one} once"));
            found.push(diagnostic.with_other(before.clone(), "first defined here"));
        } else {
            first.insert(entry.key(), location);
        }
    }
}

/// cmdr sets the image of the universal chart itself, so an image in `values` would be overwritten.
fn check_image_in_values(project: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let environments = project.get("environments").into_iter().flat_map(|map| map.entries());
    for image in environments.chain([project]).filter_map(|holder| holder.at(&["values", "image"])) {
        let message = "`image` is set under `values`, where cmdr would overwrite it";
        let help = "move it out of `values`, one level up".to_owned();
        found
            .push(ConfigError::error(image.key_location(), message, "expected values without `image`").with_help(help));
    }
}

fn check_platform_chart(release: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let own = || PLATFORM.iter().map(|own| own.name);
    if release.get("chart").is_some() || own().any(|own| own == release.key()) {
        return;
    }
    let message = format!("platform release {} has no `chart`", quoted(release.key()));
    let help = did_you_mean(release.key(), own());
    let expected = "expected `chart`: only `metallb` and `traefik` are built in";
    found.push(ConfigError::error(release.key_location(), message, expected).with_help(help));
}
