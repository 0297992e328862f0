//! `cmdr mcp` as a client meets it: JSON-RPC, one message per line, without a cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const WORKSPACE: &str = "version: 1
name: shop
environments:
  staging: {context: staging, domain: staging.example.com}
projects:
  catalog:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    values: {ports: {http: 9898}}
";

/// A server in a workspace, and the connection to it.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    number: u64,
    _home: TempDir,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("projects.yaml"), WORKSPACE).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cmdr"))
            .arg("mcp")
            .args(options)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", home.path())
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut server = Self { child, input, output, number: 0, _home: home };
        let client = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let answer = server.ask("initialize", &client);
        assert_eq!(answer["result"]["serverInfo"]["name"], "cmdr", "{answer}");
        assert!(answer["result"]["capabilities"]["tools"].is_object(), "{answer}");
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    /// Sends a request, and returns the next line, which must be its response.
    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let id = self.number;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters}));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Calls a tool; returns its first text and whether it is an error.
    fn call(&mut self, tool: &str, arguments: &Value) -> (String, bool) {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        (text.to_owned(), result["isError"] == Value::Bool(true))
    }

    /// Closes the connection, at which the server ends.
    fn end(self) -> Option<i32> {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait().unwrap().code()
    }
}

fn names(server: &mut Server) -> Vec<String> {
    let tools = server.ask("tools/list", &json!({}))["result"]["tools"].clone();
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_tools_are_described() {
    let mut server = Server::start(&[]);
    let answer = server.ask("tools/list", &json!({}));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let shown = serde_json::to_string_pretty(&answer["result"]["tools"]).unwrap();
    settings.bind(|| insta::assert_snapshot!("tools", shown));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn tools_that_write_are_offered_only_on_request() {
    let mut reads = Server::start(&[]);
    assert!(!names(&mut reads).iter().any(|name| name == "up"));
    let (text, is_error) = reads.call("up", &json!({}));
    assert!(is_error && text.contains("--allow-writes"), "{text}");
    let mut writes = Server::start(&["--allow-writes"]);
    let offered = names(&mut writes);
    assert!(["up", "restart"].iter().all(|tool| offered.iter().any(|name| name == tool)), "{offered:?}");
    let (text, is_error) = writes.call("restart", &json!({"projects": ["catalog"], "environment": "staging"}));
    assert!(is_error && text.contains("no parameter 'environment'"), "{text}");
    let (text, is_error) = writes.call("restart", &json!({"projects": ["--env=staging"]}));
    assert!(is_error && text.contains("must not begin with '-'"), "{text}");
}

#[test]
fn answers_are_those_of_the_commands() {
    let mut server = Server::start(&[]);
    let (text, is_error) = server.call("docs", &json!({"search": "roll back"}));
    let found: Value = serde_json::from_str(&text).unwrap();
    assert!(!is_error && found["hits"][0]["topic"].is_string(), "{text}");
    let (text, is_error) = server.call("query", &json!({"question": "pods", "expr": "a == == b"}));
    assert!(is_error && text.contains(r#""position":{"file":"--expr","line":1,"column":6}"#), "{text}");
    let (text, is_error) = server.call("query", &json!({"nam": "x"}));
    assert!(is_error && text.contains("did you mean 'name'?") && text.contains("'question' is required"), "{text}");
    let (text, is_error) = server.call("status", &json!({"environment": "stagin"}));
    assert!(is_error && text.contains("did you mean 'staging'?"), "{text}");
    let unknown = server.ask("tools/call", &json!({"name": "exec", "arguments": {}}));
    assert!(unknown["error"]["message"].as_str().unwrap().contains("unknown tool 'exec'"), "{unknown}");
    assert_eq!(server.end(), Some(0));
}
