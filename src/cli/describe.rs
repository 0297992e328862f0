//! The command line as data: what `--help --output json` prints.

use clap::{Arg, Command, CommandFactory};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Cli, applies};

/// A command with its arguments and the commands below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CommandDescription {
    /// The whole command: `cmdr snapshot save`.
    pub command: String,
    pub about: String,
    /// `cmdr query [OPTIONS] <QUESTION>`.
    pub usage: String,
    /// What the help says below the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    pub arguments: Vec<ArgumentDescription>,
    /// The options of `cmdr` itself that this command also takes: `--env`.
    pub global_options: Vec<String>,
    pub commands: Vec<CommandDescription>,
}

/// An option, or a value without a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ArgumentDescription {
    /// `--env`, or the name of the value: `PROJECT`.
    pub name: String,
    /// `-o`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
    /// What the value is: `FILE`; absent for an option without a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub about: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The only values that are allowed; empty if all are.
    pub allowed: Vec<String>,
    pub is_required: bool,
    pub is_repeatable: bool,
}

/// Describes the command that `words` name, such as `["snapshot", "save"]`, with all commands below it.
pub fn describe(words: &[String]) -> CommandDescription {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut path = vec!["cmdr".to_owned()];
    for word in words {
        let Some(below) = command.find_subcommand(word) else { break };
        path.push(below.get_name().to_owned());
        command = below;
    }
    described(command, &path)
}

/// The command on a command line that asks for help, whatever its options are.
pub fn command_of(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Vec<String> {
    let lenient = Cli::command().ignore_errors(true).disable_help_flag(true).disable_version_flag(true);
    let Ok(matches) = lenient.try_get_matches_from(arguments) else { return Vec::new() };
    let (mut words, mut at) = (Vec::new(), &matches);
    while let Some((name, below)) = at.subcommand() {
        words.push(name.to_owned());
        at = below;
    }
    words
}

fn described(command: &Command, path: &[String]) -> CommandDescription {
    let name = path[1..].join(" ");
    let is_root = path.len() == 1;
    let shown = |argument: &&Arg| !matches!(argument.get_id().as_str(), "help" | "version");
    let own = command.get_arguments().filter(shown).filter(|argument| is_root || !argument.is_global_set());
    let global = command.get_arguments().filter(|argument| !is_root && argument.is_global_set());
    let global = global.filter_map(Arg::get_long).filter(|option| applies(&name, option));
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    CommandDescription {
        command: path.join(" "),
        about: command.get_about().map(ToString::to_string).unwrap_or_default(),
        usage: command.clone().render_usage().to_string().trim_start_matches("Usage: ").to_owned(),
        notes: command.get_after_help().map(ToString::to_string),
        arguments: own.map(argument).collect(),
        global_options: global.map(|option| format!("--{option}")).collect(),
        commands: below.map(|below| described(below, &[path, &[below.get_name().to_owned()]].concat())).collect(),
    }
}

fn argument(argument: &Arg) -> ArgumentDescription {
    let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let takes_value = argument.get_action().takes_values();
    let value = value.unwrap_or_else(|| argument.get_id().as_str().to_uppercase());
    let option = argument.get_long().map(|long| format!("--{long}"));
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let allowed = argument.get_possible_values();
    let repeats = argument.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(argument.get_action(), clap::ArgAction::Append | clap::ArgAction::Count);
    ArgumentDescription {
        name: option.unwrap_or_else(|| value.clone()),
        short: argument.get_short().map(|short| format!("-{short}")),
        value: takes_value.then_some(value),
        about: argument.get_help().map(ToString::to_string).unwrap_or_default(),
        default: (takes_value && !defaults.is_empty()).then(|| defaults.join(" ")),
        allowed: if takes_value {
            allowed.iter().map(|value| value.get_name().to_owned()).collect()
        } else {
            Vec::new()
        },
        is_required: argument.is_required_set(),
        is_repeatable: repeats,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        command_of(text.split(' ').map(std::ffi::OsString::from))
    }

    #[test]
    fn the_command_is_found_whatever_its_options_are() {
        assert_eq!(words("cmdr --help --output json"), Vec::<String>::new());
        assert_eq!(words("cmdr --env staging snapshot save --help -o json"), ["snapshot", "save"]);
        assert_eq!(words("cmdr query --nope --help"), ["query"]);
    }

    #[test]
    fn a_command_is_described_with_its_arguments() {
        let save = describe(&["snapshot".to_owned(), "save".to_owned()]);
        assert_eq!((save.command.as_str(), save.arguments[0].name.as_str()), ("cmdr snapshot save", "NAME"));
        assert!(save.arguments[0].is_required && save.global_options.contains(&"--env".to_owned()));
        assert!(!describe(&["init".to_owned()]).global_options.contains(&"--env".to_owned()));
        let all = describe(&[]);
        let output = all.arguments.iter().find(|argument| argument.name == "--output").unwrap();
        assert_eq!((output.short.as_deref(), output.default.as_deref()), (Some("-o"), Some("text")));
        assert_eq!(output.allowed, ["text", "json"]);
        let up = all.commands.iter().find(|command| command.command == "cmdr up").unwrap();
        assert!(up.arguments.iter().any(|argument| argument.name == "PROJECT" && argument.is_repeatable));
    }
}
