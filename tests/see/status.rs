//! The status of the environment and of one project, waiting, and usage.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread::{self, sleep},
    time::Duration,
};

use super::common::{PATIENCE, Running, Stages, TestWorkspace, rig, tell};

/// How long a command that watches runs.
const WATCHED: Duration = Duration::from_secs(15);
/// When it must have ended, since its start.
const END: Duration = Duration::from_mins(1);

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("a project is described with its pods, events and log", a_project_is_described);
    stage("what a project waits for is data", what_a_project_waits_for_is_data);
    stage("wait ends when a project is ready, done or responds", wait_ends);
    stage("the usage of projects and pods is shown", usage_is_shown);
    stage("a watched status shows a change", a_watched_status_shows_a_change);
    stage("a pull inside the node shows its bytes", a_pull_shows_its_bytes);
}

fn a_project_is_described(workspace: &TestWorkspace) {
    let mut text = workspace.run(&["status", "api"]).expect(0);
    for part in ["api  healthy  1/1 ready", "needs       cache", "readiness:", "last log lines of api-"] {
        text = text.expect_said(part);
    }
    let described = workspace.run(&["status", "api", "--output", "json"]).expect(0).json();
    let container = &described["pods"][0]["containers"][0];
    let digest = container["digest"].as_str();
    assert!(digest.is_some_and(|digest| digest.starts_with("sha256:")), "{described}");
    assert_eq!((&container["state"], &described["state"]), (&"running".into(), &"healthy".into()));
    assert_eq!(described["resources"]["requests"]["memory_bytes"], 16 << 20);
    assert_eq!(described["deployments"][0]["status"], "deployed");
    let cache = workspace.run(&["status", "cache", "--output", "json"]).expect(0).json();
    assert_eq!(cache["needed_by"][0], "api");
    let traefik = workspace.run(&["status", "traefik", "--output", "json"]).expect(0).json();
    assert_eq!(
        (&traefik["state"], &traefik["pods"][0]["containers"][0]["state"]),
        (&"healthy".into(), &"running".into())
    );
    workspace.run(&["status", "treafik"]).expect(2).expect_said("did you mean 'traefik'?");
    workspace.run(&["status", "cahce"]).expect(2).expect_said("did you mean 'cache'?");
    workspace.run(&["status", "cache", "--env", "staging"]).expect(0);
}

fn what_a_project_waits_for_is_data(workspace: &TestWorkspace) {
    let args = ["up", "flaky", "--set", "env.CRASH=yes", "--output", "json"];
    let events = workspace.run(&args).expect(1).events();
    let planned = events.iter().find_map(|event| event["planned"].as_array()).unwrap();
    assert!(planned.iter().any(|step| step["subject"] == "flaky" && step["needs"][0].is_u64()), "{planned:?}");
    let reasons: Vec<&serde_json::Value> = events.iter().map(|event| &event["waits_for"]).collect();
    let restart = reasons.iter().rfind(|reason| reason["kind"] == "restart").unwrap();
    assert_eq!((&restart["container"], &restart["exit_code"]), (&"flaky".into(), &3.into()));
    assert!(reasons.iter().any(|reason| reason["delay_seconds"].is_u64()), "{reasons:?}");
    let described = workspace.run(&["status", "flaky", "--output", "json"]).expect(0).json();
    assert!(described["problem"]["message"].as_str().unwrap().contains("exit code 3"), "{described}");
    workspace.run(&["wait", "flaky", "--timeout", "5s"]).expect(1).expect_said("flaky");
    let status = workspace.run(&["status", "--output", "json"]).expect(0).json();
    let restarts = &status["restarts"][0];
    assert_eq!((&restarts["project"], &restarts["last_exit_code"]), (&"flaky".into(), &3.into()), "{restarts}");
    workspace.run(&["up", "flaky"]).expect(0);
}

fn wait_ends(workspace: &TestWorkspace) {
    workspace.run(&["wait"]).expect(0);
    workspace.run(&["wait", "migrate", "--for", "done"]).expect(0);
    workspace.run(&["wait", "shop", "--for", "done"]).expect(1).expect_said("'shop' has no Job");
    workspace.run(&["wait", "cache", "--for", "url"]).expect(2).expect_said("'cache' has no URL that is checked");
    workspace.run(&["wait", "shop", "--for", "url"]).expect(0).expect_said("200 from http://shop.");
    workspace.run(&["wait", "cache", "--env", "staging"]).expect(0);
    let missing = workspace.run(&["wait", "db", "--env", "staging", "--timeout", "3s"]).expect(1);
    missing.expect_said("'db' is not ready after 3 s").expect_said("it is not deployed");
}

fn usage_is_shown(workspace: &TestWorkspace) {
    let projects = workspace.run(&["top", "--output", "json"]).expect(0).json();
    let db = projects.as_array().unwrap().iter().find(|it| it["project"] == "db").unwrap().clone();
    assert!(db["used"]["memory_bytes"].as_u64().unwrap() > 1 << 20, "{db}");
    workspace.run(&["top", "db", "--pods"]).expect(0).expect_said("db-0");
}

fn a_watched_status_shows_a_change(workspace: &TestWorkspace) {
    let watched = workspace.start(&["status", "--watch", "--output", "json"]);
    let top = workspace.start(&["top", "--watch", "--output", "json"]);
    sleep(WATCHED / 2);
    workspace.kubectl(&["scale", "deployment/shop", "--replicas=2"]);
    sleep(WATCHED);
    watched.signal("INT");
    top.signal("INT");
    let versions = watched.wait(END).expect(130).events();
    let ready = |version: &serde_json::Value| {
        let shop = version["releases"].as_array().unwrap().iter().find(|it| it["name"] == "shop").unwrap().clone();
        shop["ready_replicas"].as_i64().unwrap()
    };
    assert_eq!((ready(&versions[0]), ready(versions.last().unwrap())), (1, 2));
    top.wait(END).expect(130);
    workspace.run(&["up", "shop"]).expect(0);
}

/// The bytes that a slow connection passes on in a second.
const SLOW: u64 = 12_000_000;

fn a_pull_shows_its_bytes(workspace: &TestWorkspace) {
    // A registry of its own: its cache on this machine is empty, and is removed.
    let name = workspace.name.replace('-', "");
    let host = format!("{name}.test");
    let project =
        format!("  slow:\n    image: {host}/library/mariadb:10.11\n    values: {{command: [sleep, infinity]}}\n");
    workspace.replace("projects:\n", &format!("projects:\n{project}"));
    let mirror = format!("{host}=http://localhost:{}", slow_registry(rig("RIG_REGISTRY")));
    let mut up = workspace.cmdr(&["up", "slow", "--output", "json"]);
    up.env("CMDR_IMAGE_MIRRORS", format!("{mirror},{}", workspace.variable("CMDR_IMAGE_MIRRORS")));
    let events = Running::start(&mut up).wait(PATIENCE).expect(0).events();
    let is_pull = |event: &&serde_json::Value| event["waits_for"]["kind"] == "image";
    let waits = events.iter().filter(is_pull);
    let (mut done, mut total) = (BTreeSet::new(), BTreeSet::new());
    for event in waits {
        tell(event["message"].as_str().unwrap());
        done.extend(event["waits_for"]["bytes_done"].as_u64());
        total.extend(event["waits_for"]["bytes_total"].as_u64());
    }
    assert!(done.len() >= 3, "the bytes grow: {done:?}");
    // What the manifest says, or less if the node already has some of the layers.
    assert!(total.iter().all(|total| (120_000_000..160_000_000).contains(total)) && total.len() == 1, "{total:?}");
    workspace.replace(&project, "");
    workspace.run(&["status", "--prune"]).expect(0).expect_said("slow");
    let cache = format!("cmdr-cache-{name}-test");
    workspace.tool("docker", &["rm", "--force", &cache]);
    workspace.tool("docker", &["volume", "rm", &cache]);
}

/// Passes on connections to a registry, and its answers slowly. Returns the port.
fn slow_registry(registry: String) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&registry).unwrap();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pass_on(from, to, None));
            thread::spawn(move || pass_on(server, client, Some(SLOW)));
        }
    });
    port
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, bytes_a_second: Option<u64>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        if let Some(rate) = bytes_a_second {
            sleep(Duration::from_micros(length as u64 * 1_000_000 / rate));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
