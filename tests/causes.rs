//! Causes of failures on a real cluster: many small projects that fail, each in its own way, deployed together.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod common;

use std::collections::BTreeMap;

use common::{Stages, TestWorkspace, tell};
use serde_json::Value;

/// An image without a shell.
const MINIMAL: &str = "ghcr.io/stefanprodan/podinfo:6.9.2";
const REDIS: &str = "docker.io/library/redis:7.0";

/// The codes of rollouts that did not finish, without a cause.
const UNKNOWN: [&str; 2] = ["C063", "C064"];

/// Each project: its cause, a part of what is printed, its image, and its values (`timeout` is a key of the project).
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("no-image", "C007", "image not found", "docker.io/library/no-such-image:1.0", "{}"),
    ("too-large", "C019", "Insufficient memory", REDIS, "{resources: {requests: {memory: 900Gi}}}"),
    ("no-claim", "C022", "nothing", REDIS, "{volumes: {data: {path: /data, claim: nothing}}}"),
    ("no-node", "C027", "node affinity/selector", REDIS, "{nodeSelector: {disk: tape}}"),
    ("no-secret", "C042", "vault", REDIS, "{env: {PASSWORD: {secret: vault, key: password}}}"),
    ("no-config", "C043", "nothing", REDIS, "{env: {LEVEL: {config: nothing, key: level}}}"),
    ("as-root", "C044", "runAsNonRoot", REDIS, "{security: {runAsUser: null}}"),
    ("no-shell", "C046", "no shell", MINIMAL, "{command: [sh, -c, exit 1]}"),
    ("no-program", "C047", "/no-such-program", REDIS, "{command: [/no-such-program]}"),
    ("no-permission", "C049", "permission denied", REDIS, "{command: [/etc/passwd]}"),
    ("no-memory", "C051", "limit of 32Mi", REDIS, "{command: [tail, /dev/zero], resources: {limits: {memory: 32Mi}}}"),
    ("no-command", "C052", "exit code 127", REDIS, "{command: [sh, -c, envsubst]}"),
    ("segfault", "C054", "exit code 139", REDIS, "{command: [sh, -c, exit 139]}"),
    ("killed", "C055", "exit code 137", REDIS, "{command: [sh, -c, exit 137]}"),
    ("ends", "C056", "should keep running", REDIS, "{command: [echo, bye]}"),
    ("exits", "C057", "exit code 3", REDIS, "{command: [sh, -c, echo the licence has expired; exit 3]}"),
    ("initial", "C058", "still running", REDIS, "{initContainers: {wait: {command: [sleep, infinity]}}}"),
    ("read-only", "C070", "{srv: {path: /srv, temporary: true}}", REDIS, "{command: [touch, /srv/y]}"),
    ("no-chown", "C072", "Operation not permitted", REDIS, "{command: [chown, '0', /tmp]}"),
    ("not-allowed", "C073", "/etc/shadow; it belongs to 0:42", REDIS, "{command: [cat, /etc/shadow]}"),
    ("refused", "C074", "project 'deaf' is not ready", REDIS, "{command: [redis-cli, -h, deaf, ping]}"),
    ("unknown-host", "C075", "did you mean 'deaf'", REDIS, "{command: [redis-cli, -h, deaff, ping]}"),
    (
        "in-use",
        "C076",
        "7000",
        REDIS,
        "{command: [sh, -c, 'redis-server --port 7000 >/dev/null & sleep 1; exec redis-server --port 7000']}",
    ),
    (
        "no-module",
        "C077",
        "flask",
        REDIS,
        "{command: [sh, -c, \"echo \\\"ModuleNotFoundError: No module named 'flask'\\\"; exit 1\"]}",
    ),
    ("bad-syntax", "C078", "yntax error", REDIS, "{command: [sh, -c, if]}"),
    ("bad-option", "C083", "--no-such", REDIS, "{command: [ls, --no-such]}"),
    ("disk-full", "C086", "/dev/shm/x", REDIS, "{command: [dd, if=/dev/zero, of=/dev/shm/x, bs=1M, count=80]}"),
    ("no-file", "C094", "/nothing", REDIS, "{command: [cat, /nothing]}"),
    ("mismatch", "C103", "listens on 7000", REDIS, "{ports: {redis: 6379}, command: [redis-server, --port, '7000']}"),
    (
        "local-only",
        "C104",
        "127.0.0.1 only",
        REDIS,
        "{ports: {redis: 6379}, command: [redis-server, --bind, 127.0.0.1]}",
    ),
    ("deaf", "C105", "no port", REDIS, "{ports: {redis: 6379}, command: [sleep, infinity]}"),
    ("not-found", "C106", "404", MINIMAL, "{ports: {http: 9898}, probes: {readiness: {path: /status/404}}}"),
    ("needs-login", "C107", "401", MINIMAL, "{ports: {http: 9898}, probes: {readiness: {path: /status/401}}}"),
    ("unready", "C108", "503", MINIMAL, "{ports: {http: 9898}, probes: {readiness: {path: /status/503}}}"),
    ("no-volume-config", "C110", "nothing", REDIS, "{volumes: {site: {path: /site, config: nothing}}}"),
    ("no-volume-secret", "C111", "nothing", REDIS, "{volumes: {tls: {path: /tls, secret: nothing}}}"),
    ("no-class", "C191", "PriorityClass", REDIS, "{priorityClass: urgent}"),
    ("no-account", "C192", "runner", REDIS, "{serviceAccount: {name: runner}}"),
    ("job", "C081", "retry the job", REDIS, "{kind: Job, command: [sh, -c, 'echo no such table: orders; exit 6']}"),
];

fn projects() -> String {
    let mut text = "defaults:\n  values:\n    grace: 1\n    drain: 0\n    resources: {requests: {cpu: 1m, memory: 4Mi}}\nprojects:\n".to_owned();
    for (name, _, _, image, values) in CASES {
        text.push_str(&format!("  {name}: {{image: {image}, timeout: 25s, values: {values}}}\n"));
    }
    text
}

/// The code of each project, and its whole problem.
fn problems(workspace: &TestWorkspace) -> BTreeMap<String, Value> {
    let shown = workspace.run(&["up", "--output", "json"]).expect(1);
    let events = shown.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ends = events.filter(|event| event["event"] == "step-finished" && event["outcome"] == "failed");
    ends.map(|event| (event["subject"].as_str().unwrap().to_owned(), event["problem"].clone())).collect()
}

/// Whether a cause is still to be reported.
fn is_open(problem: Option<&Value>) -> bool {
    problem.is_none_or(|problem| UNKNOWN.iter().any(|code| problem["code"] == *code))
}

#[test]
#[ignore = "takes three minutes: make test-full runs it"]
fn causes_on_a_cluster() {
    let workspace = TestWorkspace::new("causes", &projects());
    let stages = Stages::default();
    stages.stage("each failure has its code, and its help names what is to be changed", || {
        let mut found = problems(&workspace);
        // A busy node may report an exit so late that a container without probes counts as ready, or that the timeout
        // passes before there is a cause.
        if CASES.iter().any(|(name, ..)| is_open(found.get(*name))) {
            for (name, problem) in problems(&workspace) {
                if is_open(found.get(&name)) {
                    found.insert(name, problem);
                }
            }
        }
        let mut wrong = Vec::new();
        for (name, code, part, ..) in CASES {
            let problem = found.get(*name).cloned().unwrap_or_default();
            let text = problem.to_string().replace("\\\"", "\"");
            tell(&format!("{name}: {text}"));
            if problem["code"] != *code || !text.contains(part) {
                wrong.push(format!("{name}: expected {code} with '{part}': {text}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    });
    stages.stage("the examination of a running environment names restarting pods and webhooks without pods", || {
        let hook = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: \
                    causes-test}, webhooks: [{name: w.test.example, failurePolicy: Ignore, sideEffects: None, \
                    admissionReviewVersions: [v1], clientConfig: {service: {name: w, namespace: default}}, rules: \
                    [{apiGroups: [x.example], apiVersions: [v1], resources: [x], operations: [CREATE]}]}]}";
        std::fs::write(workspace.root().join("hook.yaml"), hook).unwrap();
        workspace.kubectl(&["apply", "-f", workspace.root().join("hook.yaml").to_str().unwrap()]);
        let shown = workspace.run(&["doctor", "--output", "json"]);
        tell(&shown.stdout);
        for code in ["C145", "C248"] {
            assert!(shown.stdout.contains(code), "{code}");
        }
        let fix = workspace.run(&["doctor", "--fix", "--dry-run"]);
        tell(&fix.stderr);
        fix.expect(0);
        workspace.kubectl(&["delete", "validatingwebhookconfiguration", "causes-test"]);
    });
    stages.finish();
}
