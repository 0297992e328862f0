//! A command line that cannot be run: what is wrong with it, or the help or the version that it asks for.

use std::process::ExitCode;

use clap::error::ErrorKind as Kind;
use serde_json::json;

use crate::{
    cli::{command_of, describe},
    domain::Problem,
    error::ErrorKind,
    settings, ui,
};

/// Prints the answer to a command line that clap does not accept, as JSON if it asks for that.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    if !settings::wants_json() {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or_default());
    }
    match error.kind() {
        Kind::DisplayHelp | Kind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let description = describe(&command_of(settings::command_line()));
            ui::print(&format!("{}\n", json!(description)));
            ExitCode::SUCCESS
        }
        Kind::DisplayVersion => {
            ui::print(&format!("{}\n", json!({"version": env!("CARGO_PKG_VERSION")})));
            ExitCode::SUCCESS
        }
        _ => {
            ui::print_problems(&[problem(&error.to_string())], false, Some(ErrorKind::Usage as u8));
            ErrorKind::Usage.into()
        }
    }
}

/// The parts of clap's text: the message, what else belongs to it, its tip, and the usage.
fn problem(text: &str) -> Problem {
    let (message, usage) = text.split_once("\n\nUsage: ").unwrap_or((text, ""));
    let mut lines = message.trim_start_matches("error: ").lines().map(str::trim).filter(|line| !line.is_empty());
    let mut problem = Problem::new(lines.next().unwrap_or_default());
    for line in lines {
        match line.strip_prefix("tip: ") {
            Some(tip) => problem.help = Some(tip.to_owned()),
            None => problem.details.push(line.to_owned()),
        }
    }
    if let Some(usage) = usage.lines().next().filter(|usage| !usage.is_empty()) {
        problem.details.push(format!("usage: {usage}"));
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_message_are_kept() {
        let text = "error: unrecognized subcommand 'upp'\n\n  tip: a similar subcommand exists: 'up'\n\nUsage: cmdr [OPTIONS] \
                    <COMMAND>\n\nFor more information, try '--help'.\n";
        let problem = problem(text);
        assert_eq!(problem.message, "unrecognized subcommand 'upp'");
        assert_eq!(problem.help.as_deref(), Some("a similar subcommand exists: 'up'"));
        assert_eq!(problem.details, ["usage: cmdr [OPTIONS] <COMMAND>"]);
    }
}
