//! Questions about what runs, and the same over the Model Context Protocol.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};

use super::common::{PATIENCE, Stages, TestWorkspace, until};

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("an image is found in several environments", images_of_several_environments);
    stage("an expression selects objects of any kind", expressions);
    stage("what is exposed is listed with its TLS", exposed);
    stage("a manual change is listed as a difference", differences);
    stage("an environment that does not respond is reported, and the others are answered", unreachable);
    stage("the values of a Secret are never shown", secrets);
    stage("a query follows changes", changes);
    stage("an agent asks the same over the Model Context Protocol", protocol);
}

fn rows(workspace: &TestWorkspace, words: &[&str]) -> Vec<Value> {
    let output = workspace.run(&[&["query"], words, &["--output", "json"]].concat()).expect(0);
    output.json()["rows"].as_array().unwrap().clone()
}

fn texts(rows: &[Value], key: &str) -> Vec<String> {
    rows.iter().map(|row| row[key].as_str().unwrap_or_default().to_owned()).collect()
}

fn images_of_several_environments(workspace: &TestWorkspace) {
    let found = rows(workspace, &["images", "--name", "redis", "--env", "local", "--env", "staging"]);
    assert_eq!(texts(&found, "environment"), ["local", "staging"], "{found:?}");
    assert!(found.iter().all(|row| row["tag"] == "7.0" && row["digest"].as_str().unwrap().starts_with("sha256:")));
    assert!(found[0]["projects"].as_array().unwrap().contains(&json!("cache")), "{found:?}");
    assert_eq!(rows(workspace, &["images", "--name", "redis", "--all-environments"]), found);
    let unpinned = rows(workspace, &["unpinned", "--name", "podinfo"]);
    assert_eq!(texts(&unpinned, "workload"), ["Deployment/api"]);
    assert_eq!(unpinned[0]["reason"], "no-digest");
}

fn expressions(workspace: &TestWorkspace) {
    let pods = rows(workspace, &["po", "--expr", r#"containers.exists(c, c.image.contains("nginx"))"#]);
    assert!(pods.len() == 1 && pods[0]["name"].as_str().unwrap().starts_with("shop-"), "{pods:?}");
    let ready = r#"status.readyReplicas == 1 && metadata.labels["app.kubernetes.io/instance"] == "db""#;
    assert_eq!(texts(&rows(workspace, &["statefulset", "--expr", ready]), "name"), ["db"]);
    let definitions = rows(workspace, &["crd", "--name", "traefik.io", "--expr", "names.kind == 'IngressRoute'"]);
    assert_eq!(texts(&definitions, "name"), ["ingressroutes.traefik.io"]);
    let mistake = workspace.run(&["query", "pods", "--expr", "contaners.size() == 1"]).expect(2);
    for part in ["unknown name 'contaners'", "--expr:1:1", "did you mean 'containers'?"] {
        assert!(mistake.stderr.contains(part), "{part}: {}", mistake.stderr);
    }
    let unknown = workspace.run(&["query", "ingresroutes"]).expect(2);
    assert!(unknown.stderr.contains("did you mean 'ingressroutes'?"), "{}", unknown.stderr);
}

fn exposed(workspace: &TestWorkspace) {
    let found = rows(workspace, &["exposed"]);
    let of = |project: &str, how: &str| found.iter().find(|row| row["project"] == project && row["how"] == how);
    let route = of("shop", "route").unwrap_or_else(|| panic!("{found:?}"));
    assert!(route["address"].as_str().unwrap().starts_with("shop.") && route["target"] == "shop:http", "{route}");
    assert!(found.iter().any(|row| row["how"] == "load-balancer"), "{found:?}");
    assert!(found.iter().all(|row| row["project"] != "db"), "{found:?}");
}

fn differences(workspace: &TestWorkspace) {
    assert_eq!(rows(workspace, &["differs"]), Vec::<Value>::new());
    workspace.kubectl(&["delete", "service", "cache"]);
    let found = rows(workspace, &["differs"]);
    assert!(found.len() == 1 && found[0]["project"] == "cache", "{found:?}");
    workspace.run(&["up", "cache"]).expect(0);
}

fn unreachable(workspace: &TestWorkspace) {
    let (file, away) = (workspace.user_kubeconfig(), workspace.root().join("away"));
    fs::rename(&file, &away).unwrap();
    let output = workspace.run(&["query", "images", "--name", "redis", "--all-environments", "--output", "json"]);
    fs::rename(&away, &file).unwrap();
    assert_ne!(output.code, 0);
    let document = output.json();
    assert_eq!(texts(document["rows"].as_array().unwrap(), "environment"), ["local"]);
    assert_eq!(document["failed"][0]["environment"], "staging");
    assert!(output.stderr.contains("staging"), "{}", output.stderr);
}

fn secrets(workspace: &TestWorkspace) {
    let password = workspace.run(&["secret", "show", "db/db", "password"]).expect(0).stdout;
    let output = workspace.run(&["query", "secrets", "--output", "json"]).expect(0).stdout;
    let encoded = workspace.kubectl(&["get", "secret", "db-db", "--output", "jsonpath={.data.password}"]);
    assert!(output.contains("db-db") && !output.contains(password.trim()) && !output.contains(encoded.trim()));
}

fn changes(workspace: &TestWorkspace) {
    let watch = workspace.start(&["query", "deploy", "--name", "cache", "--watch", "--output", "json"]);
    std::thread::sleep(Duration::from_secs(2));
    workspace.kubectl(&["annotate", "deployment/cache", "seen=yes"]);
    std::thread::sleep(Duration::from_secs(2));
    workspace.kubectl(&["annotate", "deployment/cache", "seen-"]);
    watch.signal("INT");
    let output = watch.wait(PATIENCE);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes = texts(&lines, "change");
    assert!(changes.len() >= 2 && changes[0] == "found" && changes[1] == "changed", "{}", output.stdout);
    assert_eq!(lines[1]["object"]["metadata"]["annotations"]["seen"], "yes");
}

fn protocol(workspace: &TestWorkspace) {
    let mut child = workspace.cmdr(&["mcp"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ask = |id: u64, method: &str, parameters: Value| {
        writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters})).unwrap();
        let answer = until("a response", || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            serde_json::from_str::<Value>(&line).ok().filter(|answer| answer["id"] == id)
        });
        answer["result"].clone()
    };
    let client =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    assert_eq!(ask(1, "initialize", client)["serverInfo"]["name"], "cmdr");
    let status = ask(2, "tools/call", json!({"name": "status", "arguments": {}}));
    assert_eq!(status["structuredContent"]["cluster"], "running", "{status}");
    let pods = json!({"question": "pods", "expr": "status.phase == 'Running'", "environments": ["local"]});
    let pods = ask(3, "tools/call", json!({"name": "query", "arguments": pods}));
    assert!(pods["structuredContent"]["rows"].as_array().unwrap().len() >= 4, "{pods}");
    let refused = ask(4, "tools/call", json!({"name": "up", "arguments": {}}));
    assert_eq!(refused["isError"], true, "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
}
