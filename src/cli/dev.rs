//! The options of the commands for the inner loop.

use clap::Args;

/// Which projects change, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct DevOptions {
    /// Only these projects; by default all projects with `dev` or `build`
    #[arg(value_name = "PROJECT", conflicts_with = "local")]
    pub projects: Vec<String>,
    /// Run this project as a process of this machine, in place of its pods
    #[arg(long, value_name = "PROJECT", requires = "command")]
    pub local: Option<String>,
    /// With --local: a port of the container, and the port here that receives its traffic: 8080:18080
    #[arg(long = "port", value_name = "CONTAINER[:LOCAL]", requires = "local")]
    pub ports: Vec<String>,
    /// With --local: the command
    #[arg(last = true, value_name = "COMMAND", requires = "local")]
    pub command: Vec<String>,
}
