//! Rollouts: the traffic of a project moves to a new version while a client sends requests.

use std::time::Duration;

use serde_json::Value;

use super::{
    common::{self, PATIENCE, Stages, TestWorkspace, until},
    interruptions,
    load::{Counts, Load},
    shared::{SharedCluster, start_cluster},
};

const PROJECTS: &str = r"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: shifts, domain: shifts.localhost, platform: external}
  production:
    context: kind-NAME
    namespace: promoted
    domain: promoted.localhost
    platform: external
    promote: {from: staging}
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
    environments:
      staging: {enabled: true}
      production: {enabled: true}
  blue:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes: {web: {host: blue, check: false}}
    enabled: false
    rollout: {kind: blue-green, keep: 10m}
    values: {ports: {http: 9898}}
    environments: {staging: {enabled: true}}
";
const HOST: &str = "shop.shifts.localhost";

/// A workspace whose shop has rollouts.
pub(super) struct Shop {
    pub(super) workspace: TestWorkspace,
    pub(super) http_port: u16,
}

impl Shop {
    fn start(cluster: &SharedCluster) -> Self {
        let workspace = cluster.workspace("traffic", PROJECTS);
        workspace.run(&["up", "shop", "--env", "staging"]).expect(0);
        Self { workspace, http_port: cluster.http_port }
    }

    pub(super) fn load(&self, rate: u32) -> Load {
        Load::start(self.http_port, HOST, rate)
    }

    /// The arguments that deploy a version with another message.
    pub(super) fn deploy(version: &str) -> [String; 6] {
        let set = format!("env.PODINFO_UI_MESSAGE={version}");
        ["deploy", "shop", "--env", "staging", "--set", &set].map(str::to_owned)
    }

    pub(super) fn rollout(&self) -> Value {
        let shown = self.workspace.run(&["traffic", "shop", "--env", "staging", "--output", "json"]).expect(0).json();
        shown[0].clone()
    }

    /// Waits until the new version has this share, which was read back from Traefik.
    pub(super) fn await_weight(&self, weight: u64) {
        until(&format!("a weight of {weight}%"), || (self.rollout()["weight"] == weight).then_some(()));
        self.expect_confirmed();
    }

    #[track_caller]
    fn expect_confirmed(&self) {
        assert_eq!(self.rollout()["unconfirmed"], Value::Null);
    }

    /// The version that answers, outside of a rollout.
    pub(super) fn version(&self) -> String {
        let counts = self.load(20).during(Duration::from_secs(1));
        counts.by_version.into_keys().next().unwrap()
    }

    pub(super) fn releases(&self) -> String {
        self.workspace.helm(&["list", "--namespace", "shifts", "--short"])
    }
}

/// Fails the test unless a share is within two percent.
#[track_caller]
pub(super) fn expect_share(counts: &Counts, version: &str, share: f64) {
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
pub(super) fn expect_none_lost(load: Load) {
    let counts = load.finish();
    common::tell(&format!("  {} requests, {} failed", counts.total(), counts.failed.len()));
    assert!(counts.failed.is_empty(), "requests failed:\n{}", counts.failures());
}

pub(super) fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// A canary that is aborted.
pub(crate) fn short_form(cluster: &SharedCluster) {
    let (shop, stages) = (Shop::start(cluster), Stages::default());
    let workspace = &shop.workspace;
    stages.stage("a preview changes nothing", || {
        let plan = workspace.run(&[&words(&Shop::deploy("two"))[..], &["--dry-run"]].concat()).expect(0);
        plan.expect_said("start rollout of shop").expect_said("install shop-next").expect_said("20%, 50%, 100%");
        assert_eq!(shop.releases(), "shop");
    });
    stages.stage("a canary gets its share and is aborted", || {
        let mut load = shop.load(100);
        let running = workspace.start(&words(&Shop::deploy("two")));
        shop.await_weight(50);
        expect_share(&load.during(Duration::from_secs(5)), "two", 50.0);
        let preview = Load::with_headers(shop.http_port, HOST, 20, &[("X-Preview", "yes")]);
        std::thread::sleep(Duration::from_secs(1));
        expect_share(&preview.finish(), "two", 100.0);
        workspace.run(&["traffic", "abort", "shop", "--env", "staging"]).expect(0);
        running.wait(PATIENCE).expect(12).expect_said("aborted by").expect_said("has all requests again");
        expect_share(&load.during(Duration::from_secs(2)), "one", 100.0);
        assert_eq!(shop.releases(), "shop");
        assert_eq!(shop.rollout()["phase"], "returned");
        let history = workspace.run(&["history", "shop", "--env", "staging"]).expect(0);
        history.expect_said("traffic abort").expect_said("\"aborted by ");
        expect_none_lost(load);
    });
    stages.stage("a run that drives a rollout stops no other one", || leave_others_alone(&shop));
    stages.finish();
}

/// One rollout is driven by a run. The other one is detached, is continued and promoted step by step, and is rolled back.
fn leave_others_alone(shop: &Shop) {
    let staging = |args: &[&str]| shop.workspace.run(&[args, &["--env", "staging"]].concat());
    staging(&["up", "blue"]).expect(0);
    let set = ["--set", "env.COLOR=green"];
    let running = shop.workspace.start(&[&["deploy", "blue", "--env", "staging"][..], &set].concat());
    until("the switch", || staging(&["traffic", "blue"]).stdout.contains("100%").then_some(()));
    shop.workspace.run(&[&words(&Shop::deploy("three"))[..], &["--detach"]].concat()).expect(0);
    assert_eq!(shop.rollout()["weight"], 20);
    staging(&["traffic", "continue", "blue", "--detach"]).expect(11);
    let left = staging(&["traffic", "continue", "--detach"]).expect(0);
    left.expect_said("the rollout of 'blue' is left to the run that holds its lock");
    staging(&["traffic", "promote", "shop", "--step"]).expect(0);
    assert!(shop.rollout()["weight"].as_u64() >= Some(50), "the run has ended after the step: {}", shop.rollout());
    staging(&["rollback", "shop", "--because", "a test of rollback"]).expect(0);
    let history = staging(&["history", "shop"]).expect(0);
    history.expect_said("rollout ended").expect_said("a test of rollback");
    staging(&["unhold", "shop"]).expect(0);
    staging(&["traffic", "abort", "blue"]).expect(0);
    running.wait(PATIENCE).expect(12);
}

/// Complete rollouts under a load.
pub(crate) fn long_form(stages: &Stages) {
    let owner = start_cluster("traffic-load", stages);
    let shop = Shop::start(&SharedCluster::of(&owner));
    // Each step lasts longer than its share is measured.
    shop.workspace.replace("pause: 4s", "pause: 8s");
    stages.stage("a canary gets all requests, step by step", || take_all_steps(&shop));
    stages.stage("a killed run leaves the traffic, and the next one goes on", || survive_a_kill(&shop));
    stages.stage("a detached rollout is continued", || continue_detached(&shop));
    stages.stage("another run during a rollout is refused or replaces it", || interruptions::other_runs(&shop));
    stages.stage("a promotion in the middle starts again", || interruptions::promote_in_the_middle(&shop));
    stages.stage("a version that Traefik does not know gets no requests", || interruptions::late_endpoints(&shop));
    stages.stage("runs that are killed at any time lose no request", || interruptions::survive_kills(&shop));
    stages.stage("the cluster continues a detached rollout", || the_cluster_continues(&shop, &owner));
    stages.stage("blue-green switches, and switches back", || switch_blue_green(&shop));
}

fn take_all_steps(shop: &Shop) {
    let workspace = &shop.workspace;
    let mut load = shop.load(500);
    let running = workspace.start(&words(&Shop::deploy("two")));
    shop.await_weight(20);
    expect_share(&load.during(Duration::from_secs(1)), "two", 20.0);
    shop.await_weight(50);
    expect_share(&load.during(Duration::from_secs(5)), "two", 50.0);
    workspace.run(&["traffic", "shop", "promote", "--step", "--env", "staging"]).expect(0);
    running.wait(PATIENCE).expect(0);
    expect_share(&load.during(Duration::from_secs(2)), "two", 100.0);
    assert_eq!(shop.releases(), "shop");
    expect_none_lost(load);
}

fn survive_a_kill(shop: &Shop) {
    let workspace = &shop.workspace;
    let mut load = shop.load(500);
    let running = workspace.start(&words(&Shop::deploy("three")));
    shop.await_weight(50);
    running.signal("KILL");
    running.wait(PATIENCE);
    expect_share(&load.during(Duration::from_secs(3)), "three", 50.0);
    // The lease of the killed run expires.
    let locked = ["--lock-timeout", "1m"];
    workspace.run(&[&["traffic", "shop", "--weight", "30%", "--env", "staging"][..], &locked].concat()).expect(0);
    shop.expect_confirmed();
    expect_share(&load.during(Duration::from_secs(3)), "three", 30.0);
    workspace.run(&["traffic", "promote", "shop", "--env", "staging"]).expect(0);
    expect_share(&load.during(Duration::from_secs(2)), "three", 100.0);
    assert_eq!(shop.releases(), "shop");
    expect_none_lost(load);
}

fn continue_detached(shop: &Shop) {
    let workspace = &shop.workspace;
    let mut load = shop.load(500);
    workspace.run(&[&words(&Shop::deploy("four"))[..], &["--detach"]].concat()).expect(0);
    assert_eq!(shop.rollout()["weight"], 20);
    std::thread::sleep(Duration::from_secs(9));
    workspace.run(&["traffic", "continue", "--detach", "--env", "staging"]).expect(0);
    assert_eq!(shop.rollout()["weight"], 50);
    workspace.run(&[&words(&Shop::deploy("five"))[..], &["--detach"]].concat()).expect(0);
    assert_eq!(shop.rollout()["weight"], 20, "another record starts again");
    workspace.run(&["rollback", "shop", "--env", "staging"]).expect(0);
    assert_eq!(shop.releases(), "shop");
    expect_share(&load.during(Duration::from_secs(2)), "three", 100.0);
    workspace.run(&["unhold", "shop", "--env", "staging"]).expect(0);
    expect_none_lost(load);
}

/// An image with cmdr and Helm, on the node of a cluster.
fn driver_image(owner: &TestWorkspace) -> String {
    let (folder, name) = (owner.root().join("driver"), format!("docker.io/library/driver-{}:1", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let helm = owner.tool("sh", &["-c", "command -v helm"]);
    for (from, to) in [(env!("CARGO_BIN_EXE_cmdr"), "cmdr"), (helm.as_str(), "helm")] {
        std::fs::copy(from, folder.join(to)).unwrap();
    }
    let base = common::rig("RIG_REGISTRY");
    let dockerfile = format!("FROM {base}/library/redis:7.0\nCOPY cmdr helm /usr/local/bin/\n");
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    owner.tool("docker", &["build", "--quiet", "--tag", &name, &folder.to_string_lossy()]);
    owner.tool("kind", &["load", "docker-image", &name, "--name", &owner.name]);
    owner.tool("docker", &["rmi", "--force", &name]);
    name
}

fn the_cluster_continues(shop: &Shop, owner: &TestWorkspace) {
    let workspace = &shop.workspace;
    let detach = words(&Shop::deploy("driven")).into_iter().chain(["--detach"]).map(str::to_owned).collect::<Vec<_>>();
    let driver = format!("platform: external, traffic: {{driver: cronjob, image: \"{}\"}}}}", driver_image(owner));
    workspace.replace("platform: external}", &driver);
    workspace.replace("{weight: 50%, until: promoted}", "50%");
    let refused = workspace.run(&words(&detach)).expect(10);
    refused.expect_said("the ServiceAccount 'cmdr-deployer' of the driver does not exist in 'shifts'");
    for role in ["deployer", "rollouts"] {
        let file = format!("{}/templates/rbac/{role}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap().replace("tunes", "shifts");
        let own = owner.root().join(format!("{role}.yaml"));
        std::fs::write(&own, text).unwrap();
        workspace.kubectl(&["apply", "--namespace", "", "--filename", &own.to_string_lossy()]);
    }
    let mut load = shop.load(50);
    workspace.run(&words(&detach)).expect(0).expect_said("the CronJob cmdr-traffic continues the rollouts each minute");
    assert_eq!(shop.rollout()["weight"], 20);
    shop.await_weight(50);
    kill_the_driver(shop, &mut load);
    shop.await_weight(100);
    until("the end of the rollout", || (shop.rollout() == Value::Null).then_some(()));
    let suspended = || {
        let job = ["get", "cronjob", "cmdr-traffic", "--namespace", "shifts", "--output", "jsonpath={.spec.suspend}"];
        (workspace.kubectl(&job) == "true").then_some(())
    };
    until("the driver to be suspended", suspended);
    assert_eq!(shop.releases(), "shop");
    expect_none_lost(load);
    workspace.replace("steps: [20%, 50%, 100%]", "steps: [20%, {weight: 50%, until: promoted}, 100%]");
}

/// Kills the next run of the CronJob: the traffic stays where it is until the one after it.
fn kill_the_driver(shop: &Shop, load: &mut Load) {
    let (workspace, of_driver) =
        (&shop.workspace, ["--namespace", "shifts", "-l", "app.kubernetes.io/name=cmdr-traffic"]);
    let running = ["get", "pods", "--field-selector", "status.phase=Running", "-o", "name"];
    until("a run of the driver", || {
        (!workspace.kubectl(&[&running[..], &of_driver].concat()).is_empty()).then_some(())
    });
    workspace.kubectl(&[&["delete", "pods", "--force", "--grace-period", "0"][..], &of_driver].concat());
    let share = shop.rollout()["weight"].as_f64().unwrap();
    expect_share(&load.during(Duration::from_secs(5)), "driven", share);
    assert_eq!(shop.rollout()["weight"].as_f64(), Some(share));
}

fn switch_blue_green(shop: &Shop) {
    let workspace = &shop.workspace;
    workspace.replace("kind: canary\n      steps: [20%, {weight: 50%, until: promoted}, 100%]", "kind: blue-green");
    let before = shop.version();
    let mut load = shop.load(500);
    let running = workspace.start(&words(&Shop::deploy("green")));
    shop.await_weight(100);
    expect_share(&load.during(Duration::from_secs(3)), "green", 100.0);
    workspace.run(&["traffic", "abort", "shop", "--env", "staging"]).expect(0);
    running.wait(PATIENCE).expect(12);
    expect_share(&load.during(Duration::from_secs(2)), &before, 100.0);
    expect_none_lost(load);
}
