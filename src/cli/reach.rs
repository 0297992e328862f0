//! The options of the commands that reach into running containers.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::{LogsOptions, delivery::reason};

/// The commands for running containers.
#[derive(Debug, Clone, Subcommand)]
pub enum ReachCommand {
    /// Print the logs of projects, merged by time
    #[command(
        after_help = "By default the last 200 lines of each container; with --since, --search or --level all that \
                            the node has kept. --follow continues across restarts and rollouts until Ctrl-C."
    )]
    Logs(LogsOptions),
    /// Run a command in a container of a project, and exit with its exit code
    Exec(ExecOptions),
    /// Open a shell in a container of a project, or beside it if its image has no shell
    Shell(ShellOptions),
    /// Open ports of projects on this machine until Ctrl-C
    Forward(ForwardOptions),
    /// Open the URL of a project in the browser
    Open(OpenOptions),
    /// Copy files to or from a container of a project
    Cp(CpOptions),
}

impl ReachCommand {
    /// The name of the command.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Logs(_) => "logs",
            Self::Exec(_) => "exec",
            Self::Shell(_) => "shell",
            Self::Forward(_) => "forward",
            Self::Open(_) => "open",
            Self::Cp(_) => "cp",
        }
    }

    /// Whether the command runs until the user interrupts it.
    pub fn ends_by_interrupt(&self) -> bool {
        match self {
            Self::Logs(options) => options.follow,
            Self::Exec(_) | Self::Shell(_) | Self::Forward(_) => true,
            Self::Open(_) | Self::Cp(_) => false,
        }
    }
}

/// Which container, and why.
#[derive(Debug, Clone, Default, Args)]
pub struct ReachOptions {
    /// The container; by default the main one of the project
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The reason, which the ledger keeps; required where only promotions or pipelines deploy
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct ExecOptions {
    /// The project
    pub project: String,
    /// The command with its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    #[command(flatten)]
    pub reach: ReachOptions,
}

#[derive(Debug, Clone, Args)]
pub struct ShellOptions {
    /// The project
    pub project: String,
    /// Open the shell in a debug container with this image, whether or not the project's image has one
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    #[command(flatten)]
    pub reach: ReachOptions,
}

#[derive(Debug, Clone, Args)]
pub struct CpOptions {
    /// The file or folder to copy: a path, or PROJECT:PATH
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: PathBuf,
    /// Where to copy it to: a path, or PROJECT:PATH
    #[arg(value_name = "TARGET", value_hint = ValueHint::AnyPath)]
    pub target: PathBuf,
    /// The image of the debug container for an image without tar
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    #[command(flatten)]
    pub reach: ReachOptions,
}

#[derive(Debug, Clone, Args)]
pub struct ForwardOptions {
    /// The projects, each with a port or the name of one: db, db:5432, shop:http; by default the first port
    #[arg(required = true, value_name = "PROJECT[:PORT]")]
    pub ports: Vec<String>,
    /// The port on 127.0.0.1; by default the same number; 0: any that is free
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

#[derive(Debug, Clone, Args)]
pub struct OpenOptions {
    /// The project
    pub project: String,
    /// Only print the URL
    #[arg(long)]
    pub print: bool,
}
