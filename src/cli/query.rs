//! The options of `query`.

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct QueryOptions {
    /// images, exposed, differs, unpinned, restarts, events, resources; or a kind of objects: pods, deploy, HTTPRoute
    #[arg(value_name = "QUESTION")]
    pub question: Option<String>,
    /// Only rows whose name contains this text; for images: the name of the image
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Only objects, or rows of a question, for which this CEL expression is true: "status.phase == 'Pending'"
    #[arg(long, value_name = "EXPRESSION")]
    pub expr: Option<String>,
    /// Query every environment of projects.yaml; --env can also be repeated
    #[arg(long)]
    pub all_environments: bool,
    /// Show the rows, then each change, until the command is interrupted
    #[arg(long)]
    pub watch: bool,
}
