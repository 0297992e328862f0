//! The CustomResourceDefinitions in the `crds/` folders of a chart and its subcharts. Helm installs them with the chart,
//! and never upgrades them.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{
    HelmError,
    charts::chart_files,
    folder::ChartFiles,
    subcharts::{Subchart, subcharts},
};
use crate::domain::{Values, digest::sha256, values, yaml};

/// Endings of files that Helm reads in `crds/`.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
const KIND: &str = "CustomResourceDefinition";

/// A CustomResourceDefinition of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub name: String,
    pub content: Value,
    /// SHA-256 of the content.
    pub checksum: String,
}

/// The definitions of a chart and its subcharts, each with its checksum.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChartDefinitions {
    own: BTreeMap<String, String>,
    subcharts: Vec<(Subchart, Self)>,
}

impl ChartDefinitions {
    pub(super) fn read(files: &ChartFiles) -> Result<Self, String> {
        let own = own_definitions(files)?.into_iter().map(|it| (it.name, it.checksum)).collect();
        let below = subcharts(files)?.into_iter().map(|(subchart, files)| Ok((subchart, Self::read(&files)?)));
        let subcharts: Vec<(Subchart, Self)> = below.collect::<Result<_, String>>()?;
        let subcharts = subcharts.into_iter().filter(|(_, below)| !below.is_empty()).collect();
        Ok(Self { own, subcharts })
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.subcharts.is_empty()
    }

    /// Returns the name and the checksum of each definition that Helm installs with these values, which include the
    /// chart's defaults. Subcharts that the values disable have none. The chart's own definition precedes one with the
    /// same name in a subchart.
    pub fn with_values(&self, values: &Values) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        self.collect(values, values.get("tags"), &mut found);
        found
    }

    fn collect(&self, values: &Values, tags: Option<&Value>, found: &mut BTreeMap<String, String>) {
        for (name, checksum) in &self.own {
            found.entry(name.clone()).or_insert_with(|| checksum.clone());
        }
        for (subchart, below) in &self.subcharts {
            for requirement in &subchart.requirements {
                let given = values.get(&requirement.key).and_then(Value::as_object);
                let own = values::merged([&subchart.values].into_iter().chain(given));
                if requirement.is_enabled(values, &own, tags) {
                    below.collect(&own, tags, found);
                }
            }
        }
    }
}

/// Returns all definitions of a chart and its subcharts, also of those that values disable.
///
/// # Errors
/// If the chart cannot be read, or a definition is not valid YAML.
pub fn definitions(chart: &Path) -> Result<Vec<Definition>, HelmError> {
    all_definitions(&chart_files(chart)?).map_err(|error| HelmError::Chart(format!("{}: {error}", chart.display())))
}

fn all_definitions(files: &ChartFiles) -> Result<Vec<Definition>, String> {
    let mut all = own_definitions(files)?;
    for (_, files) in subcharts(files)? {
        all.extend(all_definitions(&files)?);
    }
    Ok(all)
}

/// Whether a file of a chart, and not of its subcharts, can contain a definition.
pub(super) fn is_definition_file(name: &str) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default();
    name.starts_with("crds/") && ENDINGS.iter().any(|ending| extension == *ending)
}

fn own_definitions(files: &ChartFiles) -> Result<Vec<Definition>, String> {
    let mut found = Vec::new();
    for (file, text) in files.iter().filter(|(name, _)| is_definition_file(name)) {
        let text = String::from_utf8_lossy(text);
        let documents = yaml::read_documents(&text).map_err(|error| format!("{file}: {error}"))?;
        found.extend(documents.into_iter().filter(|document| document["kind"] == KIND).filter_map(definition));
    }
    Ok(found)
}

fn definition(content: Value) -> Option<Definition> {
    let name = content["metadata"]["name"].as_str()?.to_owned();
    let checksum = sha256(content.to_string().as_bytes());
    Some(Definition { name, content, checksum })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn files(texts: &[(&str, &str)]) -> ChartFiles {
        texts.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn text(name: &str) -> String {
        format!("kind: {KIND}\nmetadata: {{name: {name}.example.test}}\n")
    }

    fn names(files: &ChartFiles, values: Value) -> Vec<String> {
        let values: Values = serde_json::from_value(values).unwrap();
        ChartDefinitions::read(files).unwrap().with_values(&values).into_keys().collect()
    }

    #[test]
    fn only_definitions_in_the_folder_count() {
        let things = text("things");
        let chart = files(&[
            ("crds/things.yaml", &format!("# a comment\n---\n{things}---\nkind: ConfigMap\n")),
            ("crds/README.md", "not: [yaml"),
            ("templates/other.yaml", "{{ not yaml }}"),
        ]);
        assert_eq!(names(&chart, json!({})), ["things.example.test"]);
        let changed = files(&[("crds/things.yaml", &format!("{things}spec: {{}}\n"))]);
        assert_ne!(ChartDefinitions::read(&changed).unwrap(), ChartDefinitions::read(&chart).unwrap());
    }

    #[test]
    fn definitions_of_enabled_subcharts_count() {
        let metadata = "name: app\ndependencies:\n- {name: one, condition: one.enabled}\n- {name: two, tags: [extra]}\n\
                        - {name: three, alias: other, condition: 'missing,other.on'}\n";
        let chart = files(&[
            ("Chart.yaml", metadata),
            ("crds/own.yaml", &text("own")),
            ("charts/one/Chart.yaml", "name: one"),
            ("charts/one/values.yaml", "enabled: false"),
            ("charts/one/crds/one.yaml", &text("one")),
            ("charts/one/charts/deep/Chart.yaml", "name: deep"),
            ("charts/one/charts/deep/crds/deep.yaml", &text("deep")),
            ("charts/two/Chart.yaml", "name: two"),
            ("charts/two/crds/two.yaml", &text("two")),
            ("charts/two/crds/own.yaml", &text("own")),
            ("charts/three/Chart.yaml", "name: three"),
            ("charts/three/crds/three.yaml", &text("three")),
            ("charts/_ignored/Chart.yaml", "name: ignored"),
            ("charts/_ignored/crds/ignored.yaml", &text("ignored")),
        ]);
        let short = |values| names(&chart, values).join(" ").replace(".example.test", "");
        assert_eq!(short(json!({})), "own three two", "the default of a subchart disables it");
        assert_eq!(short(json!({"one": {"enabled": true}})), "deep one own three two");
        assert_eq!(short(json!({"tags": {"extra": false}, "other": {"on": false}})), "own");
        assert_eq!(definitions_count(&chart), 6);
    }

    fn definitions_count(chart: &ChartFiles) -> usize {
        all_definitions(chart).unwrap().len()
    }

    #[test]
    fn definitions_of_packed_subcharts_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("crds")).unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "name: packed\nversion: 0.1.0\n").unwrap();
        std::fs::write(folder.path().join("crds/packed.yaml"), text("packed")).unwrap();
        // An archive contains the folder of the chart.
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        archive.append_dir_all("packed", folder.path()).unwrap();
        let packed = archive.into_inner().and_then(flate2::write::GzEncoder::finish).unwrap();
        let mut chart = files(&[("Chart.yaml", "name: app")]);
        chart.insert("charts/packed-0.1.0.tgz".to_owned(), packed);
        assert_eq!(names(&chart, json!({})), ["packed.example.test"]);
    }
}
