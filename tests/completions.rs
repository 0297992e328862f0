//! Completions: what a shell gets from cmdr while a command is typed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const WORKSPACE: &str = "version: 1
name: shop
environments:
  staging: {context: shop-staging}
  production: {context: shop-production, promote: {from: staging}}
projects:
  catalog: {image: 'docker.io/library/redis:7.0', values: {ports: {redis: 6379}}}
  cart: {build: {context: .}, values: {ports: {http: 80}}}
  storefront: {image: 'docker.io/library/redis:7.0', needs: [catalog], values: {ports: {redis: 6379}}}
bundles:
  all: {projects: [cart, catalog]}
";

fn workspace(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("projects.yaml"), text).unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    folder
}

/// Runs cmdr as the script of a shell does, in a folder of its own.
fn request(shell: &str, folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmdr"))
        .args(["--", "cmdr"])
        .args(words)
        .env_clear()
        .env("COMPLETE", shell)
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .env("HOME", folder)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The candidates for the last word, without options.
fn candidates(folder: &Path, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let output = request("bash", folder, &words);
    assert!(output.status.success(), "{line}: {output:?}");
    assert!(output.stderr.is_empty(), "{line}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|candidate| !candidate.starts_with('-')).map(str::to_owned).collect()
}

#[test]
fn names_of_the_workspace_are_completed() {
    let folder = workspace(WORKSPACE);
    for (line, expected) in [
        ("up ", "cart catalog storefront"),
        ("up ca", "cart catalog"),
        ("up cart st", "storefront"),
        ("up --without s", "storefront"),
        ("build ", "cart"),
        ("deploy a", "all"),
        ("deploy catalog=", ""),
        ("deploy catalog --override ", "promotion soak combination freeze hold scan verify outdated"),
        ("render t", "traefik"),
        ("render st", "storefront"),
        ("up --env ", "local production staging"),
        ("--env st", "staging"),
        ("promote --to ", "production"),
        ("env pin ", "production staging"),
        ("diff staging p", "production"),
        ("up --slug ", ""),
        ("snapshot restore ", ""),
        ("query re", "restarts resources"),
        ("explain C00", "C001 C002 C003 C004 C005 C006 C007 C008 C009"),
        ("docs inv", ""),
        ("docs ins", "inspect"),
        ("new x --template w", "web worker"),
    ] {
        assert_eq!(candidates(folder.path(), line).join(" "), expected, "cmdr {line}");
    }
}

#[test]
fn an_option_and_its_value_in_one_word() {
    let folder = workspace(WORKSPACE);
    let output = request("fish", folder.path(), &["up", "--env=st"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--env=staging\tshop-staging\n");
}

#[test]
fn the_folder_of_the_command_line_is_searched() {
    let (folder, elsewhere) = (workspace(WORKSPACE), tempfile::tempdir().unwrap());
    let path = folder.path().display();
    assert_eq!(candidates(elsewhere.path(), &format!("-C {path} up st")), ["storefront"]);
    assert_eq!(candidates(elsewhere.path(), &format!("up --directory={path} st")), ["storefront"]);
    assert_eq!(candidates(elsewhere.path(), "up st"), [""; 0]);
    assert_eq!(candidates(elsewhere.path(), "-C nowhere up st"), [""; 0]);
}

#[test]
fn copies_are_completed_without_waiting_for_a_cluster() {
    let folder = workspace(WORKSPACE);
    assert_eq!(candidates(folder.path(), "up --copy o"), ["original"]);
    assert_eq!(candidates(folder.path(), "up --copy fix --data-from o"), ["original"]);
}

#[test]
fn a_workspace_with_errors_completes_nothing() {
    for text in ["", "projects: [", "version: 1\nname: shop\nprojects: {catalog: {imagge: x}}\n"] {
        let folder = workspace(text);
        assert_eq!(candidates(folder.path(), "up c"), [""; 0], "{text}");
        assert_eq!(candidates(folder.path(), "sta"), ["start", "status"], "{text}");
    }
}

#[test]
fn every_shell_has_a_script() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmdr"));
        let output = command.args(["completions", shell]).env_clear().env("HOME", folder.path()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("COMPLETE") && script.contains("cmdr"), "{shell}: {script}");
        assert!(!script.contains(env!("CARGO_BIN_EXE_cmdr")), "{shell}: the script must work after an update");
    }
}

#[test]
fn the_script_works_in_bash() {
    let folder = workspace(WORKSPACE);
    let binary = Path::new(env!("CARGO_BIN_EXE_cmdr")).parent().unwrap();
    let script = "source <(cmdr completions bash)
        COMP_WORDS=(cmdr up ca) COMP_CWORD=2 COMP_TYPE=9
        _clap_complete_cmdr cmdr ca up
        IFS=' '; printf '%s' \"${COMPREPLY[*]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", script])
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", binary.display()))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "cart catalog", "{output:?}");
}

#[test]
fn each_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmdr"));
    command.args(["man", "share/man1"]).env_clear().env("HOME", folder.path()).current_dir(folder.path());
    assert!(command.status().unwrap().success());
    let page = |name: &str| fs::read_to_string(folder.path().join("share/man1").join(name)).unwrap();
    assert!(page("cmdr.1").contains(".TH cmdr 1"));
    assert!(page("cmdr-up.1").contains("\\-\\-recreate"));
    assert!(page("cmdr-snapshot-save.1").contains("The name of the snapshot"));
    assert!(page("cmdr-env-pin.1").contains("Pin an environment"));
}
