//! The commands that operate on what runs: they move its traffic and its work, and deploy nothing new by themselves.

use clap::Subcommand;

use super::{DrainOptions, FillOptions, MaintenanceOptions, ProcedureCommand, TrafficOptions};

/// The commands for operators.
#[derive(Debug, Clone, Subcommand)]
pub enum OperateCommand {
    /// Show which projects are closed, close their routes with a page, and open them
    Maintenance(MaintenanceOptions),
    /// Close the producers of queues, wait until these are empty, and stop what consumes them
    Drain(DrainOptions),
    /// Start drained projects, then open their producers
    Fill(FillOptions),
    /// Run the named steps of maintenance in projects.yaml: close, drain, deploy, check, approve, open
    #[command(subcommand)]
    Procedure(ProcedureCommand),
    /// Show and move the traffic between two versions of projects: rollouts in progress
    Traffic(TrafficOptions),
}

impl OperateCommand {
    /// The name of the command.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Maintenance(_) => "maintenance",
            Self::Drain(_) => "drain",
            Self::Fill(_) => "fill",
            Self::Procedure(_) => "procedure",
            Self::Traffic(_) => "traffic",
        }
    }
}
