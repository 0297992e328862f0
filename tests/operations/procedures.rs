//! `cmdr procedure` on a real cluster: steps, approval, a kill, the way back. The environments are namespaces, each with
//! a ledger.

use std::{thread, time::Duration};

use serde_json::Value;

use super::{
    common::{Output, PATIENCE, Stages, TestWorkspace, until},
    shared::SharedCluster,
};

const PROJECTS: &str = r#"
environments:
  local: {}
  staging: {context: kind-NAME, namespace: steps, platform: external}
  second: {context: kind-NAME, namespace: second, platform: external}
defaults:
  values: {grace: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
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

pub(crate) fn short_form(cluster: &SharedCluster) {
    let (workspace, stages) = (cluster.workspace("procedures", PROJECTS), Stages::default());
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(&workspace));
    stage("the plan of a procedure is shown, and nothing changes", the_plan_is_shown);
    stage("a procedure that was killed goes on with the step that was interrupted", a_killed_step_goes_on);
    stage("a changed definition is refused with what differs", a_changed_definition_is_refused);
    stage("a pipeline of the same person cannot approve", a_pipeline_cannot_approve);
    stage("a person approves, and the procedure ends", a_person_approves);
    stage("an aborted procedure goes back, the last step first", an_abort_goes_back);
    stage("a check that fails stops the procedure", a_failed_check_stops);
    stage("a lost lock stops the procedure", a_lost_lock_stops);
    stages.finish();
}

fn staging(workspace: &TestWorkspace, args: &[&str]) -> Output {
    workspace.run(&[args, &["--env", "staging", "--yes"]].concat())
}

/// The state of the procedure `move`.
fn state(workspace: &TestWorkspace) -> Value {
    staging(workspace, &["procedure", "show", "move", "--output", "json"]).expect(0).json()["state"].clone()
}

/// How far each step is.
fn progress(workspace: &TestWorkspace) -> Vec<String> {
    let state = state(workspace);
    let steps = state["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", step["name"].as_str().unwrap(), step["progress"].as_str().unwrap())).collect()
}

/// The desired number of pods of a project.
fn replicas(workspace: &TestWorkspace, namespace: &str, project: &str) -> i64 {
    let object = workspace.objects(&["get", "deployment", project, "--namespace", namespace]);
    object["spec"]["replicas"].as_i64().unwrap()
}

fn jobs(workspace: &TestWorkspace) -> usize {
    let jobs = workspace.objects(&["get", "jobs", "--namespace", "steps"]);
    let names = jobs["items"].as_array().unwrap().iter().map(|job| job["metadata"]["name"].as_str().unwrap());
    names.filter(|name| name.starts_with("migrate-run-")).count()
}

fn the_plan_is_shown(workspace: &TestWorkspace) {
    staging(workspace, &["up"]).expect(0);
    let plan = staging(workspace, &["procedure", "start", "move", "--dry-run"]).expect(0);
    for text in ["run migrate", "deploy store", "approve Are the figures right?", "open/up", "scale worker to 1"] {
        assert!(plan.stdout.contains(text), "{text}: {}", plan.stdout);
    }
    assert_eq!(state(workspace), Value::Null);
    assert_eq!(replicas(workspace, "steps", "worker"), 1);
    staging(workspace, &["procedure", "start", "mvoe"]).expect(2).expect_said("did you mean 'move'?");
    staging(workspace, &["procedure", "continue", "move"]).expect(1).expect_said("is not under way in 'staging'");
}

fn a_killed_step_goes_on(workspace: &TestWorkspace) {
    let run = workspace.start(&["procedure", "start", "move", "--env", "staging", "--yes"]);
    until("the Job of the step runs", || (jobs(workspace) == 1).then_some(()));
    thread::sleep(Duration::from_secs(1));
    run.signal("KILL");
    run.wait(PATIENCE);
    assert_eq!(progress(workspace)[..3], ["close done", "change started", "proof pending"]);
    assert_eq!(replicas(workspace, "steps", "worker"), 0);
    let status = staging(workspace, &["status"]).expect(0);
    assert!(status.said().contains("at step 2 of 7 (change: run migrate)"), "{}", status.said());
    staging(workspace, &["procedure", "start", "move"]).expect(10).expect_said("cmdr procedure continue move");
    // The lease of the killed run expires.
    let go_on = ["procedure", "continue", "move", "--lock-timeout", "30s"];
    staging(workspace, &go_on).expect(0).expect_said("Are the figures right?");
    assert_eq!(jobs(workspace), 1, "the Job is not run twice");
    assert!(state(workspace)["steps"][1]["result"].as_str().unwrap().starts_with("migrate-run-"));
    assert_eq!(progress(workspace)[..4], ["close done", "change done", "proof done", "figures started"]);
    assert_eq!(state(workspace)["phase"], "waiting");
}

fn a_changed_definition_is_refused(workspace: &TestWorkspace) {
    workspace.replace("wait: 1s", "wait: 2s");
    let refused = staging(workspace, &["procedure", "continue", "move"]).expect(10);
    let said = refused.said();
    assert!(said.contains("the step 'open/pause' was changed: wait 1 s in 'staging', now wait 2 s"), "{said}");
    assert!(said.contains("--accept-changes"), "{said}");
    workspace.replace("scale: {worker: 0}, undo", "scale: {worker: 3}, undo");
    let refused = staging(workspace, &["procedure", "continue", "move", "--accept-changes"]).expect(10);
    assert!(refused.said().contains("a step that was started cannot be changed"), "{}", refused.said());
    workspace.replace("scale: {worker: 3}, undo", "scale: {worker: 0}, undo");
}

fn a_pipeline_cannot_approve(workspace: &TestWorkspace) {
    let by = state(workspace)["by"].as_str().unwrap().to_owned();
    let mut command = workspace.cmdr(&["procedure", "continue", "move", "--env", "staging", "--accept-changes"]);
    command.envs([("GITLAB_CI", "true"), ("CI_JOB_URL", "https://gitlab.example/1"), ("GITLAB_USER_LOGIN", &by)]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("a pipeline cannot approve"), "{said}");
    assert_eq!(state(workspace)["phase"], "waiting");
}

fn a_person_approves(workspace: &TestWorkspace) {
    let args = ["procedure", "continue", "move", "--accept-changes", "--output", "json"];
    let events = staging(workspace, &args).expect(0).events();
    let last = events.last().unwrap();
    assert_eq!(last["phase"], "done", "{last}");
    assert!(last["steps"][3]["result"].as_str().unwrap().starts_with("approved by "), "{last}");
    assert_eq!((replicas(workspace, "steps", "worker"), replicas(workspace, "second", "store")), (1, 1));
    let list = staging(workspace, &["procedure", "list"]).expect(0);
    assert!(list.stdout.contains("Move the store to the second environment"), "{}", list.stdout);
}

fn an_abort_goes_back(workspace: &TestWorkspace) {
    workspace.replace("echo \"migrate orders\"; sleep 5", "exit 7");
    staging(workspace, &["up", "migrate"]).expect(0);
    let failed = staging(workspace, &["procedure", "start", "move"]).expect(7);
    assert!(failed.said().contains("the procedure 'move' stopped at the step 'change'"), "{}", failed.said());
    assert_eq!(replicas(workspace, "steps", "worker"), 0);
    assert_eq!(state(workspace)["phase"], "failed");
    // The state has the way back, also when projects.yaml no longer has the procedure.
    workspace.replace("  move:\n", "  moved:\n");
    let list = staging(workspace, &["procedure", "list"]).expect(0);
    assert!(list.stdout.contains("no longer in projects.yaml"), "{}", list.stdout);
    staging(workspace, &["procedure", "continue", "move"]).expect(10).expect_said("no longer in projects.yaml");
    staging(workspace, &["procedure", "abort", "move"]).expect(0).expect_said("is aborted");
    workspace.replace("  moved:\n", "  move:\n");
    assert_eq!(progress(workspace)[..3], ["close undone", "change undone", "proof pending"]);
    assert_eq!(replicas(workspace, "steps", "worker"), 1);
}

fn a_failed_check_stops(workspace: &TestWorkspace) {
    workspace.replace("exit 7", "true");
    workspace.replace("expr: status.readyReplicas == 1", "failures: 2, expr: status.readyReplicas == 5");
    staging(workspace, &["up", "migrate"]).expect(0);
    staging(workspace, &["hold", "worker", "--because", "a test"]).expect(0);
    staging(workspace, &["procedure", "start", "move"]).expect(10).expect_said("hold");
    let anyway = ["--override", "hold", "--because", "a test"];
    let failed = staging(workspace, &[&["procedure", "start", "move"], &anyway[..]].concat()).expect(1);
    let said = failed.said();
    assert!(said.contains("failed 1 of 2 times in a row"), "{said}");
    assert!(said.contains("check 'running' failed: false for deployment/store"), "{said}");
    assert!(said.contains("the procedure 'move' stopped at the step 'proof'"), "{said}");
    staging(workspace, &["procedure", "abort", "move"]).expect(10).expect_said("hold");
    staging(workspace, &[&["procedure", "abort", "move"], &anyway[..]].concat()).expect(0);
    assert_eq!(replicas(workspace, "steps", "worker"), 1);
}

/// Another run may have the lock by then, so that the state is not written.
fn a_lost_lock_stops(workspace: &TestWorkspace) {
    workspace.replace("command: [sh, -c, 'true']", "command: [sleep, '60']");
    staging(workspace, &["unhold", "worker"]).expect(0);
    staging(workspace, &["up", "migrate"]).expect(0);
    let run = workspace.start(&["procedure", "start", "move", "--env", "staging", "--yes"]);
    until("the step runs", || (progress(workspace).get(1).map(String::as_str) == Some("change started")).then_some(()));
    workspace.kubectl(&["delete", "lease", "cmdr.project.procedure.move", "--namespace", "steps"]);
    let lost = run.wait(Duration::from_mins(1)).expect(11);
    let lost = lost.expect_said("the lease was lost during the run: another run may have started");
    lost.expect_said("was interrupted at the step 'change': go on with cmdr procedure continue move");
    assert_eq!(progress(workspace)[..2], ["close done", "change started"]);
    staging(workspace, &["procedure", "abort", "move"]).expect(0);
}
