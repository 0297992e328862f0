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
projects:
  shop:
    chart: {oci: ghcr.io/org/shop, version: 1.0.0}
    values:
      kind: Deploymnt
      ports: {http: "80"}
  search:
    chart: {oci: ghcr.io/org/search, version: 1.0.0}
"#;

fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "kind": {"enum": ["Deployment", "StatefulSet", "Job"]},
            "ports": {"type": "object", "additionalProperties": {"type": "integer"}}
        }
    })
}

fn answers(folder: &Path, environment: &str, project: &str, schema: &Value) -> String {
    let loaded = config::load(folder).unwrap();
    let environment = &loaded.workspace.environments[environment];
    let resolved = domain::resolve(&loaded.workspace, environment);
    let resolved = resolved.into_iter().find(|resolved| resolved.name.as_str() == project).unwrap();
    let name = Name::new(project).unwrap();
    let origin = config::ValueOrigin { sources: &loaded.sources, environment, set: None };
    let holder = config::ValuesHolder::Project(&name);
    let found = config::check_values(origin, holder, &resolved.values, &config::ValuesSchema::new(schema));
    found.iter().map(|one| config::render(one, false)).collect::<Vec<_>>().join("\n\n")
}

fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(config::FILE), FILE).unwrap();
    folder
}

#[test]
fn values_without_a_location_are_reported_at_the_project() {
    let folder = workspace();
    let missing = answers(folder.path(), "staging", "search", &json!({"required": ["image"]}));
    let broken = answers(folder.path(), "staging", "search", &json!({"type": "nonsense"}));
    super::snapshots().bind(|| insta::assert_snapshot!("values-unwritten", format!("{missing}\n\n{broken}")));
}

#[test]
fn null_keys_are_removed_before_the_check() {
    let folder = workspace();
    assert_ne!(answers(folder.path(), "local", "shop", &schema()), "");
    fs::write(folder.path().join(config::LOCAL_FILE), "projects: {shop: {values: {kind: null, ports: null}}}").unwrap();
    assert_eq!(answers(folder.path(), "local", "shop", &schema()), "");
}

#[test]
fn a_value_of_the_command_line_acts_as_one_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = |own: &str| {
        format!(
            "version: 1\nname: tunes\nprojects:\n  shop: {{image: a:1, needs: [db], values: {{ports: {{http: 80}}{own}}}}}\n  \
             db: {{image: a:1, values: {{ports: {{db: 5432}}}}}}\n"
        )
    };
    let resolved = |own: &str, options: &[&str]| {
        fs::write(folder.path().join(config::FILE), text(own)).unwrap();
        let loaded = config::load(folder.path()).unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let set = config::SetOptions::parse(&options).unwrap();
        let environment = loaded.workspace.environments.values().next().unwrap();
        let apply = |project: &mut domain::ResolvedProject| {
            if project.name.as_str() == "shop" { set.apply(&mut project.values, true) } else { Ok(()) }
        };
        let projects = domain::resolve::resolve_with(&loaded.workspace, environment, apply).unwrap();
        projects.into_iter().map(|project| project.values).collect::<Vec<_>>()
    };
    let written =
        resolved(", networkPolicy: true, telemetry: otlp, monitor: {path: /metrics}, waitFor: {db: true}", &[]);
    let options = ["networkPolicy=true", "telemetry=otlp", "monitor.path=/metrics", "waitFor.db=true"];
    assert_eq!(resolved("", &options), written);
    assert!(written[1]["extraObjects"]["network-policy"].is_object());
}
