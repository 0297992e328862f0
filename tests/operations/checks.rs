//! The checks of a rollout, with requests that Traefik counts. Prometheus is a server in this process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use wiremock::ResponseTemplate;

use super::{
    common::{Output, PATIENCE, Stages, TestWorkspace, until},
    load::Load,
    server::Server,
    shared::{SharedCluster, start_cluster},
};

/// Each version has its own `ANSWER` and `READY`.
const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: checks, domain: checks.localhost, platform: external}
defaults:
  values: {grace: 1, drain: 1, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: docker.io/library/nginx:1.22
    routes: {web: {host: shop, check: false}}
    rollout:
      kind: canary
      steps: [50%, 100%]
      pause: 3s
      checks:
        answers: {errors: {below: 5%, requests: 20}, window: 4s}
        fast: {latency: {below: 2s, quantile: 0.9, requests: 20}, window: 4s}
        ready: {http: {path: /ready}}
        smoke: {run: smoke}
        pods: {expr: status.readyReplicas == 1, object: deployment/shop-next}
        figure: {prometheus: {at: "PROMETHEUS", query: sum(orders), above: 0}, failures: 2}
    values:
      ports: {http: 8080}
      files:
        /etc/nginx/nginx.conf: |
          pid /tmp/nginx.pid;
          events {}
          http {
            client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
            uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; access_log off;
            server { listen 8080; location / { ANSWER } location = /ready { READY } }
          }
  smoke:
    image: docker.io/library/redis:7.0
    values: {kind: Job, suspend: true, command: [sh, -c, "exit 0"]}
"#;
const HOST: &str = "shop.checks.localhost";
const READY: &str = "return 204;";

/// What the server in the place of Prometheus answers.
const AWAY: u32 = u32::MAX;
const FLAPS: u32 = u32::MAX - 1;

struct Walk {
    workspace: TestWorkspace,
    http_port: u16,
    figure: Arc<AtomicU32>,
    /// The server in the place of Prometheus.
    _server: Server,
}

pub(crate) fn stages(stages: &Stages) {
    let owner = start_cluster("checks", stages);
    let walk = Walk::start(&SharedCluster::of(&owner));
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("a rollout passes with all checks", Walk::all_checks_pass);
    stage("errors return the traffic at once", Walk::errors_return_the_traffic);
    stage("slow answers return the traffic", Walk::slow_answers_return_the_traffic);
    stage("a failed request returns the traffic", Walk::a_failed_request_returns_the_traffic);
    stage("a failed Job returns the traffic", Walk::a_failed_job_returns_the_traffic);
    stage("an expression that is false returns the traffic", Walk::a_false_expression_returns_the_traffic);
    stage("without Prometheus, no step passes", Walk::without_prometheus_no_step_passes);
    stage("a check that flaps passes, one that stays failed does not", Walk::a_flapping_check_passes);
}

/// A server that answers a query with the figure.
fn prometheus(figure: Arc<AtomicU32>) -> Server {
    let requests = AtomicU32::new(0);
    Server::start(move |_| {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        let value = match figure.load(Ordering::SeqCst) {
            AWAY => return ResponseTemplate::new(503),
            FLAPS => number % 2,
            value => value,
        };
        let series = serde_json::json!({"metric": {}, "value": [1_795_749_485.1, value.to_string()]});
        let data = serde_json::json!({"resultType": "vector", "result": [series]});
        ResponseTemplate::new(200).set_body_json(serde_json::json!({"status": "success", "data": data}))
    })
}

/// What a version answers to each request.
fn answer(version: &str) -> String {
    format!(r#"default_type application/json; return 200 '{{"message":"{version}"}}';"#)
}

impl Walk {
    fn start(cluster: &SharedCluster) -> Self {
        let figure = Arc::new(AtomicU32::new(1));
        let server = prometheus(Arc::clone(&figure));
        let projects = PROJECTS.replace("PROMETHEUS", &server.url());
        let projects = projects.replace("ANSWER", &answer("one")).replace("READY", READY);
        let workspace = cluster.workspace("checks-of", &projects);
        workspace.run(&["up", "--env", "staging"]).expect(0);
        Self { workspace, http_port: cluster.http_port, figure, _server: server }
    }

    fn load(&self) -> Load {
        Load::start(self.http_port, HOST, 40)
    }

    fn deploy(&self) -> Output {
        self.workspace.run(&["deploy", "shop", "--env", "staging"])
    }

    fn rollout(&self) -> Value {
        let shown = self.workspace.run(&["traffic", "shop", "--env", "staging", "--output", "json"]).expect(0).json();
        shown[0].clone()
    }

    /// The last results of the checks.
    fn checks(&self) -> Vec<String> {
        let checks = self.rollout()["checks"].clone();
        checks.as_array().into_iter().flatten().filter_map(|check| check.as_str().map(str::to_owned)).collect()
    }

    /// Deploys a version whose check fails: the old version has all requests again.
    #[track_caller]
    fn expect_return(&self, expected: &str) {
        let mut load = self.load();
        let failed = self.deploy().expect(12).expect_said(expected).expect_said("has all requests again");
        let after = load.during(Duration::from_secs(2));
        assert!(after.failed.is_empty() && after.total() > 40, "{after:?}\n{}", failed.said());
        assert_eq!(self.workspace.helm(&["list", "--namespace", "checks", "--short"]), "shop\nsmoke");
        let history = self.workspace.run(&["history", "shop", "--env", "staging", "--output", "json"]).expect(0).json();
        let last = history["shop"]["operations"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["verb"], &last["outcome"]), (&"automatic rollback".into(), &"done".into()), "{history}");
        assert!(last["origin"]["because"].as_str().unwrap().contains(expected), "{last}");
    }

    fn all_checks_pass(&self) {
        let load = self.load();
        self.workspace.replace(&answer("one"), &answer("two"));
        let run = self.workspace.start(&["deploy", "shop", "--env", "staging"]);
        let checks = until("all checks", || Some(self.checks()).filter(|checks| checks.len() == 6));
        for name in ["answers", "fast", "ready", "smoke", "pods", "figure"] {
            let own = checks.iter().find(|check| check.starts_with(&format!("check {name} "))).unwrap();
            assert!(own.contains("passed: "), "{own}");
        }
        assert!(checks.iter().any(|check| check.contains("0% errors (0 of ")), "{checks:?}");
        run.wait(PATIENCE).expect(0);
        let all = load.finish();
        assert!(all.failed.is_empty() && all.by_version.contains_key("two"), "{all:?}");
    }

    fn errors_return_the_traffic(&self) {
        let broken = "return 500 'broken';";
        self.workspace.replace(&answer("two"), broken);
        self.expect_return("check answers failed: 100% errors (");
        self.workspace.replace(broken, &answer("two"));
    }

    /// Much slower than the answers of a busy machine.
    fn slow_answers_return_the_traffic(&self) {
        let padding = "x".repeat(400);
        let slow = format!(
            r#"default_type application/json; limit_rate 100; return 200 '{{"message":"slow","padding":"{padding}"}}';"#
        );
        self.workspace.replace(&answer("two"), &slow);
        self.expect_return("check fast failed: 90% of ");
        self.workspace.replace(&slow, &answer("two"));
    }

    fn a_failed_request_returns_the_traffic(&self) {
        self.workspace.replace(READY, "return 503;");
        self.expect_return("check ready failed: HTTP 503 from shop-next:http/ready, expected a status from 200 to 399");
        self.workspace.replace("return 503;", READY);
    }

    fn a_failed_job_returns_the_traffic(&self) {
        self.workspace.replace("exit 0", "exit 3");
        self.workspace.run(&["up", "smoke", "--env", "staging"]).expect(0);
        self.workspace.replace(&answer("two"), &answer("three"));
        self.expect_return("has failed with exit code 3, expected exit code 0");
        self.workspace.replace("exit 3", "exit 0");
        self.workspace.run(&["up", "smoke", "--env", "staging"]).expect(0);
    }

    fn a_false_expression_returns_the_traffic(&self) {
        self.workspace.replace("status.readyReplicas == 1", "status.readyReplicas == 2");
        self.expect_return("check pods failed: false for deployment/shop-next, expected status.readyReplicas == 2");
        self.workspace.replace("status.readyReplicas == 2", "status.readyReplicas == 1");
    }

    fn without_prometheus_no_step_passes(&self) {
        let _load = self.load();
        self.figure.store(AWAY, Ordering::SeqCst);
        let run = self.workspace.start(&["deploy", "shop", "--env", "staging"]);
        let away = "check figure unknown: HTTP 503 from http://";
        let is_away = || self.checks().iter().any(|check| check.starts_with(away)).then_some(());
        until("a check without an answer", is_away);
        // Much longer than the pause of the step.
        std::thread::sleep(Duration::from_secs(12));
        let shown = self.workspace.run(&["traffic", "--env", "staging"]).expect(0).expect_said(away);
        assert_eq!(self.rollout()["weight"], 50, "{}", shown.said());
        self.figure.store(1, Ordering::SeqCst);
        run.wait(PATIENCE).expect(0);
    }

    fn a_flapping_check_passes(&self) {
        let load = self.load();
        self.figure.store(FLAPS, Ordering::SeqCst);
        self.workspace.replace(&answer("three"), &answer("four"));
        self.deploy().expect(0);
        self.figure.store(0, Ordering::SeqCst);
        self.workspace.replace(&answer("four"), &answer("five"));
        self.deploy().expect(12).expect_said("check figure failed: 0, expected above 0");
        load.finish();
        self.figure.store(1, Ordering::SeqCst);
    }
}
