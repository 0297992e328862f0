//! Errors are reported with their cause before anything changes, or leave nothing unfinished.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod common;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::Path,
    time::Duration,
};

use common::{Output, Running, Stages, TestWorkspace, rig, tell};

/// The limit for a run that hangs; normal runs take less than a tenth of it.
const PATIENCE: Duration = Duration::from_mins(3);

const SMALL: &str = "
projects:
  shop:
    image: docker.io/library/redis:7.0
    values: {ports: {redis: 6379}}
";

/// Runs cmdr with additional environment variables.
fn run_with(workspace: &TestWorkspace, variables: &[(&str, &str)]) -> Output {
    Running::start(workspace.cmdr(&["up"]).envs(variables.iter().copied())).wait(PATIENCE)
}

/// Checks that the run failed with a short cause and help, and created nothing.
#[track_caller]
fn refused(workspace: &TestWorkspace, output: Output, code: i32, words: &[&str]) {
    let output = words.iter().fold(output.expect(code), |output, word| output.expect_said(word));
    for unwanted in ["Error {", "Some(", "panicked", "Os {"] {
        assert!(!output.said().contains(unwanted), "{}", output.said());
    }
    tell(output.stderr.trim());
    let label = format!("label=io.x-k8s.kind.cluster={}", workspace.name);
    let made = workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &label]);
    assert_eq!(made, "", "containers were made");
    let kept = Path::new(workspace.variable("CMDR_STATE")).join("clusters").join(&workspace.name);
    assert!(!kept.exists(), "{} was made", kept.display());
}

/// A PATH that starts with a folder in which `program` is this script.
fn with_fake(workspace: &TestWorkspace, program: &str, script: &str) -> String {
    let folder = workspace.root().join(format!("fake-{program}"));
    let _ = fs::create_dir(&folder);
    let file = folder.join(program);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), workspace.variable("PATH"))
}

/// A PATH with the programs that cmdr starts, except `program`.
fn without(workspace: &TestWorkspace, program: &str) -> String {
    let folder = workspace.root().join(format!("without-{program}"));
    let _ = fs::create_dir(&folder);
    for other in ["helm", "kind", "docker", "git"].iter().filter(|other| **other != program) {
        let found =
            std::env::split_paths(workspace.variable("PATH")).map(|path| path.join(other)).find(|it| it.exists());
        if let Some(found) = found {
            let _ = std::os::unix::fs::symlink(found, folder.join(other));
        }
    }
    folder.display().to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of independent stages, each a few lines")]
fn what_cannot_work_is_reported_before_anything_is_changed() {
    let workspace = TestWorkspace::new("refused", SMALL);
    let stages = Stages::default();
    let ask = |name: &str, variables: &[(&str, &str)], code: i32, words: &[&str]| {
        stages.stage(name, || refused(&workspace, run_with(&workspace, variables), code, words));
    };
    ask(
        "Docker does not run",
        &[("DOCKER_HOST", "unix:///nowhere/docker.sock")],
        1,
        &["Docker is not running: cannot connect to unix:///nowhere/docker.sock (DOCKER_HOST)", "help: start Docker"],
    );
    stages.stage("the user has no permission for Docker", || {
        let socket = workspace.root().join("docker.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, PermissionsExt::from_mode(0o000)).unwrap();
        let folder = workspace.root().parent().unwrap().to_owned();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = workspace.cmdr(&["up"]);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        if workspace.tool("id", &["-u"]) == "0" {
            // root has all permissions.
            command.uid(65534).gid(65534);
        }
        // That user cannot read the folder of the real helm.
        command.env("PATH", with_fake(&workspace, "helm", "echo v4.0.0"));
        let output = Running::start(&mut command).wait(PATIENCE);
        refused(&workspace, output, 1, &["permission denied", "help: run sudo usermod -aG docker $USER"]);
    });
    for (program, words) in [
        ("kind", ["kind is not installed, or not on PATH", "help: install kind 0.27.0 or later"]),
        ("helm", ["helm is not installed, or not on PATH", "help: install Helm 3.20.0 or later"]),
    ] {
        ask(&format!("{program} is missing"), &[("PATH", &without(&workspace, program))], 1, &words);
    }
    for (program, said, word) in [
        ("helm", "v3.19.4", "helm 3.19.4 is not supported: 3.20.0 or later is required"),
        ("helm", "v4.2.1", "helm 4.2.1 is not supported: it hangs when it deletes"),
        ("helm", "nonsense", "cannot parse the version of helm: 'nonsense'"),
        ("kind", "kind v0.20.0 go1.20.4 linux/amd64", "kind 0.20.0 is too old: 0.27.0 or later is required"),
    ] {
        let path = with_fake(&workspace, program, &format!("echo '{said}'"));
        ask(&format!("{program} says {said}"), &[("PATH", &path)], 1, &[word, "help: install"]);
    }
    stages.stage("the cache is not writable", || {
        let file = workspace.root().join("file");
        fs::write(&file, "").unwrap();
        let output = run_with(&workspace, &[("CMDR_CACHE", &file.to_string_lossy())]);
        refused(&workspace, output, 1, &["cannot create", "Not a directory", "set CMDR_CACHE"]);
    });
    ask(
        "a certificate authority that does not exist",
        &[("CMDR_CA", "/nowhere.pem")],
        2,
        &["CMDR_CA: the CA file /nowhere.pem cannot be read"],
    );
    stages.stage("the disk is full", || {
        let output = run_with(&workspace, &[("DOCKER_HOST", &full_engine(&workspace))]);
        refused(&workspace, output, 1, &["only 0 MB are free on Docker's disk", "help: free some"]);
    });
    stages.stage("a cluster of another tool has the name", || {
        let label = format!("io.x-k8s.kind.cluster={}", workspace.name);
        let role = "io.x-k8s.kind.role=control-plane";
        let image = rig("CMDR_NODE_IMAGE");
        let foreign = workspace.tool("docker", &["create", "--label", &label, "--label", role, &image]);
        for verb in ["up", "down"] {
            let output = workspace.run(&[verb, "--yes"]).expect(14);
            output
                .expect_said("exists, but cmdr did not create it")
                .expect_said("help: give the workspace another name");
        }
        let all =
            workspace.tool("docker", &["ps", "--all", "--quiet", "--no-trunc", "--filter", &format!("label={label}")]);
        workspace.tool("docker", &["rm", &foreign]);
        assert_eq!(all, foreign, "it still exists, and no other");
    });
    stages.finish();
}

/// A proxy of Docker whose disk is full: it reports a data folder on a file system of size 0.
fn full_engine(workspace: &TestWorkspace) -> String {
    let engine = workspace.variable("DOCKER_HOST").trim_start_matches("unix://").to_owned();
    let root = workspace.tool("docker", &["info", "--format", "{{.DockerRootDir}}"]);
    let full = format!("/proc{}", "/".repeat(root.len() - "/proc".len()));
    let socket = workspace.root().join("full.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = std::os::unix::net::UnixStream::connect(&engine).unwrap();
            let (mut asks, mut is_asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut asks, &mut is_asked));
            let (root, full) = (root.clone(), full.clone());
            std::thread::spawn(move || pass_on(server, client, &root, &full));
        }
    });
    format!("unix://{}", socket.display())
}

/// Copies a stream and replaces every `old` within one chunk.
fn pass_on(mut from: impl std::io::Read, mut to: impl std::io::Write, old: &str, new: &str) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..count]).replace(old, new);
        if to.write_all(text.as_bytes()).is_err() {
            break;
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of independent stages, each a few lines")]
fn a_wrong_description_is_reported_before_anything_is_changed() {
    let workspace = TestWorkspace::new("described", SMALL);
    let stages = Stages::default();
    let ask = |name: &str, projects: &str, code: i32, words: &[&str]| {
        stages.stage(name, || {
            workspace.write_projects(projects);
            refused(&workspace, run_with(&workspace, &[]), code, words);
        });
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    ask(
        "the configured port is in use",
        &format!("environments: {{local: {{ports: {{http: {port}}}}}}}\n{SMALL}"),
        1,
        &[
            &format!("port {port} on 127.0.0.1 (environments.local.ports.http in projects.yaml) is in use by"),
            &format!("(process {})", std::process::id()),
            "help: free the port",
        ],
    );
    ask(
        "charts that do not exist",
        "projects:\n  shop: {chart: {oci: registry.example.com/charts/none, version: 1.0.0}}\n  \
         cart: {chart: {oci: registry.example.com/charts/nothing, version: 1.0.0}}\n",
        1,
        &["chart not found", "registry.example.com/charts/none", "charts/nothing", "help: check its name and version"],
    );
    ask(
        "a chart folder that does not exist",
        "projects:\n  shop:\n    chart: {path: charts/none}\n",
        2,
        &["charts/none", "projects.yaml:"],
    );
    stages.stage("a chart repository that is down", || {
        workspace.write_projects(
            "projects:\n  shop:\n    chart: {repository: 'https://charts.example.com', name: none, version: 1.0.0}\n",
        );
        let others = workspace.variable("CMDR_CHART_MIRRORS");
        let mirrors = format!("https://charts.example.com=http://127.0.0.1:1,{others}");
        let output = run_with(&workspace, &[("CMDR_CHART_MIRRORS", &mirrors)]);
        refused(
            &workspace,
            output,
            1,
            &["cannot fetch the chart", "charts.example.com", "connection refused", "help: check the connection"],
        );
    });
    ask(
        "values that the chart's schema rejects",
        "projects:\n  shop:\n    image: docker.io/library/redis:7.0\n    values: {replicas: many}\n",
        2,
        &["projects.yaml:6:24", "the value `replicas` is a string"],
    );
    ask("an invalid file", "projects: [\n", 2, &["projects.yaml:"]);
    stages.stage("no projects.yaml", || {
        fs::remove_file(workspace.root().join("projects.yaml")).unwrap();
        refused(&workspace, run_with(&workspace, &[]), 2, &["projects.yaml", "help:"]);
        workspace.write_projects(SMALL);
    });
    stages.finish();
}

/// Output of kind and Docker, with cmdr's report. Node images that do not boot, full disks and low limits cannot be
/// created on demand.
const KIND_FAILURES: &[(&str, &str, &str)] = &[
    (
        "ERROR: failed to create cluster: failed to init node with kubeadm: command \"docker exec --privileged x-control-plane kubeadm init\" failed with error: exit status 1\nCommand Output: Failed to create control group inotify object: Too many open files\nFailed to allocate manager object: Too many open files",
        "the system's inotify limits are too low to start another node",
        "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
    ),
    (
        "ERROR: failed to create cluster: command \"docker run --name x-control-plane\" failed with error: exit status 125\nCommand Output: 5f3a\ndocker: Error response from daemon: driver failed programming external connectivity on endpoint x-control-plane: Bind for 127.0.0.1:80 failed: port is already allocated.",
        "a port that the cluster publishes is already in use",
        "stop the program that uses it",
    ),
    (
        "ERROR: failed to create cluster: could not find a log line that matches \"Reached target .*Multi-User System.*|detected cgroup v1\"",
        "the node did not boot",
        "give Docker more memory",
    ),
    (
        "ERROR: failed to create cluster: command \"docker run\" failed with error: exit status 125\nCommand Output: docker: Error response from daemon: mkdir /var/lib/docker/overlay2/x: no space left on device.",
        "the disk is full",
        "docker builder prune",
    ),
    (
        "ERROR: failed to create cluster: something new\nCommand Output: first\nsecond\nthe last words",
        "kind failed: failed to create cluster: something new",
        "the last words",
    ),
];

#[test]
fn failures_of_kind_get_a_cause_and_a_remedy() {
    let workspace = TestWorkspace::new("unmade", SMALL);
    let stages = Stages::default();
    let version = workspace.tool("kind", &["version"]);
    for (text, cause, help) in KIND_FAILURES {
        stages.stage(cause, || {
            let script = format!(
                "case $1 in version) echo '{version}' ;; create) cat >/dev/null; cat >&2 <<'END'\n{text}\nEND\nexit 1 ;; esac"
            );
            let path = with_fake(&workspace, "kind", &script);
            refused(&workspace, run_with(&workspace, &[("PATH", &path)]), 1, &[cause, help, "not started"]);
        });
    }
    stages.finish();
}
