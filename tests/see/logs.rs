//! Logs of several projects.

use std::{collections::BTreeMap, io::Read, process::Stdio, time::Duration};

use serde_json::Value;

use super::common::{Stages, TestWorkspace, until};

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("the logs of projects are merged, and JSON is folded", logs_are_merged);
    stage("logs follow a restarted container and a rollout without a gap", logs_follow_restarts);
    stage("the log before a restart is printed", the_previous_log_is_printed);
    stage("logs of the platform and of another environment are printed", other_logs_are_printed);
}

fn logs_are_merged(workspace: &TestWorkspace) {
    let logs = until("the shop has logged", || {
        let logs = workspace.run(&["logs"]).expect(0).stdout;
        logs.contains("payment 2 failed").then_some(logs)
    });
    for line in ["migrate | 3 tables created", "shop    | INFO request 1", "shop    | ERROR payment 1 failed order=1"] {
        assert!(logs.contains(line), "no '{line}' in\n{logs}");
    }
    let only = workspace.run(&["logs", "shop", "--search", "order=1$"]).expect(0).stdout;
    assert_eq!(only, "ERROR payment 1 failed order=1\n");
    let errors = workspace.run(&["logs", "shop", "--level", "error", "--tail", "4"]).expect(0).stdout;
    assert_eq!(errors.lines().filter(|line| line.starts_with("ERROR payment")).count(), 2, "{errors}");
    workspace.run(&["logs", "shop", "--previous"]).expect(1).expect_said("no container of 'shop' has been restarted");
    workspace.run(&["logs", "shpo"]).expect(2).expect_said("did you mean 'shop'?");
}

fn logs_follow_restarts(workspace: &TestWorkspace) {
    let mut follow = workspace.cmdr(&["logs", "shop", "flaky", "--follow", "--tail", "1", "--output", "json"]);
    let mut follow = follow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    // nginx is the first process of its container, and this signal ends it.
    workspace.kubectl(&["exec", "deployment/shop", "--", "sh", "-c", "kill -QUIT 1"]);
    until("the container runs again", || {
        let pods = workspace.objects(&["get", "pods", "--selector", "app.kubernetes.io/instance=shop"]);
        (pods["items"][0]["status"]["containerStatuses"][0]["restartCount"] == 1).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    workspace.run(&["restart", "shop"]).expect(0);
    std::thread::sleep(Duration::from_secs(2));
    super::interrupt(&follow);
    assert_eq!(follow.wait().unwrap().code(), Some(130));
    let (mut text, mut notes) = (String::new(), String::new());
    follow.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    follow.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert!(notes.contains("has ended with exit code"), "{notes}");
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut starts = 0;
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let Some(number) = entry["message"].as_str().unwrap().strip_prefix("INFO request ") else { continue };
        let (pod, number): (String, u64) = (entry["pod"].as_str().unwrap().to_owned(), number.parse().unwrap());
        let before = last.insert(pod, number);
        starts += usize::from(number == 1);
        assert!(number == 1 || before.is_none_or(|before| before + 1 == number), "{number} after {before:?}\n{text}");
    }
    assert_eq!((starts, last.len()), (2, 2), "a restarted container and a new pod begin at 1\n{text}");
}

fn the_previous_log_is_printed(workspace: &TestWorkspace) {
    workspace.kubectl(&["exec", "deployment/shop", "--", "sh", "-c", "kill -QUIT 1"]);
    until("the log before the restart is there", || {
        let previous = workspace.run(&["logs", "shop", "--previous", "--raw"]);
        (previous.code == 0 && previous.stdout.contains("INFO request 1\n")).then_some(())
    });
}

fn other_logs_are_printed(workspace: &TestWorkspace) {
    let platform = workspace.run(&["logs", "traefik", "--output", "json"]).expect(0);
    assert!(platform.events().iter().all(|line| line["project"] == "traefik"));
    workspace.run(&["logs", "cache", "--env", "staging"]).expect(0).expect_said("Ready to accept connections");
}
