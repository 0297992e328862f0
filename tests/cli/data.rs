//! Queries, documentation, and everything as data.

use std::fs;

use super::{LEAST, Place, assert_reported, text};

#[test]
fn mistakes_in_a_query() {
    let place = Place::with_workspace(&format!(
        "{LEAST}environments:\n  staging: {{context: staging, domain: staging.example.com}}\n"
    ));
    let wrong = |name: &str, words: &[&str]| {
        assert_reported(&format!("query-{name}"), &place.shown(&[&["query"], words].concat()));
    };
    wrong("with-a-syntax-error", &["pods", "--expr", "containers.exists(c, c.image == 'a'"]);
    wrong("with-an-unknown-environment", &["images", "--env", "local", "--env", "stagin"]);
    wrong("of-all-and-one", &["images", "--all-environments", "--env", "staging"]);
    wrong("of-unreachable-environments", &["images", "--all-environments"]);
    wrong("without-a-question", &[]);
    assert_reported("env-twice", &place.shown(&["status", "--env", "local", "--env", "staging"]));
}

#[test]
fn the_documentation_is_searched() {
    let place = Place::new();
    assert_reported("docs-unknown", &place.shown(&["docs", "delivry"]));
    assert_reported("docs-search-nothing", &place.shown(&["docs", "--search", "xylophone"]));
    let found = place.run(&["docs", "--search", "roll back", "--output", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let topic = found["hits"][0]["topic"].as_str().unwrap();
    let page = place.run(&["docs", topic]);
    assert!(text(&page.stdout).to_lowercase().contains("roll"), "{topic}");
    assert!(text(&place.run(&["docs", "projects-yaml"]).stdout).starts_with("# "));
}

#[test]
fn an_edited_skill_file_is_kept() {
    let place = Place::with_workspace(LEAST);
    let file = place.path().join(".claude/skills/cmdr/SKILL.md");
    assert_reported("agent-init-dry", &place.shown(&["agent", "init", "--dry-run"]));
    assert!(!file.exists());
    assert_reported("agent-init", &place.shown(&["agent", "init"]));
    assert_reported("agent-init-again", &place.shown(&["agent", "init", "--output", "json"]));
    let own = format!("{}\nmine\n", fs::read_to_string(&file).unwrap());
    fs::write(&file, &own).unwrap();
    assert_reported("agent-init-edited", &place.shown(&["agent", "init"]));
    assert_eq!(fs::read_to_string(&file).unwrap(), own);
    assert_reported("agent-init-force", &place.shown(&["agent", "init", "--force"]));
    assert_reported("agent-init-into", &place.shown(&["agent", "init", "--into", ".agents/skills"]));
    assert!(fs::read_to_string(place.path().join(".agents/skills/cmdr/SKILL.md")).unwrap().contains("catalog"));
}

#[test]
fn errors_are_data_with_json_output() {
    let place = Place::with_workspace("version: 1\nname: shop\nprojects:\n  catalog: {imag: redis}\n");
    assert_reported("json-error-of-the-file", &place.shown(&["plan", "--output", "json"]));
    assert_reported("json-error-of-the-command-line", &place.shown(&["upp", "--output=json"]));
    let place = Place::with_workspace(LEAST);
    assert_reported("json-error-of-a-name", &place.shown(&["plan", "--env", "locl", "-o", "json"]));
    assert_reported("json-error-of-an-expression", &place.shown(&["query", "pods", "--expr", "a ==", "-o", "json"]));
}

#[test]
fn the_command_line_is_described_as_data() {
    let place = Place::new();
    let described = |words: &[&str]| -> serde_json::Value {
        let output = place.run(&[words, &["--help", "--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let all = described(&[]);
    let names: Vec<&str> =
        all["commands"].as_array().unwrap().iter().map(|it| it["command"].as_str().unwrap()).collect();
    assert!(names.contains(&"cmdr up") && names.contains(&"cmdr query"), "{names:?}");
    assert_reported("json-help", &serde_json::to_string_pretty(&described(&["snapshot", "save"])).unwrap());
    let version = place.run(&["--version", "--output", "json"]);
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_schema_is_printed() {
    let place = Place::new();
    assert_reported("schemas", &place.shown(&["schema"]));
    assert_reported("schema-unknown", &place.shown(&["schema", "statu"]));
    let list = place.run(&["schema", "--output", "json"]);
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list.stdout).unwrap();
    for schema in &list {
        let name = schema["name"].as_str().unwrap();
        let printed = place.run(&["schema", name]);
        let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        assert!(jsonschema::validator_for(&printed).is_ok(), "{name}");
    }
    let validator = |name: &str| {
        let schema: serde_json::Value = serde_json::from_slice(&place.run(&["schema", name]).stdout).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    };
    let document = |words: &[&str]| -> serde_json::Value { serde_json::from_slice(&place.run(words).stdout).unwrap() };
    assert!(validator("help").is_valid(&document(&["--help", "--output", "json"])));
    assert!(validator("docs").is_valid(&document(&["docs", "--output", "json"])));
    assert!(validator("cache").is_valid(&document(&["cache", "size", "--output", "json"])));
    let error = place.run(&["plan", "--output", "json"]).stderr;
    assert!(validator("message").is_valid(&serde_json::from_slice(&error).unwrap()), "{}", text(&error));
}
