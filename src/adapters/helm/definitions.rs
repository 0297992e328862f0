//! The CustomResourceDefinitions in a chart's `crds/` folder. Helm installs them with the chart, and never upgrades them.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{HelmError, charts::chart_files, folder::ChartFiles};
use crate::domain::{digest::sha256, yaml};

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

/// Returns the definitions in a chart's own `crds/` folder. Those of subcharts are left to Helm.
///
/// # Errors
/// If the chart cannot be read, or a definition is not valid YAML.
pub fn definitions(chart: &Path) -> Result<Vec<Definition>, HelmError> {
    read_definitions(&chart_files(chart)?).map_err(|error| HelmError::Chart(format!("{}: {error}", chart.display())))
}

/// Whether a file of a chart can contain a definition.
pub(super) fn is_definition_file(name: &str) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default();
    name.starts_with("crds/") && ENDINGS.iter().any(|ending| extension == *ending)
}

/// Returns the name of each definition, with its checksum.
pub(super) fn checksums(files: &ChartFiles) -> Result<BTreeMap<String, String>, String> {
    Ok(read_definitions(files)?.into_iter().map(|it| (it.name, it.checksum)).collect())
}

fn read_definitions(files: &ChartFiles) -> Result<Vec<Definition>, String> {
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
    use super::*;

    #[test]
    fn only_definitions_in_the_folder_count() {
        let definition = format!("kind: {KIND}\nmetadata: {{name: things.example.test}}\n");
        let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let files = ChartFiles::from([
            file("crds/things.yaml", &format!("# a comment\n---\n{definition}---\nkind: ConfigMap\n")),
            file("crds/README.md", "not: [yaml"),
            file("templates/other.yaml", "{{ not yaml }}"),
        ]);
        let known = checksums(&files).unwrap();
        assert_eq!(known.keys().collect::<Vec<_>>(), ["things.example.test"]);
        let changed = ChartFiles::from([file("crds/things.yaml", &format!("{definition}spec: {{}}\n"))]);
        assert_ne!(checksums(&changed).unwrap(), known);
    }
}
