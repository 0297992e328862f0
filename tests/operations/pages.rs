//! Stages of `cmdr maintenance`.

use super::{
    common::{Stages, TestWorkspace, until},
    maintenance::fetch,
};

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("what is wrong is refused before anything changes", wrong_requests_change_nothing);
    stage("a closed project answers 503 with a page", a_closed_project_answers_503);
    stage("a run leaves a maintenance on and says so", a_run_leaves_it_on);
    stage("allowed addresses pass, and cmdr still finds it closed", allowed_addresses_pass);
    stage("it is opened, and nothing is left", it_is_opened);
    stage("a killed run is completed by the next", a_killed_run_is_completed);
}

fn own_objects(workspace: &TestWorkspace) -> usize {
    let kinds = "ingressroutes.traefik.io,middlewares.traefik.io,deployments,services,configmaps";
    let found = workspace.objects(&["get", kinds, "--selector", "cmdr.dev/purpose=maintenance"]);
    found["items"].as_array().unwrap().len()
}

fn status(workspace: &TestWorkspace, path: &str) -> u16 {
    workspace.ask("shop", path).unwrap().status
}

fn wrong_requests_change_nothing(workspace: &TestWorkspace) {
    let on = |rest: &[&str]| workspace.run(&[&["maintenance", "on"], rest].concat());
    on(&["shp"]).expect(2).expect_said("did you mean 'shop'?");
    on(&["shop", "--until", "2020-01-01T00:00:00Z"]).expect(2).expect_said("is not in the future");
    on(&["shop", "--until", "soon"]).expect(2).expect_said("is not a valid time");
    on(&["worker", "shop"]).expect(1).expect_said("'worker' has no route in 'local'");
    on(&["shop", "--because", "x"]).expect(2);
    on(&["--dry-run"]).expect(0).expect_said("close shop").expect_said("close api");
    workspace.run(&["maintenance"]).expect(0).expect_said("no project is in maintenance");
    assert_eq!((own_objects(workspace), status(workspace, "/")), (0, 200));
}

fn a_closed_project_answers_503(workspace: &TestWorkspace) {
    let pods = || {
        workspace.kubectl(&[
            "get",
            "pods",
            "-o",
            "jsonpath={.items[*].metadata.uid}",
            "-l",
            "cmdr.dev/purpose!=maintenance,app.kubernetes.io/name!=cmdr-maintenance",
        ])
    };
    let before = pods();
    let on = ["maintenance", "on", "shop", "--until", "1h", "--message", "Back <soon>"];
    workspace.run(&on).expect(0).expect_said("503 from");
    let (head, body) = fetch(workspace, "/cart", "Accept: text/html\r\n");
    assert!(head.starts_with("http/1.0 503") || head.starts_with("http/1.1 503"), "{head}");
    assert!(
        head.contains("retry-after: ") && head.contains(" gmt") && head.contains("cache-control: no-store"),
        "{head}"
    );
    assert!(head.contains("text/html") && body.contains("Back &lt;soon&gt;"), "{head}\n{body}");
    let (head, body) = fetch(workspace, "/cart", "Accept: application/json\r\n");
    assert!(head.contains("application/json") && body.contains("\"message\":\"Back <soon>\""), "{head}\n{body}");
    let own = |path: &str| workspace.ask("shop", path).unwrap().body;
    assert_eq!((own("/healthz"), own("/readyz")), ("own /healthz\n".to_owned(), "own /readyz\n".to_owned()));
    assert_eq!(own("/api/x"), "own /api/x\n", "a more specific route of another project stays open");
    assert_eq!(pods(), before, "the pods run on");
    let shown = workspace.run(&["maintenance", "--output", "json"]).expect(0).json();
    assert_eq!(shown[0]["project"], "shop");
    assert_eq!(shown[0]["overdue"], false);
    assert!(shown[0]["urls"].as_object().unwrap().values().all(|found| found == "closed"), "{shown}");
    let since = shown[0]["since"].clone();
    workspace.run(&["maintenance", "on", "shop"]).expect(0);
    let again = workspace.run(&["maintenance", "--output", "json"]).expect(0).json();
    assert_eq!((&again[0]["since"], &again[0]["until"]), (&since, &serde_json::Value::Null));
    assert!(fetch(workspace, "/", "").0.contains("retry-after: 120"));
}

fn a_run_leaves_it_on(workspace: &TestWorkspace) {
    workspace.run(&["status"]).expect(0).expect_said("healthy, in maintenance since ");
    let up = workspace.run(&["up"]).expect(0).expect_said("'shop' stays in maintenance since ");
    up.expect_said("cmdr maintenance off shop");
    assert_eq!(status(workspace, "/"), 503);
}

fn allowed_addresses_pass(workspace: &TestWorkspace) {
    workspace.replace("health: {uptime: /readyz}", "allow: {all: 0.0.0.0/0}");
    workspace.run(&["maintenance", "on", "shop"]).expect(0).expect_said("503 from");
    until("the new rule", || (status(workspace, "/") == 200).then_some(()));
    workspace.run(&["maintenance"]).expect(0).expect_said("closed");
    workspace.replace("allow: {all: 0.0.0.0/0}", "health: {uptime: /readyz}");
}

fn it_is_opened(workspace: &TestWorkspace) {
    workspace.run(&["maintenance", "off", "shop"]).expect(0).expect_said("200 from");
    assert_eq!((own_objects(workspace), status(workspace, "/")), (0, 200));
    workspace.run(&["maintenance", "off", "shop"]).expect(0).expect_said("'shop' is not in maintenance");
    workspace.run(&["maintenance", "off"]).expect(0);
}

fn a_killed_run_is_completed(workspace: &TestWorkspace) {
    let mut run = workspace.start(&["maintenance", "on", "shop", "api"]);
    until("the first object", || (!run.is_running() || own_objects(workspace) > 0).then_some(()));
    run.signal("KILL");
    run.wait(super::common::PATIENCE);
    // What it has left behind is also removed without a closed project.
    workspace.run(&["maintenance", "off"]).expect(0);
    assert_eq!(own_objects(workspace), 0);
    workspace.run(&["maintenance", "on", "shop", "api"]).expect(0);
    assert_eq!((status(workspace, "/"), status(workspace, "/api/x")), (503, 503));
    workspace.run(&["maintenance", "off"]).expect(0);
    assert_eq!((own_objects(workspace), status(workspace, "/api/x")), (0, 200));
}
