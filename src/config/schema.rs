//! Generates the JSON Schema of `projects.yaml` for editors, from the same tables as validation.

use serde::Serialize;
use serde_json::{Map, Serializer, Value, json, ser::PrettyFormatter};

use super::{
    fields::{Shape, Table},
    tables, universal,
};

/// Returns the text of `projects.schema.json`.
pub fn json_schema() -> String {
    // Editors load the file for each workspace, and half of what `{:#}` would write is space.
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    if schema().serialize(&mut serializer).is_err() {
        text.clear();
    }
    text.push(b'\n');
    String::from_utf8(text).unwrap_or_default()
}

/// Returns the schema in draft 7, which the YAML language server supports best.
pub fn schema() -> Value {
    let mut definitions: Map<String, Value> =
        tables::ALL.iter().map(|table| (table.name.to_owned(), of_table(table))).collect();
    add_values(&mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "projects.yaml",
        "description": "The projects of a workspace and the environments that they run in.",
        "allOf": [{"$ref": format!("#/definitions/{}", tables::WORKSPACE.name)}],
        "definitions": definitions,
    })
}

/// Describes the values of the universal chart wherever they are written: beside no key `chart`.
fn add_values(definitions: &mut Map<String, Value>) {
    let mut values = universal::fragments::with_fragments(&of_one_layer(universal::SCHEMA.clone()));
    if let Some(Value::Object(types)) = values.as_object_mut().and_then(|values| values.remove("definitions")) {
        definitions.extend(types);
    }
    definitions.insert("values".to_owned(), values);
    let has_no_chart = json!({"not": {"required": ["chart"]}});
    let values = json!({"$ref": "#/definitions/values"});
    let overrides = json!({"if": has_no_chart, "then": {"properties": {"values": values}}});
    let of_project = json!({"properties": {"values": values, "environments": {"additionalProperties": overrides}}});
    definitions[tables::PROJECT.name]["if"] = has_no_chart;
    definitions[tables::PROJECT.name]["then"] = of_project;
    definitions[tables::DEFAULTS.name]["allOf"] = json!([{"properties": {"values": values}}]);
}

/// Keywords about several keys together: one layer of values need not be complete, as others are merged with it.
const ABOUT_SEVERAL_KEYS: [&str; 9] =
    ["anyOf", "dependencies", "else", "if", "maxProperties", "minProperties", "oneOf", "required", "then"];

/// The schema without what holds only for all layers together.
fn of_one_layer(schema: Value) -> Value {
    match schema {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, _)| !ABOUT_SEVERAL_KEYS.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key, of_one_layer(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(of_one_layer).collect()),
        other => other,
    }
}

fn of_table(table: &Table) -> Value {
    let property =
        |(key, shape, description): (&str, &Shape, &str)| (key.to_owned(), described(of_shape(shape), description));
    let properties = table.fields.iter().map(|field| (field.key, &field.shape, field.description)).map(property);
    let required: Vec<&str> = table.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.description,
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    let mut add = |key: &str, value: Value, wanted: bool| {
        if wanted {
            schema[key] = value;
        }
    };
    add("required", json!(required), !required.is_empty());
    let one_of: Vec<Value> = table.alternatives.iter().map(|set| of_alternative(table, set)).collect();
    add("oneOf", json!(one_of), !one_of.is_empty());
    let any_of: Vec<Value> = table.any_of.iter().map(|key| json!({"required": [key]})).collect();
    add("anyOf", json!(any_of), !any_of.is_empty());
    let exclusive: Vec<Value> =
        table.exclusive.iter().map(|(one, other)| json!({"not": {"required": [one, other]}})).collect();
    add("allOf", json!(exclusive), !exclusive.is_empty());
    schema
}

/// All keys of the set, and no others.
fn of_alternative(table: &Table, set: &[&str]) -> Value {
    let others = table
        .keys()
        .filter(|key| table.is_in_alternatives(key) && !set.contains(key))
        .map(|key| (key.to_owned(), json!(false)));
    json!({"required": set, "properties": others.collect::<Map<_, _>>()})
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text(format) => match format.pattern() {
            Some(pattern) => json!({"type": "string", "pattern": pattern}),
            None => json!({"type": "string", "minLength": 1}),
        },
        Shape::Integer(least, most) if least == most => json!({"const": least}),
        Shape::Integer(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Number(least, most) => json!({"type": "number", "minimum": least, "maximum": most}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::BooleanOr(format) => json!({"anyOf": [{"type": "boolean"}, of_shape(&Shape::Text(*format))]}),
        Shape::TextOr(format, table) => {
            json!({"anyOf": [of_shape(&Shape::Text(*format)), of_shape(&Shape::Table(table))]})
        }
        Shape::Choice(words) => json!({"enum": words}),
        Shape::Table(table) => json!({"$ref": format!("#/definitions/{}", table.name)}),
        Shape::Named(format, each, special) => {
            let mut schema = json!({"type": "object", "additionalProperties": of_shape(each)});
            if let Some(pattern) = format.pattern() {
                schema["propertyNames"] = json!({"pattern": pattern});
            }
            if !special.is_empty() {
                let special = special.iter().map(|(name, shape)| ((*name).to_owned(), of_shape(shape)));
                schema["properties"] = Value::Object(special.collect());
            }
            schema
        }
        Shape::List(each) => json!({"type": "array", "items": of_shape(each), "minItems": 1}),
        Shape::ListOrEmpty(each) => json!({"type": "array", "items": of_shape(each)}),
        Shape::Values => json!({"type": "object"}),
    }
}

/// Draft 7 ignores keywords next to a `$ref`.
fn described(mut schema: Value, description: &str) -> Value {
    if schema.get("$ref").is_some() {
        return json!({"description": description, "allOf": [schema]});
    }
    schema["description"] = json!(description);
    schema
}
