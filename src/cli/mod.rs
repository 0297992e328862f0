//! The command line. The doc comments are the help texts.

mod applies;
mod delivery;
mod run;

use delivery::reason;

pub use applies::applies;

pub use delivery::{
    ChangeOptions, DeployOptions, DiffOptions, EnvCommand, HistoryOptions, HoldOptions, OperationOptions,
    PromoteOptions, RollbackOptions, UnholdOptions, Via,
};

pub use run::{RunOptions, RunsOptions};

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

/// Run a whole platform on a laptop, and deploy the same manifests to staging and production.
#[derive(Debug, Parser)]
#[command(name = "cmdr", version, about, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 usage or configuration error, 3 differences found \
                        (--exit-code), 10 refused, 11 locked by another run, 12 failed and rolled back, 13 failed and \
                        not rolled back, 14 wrong cluster, 75 temporary failure: try again, 130 interrupted.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: GlobalOptions,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// Search for projects.yaml in this folder and its parents
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// The environment, as named in projects.yaml
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "local", global = true)]
    pub environment: String,
    /// The branch of a review environment; by default that of the pipeline
    #[arg(long, value_name = "SLUG", global = true)]
    pub slug: Option<String>,
    /// Output format: text, or JSON Lines with one event per line
    #[arg(short, long, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    pub output: OutputOption,
    /// Show what would be done, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to all prompts
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Print only errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show each step and what it is waiting for; -vv also shows each external command and request
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Color output: auto (on a terminal and in GitLab, unless NO_COLOR is set), always, never
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub color: Color,
    /// The number of Helm processes to run at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub concurrency: u16,
    #[command(flatten)]
    pub reports: ReportOptions,
}

/// Report files about a run. Commands that run no plan write none.
#[derive(Debug, Clone, Default, Args)]
pub struct ReportOptions {
    /// Write a JUnit XML report to this file, with one test case per step
    #[arg(long, value_name = "FILE", global = true)]
    pub junit: Option<PathBuf>,
    /// Write the URLs to this file as the variables ENVIRONMENT_URL and CMDR_URL_<PROJECT>
    #[arg(long, value_name = "FILE", global = true)]
    pub dotenv: Option<PathBuf>,
    /// Write an HTML timeline of the run to this file: steps, critical path, processor usage
    #[arg(long, value_name = "FILE", global = true)]
    pub timeline: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputOption {
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
    /// Create or update everything that projects.yaml describes: cluster, platform, projects
    Up(UpOptions),
    /// Build the images of projects from their folders for the local environment
    Build(BuildOptions),
    /// Delete the local cluster, or a review environment, and everything in it
    Down(DownOptions),
    /// Stop the local cluster and keep its data
    Stop(StopOptions),
    /// Start the stopped local cluster
    Start,
    /// Save and restore the local cluster, databases included
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Show the desired and running version, the health and the URL of each project
    Status(StatusOptions),
    /// Show what `up` would do, and why
    Plan(PlanOptions),
    /// Print the manifests of a project
    Render(RenderOptions),
    /// Find the strictest security settings with which a project works in the local cluster
    #[command(after_help = "Starts a copy of the project again and again, with an empty volume in place of each \
                            persistent one, and prints the values for projects.yaml. The project itself is not changed.")]
    Harden(HardenOptions),
    /// Start one run of a Job or CronJob, print its log, and exit with its exit code
    #[command(
        after_help = "The exit code is that of the container. If several parts fail, it is that of the first one; \
                            124 means that the timeout was reached. Ctrl-C deletes the run."
    )]
    Run(RunOptions),
    /// List the runs of Jobs with result, duration, exit code and memory
    Runs(RunsOptions),
    /// Restart the pods of projects without changing their content
    Restart(RestartOptions),
    /// Deploy new builds or a changed configuration of projects to an environment
    Deploy(DeployOptions),
    /// Promote the records that are healthy in one environment to the next
    Promote(PromoteOptions),
    /// Roll back projects to an earlier record, and hold them
    Rollback(RollbackOptions),
    /// Show who deployed what, when, and from where
    History(HistoryOptions),
    /// Show the differences between two environments
    Diff(DiffOptions),
    /// Block deployments until `cmdr unhold`
    Hold(HoldOptions),
    /// Unblock deployments
    Unhold(UnholdOptions),
    /// Read the secrets of projects
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Manage environments
    #[command(subcommand)]
    Env(EnvCommand),
    /// Print what a cloud must trust, so that it accepts the tokens of a project's pods
    Identity(IdentityOptions),
    /// Create a workspace: a working projects.yaml, and its schema for editors
    Init(InitOptions),
    /// Show or clean up the cache of charts on this machine
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Let the system and browsers trust the certificates of local clusters
    Trust(TrustOptions),
    /// Check this machine: Docker, memory, disk, ports, limits, resolver, tools
    Doctor(DoctorOptions),
    /// Print the script that completes commands and the names of the workspace in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages, one per command, to a folder
    Man {
        /// The folder; it is created if it does not exist
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

impl Cli {
    /// Reads the command line, or prints what is wrong with it and exits.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        applies::check(&matches).and_then(|()| Self::from_arg_matches(&matches)).unwrap_or_else(|error| error.exit())
    }

    /// The name of the command, without the subcommand.
    pub fn verb(&self) -> &'static str {
        match self.command {
            Command::Up(_) => "up",
            Command::Build(_) => "build",
            Command::Down(_) => "down",
            Command::Stop(_) => "stop",
            Command::Start => "start",
            Command::Snapshot(_) => "snapshot",
            Command::Status(_) => "status",
            Command::Plan(_) => "plan",
            Command::Render(_) => "render",
            Command::Harden(_) => "harden",
            Command::Run(_) => "run",
            Command::Runs(_) => "runs",
            Command::Restart(_) => "restart",
            Command::Deploy(_) => "deploy",
            Command::Promote(_) => "promote",
            Command::Rollback(_) => "rollback",
            Command::History(_) => "history",
            Command::Diff(_) => "diff",
            Command::Hold(_) => "hold",
            Command::Identity(_) => "identity",
            Command::Unhold(_) => "unhold",
            Command::Secret(_) => "secret",
            Command::Env(_) => "env",
            Command::Init(_) => "init",
            Command::Cache(_) => "cache",
            Command::Trust(_) => "trust",
            Command::Doctor(_) => "doctor",
            Command::Completions { .. } => "completions",
            Command::Man { .. } => "man",
        }
    }
}

/// What `up` brings an environment to.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag on the command line")]
pub struct DesiredOptions {
    /// Include the optional projects with this profile
    #[arg(long = "profile", value_name = "PROFILE", conflicts_with = "projects")]
    pub profiles: Vec<String>,
    /// Skip this project; projects that need it start without waiting for it
    #[arg(long, value_name = "PROJECT")]
    pub without: Vec<String>,
    /// Deploy this tag of a project or bundle, whatever projects.yaml specifies: shop=1.4.2
    #[arg(long = "tag", value_name = "PROJECT=TAG")]
    pub tags: Vec<String>,
    /// Set a Helm value of the named projects: env.LOG_LEVEL=debug
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "projects")]
    pub set: Vec<String>,
    /// Build images first: those of the named projects, or of all projects with a build
    #[arg(long)]
    pub build: bool,
    /// Delete the local cluster and everything in it first; asks, or requires --yes
    #[arg(long)]
    pub recreate: bool,
    /// Take over releases and objects that another tool created
    #[arg(long)]
    pub adopt: bool,
    /// Resolve image tags again and deploy the ones that changed
    #[arg(long)]
    pub refresh: bool,
    /// Revert manual changes (drift); always done in the environment local
    #[arg(long)]
    pub repair: bool,
    /// Rebuild the environment from a ledger that --export-ledger wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["projects", "profiles", "without", "tags", "set"])]
    pub from_ledger: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct UpOptions {
    /// Only these projects and what they need; by default all that are not optional
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    #[command(flatten)]
    pub desired: DesiredOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Clone, Args)]
pub struct BuildOptions {
    /// Only these projects; by default all projects with a build
    #[arg(value_name = "PROJECT")]
    pub projects: Vec<String>,
    /// Build nothing, and forget the last builds, so that `up` uses the images in projects.yaml
    #[arg(long)]
    pub forget: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DownOptions {
    /// Also remove the registry of this machine, its caches and the images of deleted clusters
    #[arg(long)]
    pub registry: bool,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct StopOptions {
    /// Pause the cluster in memory instead; it resumes within a second
    #[arg(long)]
    pub pause: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotCommand {
    /// Save the cluster as a snapshot; a running cluster is stopped first and started again
    Save {
        /// The name of the snapshot: lowercase letters, digits and '-'
        name: String,
    },
    /// Replace the cluster with a snapshot; the current content of the cluster is lost
    Restore {
        /// The name of the snapshot
        name: String,
    },
    /// List the snapshots of this workspace
    List,
    /// Delete a snapshot
    Delete {
        /// The name of the snapshot
        name: String,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum CacheCommand {
    /// Show the size of each part of the cache
    Size,
    /// Remove what has not been used for 30 days
    Prune {
        /// Remove everything; it is fetched again when it is needed
        #[arg(long)]
        all: bool,
    },
    /// Print the folder of the cache
    Dir,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SecretCommand {
    /// Print a value of a secret that cmdr provides, such as a generated password
    Show {
        /// The project and the name of the secret: postgres/db
        #[arg(value_name = "PROJECT/NAME")]
        name: String,
        /// The key of the value; by default the only key
        #[arg(value_name = "KEY")]
        key: Option<String>,
        /// Other environments than local: the reason, which the ledger keeps
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        because: Option<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct StatusOptions {
    /// Include the optional projects with this profile
    #[arg(long = "profile", value_name = "PROFILE")]
    pub profiles: Vec<String>,
    /// Remove releases whose projects are disabled or no longer in projects.yaml; their volumes are kept
    #[arg(long)]
    pub prune: bool,
    /// Exit with code 3 if anything differs from projects.yaml or is not healthy
    #[arg(long)]
    pub exit_code: bool,
    /// Show what each project requests and uses, in the order in which a node under memory pressure ends pods
    #[arg(long, conflicts_with_all = ["profiles", "prune", "exit_code"])]
    pub resources: bool,
    #[command(flatten)]
    pub operation: OperationOptions,
}

#[derive(Debug, Clone, Args)]
pub struct PlanOptions {
    /// Only these projects and what they need; with a tag (shop=1.4.2), what `deploy` would do with them
    #[arg(value_name = "PROJECT[=TAG]")]
    pub projects: Vec<String>,
    #[command(flatten)]
    pub desired: DesiredOptions,
    /// Exit with code 3 if there is anything to do
    #[arg(long)]
    pub exit_code: bool,
    /// Use no network: show what `up` would deploy to an empty environment, with the charts in the cache
    #[arg(long, conflicts_with_all = [
        "exit_code", "tags", "build", "recreate", "adopt", "refresh", "repair", "from_ledger", "plan_file", "use_plan",
    ])]
    pub offline: bool,
    /// Write the plan to this file; `up` or `deploy` with --use-plan applies it
    #[arg(long, value_name = "FILE", help_heading = "Options for remote environments", conflicts_with = "use_plan")]
    pub plan_file: Option<PathBuf>,
    /// Compare with the plan in this file; refuse if anything differs
    #[arg(long, value_name = "FILE", help_heading = "Options for remote environments")]
    pub use_plan: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct RenderOptions {
    /// The project or platform release
    pub project: String,
    /// Print the merged Helm values instead
    #[arg(long)]
    pub values: bool,
    /// Set a Helm value: env.LOG_LEVEL=debug
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct HardenOptions {
    /// The project
    pub project: String,
}

#[derive(Debug, Clone, Args)]
pub struct IdentityOptions {
    /// The project
    #[arg(value_name = "PROJECT")]
    pub project: String,
    /// The URL of the issuer of the cluster's tokens; by default the cluster is asked
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RestartOptions {
    /// The projects
    #[arg(required = true, value_name = "PROJECT")]
    pub projects: Vec<String>,
    #[command(flatten)]
    pub operation: OperationOptions,
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

#[derive(Debug, Clone, Args)]
pub struct TrustOptions {
    /// Remove the certificate authority of this machine from all stores
    #[arg(long)]
    pub remove: bool,
    /// Only print the path of its certificate in PEM
    #[arg(long, conflicts_with = "remove")]
    pub print: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// Write a report for a bug report to this file (.tar.gz): logs, versions, findings, workspace, state of the cluster
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
