//! Where pods run: a cluster of three nodes in three zones.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{Stages, TestWorkspace, cloud::Cloud, tell, until};
use serde_json::Value;

const NODES: usize = 3;

const PROJECTS: &str = "
environments:
  staging: {context: kind-STAGING, namespace: tunes, platform: external}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  apart:
    image: docker.io/library/redis:7.0
    values: {replicas: 3, apart: node, ports: {redis: 6379}}
  spread:
    image: docker.io/library/redis:7.0
    values: {replicas: 3, spread: {zone: DoNotSchedule}, ports: {redis: 6379}}
  everywhere:
    image: docker.io/library/redis:7.0
    values: {kind: DaemonSet, command: [sleep, infinity]}
  kept:
    image: docker.io/library/redis:7.0
    values:
      replicas: 3
      apart: node
      ports: {redis: 6379}
      podDisruptionBudget: {maxUnavailable: 1}
      probes: {readiness: {tcp: redis, initialDelaySeconds: 3}}
";

struct Walk {
    workspace: TestWorkspace,
    cloud: Cloud,
}

impl Walk {
    fn new() -> Self {
        let workspace = TestWorkspace::new("placement", "projects: {}\n");
        let cloud = Cloud::with_nodes(&workspace, "placement", NODES);
        workspace.write_projects(&PROJECTS.replace("STAGING", &cloud.name));
        Self { workspace, cloud }
    }

    fn objects(&self, words: &[&str]) -> Value {
        self.cloud.objects(&self.workspace, &[&["-n", "tunes"], words].concat())
    }

    /// The nodes on which the pods of a project run.
    fn nodes_of(&self, project: &str) -> BTreeSet<String> {
        let pods = self.objects(&["get", "pods", "-l", &format!("app.kubernetes.io/name={project}")]);
        let nodes = pods["items"].as_array().unwrap().iter();
        nodes.map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn replicas(&self, project: &str) -> u64 {
        self.objects(&["get", "deployment", project])["status"]["readyReplicas"].as_u64().unwrap_or_default()
    }

    fn everything_comes_up(&self) {
        self.workspace.run(&["up", "--env", "staging"]).expect(0);
        self.workspace.run(&["status", "--env", "staging", "--exit-code"]).expect(0);
    }

    fn pods_are_apart(&self) {
        for project in ["apart", "spread", "everywhere", "kept"] {
            assert_eq!(self.nodes_of(project).len(), NODES, "{project}");
        }
    }

    /// Two nodes are emptied. At no time fewer than two of three pods of `kept` are ready.
    fn a_drain_waits_for_the_budget(&self) {
        let ready = ["-n", "tunes", "get", "deployment", "kept", "--watch", "--output"];
        let watch = [&ready[..], &["jsonpath={.status.readyReplicas}{'\\n'}"]].concat();
        let watch = self.cloud.start_kubectl(&self.workspace, &watch);
        let workers: Vec<String> = self.nodes_of("kept").into_iter().filter(|node| node.contains("worker")).collect();
        for node in &workers {
            let drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
            self.cloud.kubectl(&self.workspace, &drain);
        }
        until("three ready pods", || (self.replicas("kept") == 3).then_some(()));
        assert!(self.nodes_of("kept").is_disjoint(&workers.iter().cloned().collect()));
        watch.signal("KILL");
        let seen = watch.wait(Duration::from_mins(5)).stdout;
        let ready: Vec<u64> = seen.lines().map(|line| line.parse().unwrap_or_default()).collect();
        tell(&format!("ready pods over time: {ready:?}"));
        assert!(ready.len() > 2, "nothing was seen of the drain");
        assert!(ready.iter().all(|ready| *ready >= 2));
        for node in &workers {
            self.cloud.kubectl(&self.workspace, &["uncordon", node]);
        }
    }
}

#[test]
#[ignore = "long: it is part of make test-full"]
fn pods_run_where_they_should() {
    let (walk, stages) = (Walk::new(), Stages::default());
    let stage = |name: &str, stage: fn(&Walk)| stages.stage(name, || stage(&walk));
    stage("everything comes up on three nodes", Walk::everything_comes_up);
    stage("pods that are apart, spread or of a DaemonSet run on every node", Walk::pods_are_apart);
    stage("a drain waits for the disruption budget", Walk::a_drain_waits_for_the_budget);
    stages.finish();
}
