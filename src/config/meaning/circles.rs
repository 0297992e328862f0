//! Detects cycles in `needs` and `promote.from`.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::EnvironmentNames;
use crate::config::{error::ConfigError, source::Location, sources::Sources};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for environment in EnvironmentNames::all(sources) {
        check_needs(sources, &environment, found);
    }
    let mut platform = Graph::default();
    for (_, release) in sources.entries("platform") {
        for need in release.get("needs").into_iter().flat_map(|list| list.items()) {
            platform.edge(release.key(), need.text(), need.location());
        }
    }
    let of_platform = CycleText { message: "dependency cycle between platform releases", ..NEEDS };
    platform.report(&of_platform, found);
    let mut promotions = Graph::default();
    for (_, environment) in sources.entries("environments") {
        if let Some(from) = environment.at(&["promote", "from"]) {
            promotions.edge(environment.key(), from.text(), from.location());
        }
    }
    let of_promotions = CycleText {
        verb: "promotes from",
        message: "promotion cycle between environments",
        expected: "expected promotions without a cycle",
        help: None,
    };
    promotions.report(&of_promotions, found);
}

/// A cycle of several environments is the same error at the same location, which is reported once.
fn check_needs(sources: &Sources, environment: &EnvironmentNames<'_>, found: &mut Vec<ConfigError>) {
    let mut needs = Graph::default();
    for (_, project) in sources.entries("projects") {
        let list = environment.holder(project, &["needs"]).get("needs");
        for need in list.into_iter().flat_map(|list| list.items()) {
            needs.edge(project.key(), need.text(), need.location());
        }
    }
    needs.report(&CycleText { help: Some(help_for_needs), ..NEEDS }, found);
}

const NEEDS: CycleText = CycleText {
    verb: "needs",
    message: "dependency cycle between projects",
    expected: "expected `needs` without a cycle",
    help: None,
};

fn help_for_needs(from: &str, to: &str) -> String {
    format!("remove `{to}` from `projects.{from}.needs` if `{from}` can start without it")
}

/// How a cycle is reported.
pub(in crate::config) struct CycleText {
    /// What an edge is called: `needs`.
    pub verb: &'static str,
    pub message: &'static str,
    pub expected: &'static str,
    /// How to remove the edge from the first name to the second.
    pub help: Option<fn(&str, &str) -> String>,
}

/// A directed graph of names, with the location of each edge.
#[derive(Default)]
pub(in crate::config) struct Graph<'a> {
    edges: BTreeMap<&'a str, Vec<(&'a str, Location)>>,
}

impl<'a> Graph<'a> {
    pub(in crate::config) fn edge(&mut self, from: &'a str, to: Option<&'a str>, location: Location) {
        if let Some(to) = to {
            self.edges.entry(from).or_default().push((to, location));
        }
    }

    /// Reports one error for each cycle that a walk over the whole graph finds.
    pub(in crate::config) fn report(&self, text: &CycleText, found: &mut Vec<ConfigError>) {
        let CycleText { verb, message, expected, help } = text;
        let mut walk = Walk { graph: self, done: BTreeSet::new(), circles: Vec::new() };
        self.edges.keys().for_each(|start| walk.from(start));
        for circle in walk.circles {
            let (first, location) = (circle[0].0, circle[0].1.clone());
            let names: Vec<&str> = circle.iter().map(|(name, _)| *name).chain([first]).collect();
            let message = format!("{message}: {}", names.join(" -> "));
            let edge = format!("`{first}` {verb} `{}`: {expected}", names[1]);
            let mut diagnostic =
                ConfigError::error(location, message, edge).with_help(help.map(|help| help(first, names[1])));
            for (pair, (_, location)) in names.windows(2).zip(&circle).skip(1) {
                diagnostic = diagnostic.with_other((*location).clone(), format!("`{}` {verb} `{}`", pair[0], pair[1]));
            }
            found.push(diagnostic);
        }
    }
}

/// A name, and the location where it refers to the next one.
type CircleLink<'a, 'g> = (&'a str, &'g Location);

struct Walk<'a, 'g> {
    graph: &'g Graph<'a>,
    done: BTreeSet<&'a str>,
    circles: Vec<Vec<CircleLink<'a, 'g>>>,
}

impl<'a> Walk<'a, '_> {
    /// Searches depth first with an explicit stack; a name that is already on the path closes a cycle.
    fn from(&mut self, start: &'a str) {
        let mut way: Vec<CircleLink<'a, '_>> = Vec::new();
        // Each name on the path, and which of its edges comes next.
        let mut open = vec![(start, 0)];
        let mut places = BTreeMap::from([(start, 0)]);
        while let Some((name, next)) = open.last_mut() {
            let edge =
                if self.done.contains(name) { None } else { self.graph.edges.get(name).and_then(|to| to.get(*next)) };
            let Some((to, location)) = edge else {
                places.remove(name);
                self.done.insert(name);
                open.pop();
                way.pop();
                continue;
            };
            *next += 1;
            let link = (*name, location);
            way.truncate(open.len() - 1);
            way.push(link);
            if let Some(place) = places.get(to) {
                self.circles.push(way[*place..].to_vec());
            } else if !self.done.contains(to) {
                places.insert(to, open.len());
                open.push((to, 0));
            }
        }
    }
}
