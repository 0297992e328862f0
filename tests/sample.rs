//! The sample platform of the repository's own `projects.yaml` on a real cluster: the result of a first `make up`.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use common::{Stages, TestWorkspace, tell, until};

/// The minimum number of the sample's projects, and how many of them are services that call each other.
const PROJECTS: usize = 24;
const SERVICES: usize = 16;

#[test]
fn the_sample_comes_up_and_a_request_crosses_it() {
    let text = include_str!("../projects.yaml");
    let description = text.split_once("name: tunes\n").unwrap().1;
    let workspace = TestWorkspace::new("sample", description);
    let stages = Stages::default();
    stages.stage("up deploys the whole platform, and every URL responds", || {
        let run = workspace.run(&["up"]).expect(0);
        let urls: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(urls.len(), 5, "{}", run.said());
        for url in urls {
            let host = url.trim_start_matches("http://").split(['.', ':']).next().unwrap();
            assert_eq!(workspace.ask(host, "/").unwrap().status, 200, "{url}");
        }
    });
    stages.stage("status shows all projects", || {
        let status = workspace.run(&["status", "--output", "json", "--exit-code"]).expect(0).json();
        let releases = status["releases"].as_array().unwrap();
        assert!(releases.len() - 2 >= PROJECTS, "{} releases, two of them the platform's", releases.len());
        let services = releases.iter().filter(|release| release["running"] == "6.9.2").count();
        assert!(services >= SERVICES, "{services} services");
    });
    stages.stage("a request to the storefront reaches the services behind it", || {
        // kube-proxy routes to a pod up to a second after the pod is ready.
        let answer = until("a response of catalog, cart and search", || {
            let answer = workspace.request("POST", "shop", "/echo", "hello").ok()?;
            let backends: Vec<serde_json::Value> = serde_json::from_str(&answer.body).ok()?;
            // Each of them calls two others.
            (backends.len() == 3 && answer.body.matches("hello").count() >= 6).then_some(answer)
        });
        tell(&answer.body);
    });
    stages.stage("a plan is empty", || {
        let plan = workspace.run(&["plan", "--output", "json", "--exit-code"]).expect(0).json();
        assert!(plan["unchanged"].as_array().unwrap().len() >= PROJECTS);
    });
    stages.finish();
}
