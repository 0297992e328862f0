//! The options of `logs`.

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct LogsOptions {
    /// The projects or platform releases; by default all projects
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Print new lines as they are written, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines since this time, or of this last period: 10m, 2h, 2026-01-02, 2026-01-02T15:04:05Z
    #[arg(long, value_name = "DURATION|TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only the last lines of each container
    #[arg(long, value_name = "NUMBER")]
    pub tail: Option<u32>,
    /// Only the newest lines of all containers together; prints how many older ones are left out
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "follow")]
    pub limit: Option<u32>,
    /// Only lines that match this regular expression: 'order=7', '(?i)timeout'
    #[arg(long, value_name = "REGEX")]
    pub search: Option<String>,
    /// Only lines of at least this level, as far as it is recognized; other lines count as info
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub level: Option<LevelOption>,
    /// Only the containers with this name
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Print the logs from before the last restart of each container
    #[arg(long, conflicts_with = "follow")]
    pub previous: bool,
    /// Print lines as they were written: without names, and JSON as it is
    #[arg(long)]
    pub raw: bool,
}

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelOption {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}
