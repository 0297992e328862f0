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
    fn shown(&self, words: &[&str]) -> String {
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

fn assert_reported(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.to_owned(), shown));
}

const LEAST: &str = "version: 1\nname: shop\nprojects:\n  catalog:\n    image: ghcr.io/stefanprodan/podinfo:6.9.2\n    values: {ports: {http: 9898}}\n";

#[test]
fn the_help_of_each_verb() {
    let place = Place::new();
    assert_reported("help", &place.shown(&["--help"]));
    for verb in cmdr::cli::Cli::command().get_subcommands() {
        assert_reported(&format!("help-{}", verb.get_name()), &place.shown(&[verb.get_name(), "--help"]));
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let place = Place::with_workspace(LEAST);
    assert_reported("no-verb", &place.shown(&[]));
    assert_reported("unknown-verb", &place.shown(&["upp"]));
    assert_reported("unknown-option", &place.shown(&["up", "--recrate"]));
    assert_reported("unknown-output", &place.shown(&["status", "--output", "yaml"]));
    assert_reported("unknown-environment", &place.shown(&["plan", "--env", "locl"]));
    assert_reported("unknown-project", &place.shown(&["up", "katalog"]));
    assert_reported("report-nowhere", &place.shown(&["up", "--timeline", "nowhere/up.html"]));
    assert_reported("unknown-project-left-out", &place.shown(&["up", "--without", "x"]));
    assert_reported("set-without-project", &place.shown(&["up", "--set", "replicas=2"]));
    assert_reported("set-without-value", &place.shown(&["up", "catalog", "--set", "replicas"]));
    assert_reported("render-without-project", &place.shown(&["render"]));
    assert_reported("folder-missing", &place.shown(&["-C", "nowhere", "up"]));
}

#[test]
fn mistakes_with_environments() {
    let environments = "environments:\n  staging: {context: stage, only: ci}\n  review: {review: {from: staging}}\n";
    let place = Place::with_workspace(&LEAST.replace("projects:", &format!("{environments}projects:")));
    assert_reported(
        "local-knows-no-ledger",
        &place.shown(&["up", "--export-ledger", "x", "--override", "soak", "--because", "y"]),
    );
    assert_reported("deploy-to-local", &place.shown(&["deploy", "catalog"]));
    assert_reported("deploy-from-a-laptop", &place.shown(&["deploy", "catalog", "--env", "staging"]));
    assert_reported("deploy-unknown-projects", &place.shown(&["deploy", "katalog", "car=1", "--env", "staging"]));
    assert_reported("deploy-with-a-bad-tag", &place.shown(&["deploy", "catalog=a b", "--env", "staging"]));
    assert_reported(
        "override-without-reason",
        &place.shown(&["deploy", "catalog", "--env", "staging", "--override", "soak"]),
    );
    assert_reported("promote-to-what-takes-nothing", &place.shown(&["promote", "--to", "staging"]));
    assert_reported("promote-to-nowhere", &place.shown(&["promote", "--to", "production-*"]));
    assert_reported("review-without-slug", &place.shown(&["up", "--env", "review"]));
    assert_reported("no-kubeconfig", &place.shown(&["history", "--env", "staging"]));
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
    assert_reported("no-workspace", &Place::new().shown(&["up"]));
}

#[test]
fn a_workspace_with_mistakes() {
    let text = LEAST.replace("image:", "imagge:");
    assert_reported("workspace-with-mistakes", &Place::with_workspace(&text).shown(&["up"]));
}

#[test]
fn what_is_missing_on_the_machine() {
    assert_reported("no-helm", &Place::with_workspace(LEAST).shown(&["up"]));
}

#[test]
fn variables_that_cannot_be_understood() {
    let place = Place::with_workspace(LEAST);
    fs::create_dir_all(place.path().join(".config/cmdr")).unwrap();
    fs::write(place.path().join(".config/cmdr/config.yaml"), "mirror: {}\n").unwrap();
    assert_reported("unknown-key-of-the-user", &place.shown(&["up"]));
}

#[test]
fn a_workspace_is_begun_once_and_works() {
    let place = Place::new();
    assert_reported("init", &place.shown(&["init", "My Shop"]));
    let folder = place.path().join("My Shop");
    let loaded = cmdr::config::load(&folder).unwrap();
    assert_eq!((loaded.workspace.name.as_str(), loaded.warnings.len()), ("my-shop", 0));
    assert!(folder.join("projects.schema.json").is_file());
    let before = fs::read_to_string(folder.join("projects.yaml")).unwrap();
    assert_reported("init-again", &place.shown(&["init", "My Shop", "--name", "other"]));
    assert_eq!(fs::read_to_string(folder.join("projects.yaml")).unwrap(), before);
    assert_reported("init-bad-name", &place.shown(&["init", "other", "--name", "My_Shop"]));
    assert_reported("init-no-name", &place.shown(&["init", "123"]));
    assert_reported("init-dry", &place.shown(&["init", "dry", "--dry-run"]));
    assert!(!place.path().join("dry").exists());
}
