//! `install.sh` of a release, against a web server with a release of a shell script.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/server.rs"]
mod server;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use server::{Server, file};

const NAME: &str = "cmdr-1.2.3-x86_64-unknown-linux-musl";
/// The programs that install.sh may use, in addition to one that downloads.
const PROGRAMS: [&str; 11] = ["chmod", "cp", "grep", "gzip", "mkdir", "mktemp", "mv", "rm", "sh", "sha256sum", "tar"];

/// A release on a web server, and a machine to install it on: its own home, and a PATH with few programs.
struct Release {
    folder: TempDir,
    server: Server,
}

impl Release {
    fn new() -> Self {
        Self::with_binary("echo cmdr 1.2.3")
    }

    fn with_binary(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("release");
        let packed = folder.path().join(NAME);
        for folder in [&files, &packed, &folder.path().join("bin"), &folder.path().join("tmp")] {
            fs::create_dir(folder).unwrap();
        }
        write_program(&packed.join("cmdr"), script);
        let archive = files.join(format!("{NAME}.tar.gz"));
        let tar = Command::new("tar").arg("-C").arg(folder.path()).arg("-czf").arg(&archive).arg(NAME).status();
        assert!(tar.unwrap().success());
        let server = Server::start(move |request| file(&files, request));
        let release = Self { folder, server };
        release.write_checksum(&fs::read(archive).unwrap());
        let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/install.sh")).unwrap();
        let script = script.replace("@VERSION@", "1.2.3").replace("@DOWNLOAD_URL@", &release.server.url());
        assert!(!script.contains('@'), "a placeholder was not replaced");
        fs::write(release.path("install.sh"), script).unwrap();
        for program in PROGRAMS {
            release.link(program);
        }
        release.fake_machine("x86_64");
        release
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_checksum(&self, of: &[u8]) {
        let sum: String = Sha256::digest(of).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(self.path("release/SHA256SUMS"), format!("{sum}  {NAME}.tar.gz\n")).unwrap();
    }

    /// Puts a program of this machine into PATH.
    fn link(&self, program: &str) {
        let found =
            ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
        symlink(found.unwrap_or_else(|| panic!("{program} is not installed")), self.path("bin").join(program)).unwrap();
    }

    fn fake_machine(&self, processor: &str) {
        let script = format!("case $1 in -s) echo Linux ;; *) echo {processor} ;; esac");
        write_program(&self.path("bin/uname"), &script);
    }

    fn install(&self) -> Output {
        Command::new(self.path("bin/sh"))
            .arg(self.path("install.sh"))
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", self.path("bin"))
            .env("TMPDIR", self.path("tmp"))
            .env("CMDR_INSTALL_DIR", self.path("programs"))
            .output()
            .unwrap()
    }

    /// Runs the installer, which must fail with this message and leave nothing behind.
    fn refused(&self, message: &str) {
        let output = self.install();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().any(|line| line == format!("error: {message}")), "{text}");
        assert!(!self.path("programs").exists(), "something was installed");
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "temporary files are left");
    }
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_binary_is_installed() {
    for program in ["curl", "wget"] {
        let release = Release::new();
        release.link(program);
        let output = release.install();
        assert!(output.status.success(), "{program}: {output:?}");
        let path = release.path("programs").join("cmdr");
        let expected = format!(
            "installed cmdr 1.2.3 as {}\n  help: add {} to PATH\n",
            path.display(),
            release.path("programs").display()
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(release.path("programs")).unwrap().count(), 1, "only cmdr is installed");
        assert_eq!(fs::read_dir(release.path("tmp")).unwrap().count(), 0, "temporary files are left");
        assert!(release.install().status.success(), "a second run updates the first");
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let release = Release::new();
    release.link("curl");
    release.write_checksum(b"something else");
    release.refused(&format!("checksum of {NAME}.tar.gz does not match"));
}

#[test]
fn a_missing_archive_is_reported() {
    let release = Release::new();
    release.link("curl");
    fs::remove_file(release.path("release").join(format!("{NAME}.tar.gz"))).unwrap();
    release.refused(&format!("download failed: {}/{NAME}.tar.gz", release.server.url()));
    fs::write(release.path("release/SHA256SUMS"), "").unwrap();
    release.refused(&format!("{NAME}.tar.gz is not part of this release"));
}

#[test]
fn a_binary_that_does_not_run_replaces_nothing() {
    let release = Release::with_binary("exit 1");
    release.link("curl");
    fs::create_dir(release.path("programs")).unwrap();
    fs::write(release.path("programs/cmdr"), "the former one").unwrap();
    let output = release.install();
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cmdr does not run on this machine\n"));
    assert_eq!(fs::read_to_string(release.path("programs/cmdr")).unwrap(), "the former one");
    assert_eq!(fs::read_dir(release.path("programs")).unwrap().count(), 1);
}

#[test]
fn an_unknown_processor_is_reported() {
    let release = Release::new();
    release.link("curl");
    release.fake_machine("riscv64");
    release.refused("no binary for riscv64");
}

#[test]
fn a_program_that_downloads_is_needed() {
    Release::new().refused("neither curl nor wget is installed");
}
