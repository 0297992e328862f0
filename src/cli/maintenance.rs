//! The options of the commands that close and drain projects.

use clap::{Args, Subcommand, ValueEnum};

use super::OperationOptions;

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct MaintenanceOptions {
    #[command(subcommand)]
    pub command: Option<MaintenanceCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum MaintenanceCommand {
    /// Close the routes of projects: clients get a page and status 503, and the pods run on
    On(MaintenanceOnOptions),
    /// Open the routes of closed projects
    Off(MaintenanceOffOptions),
}

#[derive(Debug, Clone, Args)]
pub struct MaintenanceOnOptions {
    /// The projects or bundles; by default all that have a route
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// The expected end, which clients get: 30m, 2h, 2026-12-24T22:00Z; nothing opens the projects by itself
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The text on the page
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct MaintenanceOffOptions {
    /// The projects or bundles; by default all that are closed
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct DrainOptions {
    /// The projects or bundles whose queues are drained
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// How long the queues of a project may take: 90s, 30m, 2h
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub timeout: String,
    /// What happens if the queues are not empty in time
    #[arg(long, value_enum, value_name = "ACTION", default_value = "keep")]
    pub then: ThenOption,
    #[command(flatten)]
    pub operation: OperationOptions,
}

/// What happens at the deadline of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThenOption {
    /// Producers stay closed, and consumers run on
    Keep,
    /// Everything is opened again
    Resume,
    /// The consumers are stopped
    Stop,
}

#[derive(Debug, Clone, Args)]
pub struct FillOptions {
    /// The drained projects or bundles
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    #[command(flatten)]
    pub operation: OperationOptions,
}
