//! The options of `wait` and `top`.

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct WaitOptions {
    /// The projects; by default all that are not optional
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value_t, value_name = "STATE")]
    pub state: WaitState,
    /// How long to wait: 90s, 30m, 2h
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub timeout: String,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WaitState {
    /// All pods of the project are ready, and its Jobs have succeeded
    #[default]
    Ready,
    /// The Jobs of the project have succeeded
    Done,
    /// The project is ready, and its URLs respond
    Url,
}

#[derive(Debug, Clone, Args)]
pub struct TopOptions {
    /// Only these projects
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Show each pod
    #[arg(long)]
    pub pods: bool,
    /// Show the usage again every 5 seconds until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}
