//! References in a chart's `values.schema.json` to other documents. Those to files of the chart are followed. Others
//! are not fetched: what they describe is not checked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The start of the identifiers of embedded documents.
const SCHEME: &str = "chart:/";
/// Documents that every validator knows.
const KNOWN: [&str; 2] = ["https://json-schema.org/", "http://json-schema.org/"];

/// A schema that refers to no document outside of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ClosedSchema {
    pub(super) schema: Value,
    /// References that were removed, as written.
    pub(super) unread: BTreeSet<String>,
}

impl ClosedSchema {
    /// `files` are the chart's JSON documents by path.
    pub(super) fn of(schema: Value, files: &BTreeMap<String, Value>) -> Self {
        let mut closing = Closing { files, known: BTreeSet::new(), embedded: Map::new(), unread: BTreeSet::new() };
        note_ids(&schema, &mut closing.known);
        let mut schema = closing.closed(schema, "");
        if let Some(schema) = schema.as_object_mut().filter(|_| !closing.embedded.is_empty()) {
            let key = definitions_key(schema);
            let definitions = schema.entry(key).or_insert_with(|| json!({}));
            if let Some(definitions) = definitions.as_object_mut() {
                definitions.append(&mut closing.embedded);
            }
        }
        Self { schema, unread: closing.unread }
    }
}

/// The key for parts of a schema, which depends on its draft.
fn definitions_key(schema: &Map<String, Value>) -> &'static str {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    if draft.contains("/draft-0") { "definitions" } else { "$defs" }
}

/// The identifiers that parts of a schema have.
fn note_ids(value: &Value, known: &mut BTreeSet<String>) {
    if let Some(id) = value.get("$id").or_else(|| value.get("id")).and_then(Value::as_str) {
        known.insert(id.trim_end_matches('#').to_owned());
    }
    match value {
        Value::Object(map) => map.values().for_each(|value| note_ids(value, known)),
        Value::Array(items) => items.iter().for_each(|value| note_ids(value, known)),
        _ => (),
    }
}

/// What is known while a schema is closed.
struct Closing<'a> {
    files: &'a BTreeMap<String, Value>,
    known: BTreeSet<String>,
    embedded: Map<String, Value>,
    unread: BTreeSet<String>,
}

impl Closing<'_> {
    /// Replaces the references of a document, which is in this folder of the chart.
    fn closed(&mut self, value: Value, folder: &str) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.closed(item, folder)).collect(),
            Value::Object(map) => {
                let mut closed = Map::new();
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(reference)) => self.follow(&reference, folder, &mut closed),
                        ("$schema", Value::String(draft)) if !is_known(&draft) => drop(self.unread.insert(draft)),
                        (_, value) => drop(closed.insert(key, self.closed(value, folder))),
                    }
                }
                closed.into()
            }
            other => other,
        }
    }

    /// Adds a reference to a part of a schema, if what it refers to can be read.
    fn follow(&mut self, reference: &str, folder: &str, part: &mut Map<String, Value>) {
        let (document, fragment) = reference.split_once('#').map_or((reference, None), |(it, at)| (it, Some(at)));
        if document.is_empty() || self.known.contains(document) || is_known(document) {
            part.insert("$ref".to_owned(), reference.into());
        } else if let Some(id) = self.embed(document, folder) {
            let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
            part.insert("$ref".to_owned(), format!("{id}{fragment}").into());
        } else {
            self.unread.insert(reference.to_owned());
            // With this key, what the reference describes counts as known, whatever it is.
            part.entry("additionalProperties").or_insert(true.into());
        }
    }

    /// Embeds a file of the chart, and returns its identifier.
    fn embed(&mut self, document: &str, folder: &str) -> Option<String> {
        let path = join(folder, document);
        let content = self.files.get(&path)?.clone();
        let id = format!("{SCHEME}{path}");
        if !self.embedded.contains_key(&id) {
            // Reserves its place, as documents may refer to each other.
            self.embedded.insert(id.clone(), Value::Bool(true));
            let within = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let mut content = self.closed(content, within);
            if let Some(content) = content.as_object_mut() {
                // The key depends on the draft, too.
                for key in ["id", "$id"] {
                    content.insert(key.to_owned(), id.clone().into());
                }
            }
            self.embedded.insert(id.clone(), content);
        }
        Some(id)
    }
}

fn is_known(document: &str) -> bool {
    KNOWN.iter().any(|known| document.starts_with(known))
}

/// Resolves a relative reference within the chart.
fn join(folder: &str, document: &str) -> String {
    let start = if document.starts_with('/') { "" } else { folder };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(document.split('/')) {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(schema: &ClosedSchema, values: &Value) -> bool {
        jsonschema::validator_for(&schema.schema).unwrap().is_valid(values)
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_checked() {
        let remote = "https://schemas.example.test/a.json#/definitions/a";
        let schema = json!({"properties": {"a": {"$ref": remote}, "b": {"type": "integer"}}});
        let schema = ClosedSchema::of(schema, &BTreeMap::new());
        assert_eq!(schema.unread, BTreeSet::from([remote.to_owned()]));
        assert!(is_valid(&schema, &json!({"a": [1], "b": 1})));
        assert!(!is_valid(&schema, &json!({"a": [1], "b": "x"})));
    }

    #[test]
    fn files_of_the_chart_are_followed() {
        let files = BTreeMap::from([
            ("schemas/common.json".to_owned(), json!({"definitions": {"port": {"$ref": "port.json"}}})),
            ("schemas/port.json".to_owned(), json!({"type": "integer", "not": {"$ref": "../zero.json"}})),
            ("zero.json".to_owned(), json!({"enum": [0]})),
        ]);
        let drafts = ["http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#"];
        let drafts = drafts.into_iter().chain(["https://json-schema.org/draft/2020-12/schema"]);
        let ids = [None, Some("https://charts.example/values.schema.json")];
        for (draft, id) in drafts.flat_map(|draft| ids.map(|id| (draft, id))) {
            let mut schema = json!({
                "$schema": draft,
                "properties": {
                    "port": {"$ref": "./schemas/common.json#/definitions/port"},
                    "other": {"$ref": "#/properties/port"},
                },
            });
            if let Some(id) = id {
                schema[if draft.contains("draft-04") { "id" } else { "$id" }] = id.into();
            }
            let schema = ClosedSchema::of(schema, &files);
            assert!(schema.unread.is_empty());
            for (port, valid) in [(json!(80), true), (json!(0), false), (json!("x"), false)] {
                for key in ["port", "other"] {
                    assert_eq!(is_valid(&schema, &json!({key: port})), valid, "{key}: {port}");
                }
            }
        }
    }

    #[test]
    fn own_identifiers_and_drafts_stay() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {"name": {"$id": "https://a.example/name", "type": "string"}},
            "properties": {"name": {"$ref": "https://a.example/name"}},
        });
        let closed = ClosedSchema::of(schema.clone(), &BTreeMap::new());
        assert_eq!((closed.schema, closed.unread.len()), (schema, 0));
    }

    #[test]
    fn properties_behind_an_unread_reference_are_not_unexpected() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [{"$ref": "https://a.example/all"}],
            "unevaluatedProperties": false,
        });
        assert!(is_valid(&ClosedSchema::of(schema, &BTreeMap::new()), &json!({"a": 1})));
    }
}
