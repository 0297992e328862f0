//! No option is accepted and ignored: every command gets every option, and shows an effect or an error.
//!
//! The table follows clap's own commands: an option or a command without a row fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeSet, fs, path::Path, process::Command as Process};

use clap::{Arg, ArgAction, Command, CommandFactory};
use cmdr::cli::{Cli, applies};

const WORKSPACE: &str = "version: 1
name: shop
environments:
  staging: {context: staging, domain: staging.example.com}
  production: {context: production, domain: example.com, promote: {from: staging}}
projects:
  catalog:
    image: ghcr.io/stefanprodan/podinfo:6.9.2
    build: {context: .}
    values: {ports: {http: 9898}, secrets: {db: {generate: password}}}
";

/// The words that each command needs.
const NEEDED: &[(&str, &[&str])] = &[
    ("completions", &["bash"]),
    ("cp", &["catalog:/tmp/x", "y"]),
    ("deploy", &["catalog", "--env", "staging"]),
    ("diff", &["staging", "production"]),
    ("drain", &["catalog"]),
    ("env pin", &["staging"]),
    ("exec", &["catalog", "--", "ls"]),
    ("fill", &["catalog"]),
    ("forward", &["catalog"]),
    ("history", &["--env", "staging"]),
    ("hold", &["catalog", "--because", "x", "--env", "staging"]),
    ("identity", &["catalog"]),
    ("man", &["man"]),
    ("new", &["cart", "--template", "web", "--lang", "go"]),
    ("open", &["catalog"]),
    ("plan", &["catalog"]),
    ("procedure abort", &["move", "--env", "staging"]),
    ("procedure continue", &["move", "--env", "staging"]),
    ("procedure show", &["move"]),
    ("procedure start", &["move", "--env", "staging"]),
    ("promote", &["--to", "production"]),
    ("query", &["images"]),
    ("harden", &["catalog"]),
    ("render", &["catalog"]),
    ("restart", &["catalog"]),
    ("rollback", &["catalog", "--env", "staging"]),
    ("secret show", &["catalog/db"]),
    ("shell", &["catalog"]),
    ("run", &["catalog"]),
    ("snapshot delete", &["a"]),
    ("snapshot restore", &["a"]),
    ("snapshot save", &["a"]),
    ("traffic", &["catalog", "--env", "staging"]),
    ("unhold", &["catalog", "--env", "staging"]),
    ("up", &["catalog"]),
];

/// What shows that an option has an effect.
enum Effect {
    /// A wrong value, which every command that has the option reports in these words.
    Reported(&'static str, &'static str),
    /// In the environment `local`, commands with the option refuse it.
    RefusedInLocal(&'static str),
    /// A file of `tests`, or a unit test, that uses it.
    TestedIn(&'static str),
}
use Effect::{RefusedInLocal, Reported, TestedIn};

/// The commands that run the steps of a procedure.
const PROCEDURE_RUNS: &[&str] = &["procedure abort", "procedure continue", "procedure start"];

/// Every option, the commands that have it (`*`: all that it applies to), and its effect.
const ROWS: &[(&str, &[&str], Effect)] = &[
    ("accept-changes", &["procedure abort", "procedure continue"], TestedIn("tests/operations/procedures.rs")),
    ("adopt", &["plan", "up"], TestedIn("tests/platform/stages_of_others.rs")),
    ("all-environments", &["query"], TestedIn("tests/cli/data.rs")),
    ("all", &["cache prune"], TestedIn("tests/charts/own.rs")),
    ("allow-writes", &["mcp"], TestedIn("tests/mcp.rs")),
    ("app-version", &["deploy"], TestedIn("tests/cli.rs")),
    ("array", &["run"], Reported("100000", "--array: '100000'")),
    ("because", &["cp", "down", "exec", "restart", "run", "secret show", "shell", "up"], RefusedInLocal("x")),
    ("because", PROCEDURE_RUNS, TestedIn("tests/operations/procedures.rs")),
    ("because", &["drain", "fill", "maintenance off", "maintenance on"], RefusedInLocal("x")),
    ("because", &["status"], Reported("x", "only status --prune uses these options: --because")),
    ("because", &["deploy", "hold", "promote", "rollback"], TestedIn("tests/delivery/stages_of_trouble.rs")),
    ("build", &["plan", "up"], TestedIn("tests/images.rs")),
    ("chart-version", &["deploy"], Reported("1.0.0", "--chart-version 1.0.0 does not apply to 'catalog'")),
    ("color", &["*"], TestedIn("tests/cli.rs")),
    ("concurrency", &["*"], TestedIn("src/ops/session.rs")),
    ("container", &["cp", "exec", "shell"], TestedIn("tests/see/reach.rs")),
    ("container", &["logs"], TestedIn("tests/logs.rs")),
    ("copy", &["*"], Reported("???", "'???' has no letter and no digit")),
    ("cpu", &["run"], Reported("two", "--cpu: 'two'")),
    ("data-from", &["plan", "up"], TestedIn("tests/copies.rs")),
    ("detach", &["run"], TestedIn("tests/jobs/stages.rs")),
    ("detach", &["deploy", "traffic"], TestedIn("tests/operations/traffic.rs")),
    ("detach", &["promote"], TestedIn("tests/operations/interruptions.rs")),
    ("step", &["traffic"], TestedIn("tests/operations/traffic.rs")),
    ("weight", &["traffic"], Reported("x", "--weight: 'x' is not a share")),
    ("lock-timeout", &["traffic"], Reported("x", "--lock-timeout: 'x'")),
    ("override", &["traffic"], Reported("nope", "--override: unknown gate 'nope'")),
    ("because", &["traffic"], Reported("x", "only continue, promote, abort and --weight use these options")),
    ("directory", &["*"], TestedIn("tests/cli.rs")),
    ("dotenv", &["*"], Reported("nowhere/x", "nowhere/x")),
    ("dry-run", &["*"], TestedIn("tests/platform/stages.rs")),
    ("env", &["*"], Reported("nope", "has no environment 'nope'")),
    ("exit-code", &["diff", "plan", "status"], TestedIn("tests/platform/stages.rs")),
    ("export-ledger", &["up"], RefusedInLocal("x")),
    ("export-ledger", &["deploy", "promote", "rollback"], Reported("nowhere/x", "nowhere/x")),
    ("for", &["wait"], Reported("x", "invalid value 'x' for '--for <STATE>'")),
    ("expr", &["query"], Reported("a == == b", "a == == b")),
    ("follow", &["logs"], TestedIn("tests/logs.rs")),
    ("force", &["agent init"], TestedIn("tests/cli/data.rs")),
    ("forget", &["build"], TestedIn("tests/options.rs")),
    ("fix", &["doctor"], TestedIn("tests/causes.rs")),
    ("from-ledger", &["plan", "up"], TestedIn("tests/delivery/stages_of_trouble.rs")),
    ("image", &["cp", "shell"], TestedIn("tests/see/reach.rs")),
    ("into", &["agent init"], TestedIn("tests/cli/data.rs")),
    ("issuer", &["identity"], TestedIn("tests/cli.rs")),
    ("junit", &["*"], Reported("nowhere/x", "nowhere/x")),
    ("level", &["logs"], TestedIn("tests/logs.rs")),
    ("local", &["dev"], TestedIn("tests/dev_local.rs")),
    ("lock-timeout", &["down", "restart", "run", "up"], RefusedInLocal("5m")),
    ("lock-timeout", PROCEDURE_RUNS, TestedIn("tests/operations/procedures.rs")),
    ("lock-timeout", &["drain", "fill", "maintenance off", "maintenance on"], RefusedInLocal("5m")),
    ("lock-timeout", &["status"], Reported("5m", "only status --prune uses these options: --lock-timeout")),
    ("lock-timeout", &["deploy", "promote", "rollback"], Reported("x", "--lock-timeout: 'x'")),
    ("message", &["maintenance on"], TestedIn("tests/operations/pages.rs")),
    ("memory", &["run"], Reported("1GB", "--memory: '1GB'")),
    ("check", &["upgrade"], TestedIn("tests/upgrade.rs")),
    ("version", &["upgrade"], TestedIn("tests/upgrade.rs")),
    ("folder", &["new"], TestedIn("tests/new.rs")),
    ("lang", &["new"], TestedIn("tests/new.rs")),
    ("no-pipeline", &["new"], TestedIn("tests/new.rs")),
    ("set", &["new"], TestedIn("tests/new.rs")),
    ("template", &["new"], TestedIn("tests/new.rs")),
    ("name", &["init"], TestedIn("tests/cli.rs")),
    ("name", &["query"], TestedIn("tests/see/query.rs")),
    ("offline", &["plan"], TestedIn("tests/charts/own.rs")),
    ("output", &["*"], TestedIn("tests/platform/stages.rs")),
    ("override", &["down", "restart", "run", "up"], RefusedInLocal("soak")),
    ("override", PROCEDURE_RUNS, TestedIn("tests/operations/procedures.rs")),
    ("override", &["drain", "fill", "maintenance off", "maintenance on"], RefusedInLocal("soak")),
    ("override", &["status"], Reported("hold", "only status --prune uses these options: --override, --because")),
    ("override", &["deploy", "promote", "rollback"], Reported("nope", "--override: unknown gate 'nope'")),
    ("parallel", &["promote"], Reported("2", "--parallel has no effect on one target")),
    ("parallel", &["run"], TestedIn("tests/jobs/stages.rs")),
    ("pause", &["stop"], TestedIn("tests/stop_start/stages.rs")),
    ("plan-file", &["plan", "up"], RefusedInLocal("x")),
    ("plan-file", &["deploy", "promote", "rollback"], Reported("nowhere/x", "nowhere/x")),
    ("pods", &["top"], TestedIn("tests/see/status.rs")),
    ("port", &["dev"], TestedIn("tests/dev_local.rs")),
    ("port", &["forward"], TestedIn("tests/see/reach.rs")),
    ("limit", &["logs"], TestedIn("tests/logs.rs")),
    ("previous", &["logs"], TestedIn("tests/logs.rs")),
    ("print", &["open"], TestedIn("tests/see/reach.rs")),
    ("print", &["trust"], TestedIn("tests/cli.rs")),
    ("profile", &["plan", "status", "up"], TestedIn("tests/platform/stages_of_others.rs")),
    ("prune", &["copies"], TestedIn("tests/copies.rs")),
    ("prune", &["status"], TestedIn("tests/platform/stages_of_others.rs")),
    ("quiet", &["*"], TestedIn("src/ops/session.rs")),
    ("raw", &["logs"], TestedIn("tests/logs.rs")),
    ("record", &["promote", "rollback"], TestedIn("tests/delivery/stages.rs")),
    ("recreate", &["plan", "up"], TestedIn("tests/platform/stages_of_others.rs")),
    ("refresh", &["plan", "up"], TestedIn("tests/platform/stages_of_speed.rs")),
    ("registry", &["down"], TestedIn("tests/images.rs")),
    ("remove", &["trust"], TestedIn("tests/cli.rs")),
    ("repair", &["plan", "up"], TestedIn("tests/delivery/stages.rs")),
    ("report", &["doctor"], TestedIn("tests/cli.rs")),
    ("resources", &["status"], TestedIn("tests/jobs/stages.rs")),
    ("search", &["logs"], Reported("(", "--search: '('")),
    ("search", &["docs"], TestedIn("tests/cli/data.rs")),
    ("set", &["deploy", "plan", "render", "run", "up"], Reported("x", "--set: 'x' has no value")),
    ("set", &["promote"], TestedIn("tests/delivery/stages_of_sets.rs")),
    ("sets", &["history"], TestedIn("tests/delivery/stages_of_sets.rs")),
    ("since", &["logs"], Reported("x", "--since: 'x'")),
    ("slug", &["*"], Reported("x", "is not a review environment")),
    ("tail", &["logs"], TestedIn("tests/logs.rs")),
    ("tag", &["deploy"], Reported("a b", "a b")),
    ("tag", &["plan", "up"], RefusedInLocal("catalog=1")),
    ("then", &["drain"], Reported("x", "invalid value 'x' for '--then <ACTION>'")),
    ("until", &["maintenance on"], Reported("soon", "--until: 'soon'")),
    ("timeout", &["drain", "run", "wait"], Reported("x", "--timeout: 'x'")),
    ("timeline", &["*"], Reported("nowhere/x", "nowhere/x")),
    ("to", &["promote"], TestedIn("tests/cli.rs")),
    ("use-plan", &["plan", "up"], RefusedInLocal("x")),
    ("use-plan", &["deploy", "promote", "rollback"], TestedIn("tests/delivery/stages_of_trouble.rs")),
    ("values", &["render"], TestedIn("tests/delivery/stages.rs")),
    ("verbose", &["*"], TestedIn("tests/cli.rs")),
    ("via", &["promote"], TestedIn("tests/via.rs")),
    ("watch", &["status", "top"], TestedIn("tests/see/status.rs")),
    ("watch", &["query"], TestedIn("tests/see/query.rs")),
    ("without", &["plan", "up"], Reported("nope", "has no project 'nope'")),
    ("yes", &["*"], TestedIn("tests/platform/stages_of_others.rs")),
];

/// Every command that does something, with its options.
fn commands() -> Vec<(String, BTreeSet<String>)> {
    let mut root = Cli::command();
    root.build();
    let options = |command: &Command| {
        let is_own = |it: &&Arg| !matches!(it.get_action(), ArgAction::Help | ArgAction::Version);
        let own = command.get_arguments().filter(|it| !it.is_positional()).filter(is_own);
        own.filter_map(|it| it.get_long()).map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    for verb in root.get_subcommands() {
        let below: Vec<&Command> = verb.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
        if below.is_empty() {
            found.push((verb.get_name().to_owned(), options(verb)));
        }
        found.extend(below.iter().map(|sub| (format!("{} {}", verb.get_name(), sub.get_name()), options(sub))));
    }
    found
}

/// Runs a command with an option in a workspace without helm, kind and Docker; returns its exit code and its message.
fn run(command: &str, option: &[&str]) -> (Option<i32>, String) {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("projects.yaml"), WORKSPACE).unwrap();
    let needed = NEEDED.iter().find(|(name, _)| *name == command).map_or(&[][..], |(_, words)| words);
    // The option replaces one that the command needs.
    let at = needed.iter().position(|word| Some(word) == option.first());
    let needed = at.map_or(needed, |at| &needed[..at]);
    // What follows `--` is not for cmdr.
    let (words, last) = needed.split_at(needed.iter().position(|word| *word == "--").unwrap_or(needed.len()));
    let output = Process::new(env!("CARGO_BIN_EXE_cmdr"))
        .args(command.split(' '))
        .args(words)
        .args(option)
        .args(last)
        .env_clear()
        .env("HOME", place.path())
        .env("PATH", place.path())
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .current_dir(place.path())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn has_value(option: &str) -> bool {
    let mut root = Cli::command();
    root.build();
    let argument = root.get_arguments().find(|argument| argument.get_long() == Some(option)).unwrap();
    argument.get_action().takes_values()
}

#[test]
fn every_option_of_every_command_has_a_row() {
    let is_row = |command: &str, option: &str| {
        ROWS.iter().any(|(name, on, _)| *name == option && (on.contains(&"*") || on.contains(&command)))
    };
    let commands = commands();
    let mut missing = Vec::new();
    for (command, options) in &commands {
        missing.extend(
            options.iter().filter(|option| !is_row(command, option)).map(|option| format!("{command} --{option}")),
        );
    }
    assert!(missing.is_empty(), "options without a row in ROWS: {missing:#?}");
    for (option, on, _) in ROWS {
        for command in on.iter().filter(|command| **command != "*") {
            let known = commands.iter().any(|(name, options)| name == command && options.contains(*option));
            assert!(known, "{command} has no --{option}");
        }
    }
}

#[test]
fn options_without_an_effect_are_refused() {
    for (command, options) in commands() {
        for option in options.iter().filter(|option| !applies(&command, option)) {
            let name = format!("--{option}");
            let words = if has_value(option) { vec![name.as_str(), value(option)] } else { vec![name.as_str()] };
            let (code, message) = run(&command, &words);
            let expected = format!("{name} does not apply to 'cmdr {command}'");
            assert!(code == Some(2) && message.contains(&expected), "cmdr {command} {name}: {code:?} {message}");
        }
    }
}

/// A valid value of a global option.
fn value(option: &str) -> &'static str {
    match option {
        "concurrency" => "2",
        "output" => "json",
        _ => "x",
    }
}

#[test]
fn options_have_the_effect_of_their_row() {
    for (option, on, effect) in ROWS {
        let name = format!("--{option}");
        let has_it = |command: &str| on.contains(&command) || (on.contains(&"*") && applies(command, option));
        let commands: Vec<String> =
            commands().into_iter().map(|(command, _)| command).filter(|it| has_it(it)).collect();
        match effect {
            Reported(value, words) => {
                for command in commands {
                    let because = ["--because", "x"];
                    let more = if *option == "override" { &because[..] } else { &[] };
                    let (code, message) = run(&command, &[&[name.as_str(), *value], more].concat());
                    assert!(
                        code == Some(2) && message.contains(words),
                        "cmdr {command} {name} {value}: {code:?} {message}"
                    );
                }
            }
            RefusedInLocal(value) => {
                for command in commands {
                    let because = ["--because", "x"];
                    let more = if *option == "override" { &because[..] } else { &[] };
                    let (code, message) = run(&command, &[&[name.as_str(), *value], more].concat());
                    let words = "not supported in the environment 'local'";
                    assert!(
                        code == Some(2) && message.contains(words) && message.contains(&name),
                        "cmdr {command} {name} {value}: {code:?} {message}"
                    );
                }
            }
            TestedIn(file) => {
                let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
                let is_used = text.contains(&name) || text.contains(&option.replace('-', "_"));
                assert!(is_used || *option == "directory" && text.contains("\"-C\""), "{file} does not use {name}");
            }
        }
    }
}

#[test]
fn builds_are_forgotten_only_where_it_is_requested() {
    let (code, message) = run("build", &["--forget"]);
    assert!(code == Some(0) && message.contains("forgot the builds of catalog"), "{code:?} {message}");
}
