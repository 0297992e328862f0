//! Which commands use which global options. An option that a command would ignore is an error instead.

use clap::{ArgMatches, Command, CommandFactory, error::ErrorKind, parser::ValueSource};

use super::Cli;

/// The commands that run Helm releases.
const RELEASES: &[&str] = &[
    "deploy",
    "down",
    "procedure abort",
    "procedure continue",
    "procedure start",
    "promote",
    "rollback",
    "start",
    "status",
    "traffic",
    "up",
];
/// The commands that run a plan, which the report files describe.
const RUNS: &[&str] = &[
    "build",
    "deploy",
    "down",
    "drain",
    "fill",
    "harden",
    "maintenance off",
    "maintenance on",
    "procedure abort",
    "procedure continue",
    "procedure start",
    "promote",
    "restart",
    "rollback",
    "run",
    "snapshot restore",
    "snapshot save",
    "start",
    "status",
    "stop",
    "traffic",
    "up",
    "wait",
];
/// The commands that work on several environments at once.
const SEVERAL_ENVIRONMENTS: &[&str] = &["query"];
/// The options for files that describe a run.
const FILES_OF_RUNS: [&str; 3] = ["dotenv", "junit", "timeline"];
/// The commands that work without an environment, or name theirs in another way.
const WITHOUT_ENVIRONMENT: &[&str] = &[
    "agent init",
    "cache dir",
    "cache prune",
    "cache size",
    "completions",
    "diff",
    "docs",
    "env pin",
    "explain",
    "init",
    "man",
    "new",
    "promote",
    "schema",
    "trust",
    "upgrade",
];
const WITHOUT_REVIEW: &[&str] = &[
    "agent init",
    "cache dir",
    "cache prune",
    "cache size",
    "completions",
    "docs",
    "env pin",
    "explain",
    "init",
    "man",
    "mcp",
    "new",
    "promote",
    "schema",
    "trust",
    "upgrade",
];
/// The commands that work on the whole local cluster, on other environments, or without an environment.
const WITHOUT_COPY: &[&str] = &[
    "agent init",
    "cache dir",
    "cache prune",
    "cache size",
    "completions",
    "copies",
    "deploy",
    "diff",
    "docs",
    "doctor",
    "env pin",
    "explain",
    "history",
    "hold",
    "identity",
    "init",
    "man",
    "mcp",
    "new",
    "procedure abort",
    "procedure continue",
    "procedure start",
    "promote",
    "rollback",
    "schema",
    "snapshot delete",
    "snapshot list",
    "snapshot restore",
    "snapshot save",
    "stop",
    "traffic",
    "trust",
    "unhold",
    "upgrade",
];
/// The commands that print something else than events or data.
const ONLY_TEXT: &[&str] = &["completions", "cp", "exec", "mcp", "open", "shell"];
/// The commands that change nothing anyway, or do only what the user does in a container.
const ONLY_READ: &[&str] = &[
    "cache dir",
    "cache size",
    "completions",
    "cp",
    "diff",
    "docs",
    "exec",
    "explain",
    "forward",
    "history",
    "identity",
    "logs",
    "maintenance",
    "mcp",
    "open",
    "plan",
    "procedure list",
    "procedure show",
    "query",
    "render",
    "runs",
    "schema",
    "secret show",
    "shell",
    "snapshot list",
    "top",
    "wait",
];

/// The commands of a [`OptionRule`].
#[derive(Debug, Clone, Copy)]
enum Commands {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// A global option that not every command uses.
struct OptionRule {
    option: &'static str,
    commands: Commands,
}

/// All global options that not every command uses. The others change what any command prints, asks or reads.
const RULES: &[OptionRule] = &[
    OptionRule { option: "env", commands: Commands::AllBut(WITHOUT_ENVIRONMENT) },
    OptionRule { option: "slug", commands: Commands::AllBut(WITHOUT_REVIEW) },
    OptionRule { option: "copy", commands: Commands::AllBut(WITHOUT_COPY) },
    OptionRule { option: "output", commands: Commands::AllBut(ONLY_TEXT) },
    OptionRule { option: "dry-run", commands: Commands::AllBut(ONLY_READ) },
    OptionRule { option: "concurrency", commands: Commands::Only(RELEASES) },
    OptionRule { option: "junit", commands: Commands::Only(RUNS) },
    OptionRule { option: "dotenv", commands: Commands::Only(RUNS) },
    OptionRule { option: "timeline", commands: Commands::Only(RUNS) },
];

/// Whether a command, such as `snapshot save`, uses a global option, such as `env`.
pub fn applies(command: &str, option: &str) -> bool {
    RULES.iter().find(|rule| rule.option == option).is_none_or(|rule| match rule.commands {
        Commands::Only(commands) => commands.contains(&command),
        Commands::AllBut(commands) => !commands.contains(&command),
    })
}

/// # Errors
/// Returns an error for the first option on the command line that its command does not use.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut root = Cli::command();
    root.build();
    let (mut path, mut command, mut matches) = (Vec::new(), &root, matches);
    // A global option may come before or after its command.
    let mut given = given_at(command, matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        path.push(name.to_owned());
        (command, matches) = (found, below);
        given.extend(given_at(command, matches));
    }
    let path = path.join(" ");
    let wrong = |message: String| Err(root.clone().error(ErrorKind::ArgumentConflict, message));
    if let Some(option) = given.iter().find(|option| !applies(&path, option)) {
        return wrong(format!("--{option} does not apply to 'cmdr {path}'"));
    }
    let environments = matches.get_many::<String>("environments").map_or(0, Iterator::count);
    if environments > 1 && !SEVERAL_ENVIRONMENTS.contains(&path.as_str()) {
        return wrong(format!("'cmdr {path}' works on one environment: use --env only once"));
    }
    let of_run = given.iter().find(|option| FILES_OF_RUNS.contains(&option.as_str()));
    match of_run.filter(|_| given.iter().any(|option| option == "dry-run")) {
        Some(option) => wrong(format!("--{option} describes a run, and --dry-run runs nothing")),
        None => Ok(()),
    }
}

/// The names of the options that were given at one level of the command line.
fn given_at(command: &Command, matches: &ArgMatches) -> Vec<String> {
    let is_given =
        |id: &str| matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine);
    let given = command.get_arguments().filter(|argument| is_given(argument.get_id().as_str()));
    given.filter_map(|argument| argument.get_long()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(words: &[&str]) -> Option<String> {
        let matches = Cli::command().try_get_matches_from(words).unwrap();
        check(&matches).err().map(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn options_without_an_effect_are_refused() {
        let wrong = |words: &[&str]| refusal(words).unwrap();
        assert_eq!(wrong(&["cmdr", "history", "--junit", "x"]), "error: --junit does not apply to 'cmdr history'");
        assert_eq!(
            wrong(&["cmdr", "--env", "x", "env", "pin", "staging"]),
            "error: --env does not apply to 'cmdr env pin'"
        );
        assert_eq!(refusal(&["cmdr", "up", "--junit", "x", "--env", "staging", "--slug", "a"]), None);
        assert_eq!(refusal(&["cmdr", "snapshot", "save", "a", "--dry-run"]), None);
        assert_eq!(
            wrong(&["cmdr", "status", "--env", "a", "--env", "b"]),
            "error: 'cmdr status' works on one environment: use --env only once"
        );
        assert_eq!(refusal(&["cmdr", "query", "images", "--env", "a", "--env", "b"]), None);
        assert_eq!(
            wrong(&["cmdr", "up", "--junit", "x", "--dry-run"]),
            "error: --junit describes a run, and --dry-run runs nothing"
        );
    }

    #[test]
    fn the_rules_name_commands_and_options_that_exist() {
        let mut root = Cli::command();
        root.build();
        let paths: Vec<String> = root
            .get_subcommands()
            .flat_map(|verb| {
                let below = verb.get_subcommands().map(|sub| format!("{} {}", verb.get_name(), sub.get_name()));
                below.chain([verb.get_name().to_owned()]).collect::<Vec<_>>()
            })
            .collect();
        for rule in RULES {
            assert!(root.get_arguments().any(|argument| argument.get_long() == Some(rule.option)), "{}", rule.option);
            let (Commands::Only(commands) | Commands::AllBut(commands)) = rule.commands;
            for command in commands {
                assert!(paths.iter().any(|path| path == command), "{command}");
            }
        }
    }
}
