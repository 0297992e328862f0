//! Validates that the images of a project reach its chart.

use super::overrides::EnvironmentNames;
use crate::{
    config::{
        error::{ConfigError, listed, quoted},
        read::image_key,
        sources::Sources,
        tree::Cursor,
    },
    domain::workspace::LOCAL,
};

/// How a chart takes an image, to copy.
const HELP: &str = "add to `chart` the values that take the image: `image: {repository: image.repository, tag: image.tag, \
                    digest: image.digest}`, or `image: {reference: image}` if one value takes all of it";

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for (_, release) in sources.entries("platform") {
        if let Some(image) = release.at(&["chart", "image"]) {
            let expected = "expected it only in a project: a platform release takes its image from `values`";
            found.push(ConfigError::error(image.key_location(), "a platform release has no image", expected));
        }
    }
    let environments = EnvironmentNames::all(sources);
    for (_, project) in sources.entries("projects") {
        let local = sources.local().and_then(|local| local.cursor().at(&["projects", project.key()]));
        overrides(project)
            .chain([project])
            .filter_map(|holder| holder.at(&["chart", "image"]))
            .for_each(|key| check_parts(key, found));
        check_project(&WrittenProject { project, local }, &environments, found);
    }
}

/// A project as written.
struct WrittenProject<'a> {
    project: Cursor<'a>,
    /// Its entry in `projects.local.yaml`.
    local: Option<Cursor<'a>>,
}

impl<'a> WrittenProject<'a> {
    fn local_in(&self, environment: &EnvironmentNames<'_>) -> Option<Cursor<'a>> {
        self.local.filter(|_| environment.name == LOCAL)
    }

    /// The keys that give the project an image in an environment.
    fn images(&self, environment: &EnvironmentNames<'_>) -> Vec<Cursor<'a>> {
        let image = environment.holder(self.project, &["image"]).get("image");
        let local = self.local_in(environment).and_then(|local| local.get("image"));
        [self.project.get("build"), image, local].into_iter().flatten().collect()
    }

    /// The entries whose values are merged in an environment.
    fn layers(&self, environment: &EnvironmentNames<'_>) -> impl Iterator<Item = Cursor<'a>> {
        let overrides = environment.overrides_of(self.project);
        [self.project].into_iter().chain(overrides).chain(self.local_in(environment))
    }
}

/// Reports the images that reach the chart in no environment, and values that cmdr sets.
fn check_project(project: &WrittenProject<'_>, environments: &[EnvironmentNames<'_>], found: &mut Vec<ConfigError>) {
    let (mut reaching, mut others) = (Vec::new(), Vec::new());
    for environment in environments {
        let images = project.images(environment);
        let chart = environment.holder(project.project, &["chart"]).get("chart");
        let key = chart.and_then(|chart| chart.get("image"));
        if let Some(key) = key.filter(|_| !images.is_empty()) {
            check_values(project.layers(environment), key, found);
        }
        let kind = if chart.is_none() || key.is_some() { &mut reaching } else { &mut others };
        kind.extend(images);
    }
    let is_unused = |image: &Cursor<'_>| reaching.iter().all(|other| other.key_location() != image.key_location());
    others.into_iter().filter(is_unused).for_each(|image| report(unused(image), found));
}

fn overrides(project: Cursor<'_>) -> impl Iterator<Item = Cursor<'_>> {
    project.get("environments").into_iter().flat_map(|map| map.entries())
}

/// Reports a mistake once, although it concerns several environments.
fn report(error: ConfigError, found: &mut Vec<ConfigError>) {
    if !found.contains(&error) {
        found.push(error);
    }
}

fn unused(image: Cursor<'_>) -> ConfigError {
    let message = format!("{} does not reach the project's own chart", quoted(image.key()));
    ConfigError::error(image.key_location(), message, "expected the key `image` in `chart`")
        .with_help(Some(HELP.to_owned()))
}

fn check_parts(key: Cursor<'_>, found: &mut Vec<ConfigError>) {
    if key.get("repository").is_some() && key.get("tag").is_none() && key.get("digest").is_none() {
        let message = "`repository` has neither `tag` nor `digest`";
        found.push(ConfigError::error(key.key_location(), message, "expected `tag`, `digest` or both"));
    }
}

/// Values that cmdr writes must not be written, too.
fn check_values<'a>(layers: impl Iterator<Item = Cursor<'a>>, key: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let Some(key) = image_key(key) else { return };
    for layer in layers {
        let Some(values) = layer.get("values") else { continue };
        let written: Vec<(String, Cursor<'_>)> = key
            .paths()
            .into_iter()
            .filter_map(|path| {
                let keys = path.keys();
                let above = (1..keys.len()).filter_map(|depth| values.at(&keys[..depth]));
                let is_no_map = |value: &Cursor<'_>| value.text().is_some();
                let place = values.at(&keys).or_else(|| above.into_iter().find(is_no_map))?;
                Some((keys.join("."), place))
            })
            .collect();
        let Some((_, place)) = written.first() else { continue };
        let message = format!(
            "`chart.image` sets {}",
            listed(written.iter().map(|(path, _)| path.as_str())).replace(" or ", " and ")
        );
        let help = "remove the value, and write the image under `image`".to_owned();
        let error = ConfigError::error(place.key_location(), message, "expected the image under `image`");
        report(error.with_help(Some(help)), found);
    }
}
