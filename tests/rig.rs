//! The scripts that prepare a machine for clusters: `tools/with-cluster` chooses between this machine's Docker and the
//! rig, and `rig/parts.sh` builds the rig's parts side by side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than any of these scripts takes.
const LIMIT: Duration = Duration::from_mins(1);

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A machine as `tools/with-cluster` sees it: each program in `programs` is a shell script with that content, and
/// beside them there are only those of a minimal system.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn with(programs: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, script) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in ["bash", "dirname", "env", "timeout", "sh", "echo", "uname"] {
            let real = ["/usr/bin", "/bin"].iter().map(|bin| Path::new(bin).join(name)).find(|path| path.exists());
            std::os::unix::fs::symlink(real.unwrap(), folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn with_cluster(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new("/bin/bash")
            .arg(repository().join("tools/with-cluster"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.folder.path())
            .env("RIG_HOME", self.rig_home())
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn rig_home(&self) -> PathBuf {
        self.folder.path().join("rig-home")
    }
}

const TOOLS: [(&str, &str); 5] =
    [("curl", "exit 0"), ("docker", "exit 0"), ("kind", "exit 0"), ("helm", "exit 0"), ("kubectl", "exit 0")];

#[test]
fn a_machine_with_docker_and_internet_access_builds_nothing_of_the_rig() {
    let machine = Machine::with(&TOOLS);
    let run = machine.with_cluster(&["--compile", "echo compiled", "bash", "-c", "echo ran; exit 7"], &[]);
    assert_eq!(text(&run.stdout), "compiled\nran\n", "{}", text(&run.stderr));
    assert_eq!(text(&run.stderr), "cluster: using this machine's Docker\n");
    assert_eq!(run.status.code(), Some(7), "the command's exit code");
    assert!(!machine.rig_home().exists());
}

#[test]
fn a_failed_compilation_stops_before_the_command() {
    let machine = Machine::with(&TOOLS);
    let run = machine.with_cluster(&["--compile", "exit 101", "bash", "-c", "echo ran"], &[]);
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(101), String::new()), "{}", text(&run.stderr));
}

#[test]
fn missing_tools_are_all_named() {
    let machine = Machine::with(&TOOLS[..2]);
    let run = machine.with_cluster(&["--tests", "bash", "-c", "echo ran"], &[]);
    let stderr = text(&run.stderr);
    for name in ["kind", "helm", "kubectl", "sops", "age-keygen"] {
        assert!(stderr.contains(&format!("missing: {name} (")), "{name}: {stderr}");
    }
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(1), String::new()), "{stderr}");
}

#[test]
fn without_docker_and_rig_the_help_is_printed() {
    let machine = Machine::with(&[("curl", "exit 0"), ("docker", "exit 1")]);
    let run = machine.with_cluster(&["bash", "-c", "echo ran"], &[]);
    let stderr = text(&run.stderr);
    assert!(stderr.contains("no response from a Docker engine: start Docker"), "{stderr}");
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(1), String::new()), "{stderr}");
}

#[test]
fn docker_without_internet_access_needs_a_mirror() {
    let offline =
        [("curl", "exit 7"), ("docker", "exit 0"), ("kind", "exit 0"), ("helm", "exit 0"), ("kubectl", "exit 0")];
    let machine = Machine::with(&offline);
    let run = machine.with_cluster(&["bash", "-c", "echo ran"], &[]);
    assert!(text(&run.stderr).contains("CMDR_IMAGE_MIRRORS"), "{}", text(&run.stderr));
    assert_eq!(run.status.code(), Some(1));
    let run = machine.with_cluster(&["bash", "-c", "echo ran"], &[("CMDR_IMAGE_MIRRORS", "*=http://mirror")]);
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(0), "ran\n".to_owned()), "{}", text(&run.stderr));
    let run = machine.with_cluster(&["bash", "-c", "echo ran"], &[("CMDR_RIG", "0")]);
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(0), "ran\n".to_owned()), "{}", text(&run.stderr));
}

/// A script that builds parts of its own with `rig/parts.sh`, in a folder of its own.
struct Parts {
    home: TempDir,
    script: String,
}

impl Parts {
    fn new(lanes: &str) -> Self {
        let script = format!(
            "set -euo pipefail\nhere={} home=$1 run=$1/run state=$1/run/parts beside=\nmkdir -p $run $home/log $home/done\n\
             source $here/parts.sh\n{lanes}\n",
            repository().join("rig").display()
        );
        Self { home: TempDir::new().unwrap(), script }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", &self.script, "parts"]).arg(self.home.path()).env("CI", "true").stdin(Stdio::null());
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    fn has(&self, file: &str) -> bool {
        self.home.path().join(file).exists()
    }
}

#[test]
fn a_part_is_built_once_per_key() {
    let parts = Parts::new(
        "count() { echo x >>$home/count; }\n\
         one_lane() { part thing \"$KEY\" count; }\n\
         in_lanes one_lane",
    );
    for (key, builds) in [("1", 1), ("1", 1), ("2", 2)] {
        let run = parts.command().env("KEY", key).output().unwrap();
        assert!(run.status.success(), "{}", text(&run.stderr));
        assert_eq!(fs::read_to_string(parts.home.path().join("count")).unwrap().lines().count(), builds, "key {key}");
    }
}

#[test]
fn a_failure_in_the_middle_of_a_part_fails_it_and_ends_the_other_lanes() {
    let parts = Parts::new(
        "broken() { echo before; false; echo after; }\n\
         endless() { sleep 1000; }\n\
         one_lane() { part thing 1 broken; }\n\
         two_lane() { part other 1 endless; }\n\
         three_lane() { need thing; touch $home/went-on; }\n\
         in_lanes one_lane two_lane three_lane",
    );
    let run = parts.run();
    let stderr = text(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("failed: thing") && stderr.contains("before") && !stderr.contains("after"), "{stderr}");
    assert!(!parts.has("done/thing") && !parts.has("went-on"));
}

/// Whether a process runs. One that has ended stays in the table until its parent, here the system's first process,
/// asks for its exit code.
fn runs(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn an_interrupt_ends_what_runs_and_keeps_what_is_done() {
    let parts = Parts::new(
        "endless() { echo $BASHPID >$home/pid.new; mv $home/pid.new $home/pid; sleep 1000; }\n\
         one_lane() { part done-before 1 true; part thing 1 endless; }\n\
         in_lanes one_lane",
    );
    let child = parts.command().stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    let builder = loop {
        assert!(began.elapsed() < LIMIT, "the part did not start");
        if let Ok(number) = fs::read_to_string(parts.home.path().join("pid")) {
            break Pid::from_raw(number.trim().parse().unwrap()).unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    };
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(130), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("interrupted: run the same command again to continue"), "{}", text(&run.stderr));
    assert!(!runs(builder), "the part's process is still running");
    assert!(parts.has("done/done-before") && !parts.has("done/thing"));
}

#[test]
fn lanes_wait_for_the_parts_they_need() {
    let parts = Parts::new(
        "slow() { sleep 0.5; echo slow >>$home/order; }\n\
         next() { echo next >>$home/order; }\n\
         one_lane() { part first 1 slow; }\n\
         two_lane() { need first; part second 1 next; }\n\
         in_lanes two_lane one_lane",
    );
    let run = parts.run();
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(fs::read_to_string(parts.home.path().join("order")).unwrap(), "slow\nnext\n");
}
