//! The options of `run` and `runs`.

use clap::Args;

use super::OperationOptions;

#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// The project: a Job or CronJob
    pub project: String,
    /// Set a Helm value of this run only: env.DATE=2026-01-02
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The CPU to request: 500m, 2
    #[arg(long, value_name = "QUANTITY")]
    pub cpu: Option<String>,
    /// The memory to request, which is also the limit: 512Mi, 2Gi
    #[arg(long, value_name = "QUANTITY")]
    pub memory: Option<String>,
    /// End the run after this time: 90s, 30m, 2h; by default as the project's `deadline`
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Run this many parts; each has its number, from 0, in JOB_COMPLETION_INDEX
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub array: Option<u32>,
    /// How many parts run at once; by default all
    #[arg(long, value_name = "NUMBER", requires = "array", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: Option<u32>,
    /// Exit as soon as the run has been created
    #[arg(long)]
    pub detach: bool,
    /// The arguments of the container, instead of those of the project
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct RunsOptions {
    /// Only the runs of this project
    pub project: Option<String>,
}
