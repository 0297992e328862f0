//! Rollouts on a real cluster: the traffic of a project moves to a new version while a client sends requests.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "traffic/load.rs"]
mod load;

use std::time::Duration;

use common::{PATIENCE, Stages, TestWorkspace, until};
use load::{Counts, Load};
use serde_json::Value;

/// `staging` is a second namespace of the same cluster, which has a ledger.
const PROJECTS: &str = r"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, domain: staging.localhost, platform: external}
defaults:
  values: {grace: 15, drain: 3, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes: {web: {host: shop, check: false}}   # this machine does not reach the load balancer of staging
    enabled: false
    rollout:
      kind: canary
      steps: [20%, {weight: 50%, until: promoted}, 100%]
      pause: 4s
      preview: {header: X-Preview}
    values: {ports: {http: 9898}, env: {PODINFO_UI_MESSAGE: one}}
    environments: {staging: {enabled: true}}
";
const HOST: &str = "shop.staging.localhost";
/// How long Traefik and cmdr may take to move the weights.
const MOVED: Duration = Duration::from_secs(2);

struct Cluster {
    workspace: TestWorkspace,
}

impl Cluster {
    fn start(name: &str) -> Self {
        let workspace = TestWorkspace::new(name, PROJECTS);
        workspace.replace("NAME", &workspace.name);
        workspace.run(&["up"]).expect(0);
        let file = workspace.user_kubeconfig();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::copy(workspace.kubeconfig(), file).unwrap();
        workspace.run(&["up", "shop", "--env", "staging"]).expect(0);
        Self { workspace }
    }

    fn load(&self, rate: u32) -> Load {
        Load::start(self.workspace.http_port(), HOST, rate)
    }

    /// The arguments that deploy a version with another message.
    fn deploy(version: &str) -> [String; 6] {
        let set = format!("env.PODINFO_UI_MESSAGE={version}");
        ["deploy", "shop", "--env", "staging", "--set", &set].map(str::to_owned)
    }

    fn rollout(&self) -> Value {
        let shown = self.workspace.run(&["traffic", "shop", "--env", "staging", "--output", "json"]).expect(0).json();
        shown[0].clone()
    }

    /// Waits until the new version has this share.
    fn await_weight(&self, weight: u64) {
        until(&format!("a weight of {weight}%"), || (self.rollout()["weight"] == weight).then_some(()));
        std::thread::sleep(MOVED);
    }

    fn releases(&self) -> String {
        self.workspace.helm(&["list", "--namespace", "staging", "--short"])
    }
}

/// Fails the test unless a share is within two percent.
#[track_caller]
fn expect_share(counts: &Counts, version: &str, share: f64) {
    let found = counts.share(version);
    common::tell(&format!(
        "  {} of {} requests to '{version}': {found:.2}%",
        counts.by_version.get(version).unwrap_or(&0),
        counts.total()
    ));
    assert!((found - share).abs() <= 2.0, "{found}% of {counts:?} to '{version}', not {share}%");
}

/// Fails the test if a request has failed.
#[track_caller]
fn expect_none_lost(load: Load) {
    let counts = load.finish();
    common::tell(&format!("  {} requests, {} failed", counts.total(), counts.failed.len()));
    assert!(
        counts.failed.is_empty(),
        "{} of {} failed: {:?}",
        counts.failed.len(),
        counts.total(),
        &counts.failed[..counts.failed.len().min(5)]
    );
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn a_canary_is_aborted_without_a_lost_request() {
    let (cluster, stages) = (Cluster::start("traffic"), Stages::default());
    let workspace = &cluster.workspace;
    stages.stage("a preview changes nothing", || {
        let plan = workspace.run(&[&words(&Cluster::deploy("two"))[..], &["--dry-run"]].concat()).expect(0);
        plan.expect_said("start rollout of shop").expect_said("install shop-next").expect_said("20%, 50%, 100%");
        assert_eq!(cluster.releases(), "shop");
    });
    stages.stage("a canary gets its share and is aborted", || {
        let mut load = cluster.load(100);
        let running = workspace.start(&words(&Cluster::deploy("two")));
        cluster.await_weight(50);
        expect_share(&load.during(Duration::from_secs(5)), "two", 50.0);
        let preview = Load::with_headers(workspace.http_port(), HOST, 20, &[("X-Preview", "yes")]);
        std::thread::sleep(Duration::from_secs(1));
        expect_share(&preview.finish(), "two", 100.0);
        workspace.run(&["traffic", "abort", "shop", "--env", "staging"]).expect(0);
        running.wait(PATIENCE).expect(12).expect_said("aborted by").expect_said("has all requests again");
        expect_share(&load.during(Duration::from_secs(2)), "one", 100.0);
        assert_eq!(cluster.releases(), "shop");
        assert_eq!(cluster.rollout()["phase"], "returned");
        expect_none_lost(load);
    });
    stages.finish();
}

#[test]
#[ignore = "sends 500 requests a second for minutes; make test-full runs it"]
fn no_request_is_lost_under_load() {
    let (cluster, stages) = (Cluster::start("traffic-load"), Stages::default());
    stages.stage("a canary gets all requests, step by step", || take_all_steps(&cluster));
    stages.stage("a killed run leaves the traffic, and the next one goes on", || survive_a_kill(&cluster));
    stages.stage("a detached rollout is continued", || continue_detached(&cluster));
    stages.stage("blue-green switches, and switches back", || switch_blue_green(&cluster));
    stages.finish();
}

fn take_all_steps(cluster: &Cluster) {
    let workspace = &cluster.workspace;
    let mut load = cluster.load(500);
    let running = workspace.start(&words(&Cluster::deploy("two")));
    cluster.await_weight(20);
    expect_share(&load.during(Duration::from_secs(1)), "two", 20.0);
    cluster.await_weight(50);
    expect_share(&load.during(Duration::from_secs(5)), "two", 50.0);
    workspace.run(&["traffic", "shop", "promote", "--step", "--env", "staging"]).expect(0);
    running.wait(PATIENCE).expect(0);
    expect_share(&load.during(Duration::from_secs(2)), "two", 100.0);
    assert_eq!(cluster.releases(), "shop");
    expect_none_lost(load);
}

fn survive_a_kill(cluster: &Cluster) {
    let workspace = &cluster.workspace;
    let mut load = cluster.load(500);
    let running = workspace.start(&words(&Cluster::deploy("three")));
    cluster.await_weight(50);
    running.signal("KILL");
    running.wait(PATIENCE);
    expect_share(&load.during(Duration::from_secs(3)), "three", 50.0);
    // The lease of the killed run expires.
    let locked = ["--lock-timeout", "1m"];
    workspace.run(&[&["traffic", "shop", "--weight", "30%", "--env", "staging"][..], &locked].concat()).expect(0);
    std::thread::sleep(MOVED);
    expect_share(&load.during(Duration::from_secs(3)), "three", 30.0);
    workspace.run(&["traffic", "promote", "shop", "--env", "staging"]).expect(0);
    expect_share(&load.during(Duration::from_secs(2)), "three", 100.0);
    assert_eq!(cluster.releases(), "shop");
    expect_none_lost(load);
}

fn continue_detached(cluster: &Cluster) {
    let workspace = &cluster.workspace;
    let mut load = cluster.load(500);
    workspace.run(&[&words(&Cluster::deploy("four"))[..], &["--detach"]].concat()).expect(0);
    assert_eq!(cluster.rollout()["weight"], 20);
    std::thread::sleep(Duration::from_secs(5));
    workspace.run(&["traffic", "continue", "--detach", "--env", "staging"]).expect(0);
    assert_eq!(cluster.rollout()["weight"], 50);
    workspace.run(&[&words(&Cluster::deploy("five"))[..], &["--detach"]].concat()).expect(0);
    assert_eq!(cluster.rollout()["weight"], 20, "another record starts again");
    workspace.run(&["rollback", "shop", "--env", "staging"]).expect(0);
    assert_eq!(cluster.releases(), "shop");
    expect_share(&load.during(Duration::from_secs(2)), "three", 100.0);
    workspace.run(&["unhold", "shop", "--env", "staging"]).expect(0);
    expect_none_lost(load);
}

fn switch_blue_green(cluster: &Cluster) {
    let workspace = &cluster.workspace;
    workspace.replace("kind: canary\n      steps: [20%, {weight: 50%, until: promoted}, 100%]", "kind: blue-green");
    let mut load = cluster.load(500);
    let running = workspace.start(&words(&Cluster::deploy("green")));
    cluster.await_weight(100);
    expect_share(&load.during(Duration::from_secs(3)), "green", 100.0);
    workspace.run(&["traffic", "abort", "shop", "--env", "staging"]).expect(0);
    running.wait(PATIENCE).expect(12);
    expect_share(&load.during(Duration::from_secs(2)), "three", 100.0);
    expect_none_lost(load);
}
