//! The values of the universal chart: its schema, and the mistakes that only all values of a project together show.
//!
//! The chart is embedded in cmdr, so these values are checked with the rest of the files, for every environment.

mod alerts;
pub(super) mod aliases;
mod collisions;
mod combinations;
mod containers;
mod dashboards;
mod environments;
mod files;
pub(super) mod fragments;
mod hosts;
mod kinds;
mod named_parts;
mod neighbours;
mod priority;
mod probes;
mod references;
mod rendered;
mod routes;
pub(super) mod text;
mod variables;
mod waits;

use std::sync::LazyLock;

use environments::FoundByEnvironment;
use fragments::{WITH_FRAGMENTS, has_fragments};

use serde_json::{Value, json};

use super::{
    error::{ConfigError, did_you_mean},
    sources::Sources,
    tables::kubernetes::tighten,
    values::{ValueOrigin, ValuesHolder, ValuesSchema, check_empty_keys, check_values},
};
use crate::domain::{ResolvedProject, Values, Workspace, monitoring::has_operator, resolve, workspace::Platform};
pub use dashboards::dashboards;
pub use files::{FoundFile, disk_files};
pub use references::Provided;
pub use rendered::rendered_objects;

/// `values.schema.json` of the chart.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../charts/service/values.schema.json")).unwrap_or_default()
});
/// The same, stricter than Helm and editors can be.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = SCHEMA.clone();
    tighten(&mut schema);
    schema
});
static COMPILED: LazyLock<ValuesSchema<'static>> = LazyLock::new(|| ValuesSchema::universal(&STRICT));

/// Kinds whose names must be shorter than those of releases, because Kubernetes adds to them: the time to the Jobs of a
/// `CronJob`, and the hash of a revision to a label of the pods of a `StatefulSet`.
const SHORTER: [&str; 2] = ["CronJob", "StatefulSet"];
const LONGEST_SHORTER: usize = 52;

/// A mistake in the values of a project.
struct Mistake {
    /// The path of the value, from the values on.
    path: Vec<String>,
    message: String,
    expected: String,
    help: Option<String>,
}

impl Mistake {
    fn new(path: Vec<String>, message: String, expected: String) -> Self {
        Self { path, message, expected, help: None }
    }

    fn at(self, path: Vec<String>) -> Self {
        Self { path, ..self }
    }

    /// The mistake with its path in the map at `above`.
    fn below(mut self, above: &[&str]) -> Self {
        self.path.splice(..0, above.iter().map(|key| (*key).to_owned()));
        self
    }

    fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    fn with_nearest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let help = did_you_mean(wrong, known);
        self.with_help(help)
    }

    fn placed(self, origin: ValueOrigin<'_>, project: &ResolvedProject) -> Option<ConfigError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let error = origin.misplaced(ValuesHolder::Project(&project.name), &path, self.message, &self.expected)?;
        Some(error.with_help(self.help))
    }
}

/// Reports every mistake in values of the universal chart, in every environment.
pub(super) fn check(sources: &Sources, workspace: &Workspace, found: &mut Vec<ConfigError>) {
    let mut mistakes = FoundByEnvironment::default();
    // A review environment has the values of the environment that it copies.
    for environment in workspace.environments.values().filter(|environment| environment.review.is_none()) {
        let origin = ValueOrigin { sources, environment, set: None };
        let projects = resolve(workspace, environment);
        let provided = Provided::by(&projects);
        for project in projects.iter().filter(|project| project.external.is_none() && project.is_on_universal_chart()) {
            let mut own = check_project(origin, project, &workspace.defaults, &provided);
            own.extend(warnings(origin, workspace, project, &provided));
            let name = workspace.projects.get_key_value(&project.name).map_or(&environment.name, |(name, _)| name);
            mistakes.add(&environment.name, name, own);
        }
    }
    found.extend(mistakes.named(sources));
}

/// What is valid, and perhaps not meant.
fn warnings(
    origin: ValueOrigin<'_>,
    workspace: &Workspace,
    project: &ResolvedProject,
    provided: &Provided,
) -> Vec<ConfigError> {
    let is_known = origin.environment.platform == Platform::Cmdr && !has_operator(workspace);
    let alerts = alerts::without_operator(project).filter(|_| is_known);
    let warnings = [priority::above_default(project), alerts].into_iter().flatten();
    let names =
        hosts::misspelled(project, provided).into_iter().chain(references::almost_config_maps(project, provided));
    let placed = warnings.chain(names).filter_map(|mistake| mistake.placed(origin, project));
    placed.map(ConfigError::warning).collect()
}

/// Returns the mistakes in the values of one project; none if it has a chart of its own. `defaults` are those of the
/// workspace, which are for projects of all kinds.
///
/// A project that has only a `build` is complete for `local`, so a missing image is not a mistake here.
pub fn check_project(
    origin: ValueOrigin<'_>,
    project: &ResolvedProject,
    defaults: &Values,
    provided: &Provided,
) -> Vec<ConfigError> {
    if !project.is_on_universal_chart() {
        return Vec::new();
    }
    let mut values = project.values.clone();
    values.entry("image").or_insert_with(|| json!("image"));
    let schema = if has_fragments(&values) { &*WITH_FRAGMENTS } else { &*COMPILED };
    let mut found = check_values(origin, ValuesHolder::Project(&project.name), &values, schema);
    found.extend(check_empty_keys(origin, ValuesHolder::Project(&project.name), &values, schema));
    found.extend(variables::circles(origin, project));
    found.extend(routes::without_port(project).and_then(|mistake| mistake.placed(origin, project)));
    found.extend(long_name(project).and_then(|mistake| mistake.placed(origin, project)));
    found.extend(taken_volume(project).and_then(|mistake| mistake.placed(origin, project)));
    let foreign = kinds::foreign_keys(project, defaults);
    let is_foreign = |mistake: &Mistake| foreign.iter().any(|it| it.path.first() == mistake.path.first());
    let combinations = combinations::check(project, defaults).into_iter().filter(|it| !is_foreign(it)).collect();
    let mistakes = [
        combinations,
        foreign,
        collisions::check(project),
        rendered::unfit_patches(project),
        variables::unknown(project),
        probes::unknown_ports(project),
        probes::without_port(project),
        references::check(project, provided),
        aliases::taken(project, provided),
        routes::unsupported(project),
        named_parts::unknown(project, provided),
        neighbours::unknown(project, provided),
        neighbours::ambiguous_peers(project),
        files::check(project, origin.sources.folder()),
        dashboards::check(project, origin.sources.folder()),
        waits::check(project, provided),
        probes::of_other_protocols(project),
        probes::of_init_containers(project),
        neighbours::unfit_to_weigh(project, provided),
        neighbours::unfit_to_share(project, provided).into_iter().collect(),
    ];
    found.extend(mistakes.into_iter().flatten().filter_map(|mistake| mistake.placed(origin, project)));
    found
}

/// A volume with the name of the one that contains `files`.
fn taken_volume(project: &ResolvedProject) -> Option<Mistake> {
    let path = ["volumes", "files"];
    project.values.get(path[0])?.get(path[1]).filter(|volume| !volume.is_null())?;
    project.values.get("files")?;
    let message = "the volume `files` contains what the key `files` writes".to_owned();
    Some(Mistake::new(path.map(str::to_owned).to_vec(), message, "expected another name of the volume".to_owned()))
}

/// A name that is too long for the kind of the workload.
fn long_name(project: &ResolvedProject) -> Option<Mistake> {
    let kind = project.values.get("kind").and_then(Value::as_str).filter(|kind| SHORTER.contains(kind))?;
    let length = project.name.as_str().len();
    let is_long = length > LONGEST_SHORTER;
    let message =
        format!("`{}` has {length} characters, and the name of a {kind} at most {LONGEST_SHORTER}", project.name);
    let expected = "expected another kind, or a shorter name of the project".to_owned();
    is_long.then(|| Mistake::new(vec!["kind".to_owned()], message, expected))
}
