//! `cmdr upgrade`, against a web server with releases of shell scripts.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use program::copy_program;
use server::{Server, file};

/// A machine with its own cmdr, and a web server with releases.
struct Machine {
    folder: TempDir,
    server: Server,
}

impl Machine {
    fn new(versions: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("releases");
        for name in ["releases", "bin", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        copy_program(env!("CARGO_BIN_EXE_cmdr"), folder.path().join("bin/cmdr"));
        let server = Server::start(move |request| file(&files, request));
        let machine = Self { folder, server };
        let sums: String =
            versions.iter().map(|version| machine.pack(version, &format!("echo cmdr {version}"))).collect();
        machine.write_sums(&sums);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Packs a release, and returns its line in SHA256SUMS.
    fn pack(&self, version: &str, script: &str) -> String {
        let name = format!("cmdr-{version}-{}-unknown-linux-musl", std::env::consts::ARCH);
        let packed = self.path(&name);
        fs::create_dir(&packed).unwrap();
        fs::write(packed.join("cmdr"), format!("#!/bin/sh\n{script}\n")).unwrap();
        let archive = self.path("releases").join(format!("{name}.tar.gz"));
        let tar = Command::new("tar").arg("-C").arg(self.folder.path()).arg("-czf").arg(&archive).arg(&name).status();
        assert!(tar.unwrap().success());
        let sum: String = Sha256::digest(fs::read(archive).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{sum}  {name}.tar.gz\n")
    }

    fn write_sums(&self, sums: &str) {
        fs::write(self.path("releases/SHA256SUMS"), sums).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(self.path("bin/cmdr"))
            .args(words)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("CMDR_DOWNLOAD_URL", self.server.url())
            .output()
            .unwrap()
    }

    /// What is printed; the exit code must be `code`, and only cmdr must be in its folder.
    #[track_caller]
    fn said(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(fs::read_dir(self.path("bin")).unwrap().count(), 1, "something is left: {text}");
        text
    }

    fn version(&self) -> String {
        String::from_utf8(self.run(&["--version"]).stdout).unwrap()
    }
}

const OWN: &str = concat!("cmdr ", env!("CARGO_PKG_VERSION"), "\n");

#[test]
fn the_newest_release_replaces_the_program() {
    let machine = Machine::new(&["0.0.1", "99.0.0", "98.10.0"]);
    let check = machine.said(3, &["upgrade", "--check"]);
    assert!(check.contains("cmdr 99.0.0 is available"), "{check}");
    assert!(machine.said(0, &["upgrade", "--dry-run"]).contains("cmdr 99.0.0 is available"));
    assert_eq!(machine.version(), OWN, "nothing is replaced by a check");
    assert!(machine.said(0, &["upgrade"]).contains("was replaced by cmdr 99.0.0"));
    assert_eq!(machine.version(), "cmdr 99.0.0\n");
    assert_eq!(fs::metadata(machine.path("bin/cmdr")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn an_older_version_must_be_named() {
    let machine = Machine::new(&["0.0.1"]);
    let text = machine.said(0, &["upgrade"]);
    assert!(text.contains("is newer than the release: cmdr upgrade --version 0.0.1"), "{text}");
    assert_eq!(machine.said(0, &["upgrade", "--check"]), text);
    let missing = machine.said(1, &["upgrade", "--version", "7.0.0"]);
    assert!(missing.contains("does not contain cmdr 7.0.0") && missing.contains("it contains 0.0.1"), "{missing}");
    assert!(machine.said(2, &["upgrade", "--version", "new"]).contains("--version: 'new' is not a valid version"));
    assert_eq!(machine.version(), OWN);
    machine.said(0, &["upgrade", "--version", "v0.0.1"]);
    assert_eq!(machine.version(), "cmdr 0.0.1\n");
}

#[test]
fn a_bad_release_replaces_nothing() {
    let machine = Machine::new(&["99.0.0"]);
    let sums = fs::read_to_string(machine.path("releases/SHA256SUMS")).unwrap();
    machine.write_sums(&format!("{}{}", "0".repeat(64), &sums[64..]));
    assert!(machine.said(1, &["upgrade"]).contains("but must be 0000"));
    let sums = machine.pack("99.1.0", "exit 1");
    machine.write_sums(&sums);
    assert!(machine.said(1, &["upgrade"]).contains("cmdr does not run on this machine"));
    let sums = machine.pack("99.2.0", "echo cmdr 1.0.0");
    machine.write_sums(&sums);
    assert!(machine.said(1, &["upgrade"]).contains("it contains cmdr 1.0.0"));
    machine.write_sums("");
    assert!(machine.said(1, &["upgrade"]).contains("does not contain a release"));
    fs::remove_file(machine.path("releases/SHA256SUMS")).unwrap();
    let missing = machine.said(1, &["upgrade"]);
    assert!(missing.contains("/SHA256SUMS: HTTP 404") && missing.contains("CMDR_DOWNLOAD_URL"), "{missing}");
    assert_eq!(machine.version(), OWN);
}

#[test]
fn a_program_of_another_installer_stays() {
    let machine = Machine::new(&["99.0.0"]);
    let folder = machine.path("home/.cargo/bin");
    fs::create_dir_all(&folder).unwrap();
    copy_program(machine.path("bin/cmdr"), folder.join("cmdr"));
    let output = Command::new(folder.join("cmdr"))
        .arg("upgrade")
        .env_clear()
        .env("HOME", machine.path("home"))
        .env("CMDR_DOWNLOAD_URL", machine.server.url())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(10), "{text}");
    assert!(text.contains("cargo has installed it: run cargo install"), "{text}");
    assert!(machine.server.requests().is_empty(), "nothing is requested");
}
