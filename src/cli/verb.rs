//! The names of the commands.

use super::{Cli, Command, MachineCommand};

impl Cli {
    /// The name of the command, without the subcommand.
    pub fn verb(&self) -> &'static str {
        match &self.command {
            Command::Up(_) => "up",
            Command::Build(_) => "build",
            Command::Dev(_) => "dev",
            Command::Copies(_) => "copies",
            Command::Down(_) => "down",
            Command::Stop(_) => "stop",
            Command::Start => "start",
            Command::Snapshot(_) => "snapshot",
            Command::Status(_) => "status",
            Command::Wait(_) => "wait",
            Command::Top(_) => "top",
            Command::Reach(command) => command.verb(),
            Command::Plan(_) => "plan",
            Command::Query(_) => "query",
            Command::Render(_) => "render",
            Command::Harden(_) => "harden",
            Command::Run(_) => "run",
            Command::Runs(_) => "runs",
            Command::Restart(_) => "restart",
            Command::Deploy(_) => "deploy",
            Command::Promote(_) => "promote",
            Command::Rollback(_) => "rollback",
            Command::Operate(command) => command.verb(),
            Command::History(_) => "history",
            Command::Diff(_) => "diff",
            Command::Hold(_) => "hold",
            Command::Identity(_) => "identity",
            Command::Unhold(_) => "unhold",
            Command::Secret(_) => "secret",
            Command::Env(_) => "env",
            Command::New(_) => "new",
            Command::Machine(command) => command.verb(),
        }
    }

    /// Whether the command works on one copy of the local environment, if `CMDR_COPY` names one; others work on all.
    pub fn works_on_copies(&self) -> bool {
        !matches!(
            &self.command,
            Command::Copies(_) | Command::Machine(MachineCommand::Doctor(_)) | Command::Snapshot(_) | Command::Stop(_)
        )
    }

    /// Whether the command has no steps that an interrupt would have to wait for: it usually ends that way.
    pub fn ends_by_interrupt(&self) -> bool {
        match &self.command {
            Command::Reach(command) => command.ends_by_interrupt(),
            Command::Status(options) => options.watch,
            Command::Top(options) => options.watch,
            Command::Wait(_) | Command::Dev(_) | Command::Query(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn every_command_has_its_name() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            // What a command requires differs; those that require nothing show whether the list is complete.
            if let Ok(cli) = Cli::try_parse_from(["cmdr", name]) {
                assert_eq!(cli.verb(), name);
            }
        }
    }
}
