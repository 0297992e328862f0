//! Helm values against a chart's schema: each mistake is shown in the file and the layer that set the value.

use std::{fs, path::Path};

use cmdr::{
    config,
    domain::{self, Name},
};
use serde_json::{Value, json};

const FILE: &str = r#"version: 1
name: tunes
environments:
  staging: {context: staging, domain: staging.example.com}
defaults:
  values: {resources: {requests: {cpu: 10}}}
projects:
  shop:
    image: shop:1
    routes: {web: {host: shop, port: http}}
    values:
      replica: 2
      kind: Deploymnt
      ports: {http: "80", metrics: 70000}
      env:
        A: [1]
      secrets:
        db: {generat: password}
        other: 5
    environments:
      staging: {values: {ports: {http: eighty}, Env: {}}}
  search:
    chart: {oci: ghcr.io/org/search, version: 1.0.0}
"#;
const LOCAL: &str = "projects:\n  shop:\n    values: {ports: {http: true}, kind: Job}\n";

fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["image"],
        "properties": {
            "image": {"type": "string"},
            "version": {"type": "string"},
            "workspace": {"type": "string"},
            "kind": {"enum": ["Deployment", "StatefulSet", "Job"]},
            "replicas": {"type": "integer", "description": "How many pods run"},
            "ports": {"type": "object", "additionalProperties": {"$ref": "#/$defs/port"}},
            "env": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            "secrets": {"type": "object", "additionalProperties": {"oneOf": [
                {"type": "object", "additionalProperties": false, "required": ["generate"], "properties": {
                    "generate": {"enum": ["password"]}}},
                {"type": "object", "additionalProperties": false, "required": ["from", "key"], "properties": {
                    "from": {"type": "string"}, "key": {"type": "string"}}}
            ]}},
            "resources": {"type": "object", "properties": {"requests": {"type": "object", "properties": {
                "cpu": {"type": "string", "pattern": "^[0-9]+m?$"}}}}},
            "routes": {"type": "object", "additionalProperties": {"type": "object", "properties": {"port": {"const": "web"}}}}
        },
        "$defs": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}}
    })
}

fn answers(folder: &Path, environment: &str, project: &str, schema: &Value) -> String {
    let loaded = config::load(folder).unwrap();
    let environment = &loaded.workspace.environments[environment];
    let resolved = domain::resolve(&loaded.workspace, environment);
    let resolved = resolved.into_iter().find(|resolved| resolved.name.as_str() == project).unwrap();
    let name = Name::new(project).unwrap();
    let found =
        config::check_values(&loaded.sources, environment, &name, &resolved.values, &config::ValuesSchema::new(schema));
    found.iter().map(|one| config::render(one, false)).collect::<Vec<_>>().join("\n\n")
}

fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(config::FILE), FILE).unwrap();
    fs::write(folder.path().join(config::LOCAL_FILE), LOCAL).unwrap();
    folder
}

#[test]
fn a_mistake_is_shown_where_the_value_is_written() {
    let folder = workspace();
    for environment in ["local", "staging"] {
        let answers = answers(folder.path(), environment, "shop", &schema());
        super::snapshots().bind(|| insta::assert_snapshot!(format!("values-{environment}"), answers));
    }
}

#[test]
fn what_nobody_wrote_is_shown_at_the_project() {
    let folder = workspace();
    let missing = answers(folder.path(), "staging", "search", &json!({"required": ["image"]}));
    let broken = answers(folder.path(), "staging", "search", &json!({"type": "nonsense"}));
    super::snapshots().bind(|| insta::assert_snapshot!("values-unwritten", format!("{missing}\n\n{broken}")));
}

#[test]
fn keys_that_are_null_are_gone_before_the_check() {
    let folder = workspace();
    fs::write(
        folder.path().join(config::LOCAL_FILE),
        "projects: {shop: {values: {replica: null, kind: null, ports: null, env: null, secrets: null, resources: null, routes: null}}}",
    )
    .unwrap();
    assert_eq!(answers(folder.path(), "local", "shop", &schema()), "");
}
