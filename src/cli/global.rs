//! The options of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// Search for projects.yaml in this folder and its parents
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// The environment, as named in projects.yaml
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "local", global = true)]
    pub environments: Vec<String>,
    /// The branch of a review environment; by default that of the pipeline
    #[arg(long, value_name = "SLUG", global = true)]
    pub slug: Option<String>,
    /// The copy of the local environment; without a name, the one of the branch that is checked out. The variable
    /// CMDR_COPY sets it for all commands
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", global = true)]
    pub copy: Option<String>,
    /// Output format: text, or JSON; a run prints one event per line
    #[arg(short, long, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    pub output: OutputOption,
    /// Show what would be done, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to all prompts
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Print only errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show each step and what it is waiting for; -vv also shows each external command and request
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Color output: auto (on a terminal and in GitLab, unless NO_COLOR is set), always, never
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub color: Color,
    /// The number of Helm processes to run at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub concurrency: u16,
    #[command(flatten)]
    pub reports: ReportOptions,
}

/// Report files about a run. Commands that run no plan write none.
#[derive(Debug, Clone, Default, Args)]
pub struct ReportOptions {
    /// Write a JUnit XML report to this file, with one test case per step
    #[arg(long, value_name = "FILE", global = true)]
    pub junit: Option<PathBuf>,
    /// Write the URLs to this file as the variables ENVIRONMENT_URL and CMDR_URL_<PROJECT>
    #[arg(long, value_name = "FILE", global = true)]
    pub dotenv: Option<PathBuf>,
    /// Write an HTML timeline of the run to this file: steps, critical path, processor usage
    #[arg(long, value_name = "FILE", global = true)]
    pub timeline: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputOption {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}
