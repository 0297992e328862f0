//! Text stays text: where the universal chart takes text, an unquoted number or boolean arrives as it is written.
//!
//! YAML reads `1.10` as the number 1.1 and `08540` as 8540. The chart's schema shows where this matters: wherever a
//! number and a string are valid, Kubernetes expects a string.

use std::path::{Component, Path};

use serde_json::Value;

use super::SCHEMA;
use crate::{
    config::tree::{Content, Cursor},
    domain::Values,
};

/// A place in Helm values, and its part of the universal chart's schema; none for other charts.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Place(Option<&'static Value>);

impl Place {
    /// The root of the values of the universal chart, or of another chart.
    pub(in crate::config) fn root(is_universal: bool) -> Self {
        Self(is_universal.then_some(&*SCHEMA))
    }

    /// The place of a key of the map that is here.
    pub(in crate::config) fn below(self, key: &str) -> Self {
        let below = self.0.and_then(|schema| {
            let known = schema.get("properties").and_then(|known| known.get(key));
            known.or_else(|| schema.get("additionalProperties"))
        });
        Self(below.and_then(resolved))
    }

    /// Whether a string and a number are valid here, and what `content` is, too.
    pub(in crate::config) fn keeps_text(self, content: &Content) -> bool {
        let types = self.0.and_then(|schema| schema.get("type")).and_then(Value::as_array);
        let accepts = |name: &str| types.is_some_and(|types| types.iter().any(|known| known == name));
        let own = match content {
            Content::Integer(_) | Content::Float(_) => "number",
            Content::Bool(_) => "boolean",
            _ => return false,
        };
        accepts("string") && accepts("number") && accepts(own)
    }

    /// Whether the path of a file or folder of the workspace is written here.
    fn is_path(self) -> bool {
        self.0.and_then(|schema| schema.get("format")).is_some_and(|format| format == "workspace-path")
    }
}

/// Follows a `$ref` within the schema.
fn resolved(schema: &'static Value) -> Option<&'static Value> {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => SCHEMA.pointer(reference.strip_prefix('#')?),
        None => Some(schema),
    }
}

/// Returns the Helm values of a map, which is at `place`; empty for anything else.
pub(in crate::config) fn values(map: Cursor<'_>, place: Place) -> Values {
    map.entries().map(|entry| (entry.key().to_owned(), value(entry, place.below(entry.key())))).collect()
}

fn value(written: Cursor<'_>, place: Place) -> Value {
    match &written.node.content {
        Content::Map(_) => Value::Object(values(written, place)),
        Content::Text(text) if place.is_path() => Value::from(from_workspace(&written.file.path, text)),
        content if place.keeps_text(content) => Value::from(written.location().text()),
        content => content.to_json(),
    }
}

/// Returns a path that is relative to the file that contains it, as a path from the workspace folder on. What leads out
/// of the workspace keeps its `..`, and an absolute path stays absolute: both are mistakes.
fn from_workspace(file: &Path, written: &str) -> String {
    let mut path = file.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(written).components() {
        let is_below = path.components().next_back().is_some_and(|last| last != Component::ParentDir);
        match component {
            Component::CurDir => {}
            Component::ParentDir if is_below => _ = path.pop(),
            other => path.push(other),
        }
    }
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::config::{parse::parse, source::SourceFile};

    fn read(text: &str, is_universal: bool) -> Value {
        let file = Arc::new(SourceFile { path: "projects.yaml".into(), text: text.to_owned() });
        let root = parse(&file, &mut Vec::new()).unwrap();
        Value::Object(values(Cursor::root(&file, &root), Place::root(is_universal)))
    }

    const WRITTEN: &str = "env: {VERSION: 1.10, ZIP: 08540, BUILD: 1234e5, CHANNEL: 1234567890123456789, ON: True, NONE: ~}\n\
                           config: &more {LONG: 12345678901234567890, HEX: 0x1F, YES: yes}  # a comment\n\
                           podLabels: {version: 1.0}\n\
                           annotations: *more\n\
                           routes: {web: {host: a, tls: true, annotations: {weight: 010}}}\n\
                           sidecars: {one: {env: {A: 1.50}, ports: {http: 80}}}\n\
                           service: {annotations: {a: 1e3}}\n\
                           extraObjects: {one: {metadata: {labels: {a: 1.10}}, spec: {replicas: 1.0}}}\n\
                           version: 1.20\n\
                           replicas: 3\n";

    #[test]
    fn text_arrives_as_written() {
        let expected = json!({
            "env": {"VERSION": "1.10", "ZIP": "08540", "BUILD": "1234e5", "CHANNEL": "1234567890123456789",
                    "ON": "True", "NONE": null},
            "config": {"LONG": "12345678901234567890", "HEX": "0x1F", "YES": "yes"},
            "podLabels": {"version": "1.0"},
            "annotations": {"LONG": "12345678901234567890", "HEX": "0x1F", "YES": "yes"},
            "routes": {"web": {"host": "a", "tls": true, "annotations": {"weight": "010"}}},
            "sidecars": {"one": {"env": {"A": "1.50"}, "ports": {"http": 80}}},
            "service": {"annotations": {"a": "1e3"}},
            "extraObjects": {"one": {"metadata": {"labels": {"a": "1.10"}}, "spec": {"replicas": 1.0}}},
            "version": "1.20",
            "replicas": 3,
        });
        assert_eq!(read(WRITTEN, true), expected);
    }

    #[test]
    fn a_path_is_relative_to_the_file_that_contains_it() {
        let path = |written: &str| from_workspace(Path::new("teams/shop/projects.yaml"), written);
        assert_eq!(path("conf/app.yaml"), "teams/shop/conf/app.yaml");
        assert_eq!(path("./conf//grafana/"), "teams/shop/conf/grafana");
        assert_eq!(path("../../conf/../x"), "x");
        assert_eq!(path("../.."), ".");
        assert_eq!(path("../../../x"), "../x");
        assert_eq!(path("../../../../x"), "../../x");
        assert_eq!(path("/etc/x"), "/etc/x");
        let read = read("files: {/a: {from: ./conf/a}, /b: {from: 1}, /c: text}", true);
        assert_eq!(read, json!({"files": {"/a": {"from": "conf/a"}, "/b": {"from": 1}, "/c": "text"}}));
    }

    #[test]
    fn other_charts_get_what_helm_reads() {
        assert_eq!(read("env: {A: 1.10, B: 010}", false), json!({"env": {"A": 1.1, "B": 8}}));
    }
}
