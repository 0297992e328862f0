//! Failures on a real cluster are reported early and with their cause; interrupted runs are continued.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod common;
#[path = "failures/interruptions.rs"]
mod interruptions;
#[path = "failures/waits.rs"]
mod waits;
#[path = "failures/webhooks.rs"]
mod webhooks;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use common::{Stages, TestWorkspace, tell};
use serde_json::Value;

/// Each project fails in its own way, except the healthy ones.
const BROKEN: &str = r#"
defaults: {values: {command: [sleep, infinity], grace: 1, drain: 0}}
projects:
  healthy:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    host: healthy
    check: {path: /no-such-page}
    values: {command: null, ports: {http: 9898}}
  with-sidecar:
    image: docker.io/library/redis:7.0
    values: {sidecars: {beside: {command: [sleep, infinity]}}}
  slow:
    image: docker.io/library/redis:7.0
    values:
      volumes: {state: {path: /state, temporary: true}}
      command: [sh, -c]
      args: ["test -f /state/t || date +%s >/state/t; test $(($(date +%s) - $(cat /state/t))) -gt 14 || { echo no database yet; exit 1; }; sleep infinity"]
  no-image:
    image: docker.io/library/no-such-image:1.0
  no-secret:
    image: docker.io/library/redis:7.0
    values: {env: {PASSWORD: {secret: vault, key: password}}}
  exits:
    image: docker.io/library/redis:7.0
    values: {command: [sh, -c, "echo the licence has expired; exit 3"]}
  deaf:
    image: docker.io/library/redis:7.0
    timeout: 20s
    values: {ports: {redis: 6379}, command: [sh, -c, "echo I listen to nobody; sleep infinity"]}
  initial:
    image: docker.io/library/redis:7.0
    values: {initContainers: {prepare: {command: [sh, -c, "echo cannot prepare; exit 4"]}}}
  no-config:
    image: docker.io/library/redis:7.0
    values: {volumes: {site: {path: /site, config: nothing}}}
  endless:
    image: docker.io/library/redis:7.0
    timeout: 20s
    values: {initContainers: {wait: {command: [sh, -c, "echo waiting for the tide; sleep infinity"]}}}
  sidecar:
    image: docker.io/library/redis:7.0
    values: {sidecars: {beside: {command: [sh, -c, "echo the sidecar gives up; exit 5"]}}}
  job:
    image: docker.io/library/redis:7.0
    values: {kind: Job, command: [sh, -c, "echo no such table; exit 6"]}
  too-large:
    image: docker.io/library/redis:7.0
    values: {resources: {requests: {memory: 900Gi}}}
  needs-broken:
    image: docker.io/library/redis:7.0
    needs: [exits]
  needs-dependent:
    image: docker.io/library/redis:7.0
    needs: [needs-broken]
"#;

/// The report of each failure: cause, last line of the log, help.
const CAUSES: &[(&str, &str, &str, &str)] = &[
    ("no-image", "image not found: docker.io/library/no-such-image:1.0", "", "check the name and the tag"),
    ("no-secret", "a Secret is missing: secret \"vault\" not found", "", "create the Secret in the namespace"),
    ("exits", "the container exits: exit code 3", "the licence has expired", "read its log"),
    (
        "deaf",
        "its probe fails: it asks port 6379, and the program listens on no port",
        "I listen to nobody",
        "read its log",
    ),
    ("initial", "the init container 'prepare' exits: exit code 4", "cannot prepare", "read its log"),
    (
        "no-config",
        "a ConfigMap is missing: configmap \"nothing\" not found",
        "",
        "create the ConfigMap in the namespace",
    ),
    ("endless", "the init container 'wait' is still running", "waiting for the tide", "read its log"),
    ("sidecar", "the sidecar 'beside' exits: exit code 5", "the sidecar gives up", "read its log"),
    ("job", "the job failed: the container exits: exit code 6", "no such table", "run cmdr up again"),
    (
        "too-large",
        "no node has enough memory: 0/1 nodes are available: 1 Insufficient memory",
        "",
        "set `resources: {requests: {memory: 128Mi}}` under `projects.too-large.values`",
    ),
];

/// The corrections of these projects.
const MENDED: &[(&str, &str)] = &[
    ("no-such-image:1.0", "redis:7.0"),
    ("{secret: vault, key: password}", "plain"),
    ("echo the licence has expired; exit 3", "sleep infinity"),
    ("values: {ports: {redis: 6379}, command: [sh, -c, \"echo I listen to nobody; sleep infinity\"]}", "values: {}"),
    ("echo cannot prepare; exit 4", "exit 0"),
    ("{path: /site, config: nothing}", "{path: /site, temporary: true}"),
    ("echo waiting for the tide; sleep infinity", "exit 0"),
    ("echo the sidecar gives up; exit 5", "sleep infinity"),
    ("echo no such table; exit 6", "exit 0"),
    ("memory: 900Gi", "memory: 9Mi"),
];

fn events(output: &[(SystemTime, Value)], event: &str, subject: &str) -> Vec<(SystemTime, Value)> {
    let own = output.iter().filter(|(_, it)| it["event"] == event && it["subject"] == subject);
    own.cloned().collect()
}

/// Runs `up` and records when each line was printed.
fn timed_up(workspace: &TestWorkspace) -> (i32, Vec<(SystemTime, Value)>) {
    let mut command = workspace.cmdr(&["up", "--output", "json"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let shown = lines.map(|line| (SystemTime::now(), serde_json::from_str(&line).unwrap())).collect();
    (child.wait().unwrap().code().unwrap_or(-1), shown)
}

/// The time of the cluster's first warning about a project's pods or Job, in seconds since 1970.
fn first_warnings(workspace: &TestWorkspace) -> BTreeMap<String, u64> {
    let format = "jsonpath={range .items[*]}{.involvedObject.name} {.firstTimestamp}{\"\\n\"}{end}";
    let shown = workspace.kubectl(&["get", "events", "--field-selector", "type=Warning", "--output", format]);
    let mut first = BTreeMap::new();
    for (name, time) in shown.lines().filter_map(|line| line.split_once(' ')) {
        // The newer event API stores the time in another field.
        if time.is_empty() || time == "null" {
            continue;
        }
        let seconds = workspace.tool("date", &["-d", time, "+%s"]).parse().unwrap();
        for (project, ..) in CAUSES.iter().filter(|(project, ..)| name.starts_with(&format!("{project}-"))) {
            let known: &mut u64 = first.entry((*project).to_owned()).or_insert(seconds);
            *known = seconds.min(*known);
        }
    }
    first
}

#[test]
fn failures_on_a_cluster() {
    let mut workspace = TestWorkspace::new("failures", BROKEN);
    interruptions::write_chart(&workspace);
    let stages = Stages::default();
    interruptions::while_the_cluster_is_made(&workspace, &stages);
    broken_projects(&workspace, &stages);
    waits::stages(&workspace, &stages);
    interruptions::while_helm_works(&workspace, &stages);
    interruptions::dead_runs(&workspace, &stages);
    stages.stage("a run waits for an API server that is temporarily unreachable", || {
        interruptions::paused_node(&workspace);
    });
    stages.stage("a release waits until a webhook responds", || webhooks::late_webhook(&workspace));
    stages.stage("a registry with a certificate of a private authority works", || company_registry(&mut workspace));
    stages.finish();
}

#[expect(clippy::too_many_lines, reason = "a list of stages, each on the cluster that the one before left")]
fn broken_projects(workspace: &TestWorkspace, stages: &Stages) {
    stages.stage("failures are reported with their causes and do not block other projects", || {
        let (code, shown) = timed_up(workspace);
        assert_eq!(code, 1);
        let warned = first_warnings(workspace);
        for (project, cause, log, help) in CAUSES {
            let ends = events(&shown, "step-finished", project);
            let [(at, end)] = ends.as_slice() else { panic!("{project}: {ends:?}") };
            tell(&format!("{project}: {}", end["problem"]));
            assert_eq!(end["outcome"], "failed", "{project}");
            let text = |key: &str| end["problem"][key].to_string().replace("\\\"", "\"");
            assert!(text("message").contains(cause), "{project}: {}", text("message"));
            assert!(text("logs").contains(log), "{project}: {}", text("logs"));
            assert!(text("help").contains(help), "{project}: {}", text("help"));
            let at = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
            if let Some(known) = warned.get(*project) {
                tell(&format!("{project}: shown {} s after the cluster's first word", at.saturating_sub(*known)));
                // Far below the rollout's timeout of 5 minutes.
                assert!(at.saturating_sub(*known) <= 90, "{project}");
            }
        }
        for well in ["healthy", "with-sidecar", "slow"] {
            let ends = events(&shown, "step-finished", well);
            assert!(!ends.is_empty() && ends.iter().all(|(_, end)| end["outcome"] == "done"), "{well}: {ends:?}");
        }
        for waiting in ["needs-broken", "needs-dependent"] {
            let (_, end) = &events(&shown, "step-finished", waiting)[0];
            assert_eq!(end["outcome"], "not-started");
            assert_eq!(end["problem"]["message"], "not started: it needs exits");
        }
        let (_, end) = shown.last().unwrap();
        tell(&end.to_string());
        assert_eq!(
            (&end["event"], &end["failed"], &end["not_started"]),
            (&"run-finished".into(), &10.into(), &2.into())
        );
        assert_eq!(workspace.ask("healthy", "/").map(|answer| answer.status), Ok(200));
    });
    stages.stage("a second run reports the same failures and retries the Job", || {
        // kubelet's own pauses are most of the time of this run: other failures that take as long are beside them.
        waits::add_waiting(workspace);
        let again = workspace.run(&["up"]).expect(1);
        for (project, cause, ..) in CAUSES.iter().filter(|(project, ..)| !["deaf", "endless"].contains(project)) {
            assert!(again.stderr.contains(&format!("✗ {project}  {cause}")), "{project}\n{}", again.stderr);
        }
        waits::expect_waiting(&again);
        let again = again.expect_said("- needs-dependent  not started: it needs exits");
        let end = again.stderr.lines().rfind(|line| !line.starts_with("log: ")).unwrap();
        assert!(end.starts_with("13 failed, 2 not started, "), "{end}");
        tell(&again.stderr);
        waits::remove_waiting(workspace);
    });
    stages.stage("after the corrections the next run deploys the rest", || {
        for (old, new) in MENDED {
            workspace.replace(old, new);
        }
        workspace.run(&["up"]).expect(0);
        let list = workspace.helm(&["list", "--namespace", &workspace.name, "--output", "json"]);
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        let revision = |name: &str| list.iter().find(|it| it["name"] == name).map(|it| it["revision"].clone());
        for well in ["healthy", "with-sidecar", "slow", "needs-broken"] {
            assert_eq!(revision(well), Some("1".into()), "{well}");
        }
        assert_eq!(revision("exits"), Some("2".into()));
        workspace.run(&["plan", "--exit-code"]).expect(0);
    });
}

/// A process that is killed at the end of the test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A registry with TLS and a certificate of a private authority, in front of the tests' own registry.
fn company_registry(workspace: &mut TestWorkspace) {
    let mirrors = workspace.variable("CMDR_IMAGE_MIRRORS").to_owned();
    let upstream = mirrors.split(',').find_map(|mirror| mirror.strip_prefix("*=")).map(str::to_owned);
    let (Some(upstream), Ok(_)) = (upstream, Command::new("docker-registry").arg("--version").output()) else {
        return tell("left out: it needs docker-registry and a mirror for every host");
    };
    let gateway = gateway(workspace);
    let folder = workspace.root().join("company");
    let certificates = certificates(workspace, &folder, &format!("IP:{gateway}"));
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let configuration = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {0}/storage}}}}\nproxy: {{remoteurl: '{upstream}'}}\n\
         http: {{addr: '{gateway}:{port}', tls: {{certificate: {0}/server.crt, key: {0}/server.key}}}}\n",
        folder.display()
    );
    fs::write(folder.join("registry.yaml"), configuration).unwrap();
    let mut serve = Command::new("docker-registry");
    serve.arg("serve").arg(folder.join("registry.yaml")).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(serve.spawn().unwrap());
    let host = format!("{gateway}:{port}");
    workspace.set_variable("CMDR_IMAGE_MIRRORS", &format!("company.example=https://{host},{mirrors}"));
    workspace.replace("projects:\n", "projects:\n  company:\n    image: company.example/library/nats:2.12.2\n    values: {command: null, args: [-p, '4222'], ports: {nats: 4222}}\n");
    let untrusted = workspace.run(&["up", "company"]).expect(1);
    untrusted
        .expect_said("✗ company  the registry's certificate is not trusted: company.example/library/nats:2.12.2")
        .expect_said("x509")
        .expect_said("help: set CMDR_CA, or 'ca' in cmdr's configuration, to your company's certificate authority");
    workspace.set_variable("CMDR_CA", &certificates.to_string_lossy());
    workspace.replace("args: [-p, '4222']", "args: [-p, '4222', -D]");
    workspace.run(&["up", "company"]).expect(0).expect_said("company");
    workspace.set_variable("CMDR_CHART_MIRRORS", &format!("oci://company.example=oci://{host}"));
    let radio = "  radio: {chart: {oci: company.example/stefanprodan/charts/podinfo, version: 6.9.2}}";
    workspace.replace("projects:\n", &format!("projects:\n{radio}\n"));
    workspace.run(&["render", "radio"]).expect(0);
}

/// This machine's address in the network of the nodes.
fn gateway(workspace: &TestWorkspace) -> String {
    let format = "{{range .IPAM.Config}}{{println .Gateway}}{{end}}";
    let gateway = workspace.tool("docker", &["network", "inspect", "kind", "--format", format]);
    gateway.lines().map(str::trim).find(|it| it.contains('.')).unwrap().to_owned()
}

/// A private certificate authority, and a certificate that it issued for `name`, such as `IP:172.18.0.1`.
fn certificates(workspace: &TestWorkspace, folder: &Path, name: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let make = |arguments: &str| {
        workspace.tool("openssl", &arguments.split_whitespace().collect::<Vec<_>>());
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    make(&format!("req -x509 {key} -keyout {} -out {} -days 2 -subj /CN=company", file("ca.key"), file("ca.crt")));
    make(&format!("req {key} -keyout {} -out {} -subj /CN=registry", file("server.key"), file("server.csr")));
    fs::write(folder.join("names"), format!("subjectAltName={name}\n")).unwrap();
    make(&format!(
        "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 2 -extfile {} -out {}",
        file("server.csr"),
        file("ca.crt"),
        file("ca.key"),
        file("names"),
        file("server.crt")
    ));
    folder.join("ca.crt")
}
