//! What can be written on the command line. The doc comments are the help.

mod delivery;

pub use delivery::{
    ChangeOptions, DeployOptions, DiffOptions, EnvCommand, HistoryOptions, HoldOptions, PromoteOptions,
    RollbackOptions, UnholdOptions, Via,
};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Brings a whole platform up on a laptop, and takes the same manifests to staging and production.
#[derive(Debug, Parser)]
#[command(name = "cmdr", version, about, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 differs (--exit-code), 10 refused, \
                        11 locked by somebody else, 12 failed and rolled back, 13 failed and not rolled back, 14 not \
                        the cluster that was meant, 75 try again, 130 interrupted.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: GlobalOptions,
}

/// The same everywhere.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
#[command(next_help_heading = "Options everywhere")]
pub struct GlobalOptions {
    /// Look for projects.yaml in this folder and above it
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The environment, as projects.yaml names it
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "local", global = true)]
    pub environment: String,
    /// Which copy of a review environment; the branch of the pipeline unless given
    #[arg(long, value_name = "SLUG", global = true)]
    pub slug: Option<String>,
    /// How to tell what happens: text, or JSON with one event a line
    #[arg(short, long, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    pub output: Output,
    /// Show what would be done, and do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to every question about what can be undone
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Tell only failures and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell more: every step and what it waits for
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Colours: auto (on a terminal and in GitLab, unless NO_COLOR is set), always, never
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub color: Color,
    /// How many of Helm's processes run at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub concurrency: u16,
    #[command(flatten)]
    pub reports: ReportOptions,
}

/// Files that tell how a run ended. Verbs that run nothing write none.
#[derive(Debug, Clone, Default, Args)]
pub struct ReportOptions {
    /// Write each step of the run as a test to this file, as JUnit XML
    #[arg(long, value_name = "FILE", global = true)]
    pub junit: Option<PathBuf>,
    /// Write the URLs to this file, as ENVIRONMENT_URL and CMDR_URL_<PROJECT>
    #[arg(long, value_name = "FILE", global = true)]
    pub dotenv: Option<PathBuf>,
    /// Write where the time went to this file, as a page for a browser: steps, critical path, processors
    #[arg(long, value_name = "FILE", global = true)]
    pub timeline: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make everything as projects.yaml describes it: cluster, platform, projects
    Up(UpOptions),
    /// Build the images of projects from their folders, for the local environment
    Build(BuildOptions),
    /// Delete the local cluster and everything in it
    Down(DownOptions),
    /// Let the local cluster sleep; everything on it stays
    Stop(StopOptions),
    /// Wake the local cluster
    Start,
    /// Keep the local cluster as it is, databases included, and bring it back
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Show each project: what is wanted, what runs, its health and its URL
    Status(StatusOptions),
    /// Show what `up` would do, and why
    Plan(PlanOptions),
    /// Print the manifests of a project
    Render(RenderOptions),
    /// Give projects a fresh rollout of the same content
    Restart(RestartOptions),
    /// Bring new builds or a changed configuration of projects into an environment
    Deploy(DeployOptions),
    /// Bring what has proven itself in one environment into the next
    Promote(PromoteOptions),
    /// Bring an earlier record back, and hold it
    Rollback(RollbackOptions),
    /// Show who deployed what, when, and from where
    History(HistoryOptions),
    /// Show what differs between two environments
    Diff(DiffOptions),
    /// Set a stop sign: nothing is deployed until `unhold`
    Hold(HoldOptions),
    /// Take stop signs away
    Unhold(UnholdOptions),
    /// Look after environments
    #[command(subcommand)]
    Env(EnvCommand),
    /// Begin a workspace: write a projects.yaml that works, and its schema for editors
    Init(InitOptions),
    /// Check this machine: Docker, memory, disk, ports, limits, resolver, tools
    Doctor,
    /// Print what a shell needs to complete cmdr's command lines
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct UpOptions {
    /// These projects, and what they need; all when none is named
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Leave this project out; those that need it start without waiting for it
    #[arg(long, value_name = "PROJECT")]
    pub without: Vec<String>,
    /// Set a Helm value of the projects that are named, as env.LOG_LEVEL=debug
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "projects")]
    pub set: Vec<String>,
    /// Build first: the projects that are named, or all that have a build
    #[arg(long)]
    pub build: bool,
    /// Delete the local cluster first, with everything in it
    #[arg(long)]
    pub recreate: bool,
    /// Take over releases and objects that somebody else made
    #[arg(long)]
    pub adopt: bool,
    /// Look up again what tags stand for: one that leads to another image now is deployed
    #[arg(long)]
    pub refresh: bool,
    /// Put right what others have changed by hand; in the environment local this is done anyway
    #[arg(long)]
    pub repair: bool,
    /// Rebuild the environment from what --export-ledger wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["projects", "without", "set"])]
    pub from_ledger: Option<PathBuf>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Clone, Args)]
pub struct BuildOptions {
    /// These projects; all that have a build when none is named
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Build nothing: forget the last builds, so that `up` takes the images that projects.yaml names
    #[arg(long)]
    pub forget: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DownOptions {
    /// Remove the registry of this machine, its caches and the images of clusters that are gone, too
    #[arg(long)]
    pub registry: bool,
}

#[derive(Debug, Clone, Args)]
pub struct StopOptions {
    /// Pause it in memory instead: it wakes within a second
    #[arg(long)]
    pub warm: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotCommand {
    /// Keep the cluster under a name; one that runs is stopped for it, and runs again
    Save {
        /// Lower-case letters, digits and '-'
        name: String,
    },
    /// Put a snapshot in the place of the cluster; what is in the cluster now is given up
    Restore {
        /// The snapshot's name
        name: String,
    },
    /// Show the snapshots of this workspace
    List,
    /// Remove a snapshot
    Delete {
        /// The snapshot's name
        name: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct StatusOptions {
    /// Remove releases whose projects are gone from projects.yaml; their volumes stay
    #[arg(long)]
    pub prune: bool,
    /// End with 3 when something differs from projects.yaml or is not healthy
    #[arg(long)]
    pub exit_code: bool,
}

#[derive(Debug, Clone, Args)]
pub struct PlanOptions {
    #[command(flatten)]
    pub up: UpOptions,
    /// End with 3 when there is something to do
    #[arg(long)]
    pub exit_code: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RenderOptions {
    /// The project, or a release of the platform
    pub project: String,
    /// Print the merged Helm values instead
    #[arg(long)]
    pub values: bool,
    /// Set a Helm value, as env.LOG_LEVEL=debug
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RestartOptions {
    /// The projects
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct InitOptions {
    /// The folder to write to; the current one when none is named
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// The workspace's name; the folder's when none is given
    #[arg(long)]
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
