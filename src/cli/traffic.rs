//! The options of `cmdr traffic`.

use clap::Args;

use super::OperationOptions;

#[derive(Debug, Clone, Args)]
pub struct TrafficOptions {
    /// The projects, all by default; and `continue`, `promote` or `abort`, before or after them: shows them by default
    #[arg(value_name = "PROJECT|ACTION")]
    pub projects: Vec<String>,
    /// With promote: pass only the current step, and end
    #[arg(long)]
    pub step: bool,
    /// Give the new version this share of the requests, and stay there until it is promoted: 25%
    #[arg(long, value_name = "SHARE", conflicts_with = "step")]
    pub weight: Option<String>,
    /// Do only what is due: the next `cmdr traffic continue` goes on
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub operation: OperationOptions,
}
