//! The options of the commands for scripts and agents.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Clone, Args)]
pub struct McpOptions {
    /// Also offer tools that change the environment of --env: up, restart
    #[arg(long)]
    pub allow_writes: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DocsOptions {
    /// A page, or a section of it: delivery, projects-yaml#routes; by default all pages are listed
    #[arg(value_name = "TOPIC", conflicts_with = "search")]
    pub topic: Option<String>,
    /// List the sections that contain all these words
    #[arg(long, value_name = "WORDS")]
    pub search: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct SchemaOptions {
    /// The schema: status, query, events, projects; by default all are listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum AgentCommand {
    /// Write a skill file, from which coding agents learn how to use cmdr in this workspace
    Init(AgentInitOptions),
}

#[derive(Debug, Clone, Args)]
pub struct AgentInitOptions {
    /// The folder of skills, below the workspace
    #[arg(long, value_name = "FOLDER", default_value = ".claude/skills", value_hint = ValueHint::DirPath)]
    pub into: PathBuf,
    /// Replace a skill file that was edited
    #[arg(long)]
    pub force: bool,
}
