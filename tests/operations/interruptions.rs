//! Rollouts that other runs, kills and a slow cluster interrupt.

use std::{thread, time::Duration};

use serde_json::Value;

use super::{
    common::{PATIENCE, tell, until},
    load::Load,
    traffic::{Shop, expect_none_lost, expect_share, words},
};

const STEPS: &str = "[20%, {weight: 50%, until: promoted}, 100%]";

/// What `--dry-run` says while the new version has 50%.
const PREVIEWS: [(&[&str], &str); 4] = [
    (&["traffic", "abort", "shop"], "would return all requests to version"),
    (&["traffic", "promote", "shop"], "100% of the requests (now 50%)"),
    (&["traffic", "promote", "shop", "--step"], "would pass the step with 50% of the requests"),
    (&["traffic", "shop", "--weight", "70%"], "70% of the requests (now 50%), until it is promoted"),
];

/// The API server refuses the EndpointSlices of the new version, as if their controller were slow.
const WITHOUT_ENDPOINTS: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: without-endpoints}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [discovery.k8s.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [endpointslices]}
  validations: [{expression: \"object.metadata.labels['kubernetes.io/service-name'] != 'shop-next'\"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: without-endpoints}
spec: {policyName: without-endpoints, validationActions: [Deny]}
";
/// A refused EndpointSlice.
const ENDPOINTS: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: refused, labels: {kubernetes.io/service-name: shop-next}}
addressType: IPv4
endpoints: []
";

/// The pods of the new version are ready before Traefik knows them: they get no requests until then.
pub(super) fn late_endpoints(shop: &Shop) {
    let workspace = &shop.workspace;
    let file = |name: &str, text: &str| {
        let file = workspace.root().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    };
    let (policy, refused) = (file("policy.yaml", WITHOUT_ENDPOINTS), file("endpoints.yaml", ENDPOINTS));
    workspace.kubectl(&["apply", "--filename", &policy]);
    let create = ["create", "--namespace", "shifts", "--dry-run=server", "--filename", &refused];
    until("EndpointSlices to be refused", || workspace.try_kubectl(&create).is_none().then_some(()));
    let (before, mut load) = (shop.version(), shop.load(100));
    let running = workspace.start(&words(&Shop::deploy("late")));
    let ready = ["get", "deployment", "shop-next", "-n", "shifts", "-o", "jsonpath={.status.readyReplicas}"];
    until("the new version to be ready", || (workspace.try_kubectl(&ready)? == "1").then_some(()));
    expect_share(&load.during(Duration::from_secs(4)), &before, 100.0);
    assert_eq!(shop.rollout()["weight"], 0);
    workspace.kubectl(&["delete", "--filename", &policy]);
    shop.await_weight(50);
    expect_share(&load.during(Duration::from_secs(3)), "late", 50.0);
    workspace.run(&["traffic", "abort", "shop", "--env", "staging"]).expect(0);
    running.wait(PATIENCE).expect(12);
    expect_none_lost(load);
}

/// While a run drives a rollout, a deployment of a third version and a rollback are refused. When no run drives it, the
/// third version starts again at the first step, and the rollback returns the requests.
pub(super) fn other_runs(shop: &Shop) {
    let workspace = &shop.workspace;
    let (before, mut load) = (shop.version(), shop.load(100));
    let rollback = ["rollback", "shop", "--env", "staging"];
    let running = workspace.start(&words(&Shop::deploy("six")));
    shop.await_weight(50);
    for refused in [workspace.run(&words(&Shop::deploy("seven"))), workspace.run(&rollback)] {
        let help = "a rollout of 'shop' is in progress: end it with cmdr traffic abort shop --env staging";
        refused.expect(11).expect_said("has held the lock on").expect_said(help);
    }
    expect_share(&load.during(Duration::from_secs(3)), "six", 50.0);
    for (words, expected) in PREVIEWS {
        workspace.run(&[words, &["--env", "staging", "--dry-run"]].concat()).expect(0).expect_said(expected);
    }
    expect_share(&load.during(Duration::from_secs(3)), "six", 50.0);
    running.signal("INT");
    running.wait(PATIENCE).expect(130);
    expect_share(&load.during(Duration::from_secs(3)), "six", 50.0);
    workspace.run(&[&words(&Shop::deploy("seven"))[..], &["--detach"]].concat()).expect(0);
    assert_eq!(shop.rollout()["weight"], 20);
    let share = load.during(Duration::from_secs(3));
    expect_share(&share, "seven", 20.0);
    expect_share(&share, &before, 80.0);
    workspace.run(&rollback).expect(0);
    expect_share(&load.during(Duration::from_secs(2)), &before, 100.0);
    assert_eq!(shop.releases(), "shop");
    workspace.run(&["unhold", "shop", "--env", "staging"]).expect(0);
    expect_none_lost(load);
}

/// Promotions replace the rollout in their target while it is in progress.
pub(super) fn promote_in_the_middle(shop: &Shop) {
    let workspace = &shop.workspace;
    let promote = ["promote", "shop", "--to", "production", "--detach"];
    let rollout = || {
        let words = ["traffic", "shop", "--env", "production", "--output", "json"];
        workspace.run(&words).expect(0).json()[0].clone()
    };
    workspace.run(&promote).expect(0);
    assert_eq!(rollout(), Value::Null, "the first installation protects nothing");
    let mut load = Load::start(shop.http_port, "shop.promoted.localhost", 100);
    workspace.replace(STEPS, "[20%, 100%]");
    let message = |version: &str| format!("PODINFO_UI_MESSAGE: {version}");
    for (last, version) in [("one", "eight"), ("eight", "nine")] {
        workspace.replace(&message(last), &message(version));
        workspace.run(&["deploy", "shop", "--env", "staging"]).expect(0);
        workspace.run(&promote).expect(0);
        assert_eq!(rollout()["weight"], 20);
        let share = load.during(Duration::from_secs(3));
        expect_share(&share, version, 20.0);
        expect_share(&share, "one", 80.0);
    }
    workspace.run(&["traffic", "promote", "shop", "--env", "production"]).expect(0);
    expect_share(&load.during(Duration::from_secs(2)), "nine", 100.0);
    assert_eq!(rollout(), Value::Null);
    expect_none_lost(load);
    workspace.replace("[20%, 100%]", STEPS);
}

/// Kills runs after different times. The deployment of the same version goes on.
pub(super) fn survive_kills(shop: &Shop) {
    let workspace = &shop.workspace;
    workspace.replace(&format!("{STEPS}\n      pause: 8s"), "[20%, 100%]\n      pause: 2s");
    let load = shop.load(100);
    for round in 0..4_u64 {
        let moment = Duration::from_millis(2000 + 6000 * round + u64::from(std::process::id()) % 5000);
        tell(&format!("  killed after {moment:?}"));
        let version = format!("killed-{round}");
        let running = workspace.start(&words(&Shop::deploy(&version)));
        thread::sleep(moment);
        running.signal("KILL");
        running.wait(PATIENCE);
        workspace.run(&[&words(&Shop::deploy(&version))[..], &["--lock-timeout", "1m"]].concat()).expect(0);
        assert_eq!((shop.version(), shop.releases()), (version, "shop".to_owned()));
    }
    expect_none_lost(load);
    workspace.replace("[20%, 100%]\n      pause: 2s", &format!("{STEPS}\n      pause: 8s"));
}
