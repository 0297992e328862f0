//! One file per command; each is a thin layer over plan, engine and adapters.

mod build;
mod cache;
mod cluster;
pub mod completions;
mod deploy;
mod diff;
mod doctor;
mod env_pin;
mod harden;
mod history;
mod hold;
mod identity;
mod init;
mod man;
mod options;
mod promote;
mod registry;
mod render;
mod resources;
mod restart;
mod rollback;
mod run;
mod secret;
mod snapshot;
mod status;
mod trust;
mod up;

use std::{path::Path, process::ExitCode};

use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Cli, Command, EnvCommand, SnapshotCommand},
    domain::Problem,
    error::{CommandError, ErrorKind},
    log::RunLog,
    ops::session::Session,
    settings::Settings,
    ui,
};

/// Runs the command on the command line.
///
/// # Errors
/// When the command fails; the error's kind is the exit code.
pub async fn run(cli: Cli, cancel: CancellationToken, log: &RunLog) -> Result<(), CommandError> {
    let usage = |text| CommandError::usage(Problem::new(text));
    let settings = Settings::resolve(&cli.global).map_err(usage)?;
    log.start(&settings, cli.verb()).map_err(usage)?;
    let result = run_command(cli.command, settings, cancel).await;
    // A run that started no command and sent no request has no log, and needs none.
    if let Err(error) = &result
        && log.path().is_some()
    {
        // Without its text, which may quote the output of a tool.
        tracing::debug!(exit = error.kind as i32, "failed: {:?}", error.kind);
    }
    result
}

/// Whether the log of a run that ends so is useful: not for a mistake on the command line or an expected difference.
fn names_log(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Usage | ErrorKind::Differs)
}

async fn run_command(command: Command, settings: Settings, cancel: CancellationToken) -> Result<(), CommandError> {
    let open = |settings| Session::open(settings, cancel.clone());
    match command {
        Command::Up(options) => up::up(&open(settings)?, &options).await,
        Command::Plan(options) => up::plan(&open(settings)?, &options).await,
        Command::Build(options) => build::build(&open(settings)?, &options).await,
        Command::Down(options) => cluster::down(&open(settings)?, &options).await,
        Command::Stop(options) => cluster::stop(&open(settings)?, &options).await,
        Command::Start => cluster::start(&open(settings)?).await,
        Command::Snapshot(SnapshotCommand::Save { name }) => snapshot::save(&open(settings)?, &name).await,
        Command::Snapshot(SnapshotCommand::Restore { name }) => snapshot::restore(&open(settings)?, &name).await,
        Command::Snapshot(SnapshotCommand::List) => snapshot::list(&open(settings)?).await,
        Command::Snapshot(SnapshotCommand::Delete { name }) => snapshot::delete(&open(settings)?, &name).await,
        Command::Status(options) => status::status(&open(settings)?, &options).await,
        Command::Render(options) => render::render(&open(settings)?, &options).await,
        Command::Deploy(options) => deploy::deploy(&open(settings)?, &options).await,
        Command::Promote(options) => promote::promote(settings, cancel.clone(), &options).await,
        Command::Rollback(options) => rollback::rollback(&open(settings)?, &options).await,
        Command::History(options) => history::history(&open(settings)?, &options).await,
        Command::Diff(options) => diff::diff(settings, cancel.clone(), &options).await,
        Command::Hold(options) => hold::hold(&open(settings)?, &options).await,
        Command::Unhold(options) => hold::unhold(&open(settings)?, &options).await,
        Command::Secret(command) => secret::secret(&open(settings)?, &command).await,
        Command::Env(EnvCommand::Pin { environment }) => env_pin::pin(settings, cancel.clone(), &environment).await,
        Command::Identity(options) => identity::identity(&open(settings)?, &options).await,
        Command::Harden(options) => harden::harden(&open(settings)?, &options).await,
        Command::Run(options) => run::run(&open(settings)?, &options).await,
        Command::Runs(options) => run::runs(&open(settings)?, &options).await,
        Command::Restart(options) => restart::restart(&open(settings)?, &options).await,
        Command::Init(options) => init::init(&settings, &options),
        Command::Cache(command) => cache::cache(&settings, &command),
        Command::Trust(options) => trust::trust(&settings, &options),
        Command::Doctor(options) => doctor::doctor(settings, cancel, &options).await,
        Command::Completions { shell } => {
            completions::print_script(shell);
            Ok(())
        }
        Command::Man { folder } => man::man(&settings, &folder),
    }
}

/// Prints what went wrong and where the log is, and returns the exit code.
pub fn print_error(error: &CommandError, color: bool, log: Option<&Path>) -> ExitCode {
    if let Some(report) = &error.report {
        ui::print_message(report);
    }
    ui::print_problems(&error.problems, color);
    if let Some(log) = log.filter(|_| names_log(error.kind)) {
        ui::print_message(&format!("log: {}", log.display()));
    }
    error.exit_code.map_or_else(|| error.kind.into(), ExitCode::from)
}
