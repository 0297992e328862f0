//! The program as it is met: its help and its answers to mistakes, as snapshots of exit code and both streams.
//!
//! `INSTA_UPDATE=always cargo test --test cli` rewrites the snapshots.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::CommandFactory;
use tempfile::TempDir;

/// A home of its own, an empty PATH, a fixed width, and nothing else of the surroundings.
struct Place {
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// With a workspace of one project.
    fn with_workspace(text: &str) -> Self {
        let place = Self::new();
        fs::write(place.path().join("projects.yaml"), text).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn run(&self, words: &[&str]) -> Output {
        self.run_with(words, &[])
    }

    fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cmdr"))
            .args(words)
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", self.path())
            .env("COLUMNS", "100")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .envs(variables.iter().copied())
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    /// What a person sees: the exit code and both streams.
    fn told(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&self.path().display().to_string(), "HOME");
        format!(
            "$ cmdr {}\nexit code: {}\n--- stdout\n{}--- stderr\n{}",
            words.join(" "),
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}

fn assert_told(name: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), told));
}

const LEAST: &str = "version: 1\nname: shop\nprojects:\n  catalog:\n    image: ghcr.io/stefanprodan/podinfo:6.9.2\n    values: {ports: {http: 9898}}\n";

#[test]
fn the_help_of_each_verb() {
    let place = Place::new();
    assert_told("help", &place.told(&["--help"]));
    for verb in cmdr::cli::Cli::command().get_subcommands() {
        assert_told(&format!("help-{}", verb.get_name()), &place.told(&[verb.get_name(), "--help"]));
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let place = Place::with_workspace(LEAST);
    assert_told("no-verb", &place.told(&[]));
    assert_told("unknown-verb", &place.told(&["upp"]));
    assert_told("unknown-option", &place.told(&["up", "--recrate"]));
    assert_told("unknown-output", &place.told(&["status", "--output", "yaml"]));
    assert_told("unknown-environment", &place.told(&["plan", "--env", "locl"]));
    assert_told("unknown-project", &place.told(&["up", "katalog"]));
    assert_told("report-nowhere", &place.told(&["up", "--timeline", "nowhere/up.html"]));
    assert_told("unknown-project-left-out", &place.told(&["up", "--without", "x"]));
    assert_told("set-without-project", &place.told(&["up", "--set", "replicas=2"]));
    assert_told("set-without-value", &place.told(&["up", "catalog", "--set", "replicas"]));
    assert_told("render-without-project", &place.told(&["render"]));
    assert_told("folder-missing", &place.told(&["-C", "nowhere", "up"]));
}

#[test]
fn mistakes_with_environments() {
    let environments = "environments:\n  staging: {context: stage, only: ci}\n  review: {review: {from: staging}}\n";
    let place = Place::with_workspace(&LEAST.replace("projects:", &format!("{environments}projects:")));
    assert_told(
        "local-knows-no-ledger",
        &place.told(&["up", "--export-ledger", "x", "--override", "soak", "--because", "y"]),
    );
    assert_told("deploy-to-local", &place.told(&["deploy", "catalog"]));
    assert_told("deploy-from-a-laptop", &place.told(&["deploy", "catalog", "--env", "staging"]));
    assert_told("deploy-unknown-projects", &place.told(&["deploy", "katalog", "car=1", "--env", "staging"]));
    assert_told("deploy-with-a-bad-tag", &place.told(&["deploy", "catalog=a b", "--env", "staging"]));
    assert_told(
        "override-without-reason",
        &place.told(&["deploy", "catalog", "--env", "staging", "--override", "soak"]),
    );
    assert_told("promote-to-what-takes-nothing", &place.told(&["promote", "--to", "staging"]));
    assert_told("promote-to-nowhere", &place.told(&["promote", "--to", "production-*"]));
    assert_told("review-without-slug", &place.told(&["up", "--env", "review"]));
    assert_told("no-kubeconfig", &place.told(&["history", "--env", "staging"]));
}

#[test]
fn colours_in_gitlab_and_where_they_are_asked_for() {
    let place = Place::new();
    let is_painted = |words: &[&str], variables: &[(&str, &str)]| {
        let output = place.run_with(&[&["-C", "nowhere", "up"], words].concat(), variables);
        String::from_utf8_lossy(&output.stderr).contains("\u{1b}[1;31merror:")
    };
    assert!(is_painted(&[], &[("GITLAB_CI", "true")]));
    assert!(!is_painted(&[], &[("GITLAB_CI", "true"), ("NO_COLOR", "1")]));
    assert!(!is_painted(&["--color", "never"], &[("GITLAB_CI", "true")]));
    assert!(is_painted(&["--color", "always"], &[]));
    assert!(!is_painted(&[], &[]));
}

#[test]
fn a_folder_without_a_workspace() {
    assert_told("no-workspace", &Place::new().told(&["up"]));
}

#[test]
fn a_workspace_with_mistakes() {
    let text = LEAST.replace("image:", "imagge:");
    assert_told("workspace-with-mistakes", &Place::with_workspace(&text).told(&["up"]));
}

#[test]
fn what_is_missing_on_the_machine() {
    assert_told("no-helm", &Place::with_workspace(LEAST).told(&["up"]));
}

#[test]
fn variables_that_cannot_be_understood() {
    let place = Place::with_workspace(LEAST);
    fs::create_dir_all(place.path().join(".config/cmdr")).unwrap();
    fs::write(place.path().join(".config/cmdr/config.yaml"), "mirror: {}\n").unwrap();
    assert_told("unknown-key-of-the-user", &place.told(&["up"]));
}

#[test]
fn a_workspace_is_begun_once_and_works() {
    let place = Place::new();
    assert_told("init", &place.told(&["init", "My Shop"]));
    let folder = place.path().join("My Shop");
    let loaded = cmdr::config::load(&folder).unwrap();
    assert_eq!((loaded.workspace.name.as_str(), loaded.warnings.len()), ("my-shop", 0));
    assert!(folder.join("projects.schema.json").is_file());
    let before = fs::read_to_string(folder.join("projects.yaml")).unwrap();
    assert_told("init-again", &place.told(&["init", "My Shop", "--name", "other"]));
    assert_eq!(fs::read_to_string(folder.join("projects.yaml")).unwrap(), before);
    assert_told("init-bad-name", &place.told(&["init", "other", "--name", "My_Shop"]));
    assert_told("init-no-name", &place.told(&["init", "123"]));
    assert_told("init-dry", &place.told(&["init", "dry", "--dry-run"]));
    assert!(!place.path().join("dry").exists());
}

#[test]
fn completions_are_for_a_shell() {
    let output = Place::new().run(&["completions", "bash"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("_cmdr()"));
}
