//! The options of `cmdr procedure`.

use clap::{Args, Subcommand};

use super::OperationOptions;

#[derive(Debug, Clone, Subcommand)]
pub enum ProcedureCommand {
    /// List the procedures in projects.yaml, with their state in the environment
    List,
    /// Show the steps of a procedure, and which are done
    Show {
        /// The name of the procedure
        procedure: String,
    },
    /// Run the steps of a procedure, until it ends, a step fails, or a step waits for a person
    Start(ProcedureStartOptions),
    /// Go on: approve the step that waits, or repeat the one that failed or was interrupted
    Continue(ProcedureResumeOptions),
    /// Undo the steps that were started, the last one first
    Abort(ProcedureAbortOptions),
}

#[derive(Debug, Clone, Args)]
pub struct ProcedureStartOptions {
    /// The name of the procedure
    pub procedure: String,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct ProcedureResumeOptions {
    /// The name of the procedure
    pub procedure: String,
    /// Take over steps that were changed in projects.yaml after the start; those that were started stay
    #[arg(long)]
    pub accept_changes: bool,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct ProcedureAbortOptions {
    /// The name of the procedure
    pub procedure: String,
    /// Use the ways back that projects.yaml has now, instead of those that the steps were started with
    #[arg(long)]
    pub accept_changes: bool,
    #[command(flatten)]
    pub operation: OperationOptions,
}
