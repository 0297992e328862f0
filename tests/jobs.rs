//! Jobs on a real cluster: what a deployment starts, what a schedule would start, and runs on demand.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "jobs/stages.rs"]
mod stages;

use common::{Stages, TestWorkspace};

/// The environment is a second namespace of the same cluster, which has a ledger.
const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, platform: external}
defaults:
  values: {resources: {requests: {cpu: 10m, memory: 16Mi}}}
platform:
  traefik: {enabled: false}
  metallb: {enabled: false}
projects:
  parts:
    image: docker.io/library/redis:7.0
    values:
      kind: Job
      suspend: true
      completions: 2
      indexed: true
      command: [sh, -c, 'echo "part $JOB_COMPLETION_INDEX of $SIZE"; sleep 2']
      env: {SIZE: small}
  report:
    image: docker.io/library/redis:7.0
    values:
      kind: CronJob
      schedule: "0 0 1 1 *"
      command: [sh, -c, 'echo "$0 $*"; exit "${1:-0}"', report]
  cache:
    image: docker.io/library/redis:7.0
    values: {ports: {redis: 6379}}
  worker:
    image: docker.io/library/redis:7.0
    values: {command: [sleep, infinity], grace: 0, spot: true, apart: node, waitFor: {cache: true}}
"#;

/// metrics-server, and a project that uses the processor until its pods are told to stop.
const BUSY: &str = r#"  metrics-server:
    chart: {oci: registry.k8s.io/metrics-server/metrics-server, version: 3.12.2}
    namespace: kube-system
    values:
      image: {tag: v0.8.0}
      args: [--kubelet-insecure-tls, --kubelet-request-timeout=5s, --metric-resolution=10s]
projects:
  busy:
    image: docker.io/library/redis:7.0
    values:
      command: [sh, -c, "while [ ! -e /tmp/idle ]; do :; done; sleep infinity"]
      grace: 0
      resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 100m, memory: 64Mi}}
      autoscaling: {max: 2, cpu: 50, behavior: {scaleDown: {stabilizationWindowSeconds: 0}}}
"#;

#[test]
#[ignore = "takes four minutes; make test-full runs it"]
fn jobs_on_a_cluster() {
    let (workspace, stages) = (TestWorkspace::new("jobs", PROJECTS), Stages::default());
    workspace.replace("NAME", &workspace.name);
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(&workspace));
    stage("a suspended Job is deployed and starts nothing", stages::a_suspended_job_starts_nothing);
    stage("a run prints its log and nothing else", stages::a_run_prints_its_log);
    stage("a failed run returns the exit code of its container", stages::a_failed_run_returns_its_exit_code);
    stage("a run that takes too long returns 124", stages::a_timeout_returns_124);
    stage("an array runs 20 parts, 4 at once", stages::an_array_runs_four_at_once);
    stage("a run has its own values, CPU and memory", stages::a_run_has_its_own_resources);
    stage("a detached run goes on", stages::a_detached_run_goes_on);
    stage("an interrupted run is deleted", stages::an_interrupted_run_is_deleted);
    stage("runs are listed", stages::runs_are_listed);
    stage("runs are no drift", stages::runs_are_no_drift);
    stage("resources are listed by what is lost first", stages::resources_are_listed);
    stage("metrics-server reports the usage", stages::usage_is_reported);
    stage("an autoscaler adds a pod under load and removes it again", stages::an_autoscaler_follows_the_load);
    stage("a pod waits for another project", stages::a_pod_waits_for_another_project);
    stage("a run in an environment with a ledger is recorded", stages::a_run_is_recorded);
    stage("what cannot be run is refused", stages::what_cannot_be_run_is_refused);
    workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}
