//! Interruptions: signals and kills while kind or helm run, and a paused node.

use std::{fs, os::unix::process::CommandExt, process::Command, time::Duration};

use super::common::{Output, Running, Stages, TestWorkspace, until};

/// The limit for a run that hangs; normal runs take less than a tenth of it.
const PATIENCE: Duration = Duration::from_mins(3);

/// A chart with a slow hook that helm waits for.
const SLOW_CHART: [(&str, &str); 2] = [
    ("Chart.yaml", "apiVersion: v2\nname: slow\nversion: 1.0.0\n"),
    (
        "templates/hook.yaml",
        r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": before-hook-creation}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers: [{name: hook, image: "docker.io/library/redis:7.0", command: [sleep, "{{ .Values.seconds }}"]}]
"#,
    ),
];

pub(crate) fn write_chart(workspace: &TestWorkspace) {
    for (name, content) in SLOW_CHART {
        let file = workspace.root().join("charts/slow").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
}

/// A project with this chart, which starts before the others.
fn add_slow(workspace: &TestWorkspace, seconds: u32) {
    workspace.replace(
        "projects:\n",
        &format!("projects:\n  held:\n    chart: {{path: charts/slow}}\n    values: {{seconds: {seconds}}}\n"),
    );
}

/// The processes whose command line contains all of these words.
fn processes(words: &[&str]) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let fits = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        words.iter().all(|word| line.contains(word))
    };
    numbers.filter(fits).collect()
}

fn helm_processes(workspace: &TestWorkspace) -> Vec<u32> {
    processes(&["upgrade --install", &format!("--namespace {}", workspace.name)])
}

fn kind_processes(workspace: &TestWorkspace) -> Vec<u32> {
    processes(&["create cluster", &format!("--name {}", workspace.name)])
}

fn kill(process: u32) {
    let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
}

fn release_status(workspace: &TestWorkspace, release: &str) -> String {
    let labels = format!("owner=helm,name={release}");
    let format = "jsonpath={range .items[*]}{.metadata.labels.status}{\"\\n\"}{end}";
    let sort = "--sort-by={.metadata.creationTimestamp}";
    let all = workspace.kubectl(&["get", "secrets", "--selector", &labels, sort, "--output", format]);
    all.lines().last().unwrap_or_default().to_owned()
}

/// Kills processes that a failed stage left running: they would block the next stages.
fn end_what_is_left(workspace: &TestWorkspace) {
    let folder = workspace.root().parent().unwrap().to_string_lossy().into_owned();
    processes(&[&format!("{folder}/cmdr"), "up"]).into_iter().for_each(kill);
    helm_processes(workspace).into_iter().for_each(kill);
}

/// Waits until the node's container exists and kind configures it.
fn await_kind(workspace: &TestWorkspace, run: Running) -> Running {
    let node = format!("name={}-control-plane", workspace.name);
    await_sight("the node of a cluster that is being made", run, || {
        !workspace.tool("docker", &["ps", "--quiet", "--filter", &node]).is_empty()
    })
}

fn await_helm(workspace: &TestWorkspace, run: Running) -> Running {
    await_sight("helm to wait for its hook", run, || {
        !helm_processes(workspace).is_empty() && release_status(workspace, "held").starts_with("pending")
    })
}

/// Waits for a condition while cmdr runs; the test fails and shows the output if the run ends first.
fn await_sight(what: &str, mut run: Running, is_seen: impl Fn() -> bool) -> Running {
    let look = || if is_seen() { Some(true) } else { (!run.is_running()).then_some(false) };
    if until(what, look) {
        return run;
    }
    panic!("cmdr ended before {what}\n{}", run.wait(PATIENCE).said())
}

/// Checks the end after a signal: soon, with exit code 130, and no helm or kind process is left.
#[track_caller]
fn interrupted(workspace: &TestWorkspace, run: Running) -> Output {
    let output = run.wait(PATIENCE).expect(130);
    assert_eq!((helm_processes(workspace), kind_processes(workspace)), (vec![], vec![]));
    output
}

pub(crate) fn while_the_cluster_is_made(workspace: &TestWorkspace, stages: &Stages) {
    let folder = workspace.kubeconfig().parent().unwrap().to_owned();
    stages.stage("Ctrl-C while kind creates the cluster", || {
        let run = workspace.start(&["up"]);
        let run = await_kind(workspace, run);
        run.signal("INT");
        interrupted(workspace, run).expect_said(" steps done in ");
        let nodes = format!("label=io.x-k8s.kind.cluster={}", workspace.name);
        assert_eq!(workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &nodes]), "");
        assert!(!folder.exists(), "half a cluster is left in {}", folder.display());
    });
    stages.stage("kill -9 while kind creates the cluster", || {
        let run = workspace.start(&["up"]);
        let run = await_kind(workspace, run);
        run.signal("KILL");
        run.wait(PATIENCE);
        // It ends with its next write to the closed pipe.
        kind_processes(workspace).into_iter().for_each(kill);
        workspace.run(&["plan"]).expect(0).expect_said("a previous run was interrupted while creating the cluster");
    });
}

#[expect(clippy::too_many_lines, reason = "a list of stages, each on the cluster that the one before left")]
pub(crate) fn while_helm_works(workspace: &TestWorkspace, stages: &Stages) {
    add_slow(workspace, 600);
    stages.stage("Ctrl-C while helm waits; a second run reports which run holds the lock", || {
        let run = workspace.start(&["up"]);
        let run = await_helm(workspace, run);
        let second = workspace.run(&["up"]).expect(11);
        second
            .expect_said(&format!("another cmdr run holds the lock on this cluster (process {}", run.id()))
            .expect_said("help:");
        run.signal("INT");
        interrupted(workspace, run).expect_said("interrupted: waiting for running steps to finish");
        assert_eq!(release_status(workspace, "held"), "failed");
    });
    stages.stage("Ctrl-C from a terminal reaches helm once, through cmdr", || {
        end_what_is_left(workspace);
        let run = Running::start(workspace.cmdr(&["up"]).process_group(0));
        let run = await_helm(workspace, run);
        workspace.tool("kill", &["-INT", "--", &format!("-{}", run.id())]);
        interrupted(workspace, run);
        assert_eq!(release_status(workspace, "held"), "failed");
    });
    stages.stage("Ctrl-C lets helm finish what takes only a moment", || {
        end_what_is_left(workspace);
        workspace.replace("seconds: 600", "seconds: 2");
        let run = workspace.start(&["up"]);
        let format = "jsonpath={range .items[*]}{.spec.containers[0].command[1]} {.status.phase}\n{end}";
        let ask = ["get", "pods", "--selector", "job-name=held-hook", "--output", format];
        let run =
            await_sight("helm's hook to run", run, || workspace.kubectl(&ask).lines().any(|pod| pod == "2 Running"));
        run.signal("INT");
        interrupted(workspace, run);
        assert_eq!(release_status(workspace, "held"), "deployed");
    });
    stages.stage("SIGTERM during a rollout", || {
        end_what_is_left(workspace);
        workspace.replace("seconds: 2", "seconds: 0");
        let deaf = "\n    values: {ports: {redis: 6379}}";
        workspace.replace("needs: [exits]", &format!("needs: [exits]{deaf}"));
        let run = workspace.start(&["up"]);
        let selector = "app.kubernetes.io/instance=needs-broken".to_owned();
        until("a pod that runs and is not ready", || {
            let pods = workspace.kubectl(&["get", "pods", "--selector", &selector]);
            pods.lines().any(|pod| pod.contains("0/1") && pod.contains("Running")).then_some(())
        });
        run.signal("TERM");
        let ended = run.wait(PATIENCE);
        workspace.replace(deaf, "");
        ended.expect(130);
        assert!(helm_processes(workspace).is_empty());
        workspace.run(&["up"]).expect(0);
        assert_eq!(release_status(workspace, "held"), "deployed");
    });
    stages.stage("a second Ctrl-C ends immediately", || {
        end_what_is_left(workspace);
        workspace.replace("seconds: 0", "seconds: 601");
        let run = workspace.start(&["up"]);
        let mut run = await_helm(workspace, run);
        // Two signals at the same time may be delivered as one.
        until("cmdr to end", || {
            run.signal("INT");
            (!run.is_running()).then_some(())
        });
        run.wait(PATIENCE).expect(130);
        until("helm to end", || helm_processes(workspace).is_empty().then_some(()));
    });
}

pub(crate) fn dead_runs(workspace: &TestWorkspace, stages: &Stages) {
    stages.stage("kill -9 while helm runs: the next run is refused while helm runs, then repairs the release", || {
        end_what_is_left(workspace);
        workspace.replace("seconds: 601", "seconds: 602");
        let run = workspace.start(&["up"]);
        let run = await_helm(workspace, run);
        let id = run.id();
        run.signal("KILL");
        run.wait(PATIENCE);
        workspace.run(&["up"]).expect(11).expect_said(&format!("process {id}, or its helm or kind process"));
        helm_processes(workspace).into_iter().for_each(kill);
        assert!(release_status(workspace, "held").starts_with("pending-"));
        workspace.replace("seconds: 602", "seconds: 0");
        workspace.run(&["up"]).expect(0).expect_said("held");
        assert_eq!(release_status(workspace, "held"), "deployed");
    });
    stages.stage("an unfinished installation is repaired", || {
        end_what_is_left(workspace);
        workspace.helm(&["uninstall", "held", "--namespace", &workspace.name]);
        workspace.replace("seconds: 0", "seconds: 603");
        let run = workspace.start(&["up"]);
        let run = await_helm(workspace, run);
        run.signal("KILL");
        run.wait(PATIENCE);
        helm_processes(workspace).into_iter().for_each(kill);
        assert_eq!(release_status(workspace, "held"), "pending-install");
        workspace.replace("seconds: 603", "seconds: 0");
        workspace.run(&["up"]).expect(0);
        assert_eq!(release_status(workspace, "held"), "deployed");
    });
}

/// A node that is paused for some seconds, as on a suspended laptop.
pub(crate) fn paused_node(workspace: &TestWorkspace) {
    end_what_is_left(workspace);
    let node = format!("{}-control-plane", workspace.name);
    workspace.replace("needs: [exits]", "needs: [exits]\n    values: {env: {PASS: '2'}}");
    workspace.replace("seconds: 0", "seconds: 3");
    let run = workspace.start(&["up"]);
    let run = await_helm(workspace, run);
    workspace.tool("docker", &["pause", &node]);
    std::thread::sleep(Duration::from_secs(8));
    workspace.tool("docker", &["unpause", &node]);
    run.wait(PATIENCE).expect(0);
}
