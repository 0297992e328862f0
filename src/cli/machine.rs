//! The commands for this machine: they need no environment, or only look at it.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::{
    AgentCommand, CacheCommand, DocsOptions, DoctorOptions, ExplainOptions, InitOptions, McpOptions, SchemaOptions,
    TrustOptions, UpgradeOptions,
};

/// The commands for this machine.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// Create a workspace: a working projects.yaml, and its schema for editors
    Init(InitOptions),
    /// Show or clean up the cache of charts on this machine
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Let the system and browsers trust the certificates of local clusters
    Trust(TrustOptions),
    /// Check this machine and the environment: Docker, tools, disk, ports, nodes, DNS, certificates
    Doctor(DoctorOptions),
    /// Replace this cmdr by the newest release
    Upgrade(UpgradeOptions),
    /// Print the documentation: a page, a section, or the sections that contain words
    Docs(DocsOptions),
    /// Print the JSON Schema of what a command prints, or list all schemas
    Schema(SchemaOptions),
    /// Help coding agents to work with this workspace
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Serve tools for agents on standard input and output (Model Context Protocol)
    #[command(
        after_help = "Tools: status, describe, logs, explain, doctor, plan, query, docs; with --allow-writes also up and restart, which change only \
                            the environment of --env. docs/agents.md shows how to add the server to a client."
    )]
    Mcp(McpOptions),
    /// Explain a cause of failures by its code, or list all
    Explain(ExplainOptions),
    /// Print the script that completes commands and the names of the workspace in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages, one per command, to a folder
    Man {
        /// The folder; it is created if it does not exist
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

impl MachineCommand {
    /// The name of the command, without the subcommand.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Cache(_) => "cache",
            Self::Trust(_) => "trust",
            Self::Doctor(_) => "doctor",
            Self::Explain(_) => "explain",
            Self::Docs(_) => "docs",
            Self::Upgrade(_) => "upgrade",
            Self::Schema(_) => "schema",
            Self::Agent(_) => "agent",
            Self::Mcp(_) => "mcp",
            Self::Completions { .. } => "completions",
            Self::Man { .. } => "man",
        }
    }
}
