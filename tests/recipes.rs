//! The entries of `docs/recipes.md`: all rendered, and those whose images a machine with the rig has, on a cluster.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{collections::BTreeMap, fmt::Write};

use cmdr::domain::yaml;
use common::{Stages, TestWorkspace, tell};
use serde_json::{Value, json};

/// Projects of the page that run here.
const RUNNING: [&str; 10] =
    ["site", "restricted-site", "postgres", "mariadb", "redis", "rabbitmq", "nats", "migrate", "report", "beats"];

/// The text of each entry of the page by its name: a key without indentation, and the lines below it.
fn recipes() -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut name = None;
    let blocks = include_str!("../docs/recipes.md").split("```yaml\n").skip(1);
    for line in blocks.flat_map(|rest| rest.split_once("```").unwrap().0.lines()) {
        if !line.starts_with(' ') && line.ends_with(':') {
            name = Some(line.trim_end_matches(':').to_owned());
        }
        writeln!(found.entry(name.clone().unwrap()).or_default(), "  {line}").unwrap();
    }
    assert!(found.len() >= 18, "only {:?} were found", found.keys());
    found
}

#[test]
fn every_recipe_renders() {
    let recipes = recipes();
    let workspace =
        TestWorkspace::new("rendered", &format!("projects:\n{}", recipes.values().cloned().collect::<String>()));
    for (name, text) in &recipes {
        let project: Value = yaml::read(text).unwrap();
        let rendered = workspace.run(&["render", name]).expect(0);
        let image = project[name]["image"].as_str().unwrap();
        assert!(rendered.stdout.contains(image), "{name} does not run {image}:\n{}", rendered.stdout);
    }
}

#[test]
#[ignore = "long: it is part of make test-full"]
fn recipes_run_on_a_cluster() {
    let recipes = recipes();
    let text: String = RUNNING.iter().map(|name| recipes[*name].clone()).collect();
    let (workspace, stages) = (TestWorkspace::new("recipes", &format!("projects:\n{text}")), Stages::default());
    stages.stage("every recipe whose image is here becomes ready", || {
        workspace.run(&["up"]).expect(0);
        let status = workspace.run(&["status", "--output", "json", "--exit-code"]).expect(0).json();
        let ready = status["releases"].as_array().unwrap().iter().filter_map(|release| release["name"].as_str());
        let ready: Vec<&str> = ready.collect();
        assert!(RUNNING.iter().all(|name| ready.contains(name)), "{ready:?}");
    });
    stages.stage("the web servers answer with what their recipes say", || {
        for host in ["site", "restricted-site"] {
            let answer = workspace.ask(host, "/").unwrap();
            assert!(answer.body.contains("hello"), "{host}: {}", answer.body);
        }
    });
    stages.stage("harden finds the strictest settings that work", || {
        let found = |project: &str| yaml::read::<Value>(&workspace.run(&["harden", project]).expect(0).stdout).unwrap();
        assert_eq!(found("redis"), json!({}), "it works with the default");
        // nginx writes below /var, and its workers are another user.
        let values = found("site");
        tell(&values.to_string());
        assert!(values["security"]["profile"].is_null(), "{values}");
        let project = format!("    values: {values}\n");
        let hardened = recipes["site"].split("    values:").next().unwrap().replace("  site:", "  hardened:");
        let hardened = hardened.replace("host: site", "host: hardened")
            + &project.replace("values: {", "values: {ports: {http: 80}, ");
        workspace.write_projects(&format!("projects:\n{text}{hardened}"));
        workspace.run(&["up", "hardened"]).expect(0);
        assert_eq!(workspace.ask("hardened", "/").unwrap().status, 200);
        workspace.run(&["harden", "migrate"]).expect(1).expect_said("has no Deployment");
        let pods =
            workspace.kubectl(&["get", "pods", "--all-namespaces", "-l", "cmdr.dev/purpose=trial", "-o", "name"]);
        assert_eq!(pods.trim(), "", "no trial is left");
    });
    stages.finish();
}
