//! `cmdr procedure` on a real cluster: steps, approval, a kill, the way back. The environments are namespaces of one
//! cluster, each with a ledger.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

#[path = "procedures/stages.rs"]
mod stages;

use common::{Stages, TestWorkspace};

const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: staging, platform: external}
  second: {context: kind-NAME, namespace: second, platform: external}
defaults:
  values: {grace: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
platform:
  traefik: {enabled: false}
  metallb: {enabled: false}
projects:
  store:
    image: docker.io/library/redis:7.0
    values: {ports: {redis: 6379}}
  worker:
    image: docker.io/library/redis:7.0
    values: {command: [sleep, infinity]}
  migrate:
    image: docker.io/library/redis:7.0
    values: {kind: CronJob, schedule: "0 0 1 1 *", command: [sh, -c, 'echo "migrate orders"; sleep 5']}
procedures:
  move:
    description: Move the store to the second environment
    reversible: true
    steps:
      - {name: close, scale: {worker: 0}, undo: [{scale: {worker: 1}}]}
      - {name: change, run: migrate, undo: []}
      - name: proof
        check:
          stopped: {expr: "!has(status.readyReplicas)", object: deployment/worker}
          running: {expr: status.readyReplicas == 1, object: deployment/store}
        timeout: 30s
      - {name: figures, approve: Are the figures right?}
      - {name: there, env: second, deploy: {projects: [store]}, undo: [{env: second, scale: {store: 0}}]}
      - {name: open, procedure: open}
  open:
    reversible: true
    steps:
      - {name: pause, wait: 1s}
      - {name: up, scale: {worker: 1}, undo: [{scale: {worker: 0}}]}
"#;

#[test]
fn procedures_on_a_cluster() {
    let (workspace, stages) = (TestWorkspace::new("procedures", PROJECTS), Stages::default());
    for _ in 0..2 {
        workspace.replace("NAME", &workspace.name);
    }
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(&workspace));
    stage("the plan of a procedure is shown, and nothing changes", stages::the_plan_is_shown);
    stage("a procedure that was killed goes on with the step that was interrupted", stages::a_killed_step_goes_on);
    stage("a changed definition is refused with what differs", stages::a_changed_definition_is_refused);
    stage("a pipeline of the same person cannot approve", stages::a_pipeline_cannot_approve);
    stage("a person approves, and the procedure ends", stages::a_person_approves);
    stage("an aborted procedure goes back, the last step first", stages::an_abort_goes_back);
    stage("a check that fails stops the procedure", stages::a_failed_check_stops);
    stages.finish();
}
