//! The command line. The doc comments are the help texts.

mod agents;
mod applies;
mod copies;
mod delivery;
mod describe;
mod dev;
mod global;
mod logs;
mod machine;
mod maintenance;
mod new;
mod operate;
mod procedure;
mod query;
mod reach;
mod run;
mod traffic;
mod upgrade;
mod verb;
mod wait;

use delivery::reason;

pub use agents::{AgentCommand, AgentInitOptions, DocsOptions, McpOptions, SchemaOptions};
pub use applies::applies;

pub use delivery::{
    ChangeOptions, DeployOptions, DiffOptions, EnvCommand, HistoryOptions, HoldOptions, OperationOptions,
    PromoteOptions, RollbackOptions, UnholdOptions, Via,
};

pub use copies::CopiesOptions;
pub use dev::DevOptions;
pub use global::{Color, GlobalOptions, OutputOption, ReportOptions};

pub use machine::MachineCommand;

pub use maintenance::{
    DrainOptions, FillOptions, MaintenanceCommand, MaintenanceOffOptions, MaintenanceOnOptions, MaintenanceOptions,
    ThenOption,
};

pub use logs::{LevelOption, LogsOptions};

pub use new::{InitOptions, NewOptions};

pub use operate::OperateCommand;
pub use procedure::{ProcedureAbortOptions, ProcedureCommand, ProcedureResumeOptions, ProcedureStartOptions};

pub use reach::{CpOptions, ExecOptions, ForwardOptions, OpenOptions, ReachCommand, ReachOptions, ShellOptions};

pub use describe::{ArgumentDescription, CommandDescription, command_of, describe};
pub use query::QueryOptions;
pub use run::{RunOptions, RunsOptions};
pub use traffic::TrafficOptions;
pub use upgrade::UpgradeOptions;

pub use wait::{TopOptions, WaitOptions, WaitState};

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Run a whole platform on a laptop, and deploy the same manifests to staging and production.
#[derive(Debug, Parser)]
#[command(name = "cmdr", version, about, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 usage or configuration error, 3 differences found \
                        (--exit-code) or a newer version (upgrade --check), 10 refused, 11 locked by another run, 12 failed and rolled back, 13 failed and \
                        not rolled back, 14 wrong cluster, 75 temporary failure: try again, 130 interrupted.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: GlobalOptions,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or update everything that projects.yaml describes: cluster, platform, projects
    Up(UpOptions),
    /// Build the images of projects from their folders for the local environment
    Build(BuildOptions),
    /// Watch the sources of projects, and update what runs; or run a project on this machine
    #[command(after_help = "Examples:
  cmdr dev                                      watch all projects with `dev` or `build`
  cmdr dev catalog                              watch this project, and print its logs
  cmdr dev --local catalog -- go run .          run this project here, with its traffic
  cmdr dev --local catalog -- bash              a shell that sees what the pod sees

What an update does is the key `dev` of a project: docs/develop.md. Ctrl-C restores what is deployed.")]
    Dev(DevOptions),
    /// List the copies of the local environment: worktree, branch, age, URL, readiness, data
    Copies(CopiesOptions),
    /// Delete the local cluster, one copy in it, or a review environment, and everything in it
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
    /// Wait until projects are ready, their Jobs have succeeded, or their URLs respond
    Wait(WaitOptions),
    /// Show the CPU and memory that projects or pods use, request and may use
    Top(TopOptions),
    #[command(flatten)]
    Reach(ReachCommand),
    /// Show what `up` would do, and why
    Plan(PlanOptions),
    /// Ask questions about what runs: images, exposed ports, differences, restarts, objects of any kind
    #[command(
        after_help = "An expression sees the fields of an object (metadata, status), the fields of its spec at the \
                            top, and the object itself as `object`; of a question, the keys of its JSON rows. \
                            docs/inspect.md has examples."
    )]
    Query(QueryOptions),
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
    #[command(flatten)]
    Operate(OperateCommand),
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
    /// Create a project from a template: its files, its entry in projects.yaml, its build in the pipeline
    New(NewOptions),
    #[command(flatten)]
    Machine(MachineCommand),
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it, or the help or the version that it asks for.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        applies::check(&matches).and_then(|()| Self::from_arg_matches(&matches))
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
    /// With --copy: give its new volumes the data of another copy, of `original`, or of `snapshot:NAME`
    #[arg(long, value_name = "SOURCE")]
    pub data_from: Option<String>,
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
    /// Remove what has not been used for 30 days, and kept nodes that are older
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
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag on the command line")]
pub struct StatusOptions {
    /// Describe this project or platform release: pods, containers, events, last log lines, resources, URLs, deployments
    #[arg(value_name = "PROJECT", conflicts_with_all = ["profiles", "prune", "exit_code", "resources"])]
    pub project: Option<String>,
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
    /// Show the status again whenever it changes, until Ctrl-C
    #[arg(long, conflicts_with_all = ["prune", "exit_code", "resources"])]
    pub watch: bool,
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
    /// Fix what is safe in the local cluster, after a question: delete failed pods and crashed pods of its DNS
    #[arg(long)]
    pub fix: bool,
}

#[derive(Debug, Clone, Args)]
pub struct ExplainOptions {
    /// The code or the name of the cause: C007, image-not-found; by default all are listed
    #[arg(value_name = "CAUSE")]
    pub cause: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
