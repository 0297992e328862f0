//! Helpers that run in parallel with stages: load, arguments of processes, files that are restored.

use std::{
    fs,
    io::Read,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use super::common::{TestWorkspace, request, rig};

/// Restores projects.yaml, also when a stage fails.
pub(crate) struct Restore(std::path::PathBuf, String);

impl Restore {
    pub(crate) fn of(workspace: &TestWorkspace) -> Self {
        let file = workspace.root().join("projects.yaml");
        let text = fs::read_to_string(&file).unwrap();
        Self(file, text)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, &self.1);
    }
}

/// Helm's payload of a release as JSON: base64 of Kubernetes, base64 of Helm, gzip.
pub(crate) fn payload(data: &str) -> String {
    let packed = BASE64.decode(BASE64.decode(data).unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text
}

/// The first and the last address of a cluster's pool.
pub(crate) fn pool(workspace: &TestWorkspace) -> (Ipv4Addr, Ipv4Addr) {
    let pools = workspace.objects(&["get", "ipaddresspools", "--namespace", "metallb-system"]);
    let range = pools["items"][0]["spec"]["addresses"][0].as_str().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// A credential helper for the private registry, as Docker Desktop has one. It creates a file when it is called.
pub(crate) fn credential_helper(workspace: &mut TestWorkspace) -> std::path::PathBuf {
    let folder = workspace.docker_config();
    let asked = folder.join("asked");
    let answer = json!({"Username": rig("RIG_PRIVATE_USER"), "Secret": rig("RIG_PRIVATE_PASSWORD")});
    let script = format!("#!/bin/sh\ncat >'{}'\necho '{answer}'\n", asked.display());
    let helper = folder.join("docker-credential-walk");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let config = json!({"credHelpers": {(rig("RIG_PRIVATE_REGISTRY")): "walk"}});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let path = format!("{}:{}", folder.display(), workspace.variable("PATH"));
    workspace.set_variable("PATH", &path);
    asked
}

/// Sends requests without a pause from two threads until it is stopped.
pub(crate) struct Load {
    end: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    pub(crate) fn start(port: u16, host: &str) -> Self {
        let (end, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let side = |_| {
            let (end, answered, host) = (Arc::clone(&end), Arc::clone(&answered), host.to_owned());
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    match request(port, "GET", &host, "/", "") {
                        Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => failed.push(format!("{}: {}", answer.status, answer.body)),
                        Err(error) => failed.push(error),
                    }
                    // Leaves processor time for the cluster on a small machine.
                    thread::sleep(std::time::Duration::from_millis(10));
                }
                failed
            })
        };
        let threads = (0..2).map(side).collect();
        Self { end, answered, threads }
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        let failed = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (self.answered.load(Ordering::Relaxed), failed)
    }
}

/// Searches the arguments of every process for a text that must not appear there.
pub(crate) struct Watch {
    end: Arc<AtomicBool>,
    thread: thread::JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    pub(crate) fn start(secret: &str) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (ended, secret) = (Arc::clone(&end), secret.to_owned());
        let thread = thread::spawn(move || {
            let (mut helms, mut leaks) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                for arguments in arguments_of_all() {
                    helms += usize::from(arguments.split('\0').next().is_some_and(|program| program.ends_with("helm")));
                    if arguments.contains(&secret) {
                        leaks.push(arguments.replace('\0', " "));
                    }
                }
                thread::sleep(std::time::Duration::from_millis(20));
            }
            (helms, leaks)
        });
        Self { end, thread }
    }

    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &str) -> Vec<std::path::PathBuf> {
    let (mut open, mut found) = (vec![std::path::PathBuf::from(folder)], Vec::new());
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The arguments of all visible processes, separated by NUL.
pub(crate) fn arguments_of_all() -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}
