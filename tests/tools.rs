//! The programs that cmdr downloads: asked for, checked, and found again. The table of versions is cmdr's own.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/server.rs"]
mod server;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

use cmdr::domain::pinned_tools::{HELM, KIND, PinnedTool};
use tempfile::TempDir;
use wiremock::ResponseTemplate;

use server::{Server, line};

const WORKSPACE: &str =
    "version: 1\nname: shop\nprojects:\n  catalog:\n    image: ghcr.io/stefanprodan/podinfo:6.9.2\n";

/// A machine without any program on PATH, with a mirror that answers every request with the same text.
struct Laptop {
    folder: TempDir,
    mirror: Server,
}

impl Laptop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("projects.yaml"), WORKSPACE).unwrap();
        Self { folder, mirror: Server::start(|_| ResponseTemplate::new(200).set_body_string("not a program")) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cmdr"))
            .args(words)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", self.path("bin"))
            .env("CMDR_CACHE", self.path("cache"))
            .env("CMDR_TOOLS_MIRROR", self.mirror.url())
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// What is printed; the exit code must be `code`.
    #[track_caller]
    fn said(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        text
    }

    /// The content of the folder of downloaded programs.
    fn downloaded(&self) -> Vec<String> {
        let found = fs::read_dir(self.path("cache/tools")).into_iter().flatten();
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Writes a program that prints `text`.
    fn write_program(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write_downloaded(&self, tool: &PinnedTool) {
        let PinnedTool { name, version, .. } = tool;
        self.write_program(&format!("cache/tools/{name}-{version}/{name}"), &format!("v{version}"));
    }
}

#[test]
fn without_an_answer_the_files_to_bring_are_listed() {
    let laptop = Laptop::new();
    let said = laptop.said(1, &["render", "catalog"]);
    for part in [
        "helm is not installed",
        "--yes",
        "/cache/tools",
        "/kind/v0.30.0/kind-linux-",
        "/helm/v4.2.2/helm-v4.2.2-linux-",
        "(SHA-256 ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(laptop.mirror.requests().is_empty() && laptop.downloaded().is_empty());
}

#[test]
fn another_checksum_is_refused() {
    let laptop = Laptop::new();
    let said = laptop.said(1, &["render", "catalog", "--yes"]);
    assert!(said.contains("downloading kind 0.30.0, helm 4.2.2"), "{said}");
    assert!(said.contains("the checksum of http://") && said.contains("do not use this file"), "{said}");
    assert!(line(&laptop.mirror.requests()[0]).starts_with("GET /kind/v0.30.0/kind-linux-"));
    assert_eq!(laptop.downloaded(), Vec::<String>::new(), "the file is removed");
}

#[test]
fn what_was_downloaded_is_used_where_path_has_none() {
    let laptop = Laptop::new();
    laptop.write_downloaded(&HELM);
    laptop.write_downloaded(&KIND);
    let doctor = laptop.said(1, &["doctor"]);
    for tool in [&HELM, &KIND] {
        let path = laptop.path("cache/tools").join(format!("{}-{}", tool.name, tool.version)).join(tool.name);
        assert!(doctor.contains(&format!("{} {} ({})", tool.name, tool.version, path.display())), "{doctor}");
    }
    laptop.said(0, &["render", "catalog"]);
    laptop.write_program("bin/helm", "v3.2.0");
    laptop.said(0, &["render", "catalog"]);
    let doctor = laptop.said(1, &["doctor"]);
    assert!(doctor.contains("! helm: helm 3.2.0") && doctor.contains("cmdr downloads helm 4.2.2"), "{doctor}");
    assert!(laptop.mirror.requests().is_empty());
}
