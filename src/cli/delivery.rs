//! The commands that change staging and production, and those that report on them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The ledger keeps reasons, so that an empty one is of no use.
pub(super) fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a reason is required".to_owned()) } else { Ok(text.to_owned()) }
}

/// Options of every command that changes an environment other than `local`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for remote environments")]
pub struct ChangeOptions {
    /// How long to wait for the lock if another run holds it: 30s, 5m; default: 0s
    #[arg(long, value_name = "DURATION")]
    pub lock_timeout: Option<String>,
    /// Override this gate: promotion, soak, combination, freeze, hold, scan, verify or outdated; requires --because
    #[arg(long = "override", value_name = "GATE", requires = "because")]
    pub overrides: Vec<String>,
    /// The reason for the change; it is recorded in the ledger
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: Option<String>,
    /// Write the environment's ledger to this file; `up --from-ledger` rebuilds the environment from it
    #[arg(long, value_name = "FILE")]
    pub export_ledger: Option<PathBuf>,
    /// Write the plan to this file, and change nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["use_plan", "lock_timeout", "export_ledger"])]
    pub plan_file: Option<PathBuf>,
    /// Apply exactly the plan that --plan-file wrote; refuse if anything differs
    #[arg(long, value_name = "FILE")]
    pub use_plan: Option<PathBuf>,
}

/// Options of commands that change an environment other than `local` without a new record.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for remote environments")]
pub struct OperationOptions {
    /// How long to wait for the lock if another run holds it: 30s, 5m; default: 0s
    #[arg(long, value_name = "DURATION")]
    pub lock_timeout: Option<String>,
    /// Override this gate: freeze, hold, or outdated (only with status --prune); requires --because
    #[arg(long = "override", value_name = "GATE", requires = "because")]
    pub overrides: Vec<String>,
    /// The reason for the operation; it is recorded in the ledger
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct DeployOptions {
    /// The projects or bundles, optionally with a tag: shop=1.4.2
    #[arg(required = true, value_name = "PROJECT[=TAG]")]
    pub projects: Vec<String>,
    /// The tag of every project that is named without one
    #[arg(long)]
    pub tag: Option<String>,
    /// The application version to show, if it is not the tag; for projects without a chart of their own
    #[arg(long, value_name = "VERSION")]
    pub app_version: Option<String>,
    /// Use this version of the project's own chart, which is in a repository or registry
    #[arg(long, value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Set a Helm value of the projects: env.LOG_LEVEL=debug
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Start rollouts, and do not wait for their steps: `cmdr traffic continue` goes on
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Clone, Args)]
pub struct PromoteOptions {
    /// The projects or bundles, or a version of a bundle: shop@1a2b3c; all projects by default
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// The target environment, or a pattern: 'production-*'
    #[arg(long, value_name = "ENVIRONMENT")]
    pub to: String,
    /// Promote this record of the source environment instead of the newest eligible one
    #[arg(long, value_name = "RECORD", requires = "projects")]
    pub record: Option<String>,
    /// Promote this set of records that ran side by side: see cmdr history --sets
    #[arg(long, value_name = "SET", conflicts_with = "record")]
    pub set: Option<String>,
    /// Start rollouts, and do not wait for their steps: `cmdr traffic continue` goes on
    #[arg(long)]
    pub detach: bool,
    /// How many targets of a pattern are promoted to side by side; default: 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub parallel: Option<u8>,
    /// Start and follow the promotion job of the pipeline instead of deploying from this machine
    #[arg(long, value_enum, value_name = "WHERE",
          conflicts_with_all = ["lock_timeout", "overrides", "export_ledger", "plan_file", "use_plan", "set", "parallel",
                               "detach"])]
    pub via: Option<Via>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// What performs the promotion instead of this machine: the manual job of a GitLab pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    Gitlab,
}

#[derive(Debug, Clone, Args)]
pub struct RollbackOptions {
    /// The projects or bundles, or a version of a bundle: shop@1a2b3c
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// The record to roll back to; by default the one before the current record
    #[arg(long, value_name = "RECORD")]
    pub record: Option<String>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Clone, Args)]
pub struct HistoryOptions {
    /// The projects; all by default
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Show the sets: which records ran side by side, healthy, and for how long
    #[arg(long)]
    pub sets: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DiffOptions {
    /// The environment with the newer versions, such as staging
    #[arg(value_name = "ENVIRONMENT")]
    pub from: String,
    /// The environment to compare with, such as production
    #[arg(value_name = "ENVIRONMENT")]
    pub to: String,
    /// Compare only these projects or bundles; shop@1a2b3c: that version of the first environment; all by default
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Exit with code 3 if anything differs
    #[arg(long)]
    pub exit_code: bool,
}

#[derive(Debug, Clone, Args)]
pub struct HoldOptions {
    /// The projects or bundles
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// The reason; it is shown when a deployment is blocked
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: String,
}

#[derive(Debug, Clone, Args)]
pub struct UnholdOptions {
    /// The projects or bundles
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum EnvCommand {
    /// Pin an environment to its cluster: write the UID of the context's cluster to projects.yaml
    Pin {
        /// The environment
        // Not the ID of the global option `--env`, whose value it would be otherwise.
        #[arg(id = "pinned", value_name = "ENVIRONMENT")]
        environment: String,
    },
}
