//! A process of this machine in place of a project's pods, on a real cluster.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something else")]

mod common;

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use common::{PATIENCE, Running, Stages, TestWorkspace, tell, until};

/// `shop` is podinfo, which the tests also run on this machine: its answer names the host that it runs on.
const PROJECTS: &str = r#"
environments:
  local: {}
defaults:
  values: {grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}
projects:
  shop:
    image: &podinfo ghcr.io/stefanprodan/podinfo:6.9.2
    host: shop
    values:
      ports: {http: 9898, grpc: {port: 9999, appProtocol: kubernetes.io/h2c}}
      secrets: {api: {generate: password}}
      env: {PODINFO_GRPC_PORT: "9999", TOKEN: {secret: api, key: password}, GREETING: "two words"}
      files: {/etc/shop/settings.txt: "mode: fast\n"}
      volumes: {cache: {path: /var/shop-cache, temporary: true}}
  prices:
    image: *podinfo
    values: {ports: {http: 9898}}
  worker:
    image: docker.io/library/redis:7.0
    values: {command: [sleep, infinity]}
  nightly:
    image: docker.io/library/redis:7.0
    values: {kind: CronJob, schedule: "0 3 * * *", command: ["true"]}
"#;
const SERVER: &str = "exec ./podinfo --port 9898 --grpc-port 9999";

#[test]
#[ignore = "takes some minutes; make test-full runs it"]
fn a_process_of_this_machine_replaces_pods() {
    let (workspace, stages) = (TestWorkspace::new("devlocal", PROJECTS), Stages::default());
    stages.stage("the platform starts", || {
        workspace.run(&["up"]).expect(0);
        for program in ["/home/app/podinfo", "/usr/local/bin/podcli"] {
            workspace.run(&["cp", &format!("prices:{program}"), "."]).expect(0);
        }
    });
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(&workspace));
    stage("all mistakes are reported before anything changes", mistakes);
    stage("the process has variables, secrets and files, and reaches Services", the_process_is_in_place);
    stage("the process receives the traffic, HTTP and gRPC", traffic_is_received);
    stage("a project that runs locally is not changed", others_are_refused);
    stage("a killed cmdr leaves nothing", a_kill_is_recovered);
    stage("a process that does not listen gets no traffic", a_silent_process);
    stage("without namespaces, the names to add are printed", without_namespaces);
    stage("a user other than root can do it", without_root);
    workspace.run(&["down", "--yes"]).expect(0);
    stages.finish();
}

fn local(script: &str) -> [&str; 8] {
    ["dev", "--local", "shop", "--port", "9999", "--", "sh", script]
}

/// Writes a script for `sh`, so that the command line stays short.
fn script(workspace: &TestWorkspace, name: &str, text: &str) {
    fs::write(workspace.root().join(name), text).unwrap();
}

/// The name of the host on which the shop runs.
fn host(workspace: &TestWorkspace) -> Option<String> {
    let answer = workspace.ask("shop", "/").ok().filter(|answer| answer.status == 200)?;
    Some(answer.json()["hostname"].as_str()?.to_owned())
}

fn is_pod(host: &str) -> bool {
    host.starts_with("shop-")
}

/// Starts the server on this machine, and waits until it receives the traffic.
fn serve(workspace: &TestWorkspace) -> Running {
    script(workspace, "serve", SERVER);
    let (running, start) = (workspace.start(&local("serve")), Instant::now());
    until("the process receives the traffic", || host(workspace).filter(|host| !is_pod(host)));
    tell(&format!("measured: {:.1} s from the start to the first answer", start.elapsed().as_secs_f64()));
    running
}

fn annotation(workspace: &TestWorkspace) -> String {
    workspace.kubectl(&[
        "get",
        "deployment",
        "shop",
        "--output",
        "jsonpath={.metadata.annotations.cmdr\\.dev/local-run}",
    ])
}

fn mistakes(workspace: &TestWorkspace) {
    let refused = workspace.run(&["dev", "--local", "nightly", "--port", "x", "--", "no-such-program"]).expect(2);
    let refused = refused.expect_said("'nightly' is a CronJob").expect_said("'x' is not a valid port");
    refused.expect_said("'no-such-program' is not installed");
    workspace.run(&["dev", "--local", "shpo", "--", "true"]).expect(2).expect_said("did you mean 'shop'?");
    workspace.run(&["dev", "--local", "shop"]).expect(2);
}

fn the_process_is_in_place(workspace: &TestWorkspace) {
    let text = "set -e
        cat /etc/shop/settings.txt
        echo greeting $GREETING, token $(printf %s \"$TOKEN\" | sha256sum)
        test -d /var/shop-cache
        test -s /var/run/secrets/kubernetes.io/serviceaccount/token || echo no token
        for host in prices prices.$NAMESPACE prices.$NAMESPACE.svc.cluster.local; do
          ./podcli check http http://$host/healthz
        done
        ls /etc/passwd /tmp > /dev/null
        exit 7";
    script(workspace, "look", &text.replace("$NAMESPACE", &workspace.name));
    let output = workspace.run(&local("look")).expect(7);
    let token = workspace.run(&["secret", "show", "shop/api", "password"]).expect(0).stdout;
    fs::write(workspace.root().join("token"), token.trim_end()).unwrap();
    let sum = workspace.tool("sha256sum", &["token"]);
    let sum = sum.split_whitespace().next().unwrap();
    let output = output.expect_said("mode: fast").expect_said(&format!("greeting two words, token {sum}"));
    assert!(!Path::new("/etc/shop").exists() && !output.said().contains(token.trim_end()));
    assert!(is_pod(&host(workspace).unwrap()) && annotation(workspace).is_empty());
}

fn traffic_is_received(workspace: &TestWorkspace) {
    let running = serve(workspace);
    let grpc = ["exec", "deployment/prices", "--", "podcli", "check", "grpc", "shop:9999", "--service", "podinfo"];
    workspace.kubectl(&grpc);
    // A large body passes in both directions.
    let body = "x".repeat(300_000);
    assert!(workspace.request("POST", "shop", "/echo", &body).unwrap().body.matches('x').count() >= 300_000);
    // 2 s between the parts of a response.
    assert_eq!(workspace.ask("shop", "/delay/2").unwrap().status, 200);
    let start = Instant::now();
    for _ in 0..200 {
        assert!(!is_pod(&host(workspace).expect("every request is answered")));
    }
    tell(&format!("measured: {:.1} ms for a request through the ingress", start.elapsed().as_secs_f64() * 5.0));
    // Probes have reached the pod all the time.
    let pods = workspace.objects(&["get", "pods", "--selector", "app.kubernetes.io/instance=shop"]);
    let status = &pods["items"][0]["status"]["containerStatuses"][0];
    assert_eq!((&status["ready"], &status["restartCount"]), (&true.into(), &0.into()));
    let ended = Instant::now();
    running.signal("TERM");
    let output = running.wait(PATIENCE);
    tell(&format!("measured: {:.1} s from the signal to the end", ended.elapsed().as_secs_f64()));
    output.expect_said("the pods of 'shop' receive its traffic again");
    assert!(is_pod(&host(workspace).expect("the pods answer at once")) && annotation(workspace).is_empty());
}

fn others_are_refused(workspace: &TestWorkspace) {
    let running = serve(workspace);
    let process = format!("process {}", running.id());
    assert!(annotation(workspace).contains(&process));
    workspace.run(&["up", "shop"]).expect(11).expect_said("'shop' runs locally").expect_said(&process);
    workspace.run(&["up", "prices"]).expect(0);
    workspace.run(&local("serve")).expect(11).expect_said("'shop' runs locally already");
    workspace.run(&["status"]).expect(0).expect_said("runs locally").expect_said(&process);
    running.signal("INT");
    running.wait(PATIENCE);
    workspace.run(&["up", "shop"]).expect(0);
    assert!(!workspace.run(&["status"]).expect(0).said().contains("runs locally"));
}

fn a_kill_is_recovered(workspace: &TestWorkspace) {
    let running = serve(workspace);
    running.signal("KILL");
    let killed = Instant::now();
    running.wait(PATIENCE);
    until("the pods receive the traffic", || host(workspace).filter(|host| is_pod(host)));
    tell(&format!("measured: {:.1} s from the kill to an answer of the pods", killed.elapsed().as_secs_f64()));
    assert!(!annotation(workspace).is_empty());
    workspace.run(&["up"]).expect(0).expect_said("'shop' no longer runs locally");
    assert!(annotation(workspace).is_empty());
    until("the process has ended with cmdr", || TcpStream::connect(("127.0.0.1", 9898)).is_err().then_some(()));
}

fn a_silent_process(workspace: &TestWorkspace) {
    script(workspace, "sleep", "exec sleep 4");
    let running = workspace.start(&local("sleep"));
    std::thread::sleep(Duration::from_secs(2));
    assert!(is_pod(&host(workspace).unwrap()));
    let output = running.wait(PATIENCE).expect(0);
    assert!(!output.said().contains("receives the traffic"), "{}", output.said());
    let output = workspace.run(&["dev", "--local", "worker", "--", "true"]).expect(0);
    output.expect_said("no Service sends traffic to 'worker'");
}

/// `unshare` is missing here, as on macOS.
fn without_namespaces(workspace: &TestWorkspace) {
    let folder = workspace.root().parent().unwrap().join("bin");
    fs::create_dir(&folder).unwrap();
    for program in ["kind", "sh"] {
        let path = workspace.tool("sh", &["-c", &format!("command -v {program}")]);
        symlink(path, folder.join(program)).unwrap();
    }
    let mut command = workspace.cmdr(&local("look"));
    let refused = Running::start(command.env("PATH", folder)).wait(Duration::from_mins(1)).expect(1);
    refused.expect_said("add these lines to /etc/hosts").expect_said(" prices prices.");
    assert!(is_pod(&host(workspace).unwrap()) && annotation(workspace).is_empty());
}

/// As a member of the group of Docker's socket.
fn without_root(workspace: &TestWorkspace) {
    if workspace.tool("id", &["-u"]) != "0" {
        return;
    }
    let folder = workspace.root().parent().unwrap().to_owned();
    let socket = workspace.variable("DOCKER_HOST").trim_start_matches("unix://").to_owned();
    let group = workspace.tool("stat", &["--format", "%g", &socket]);
    // The rig's own programs are in the home folder of root.
    let kind = workspace.tool("sh", &["-c", "command -v kind"]);
    common::program::copy_program(kind, folder.join("kind"));
    workspace.tool("chown", &["-R", "65534:65534", &folder.to_string_lossy()]);
    script(workspace, "whoami", "id -u; cat /etc/shop/settings.txt; ./podcli check http http://prices/healthz");
    let cmdr = folder.join("cmdr");
    let words = ["--reuid", "65534", "--regid", "65534", "--groups", &group, "--", &cmdr.to_string_lossy()];
    let mut command = workspace.command("setpriv");
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    let output = Running::start(command.args(words).args(local("whoami"))).wait(Duration::from_mins(1)).expect(0);
    output.expect_said("65534\n").expect_said("mode: fast");
}
