//! The options of the commands that create a workspace or a project.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// What is created. On a terminal, cmdr asks for what is not set.
#[derive(Debug, Clone, Default, Args)]
pub struct NewOptions {
    /// The name of the project: at most 53 lowercase letters, digits and '-'
    pub name: Option<String>,
    /// The template: web, worker, cron, job, store, or one of `templates` in projects.yaml
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// The language: rust, go, python, node
    #[arg(long = "lang", value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// The folder of the project; by default its name, beside projects.yaml
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
    /// Answer a question of the template: schedule="0 4 * * *"
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Do not add the build of the project to .gitlab-ci.yml
    #[arg(long)]
    pub no_pipeline: bool,
}

#[derive(Debug, Clone, Args)]
pub struct InitOptions {
    /// The folder to create the workspace in; by default the current folder
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
    /// The name of the workspace; by default the name of the folder
    #[arg(long)]
    pub name: Option<String>,
}
