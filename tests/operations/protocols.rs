//! Rollouts of gRPC, of TCP, of clients that stay on their version, of consumers without routes, and two at once.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::Value;

use super::{
    common::{Output, PATIENCE, Stages, TestWorkspace, tell, until},
    load::Load,
    shared::{SharedCluster, exchange},
    traffic::{expect_none_lost, expect_share},
};

/// The platform, with the Gateway API and an entry point for Redis.
const PLATFORM: &str = r"
platform:
  gateway-api:
    chart: {oci: charts.example.com/gateway-api/charts/gateway-api, version: 1.4.0}
  traefik:
    needs: [gateway-api]
    values:
      ports: {redis: {port: 6379, exposedPort: 6379, protocol: TCP, expose: {default: true}}}
      providers: {kubernetesGateway: {enabled: true, experimentalChannel: true}}
      gateway:
        listeners: {web: {namespacePolicy: {from: All}}, redis: {port: 6379, protocol: TCP, namespacePolicy: {from: All}}}
projects:
  front: {image: ghcr.io/stefanprodan/podinfo:6.9.2, host: front, values: {ports: {http: 9898}}}
";

const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: first, domain: first.localhost, platform: external}
defaults:
  values: {grace: 15, drain: 3, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  calls:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes: {grpc: {kind: GRPCRoute, host: calls, port: grpc, check: false}}
    rollout: &canary {kind: canary, steps: [{weight: 50%, until: promoted}, 100%], pause: 2s}
    values:
      ports: {http: 9898, grpc: {port: 9999, appProtocol: kubernetes.io/h2c}}
      env: {PODINFO_GRPC_PORT: "9999", PODINFO_UI_MESSAGE: one}
  store:
    image: docker.io/library/redis:7.0
    routes: {tcp: {kind: TCPRoute, listener: redis, check: false}}
    rollout: *canary
    values:
      ports: {redis: 6379}
      command: [sh, -c, 'exec redis-server --protected-mode no --save "" --maxclients "$CLIENTS"']
      env: {CLIENTS: "101"}
  client:
    image: docker.io/library/redis:7.0
    values: {command: [sleep, infinity]}
  shop:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    routes: {web: {host: shop, check: false}}
    rollout:
      kind: canary
      steps: [{weight: 50%, until: promoted}, 100%]
      pause: 2s
      sticky: true
      preview: {cookie: preview}
    values: {ports: {http: 9898}, env: {PODINFO_UI_MESSAGE: one}}
  worker:
    image: docker.io/library/redis:7.0
    rollout: {kind: canary, steps: [{weight: 25%, until: promoted}, 100%], pause: 2s}
    values: {replicas: 4, command: [sleep, infinity], env: {VERSION: one}}
"#;

struct Walk {
    workspace: TestWorkspace,
    http_port: u16,
}

pub(crate) fn stages(stages: &Stages) {
    let owner = TestWorkspace::new("protocols", PLATFORM);
    super::start(&owner, stages);
    let walk = Walk::start(&SharedCluster::of(&owner));
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("two rollouts at once: gRPC and TCP", Walk::two_at_once);
    stage("no call of 500 a second is lost", Walk::no_call_is_lost);
    stage("a client stays on its version", Walk::clients_stay);
    stage("consumers share their replicas", Walk::consumers_share_replicas);
}

impl Walk {
    fn start(cluster: &SharedCluster) -> Self {
        let workspace = cluster.workspace("protocols-of", PROJECTS);
        workspace.run(&["up", "--env", "staging"]).expect(0);
        Self { workspace, http_port: cluster.http_port }
    }

    fn staging(&self, words: &[&str]) -> Output {
        self.workspace.run(&[words, &["--env", "staging"]].concat()).expect(0)
    }

    fn rollout(&self, project: &str) -> Value {
        let words = ["traffic", project, "--env", "staging", "--output", "json"];
        self.workspace.run(&words).expect(0).json()[0].clone()
    }

    fn await_weight(&self, project: &str, weight: u64) {
        until(&format!("{project} to have {weight}%"), || {
            let rollout = self.rollout(project);
            (rollout["weight"] == weight).then(|| assert_eq!(rollout["unconfirmed"], Value::Null))
        });
    }

    /// Which versions answer gRPC calls, each on its own connection.
    fn grpc(&self) -> BTreeMap<String, u32> {
        let (port, mut found) = (self.http_port, BTreeMap::new());
        let call = format!(
            "printf '\\0\\0\\0\\0\\0' | curl --silent --max-time 5 --http2-prior-knowledge --data-binary @- \
             --resolve calls.first.localhost:{port}:127.0.0.1 --header 'content-type: application/grpc' \
             --header 'te: trailers' http://calls.first.localhost:{port}/info.InfoService/Info | tr -c 'a-z' ' '"
        );
        for _ in 0..40 {
            let answer = self.workspace.tool("sh", &["-c", &call]);
            let version = ["one", "two"].into_iter().find(|version| answer.split_whitespace().any(|it| it == *version));
            *found.entry(version.unwrap_or("none").to_owned()).or_default() += 1;
        }
        tell(&format!("  gRPC: {found:?}"));
        found
    }

    /// Which versions of Redis answer, each on its own connection.
    fn tcp(&self) -> BTreeMap<String, u32> {
        let script = "for n in $(seq 40); do redis-cli -h traefik.traefik config get maxclients | tail -1; done";
        let client = ["exec", "deployment/client", "--namespace", "first", "--", "sh", "-c", script];
        let mut found = BTreeMap::new();
        for line in self.workspace.kubectl(&client).lines() {
            *found.entry(line.trim().to_owned()).or_default() += 1;
        }
        tell(&format!("  TCP: {found:?}"));
        found
    }

    fn two_at_once(&self) {
        let counts =
            |one: &str, two: &str, of: [u32; 2]| BTreeMap::from([(one.to_owned(), of[0]), (two.to_owned(), of[1])]);
        assert_eq!(self.grpc(), BTreeMap::from([("one".to_owned(), 40)]));
        let deploy =
            |project: &str, set: &str| self.workspace.start(&["deploy", project, "--env", "staging", "--set", set]);
        let runs = [deploy("calls", "env.PODINFO_UI_MESSAGE=two"), deploy("store", "env.CLIENTS=102")];
        for project in ["calls", "store"] {
            self.await_weight(project, 50);
        }
        assert_eq!(self.grpc(), counts("one", "two", [20, 20]));
        assert_eq!(self.tcp(), counts("101", "102", [20, 20]));
        self.staging(&["traffic", "store", "abort"]);
        self.staging(&["traffic", "calls", "promote"]);
        let [calls, store] = runs;
        store.wait(PATIENCE).expect(12);
        calls.wait(PATIENCE).expect(0);
        assert_eq!(self.grpc(), BTreeMap::from([("two".to_owned(), 40)]));
        assert_eq!(self.tcp(), BTreeMap::from([("101".to_owned(), 40)]));
    }

    fn no_call_is_lost(&self) {
        let mut load = Load::of_calls(self.http_port, "calls.first.localhost", 500);
        for (version, is_aborted) in [("three", true), ("four", false)] {
            let set = format!("env.PODINFO_UI_MESSAGE={version}");
            let run = self.workspace.start(&["deploy", "calls", "--env", "staging", "--set", &set]);
            self.await_weight("calls", 50);
            expect_share(&load.during(Duration::from_secs(5)), version, 50.0);
            self.staging(&["traffic", "calls", if is_aborted { "abort" } else { "promote" }]);
            run.wait(PATIENCE).expect(if is_aborted { 12 } else { 0 });
            expect_share(&load.during(Duration::from_secs(2)), if is_aborted { "two" } else { version }, 100.0);
        }
        expect_none_lost(load);
    }

    /// The version that answers a client, and the cookie that it gets.
    fn visit(&self, cookie: &str) -> (String, Option<String>) {
        let (head, body) = exchange(self.http_port, "shop.first.localhost", "/", &format!("Cookie: {cookie}\r\n"));
        let json: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"));
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        (json["message"].as_str().unwrap().to_owned(), cookie.map(str::to_owned))
    }

    fn clients_stay(&self) {
        let run = self.workspace.start(&["deploy", "shop", "--env", "staging", "--set", "env.PODINFO_UI_MESSAGE=two"]);
        self.await_weight("shop", 50);
        let clients: Vec<(String, Option<String>)> = (0..20).map(|_| self.visit("a=b")).collect();
        let share = clients.iter().filter(|(version, _)| version == "two").count();
        assert_eq!(share, 10, "{clients:?}");
        assert!(clients.iter().all(|(_, cookie)| cookie.as_deref().is_some_and(|it| it.starts_with("cmdr-shop="))));
        self.staging(&["traffic", "shop", "--weight", "80%"]);
        self.await_weight("shop", 80);
        for (version, cookie) in &clients {
            assert_eq!(self.visit(cookie.as_deref().unwrap()).0, *version, "a client stays on its version");
        }
        for _ in 0..10 {
            assert_eq!(self.visit("a=b; preview=1").0, "two", "the preview is the new version");
        }
        self.staging(&["traffic", "shop", "promote"]);
        run.wait(PATIENCE).expect(0);
        assert_eq!(self.visit("a=b").0, "two");
    }

    /// The desired and the ready replicas of a deployment; none if it does not exist.
    fn replicas(&self, name: &str) -> (u64, u64) {
        let found = self.workspace.try_kubectl(&["get", "deployment", name, "-n", "first", "-o", "json"]);
        let found: Value = found.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
        (
            found["spec"]["replicas"].as_u64().unwrap_or_default(),
            found["status"]["readyReplicas"].as_u64().unwrap_or_default(),
        )
    }

    fn consumers_share_replicas(&self) {
        let run = self.workspace.start(&["deploy", "worker", "--env", "staging", "--set", "env.VERSION=two"]);
        self.await_weight("worker", 25);
        assert_eq!((self.replicas("worker"), self.replicas("worker-next")), ((3, 3), (1, 1)));
        self.staging(&["traffic", "worker", "promote"]);
        let run = thread::spawn(move || run.wait(PATIENCE));
        let mut least = u64::MAX;
        while !run.is_finished() {
            least = least.min(self.replicas("worker").1 + self.replicas("worker-next").1);
            thread::sleep(Duration::from_millis(200));
        }
        run.join().unwrap().expect(0);
        assert_eq!((self.replicas("worker"), self.replicas("worker-next")), ((4, 4), (0, 0)));
        assert!(least >= 3, "only {least} consumers were ready");
    }
}
