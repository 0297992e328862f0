//! The stages of the test of Jobs.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use serde_json::Value;

use super::{
    BUSY,
    common::{Output, PATIENCE, TestWorkspace, until},
};

/// The Jobs of the workspace's namespace.
fn jobs(workspace: &TestWorkspace) -> Vec<Value> {
    workspace.objects(&["get", "jobs"])["items"].as_array().unwrap().clone()
}

fn runs(workspace: &TestWorkspace, project: &str) -> Vec<Value> {
    let listed = workspace.run(&["runs", project, "--output", "json"]).expect(0).json();
    listed.as_array().unwrap().iter().filter(|run| run["origin"] == "run").cloned().collect()
}

/// The newest run of a project.
fn newest(workspace: &TestWorkspace, project: &str) -> Value {
    runs(workspace, project).into_iter().next().unwrap()
}

fn report(workspace: &TestWorkspace, arguments: &[&str]) -> Output {
    workspace.run(&[&["run", "report", "--"], arguments].concat())
}

pub(crate) fn a_suspended_job_starts_nothing(workspace: &TestWorkspace) {
    workspace.run(&["up"]).expect(0);
    let pods = workspace.objects(&["get", "pods", "--selector", "app.kubernetes.io/name=parts"]);
    assert_eq!(pods["items"].as_array().unwrap().len(), 0);
    workspace.run(&["status", "--exit-code"]).expect(0).expect_said("healthy");
}

pub(crate) fn a_run_prints_its_log(workspace: &TestWorkspace) {
    workspace.run(&["run", "report", "--dry-run"]).expect(0).expect_said("would run report");
    let run = workspace.run(&["run", "report"]).expect(0);
    assert_eq!(run.stdout, "report \n");
    let run = workspace.run(&["run", "parts"]).expect(0);
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[0] part 0 of small", "[1] part 1 of small"]);
}

pub(crate) fn a_failed_run_returns_its_exit_code(workspace: &TestWorkspace) {
    let run = report(workspace, &["42", "words"]).expect(42);
    assert_eq!(run.stdout, "report 42 words\n");
    assert!(run.stderr.contains("has failed with exit code 42"), "{}", run.stderr);
    let state = newest(workspace, "report");
    assert_eq!((&state["result"], &state["exit_code"]), (&Value::from("failed"), &Value::from(42)));
}

pub(crate) fn a_timeout_returns_124(workspace: &TestWorkspace) {
    let run = workspace.run(&["run", "parts", "--timeout", "1s"]).expect(124);
    assert_eq!(newest(workspace, "parts")["result"], "deadline-exceeded", "{}", run.stderr);
}

pub(crate) fn an_array_runs_four_at_once(workspace: &TestWorkspace) {
    let mut array = workspace.start(&["run", "parts", "--array", "20", "--parallel", "4"]);
    let mut most = 0;
    while array.is_running() {
        let active = jobs(workspace).iter().filter_map(|job| job["status"]["active"].as_u64()).max();
        most = most.max(active.unwrap_or_default());
        thread::sleep(Duration::from_millis(300));
    }
    let array = array.wait(PATIENCE).expect(0);
    assert_eq!(most, 4);
    let mut parts: Vec<usize> = array
        .stdout
        .lines()
        .map(|line| line.trim_start_matches('[').split(']').next().unwrap().parse().unwrap())
        .collect();
    parts.sort_unstable();
    assert_eq!(parts, (0..20).collect::<Vec<_>>());
    let state = newest(workspace, "parts");
    assert_eq!((&state["parts_done"], &state["exit_code"]), (&Value::from(20), &Value::from(0)));
    let peak = state["peak_memory_bytes"].as_u64().unwrap();
    assert!((1 << 20..1 << 30).contains(&peak), "{peak} bytes");
}

pub(crate) fn a_run_has_its_own_resources(workspace: &TestWorkspace) {
    let options = ["--cpu", "50m", "--memory", "64Mi", "--set", "env.SIZE=large", "--output", "json"];
    let run = workspace.run(&[&["run", "parts"], &options[..]].concat()).expect(0);
    let events = run.events();
    let lines = events.iter().filter(|event| event["event"] == "container-output");
    assert!(lines.clone().all(|event| event["line"].as_str().unwrap().ends_with("of large")), "{}", run.stdout);
    let codes: Vec<&Value> = events.iter().filter(|event| event["event"] == "container-exited").collect();
    assert_eq!(codes.iter().map(|code| code["exit_code"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 0]);
    let name = newest(workspace, "parts")["name"].as_str().unwrap().to_owned();
    let job = workspace.objects(&["get", "job", &name]);
    let resources = &job["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"]["cpu"], "50m");
    assert_eq!(resources["limits"]["memory"], "64Mi");
}

pub(crate) fn a_detached_run_goes_on(workspace: &TestWorkspace) {
    let run = workspace.run(&["run", "parts", "--detach"]).expect(0).expect_said("has been started");
    assert_eq!(run.stdout, "");
    assert_eq!(newest(workspace, "parts")["result"], "running");
    until("the detached run has succeeded", || (newest(workspace, "parts")["result"] == "succeeded").then_some(()));
}

pub(crate) fn an_interrupted_run_is_deleted(workspace: &TestWorkspace) {
    let before = jobs(workspace).len();
    let run = workspace.start(&["run", "parts", "--array", "8", "--parallel", "1"]);
    until("the run has a Job", || (jobs(workspace).len() > before).then_some(()));
    thread::sleep(Duration::from_secs(1));
    run.signal("INT");
    run.wait(Duration::from_mins(1)).expect(130);
    until("its Job is deleted", || (jobs(workspace).len() == before).then_some(()));
}

pub(crate) fn runs_are_listed(workspace: &TestWorkspace) {
    let listed = workspace.run(&["runs"]).expect(0).stdout;
    for text in ["RESULT", "succeeded 20/20", "deadline exceeded", "failed", "42"] {
        assert!(listed.contains(text), "no '{text}' in\n{listed}");
    }
    workspace.run(&["runs", "reprot"]).expect(2).expect_said("did you mean 'report'?");
    assert_eq!(runs(workspace, "cache").len(), 0);
}

pub(crate) fn runs_are_no_drift(workspace: &TestWorkspace) {
    workspace.run(&["status", "--exit-code"]).expect(0);
    workspace.run(&["plan", "--exit-code"]).expect(0);
}

pub(crate) fn what_cannot_be_run_is_refused(workspace: &TestWorkspace) {
    workspace.run(&["run", "cache"]).expect(2).expect_said("neither a Job nor a CronJob");
    workspace.run(&["run", "parst"]).expect(2).expect_said("did you mean 'parts'?");
    workspace.run(&["run", "report", "--memory", "1GB", "--cpu", "two"]).expect(2).expect_said("--cpu: 'two'");
}

pub(crate) fn resources_are_listed(workspace: &TestWorkspace) {
    let listed = workspace.run(&["status", "--resources", "--output", "json"]).expect(0).json();
    let projects: BTreeMap<&str, &Value> =
        listed.as_array().unwrap().iter().map(|it| (it["project"].as_str().unwrap(), it)).collect();
    assert_eq!(projects.keys().collect::<Vec<_>>(), [&"cache", &"worker"]);
    let cache = projects["cache"];
    assert_eq!((&cache["requests"]["memory_bytes"], &cache["qos"]), (&(16 << 20).into(), &"Burstable".into()));
    // Without a metrics API, the kubelet reports it.
    assert!(cache["used"]["memory_bytes"].as_u64().unwrap() > 0, "{listed}");
}

pub(crate) fn usage_is_reported(workspace: &TestWorkspace) {
    workspace.replace("projects:\n", BUSY);
    workspace.run(&["up"]).expect(0);
    until("the metrics API knows the usage", || {
        let listed = workspace.run(&["status", "--resources", "--output", "json"]).expect(0).json();
        let busy = listed.as_array().unwrap().iter().find(|it| it["project"] == "busy").cloned().unwrap();
        thread::sleep(Duration::from_secs(2));
        busy["used"]["cpu_millis"].as_u64().filter(|used| *used > 50)
    });
    let listed = workspace.run(&["status", "--resources"]).expect(0);
    assert!(!listed.said().contains("no metrics API"), "{}", listed.said());
}

pub(crate) fn an_autoscaler_follows_the_load(workspace: &TestWorkspace) {
    let pods = || {
        let pods = workspace.objects(&["get", "pods", "--selector", "app.kubernetes.io/name=busy"]);
        let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let pods = pods["items"].as_array().unwrap().iter().filter(stays);
        pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("there are two pods", || (pods().len() == 2).then_some(()));
    until("both are healthy", || (workspace.run(&["status", "--exit-code"]).code == 0).then_some(()));
    for pod in pods() {
        until("the pod is idle", || workspace.try_kubectl(&["exec", &pod, "--", "touch", "/tmp/idle"]));
    }
    until("there is one pod", || (pods().len() == 1).then_some(()));
}

/// After a restart of both, the order of `needs` would be lost.
pub(crate) fn a_pod_waits_for_another_project(workspace: &TestWorkspace) {
    workspace.kubectl(&["scale", "deployment/cache", "--replicas=0"]);
    let cache = ["wait", "--for=delete", "pod", "--selector", "app.kubernetes.io/name=cache", "--timeout=60s"];
    workspace.kubectl(&cache);
    workspace.kubectl(&["delete", "pod", "--selector", "app.kubernetes.io/name=worker", "--wait=true"]);
    let worker = || {
        let pods = workspace.objects(&["get", "pods", "--selector", "app.kubernetes.io/name=worker"]);
        pods["items"][0].clone()
    };
    until("the init container waits", || {
        let waits = &worker()["status"]["initContainerStatuses"][0];
        (waits["name"] == "wait-for-cache" && !waits["state"]["running"].is_null()).then_some(())
    });
    thread::sleep(Duration::from_secs(3));
    assert_eq!(worker()["status"]["phase"], "Pending");
    workspace.kubectl(&["scale", "deployment/cache", "--replicas=1"]);
    until("the worker runs", || (worker()["status"]["phase"] == "Running").then_some(()));
}

pub(crate) fn a_run_is_recorded(workspace: &TestWorkspace) {
    let kubeconfig = workspace.user_kubeconfig();
    fs::create_dir_all(kubeconfig.parent().unwrap()).unwrap();
    fs::copy(workspace.kubeconfig(), kubeconfig).unwrap();
    let staging = |args: &[&str]| workspace.run(&[args, &["--env", "staging", "--yes"]].concat());
    staging(&["run", "report"]).expect(1).expect_said("'report' is not deployed in 'staging'");
    staging(&["up", "report"]).expect(0);
    let run =
        workspace.run(&["run", "report", "--env", "staging", "--because", "a test", "--yes", "--", "7"]).expect(7);
    assert_eq!(run.stdout, "report 7\n");
    let history = staging(&["history", "report", "--output", "json"]).expect(0).json();
    let recorded = history["report"]["operations"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&recorded["verb"], &recorded["outcome"]), (&Value::from("run"), &Value::from("failed")));
    staging(&["hold", "report", "--because", "a test"]).expect(0);
    staging(&["run", "report"]).expect(10).expect_said("hold");
    staging(&["run", "report", "--override", "hold", "--because", "a test", "--detach"]).expect(0);
    assert_eq!(staging(&["runs", "report", "--output", "json"]).expect(0).json().as_array().unwrap().len(), 2);
}
