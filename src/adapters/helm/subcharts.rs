//! The subcharts below a chart's `charts/` folder, and which of them values enable.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{
    charts::{archived_files, read},
    dependencies::{Dependency, declared},
    folder::ChartFiles,
};
use crate::domain::{Values, values::divided};

const FOLDER: &str = "charts/";
/// Helm ignores entries of `charts/` that start with these characters.
const IGNORED: [char; 2] = ['_', '.'];

/// A chart below `charts/`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subchart {
    /// Its default values.
    pub values: Values,
    /// The dependencies of the parent that use it: several with aliases, and one without conditions if none is declared.
    pub requirements: Vec<Requirement>,
}

/// One use of a subchart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Requirement {
    /// The key of its values in those of the parent: the alias, or the name.
    pub key: String,
    /// Paths in the parent's values; the first one that is a boolean decides.
    conditions: Vec<Vec<String>>,
    /// Keys in `tags` of the outermost values. Without a condition, the subchart is disabled if all of them are false.
    tags: Vec<String>,
}

impl Requirement {
    fn of(dependency: &Dependency) -> Self {
        let path = |text: &str| divided(text.trim()).into_iter().map(|(key, _)| key).collect();
        let conditions = dependency.condition.as_deref().unwrap_or_default().split(',').map(path).collect();
        let key = dependency.alias.clone().unwrap_or_else(|| dependency.name.clone());
        Self { key, conditions, tags: dependency.tags.clone() }
    }

    /// Whether Helm uses the subchart. `own` are its values, merged from its defaults and `parent`.
    pub(super) fn is_enabled(&self, parent: &Values, own: &Values, tags: Option<&Value>) -> bool {
        let decision = self.conditions.iter().find_map(|path| {
            let (first, rest) = path.split_first()?;
            let (values, keys) = if *first == self.key { (own, rest) } else { (parent, path.as_slice()) };
            let (first, rest) = keys.split_first()?;
            rest.iter().try_fold(values.get(first)?, |value, key| value.get(key))?.as_bool()
        });
        decision.unwrap_or_else(|| {
            let mut tags = self.tags.iter().filter_map(|tag| tags?.get(tag)?.as_bool()).peekable();
            tags.peek().is_none() || tags.any(|is_on| is_on)
        })
    }
}

/// The keys of a subchart's `Chart.yaml` that are read.
#[derive(Deserialize)]
struct ChartName {
    name: String,
}

/// Returns the subcharts of a chart with their files, from folders and from archives.
pub(super) fn subcharts(files: &ChartFiles) -> Result<Vec<(Subchart, ChartFiles)>, String> {
    let below = below(files)?;
    if below.is_empty() {
        return Ok(Vec::new());
    }
    let declared = declared(Path::new("Chart.yaml"), files).map_err(|error| error.to_string())?.dependencies;
    let read = below.into_iter().filter_map(|(entry, files)| {
        let metadata = read::<ChartName>(files.get("Chart.yaml")?).map_err(|error| format!("{entry}: {error}"));
        Some(metadata.and_then(|metadata| Ok((subchart(&metadata.name, &declared, &files, &entry)?, files))))
    });
    read.collect()
}

fn subchart(name: &str, declared: &[Dependency], files: &ChartFiles, entry: &str) -> Result<Subchart, String> {
    let values = files.get("values.yaml").map(|text| read::<Option<Values>>(text)).transpose();
    let values = values.map_err(|error| format!("{entry}/values.yaml: {error}"))?.flatten().unwrap_or_default();
    let mut requirements: Vec<Requirement> =
        declared.iter().filter(|dependency| dependency.name == name).map(Requirement::of).collect();
    if requirements.is_empty() {
        requirements.push(Requirement { key: name.to_owned(), conditions: Vec::new(), tags: Vec::new() });
    }
    Ok(Subchart { values, requirements })
}

/// The files of each entry of `charts/`.
fn below(files: &ChartFiles) -> Result<BTreeMap<String, ChartFiles>, String> {
    let mut found: BTreeMap<String, ChartFiles> = BTreeMap::new();
    for (file, content) in files {
        let Some(name) = file.strip_prefix(FOLDER).filter(|name| !name.starts_with(IGNORED)) else { continue };
        match name.split_once('/') {
            Some((folder, rest)) => {
                found.entry(format!("{FOLDER}{folder}")).or_default().insert(rest.to_owned(), content.clone());
            }
            None if is_archive(name) => {
                let files = archived_files(Path::new(file), content).map_err(|error| error.to_string())?;
                found.insert(file.clone(), files);
            }
            None => (),
        }
    }
    Ok(found)
}

fn is_archive(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tgz")
}

/// Whether a file of an archive belongs to what [`subcharts`] and their definitions need.
pub(super) fn is_read(name: &str) -> bool {
    let own = ["Chart.yaml", "requirements.yaml", "values.yaml"];
    let Some((_, last)) = name.strip_prefix(FOLDER).map(|rest| rest.rsplit_once(FOLDER).unwrap_or(("", rest))) else {
        return own.contains(&name);
    };
    match last.split_once('/') {
        Some((_, file)) => own.contains(&file) || super::definitions::is_definition_file(file),
        None => is_archive(last),
    }
}
