//! The verbs that bring changes into staging and production, and those that tell of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What every verb takes that changes an environment other than `local`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options outside the environment local")]
pub struct ChangeOptions {
    /// Wait this long for whoever is at work on the same: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub lock_timeout: String,
    /// Pass this gate: promotion, soak, freeze, hold, scan or verify; needs --because
    #[arg(long = "override", value_name = "GATE", requires = "because")]
    pub overrides: Vec<String>,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub because: Option<String>,
    /// Write the environment's ledger to this file, from which it can be rebuilt
    #[arg(long, value_name = "FILE")]
    pub export_ledger: Option<PathBuf>,
    /// Write what would be done to this file, and do nothing
    #[arg(long, value_name = "FILE", conflicts_with = "use_plan")]
    pub plan_file: Option<PathBuf>,
    /// Do exactly what --plan-file wrote, or refuse
    #[arg(long, value_name = "FILE")]
    pub use_plan: Option<PathBuf>,
}

impl ChangeOptions {
    /// The options that were given and mean nothing in the environment `local`.
    pub fn given(&self) -> Vec<&'static str> {
        let given = [
            (!self.overrides.is_empty(), "--override"),
            (self.because.is_some(), "--because"),
            (self.export_ledger.is_some(), "--export-ledger"),
            (self.plan_file.is_some(), "--plan-file"),
            (self.use_plan.is_some(), "--use-plan"),
        ];
        given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, name)| name).collect()
    }
}

#[derive(Debug, Clone, Args)]
pub struct DeployOptions {
    /// The projects or bundles; with a tag: shop=1.4.2
    #[arg(required = true, value_name = "PROJECT[=TAG]")]
    pub projects: Vec<String>,
    /// The tag of every project that names none
    #[arg(long)]
    pub tag: Option<String>,
    /// The version that people know it by, where it is not the tag
    #[arg(long, value_name = "VERSION")]
    pub app_version: Option<String>,
    /// Another version of the project's own chart
    #[arg(long, value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Set a Helm value of the projects, as env.LOG_LEVEL=debug
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Clone, Args)]
pub struct PromoteOptions {
    /// The projects or bundles; all when none is named
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// The environment to bring them to, or a pattern: 'production-*'
    #[arg(long, value_name = "ENVIRONMENT")]
    pub to: String,
    /// This record of the source, instead of the newest eligible one
    #[arg(long, value_name = "RECORD", requires = "projects")]
    pub record: Option<String>,
    /// Start the pipeline's job that promotes, and follow it, instead of writing from here
    #[arg(long, value_enum, value_name = "WHERE",
          conflicts_with_all = ["lock_timeout", "overrides", "export_ledger", "plan_file", "use_plan"])]
    pub via: Option<Via>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Who does the work instead of this machine: the manual job of a pipeline of GitLab's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    Gitlab,
}

#[derive(Debug, Clone, Args)]
pub struct RollbackOptions {
    /// The projects or bundles
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// The record to go back to; the one before what runs when none is named
    #[arg(long, value_name = "RECORD")]
    pub record: Option<String>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Clone, Args)]
pub struct HistoryOptions {
    /// The projects; all when none is named
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct DiffOptions {
    /// The environment that is ahead
    #[arg(value_name = "ENVIRONMENT")]
    pub from: String,
    /// The environment that follows
    #[arg(value_name = "ENVIRONMENT")]
    pub to: String,
    /// End with 3 when something differs
    #[arg(long)]
    pub exit_code: bool,
}

#[derive(Debug, Clone, Args)]
pub struct HoldOptions {
    /// The projects or bundles
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Why; it is told to whoever is refused
    #[arg(long, value_name = "TEXT")]
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
    /// Write the UID of the cluster that an environment's context leads to into projects.yaml
    Pin {
        /// The environment
        environment: String,
    },
}
