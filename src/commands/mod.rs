//! One file per command; each is a thin layer over plan, engine and adapters.

mod build;
mod cluster;
pub mod completions;
mod deploy;
mod diff;
mod doctor;
mod env_pin;
mod history;
mod hold;
mod init;
mod man;
mod options;
mod promote;
mod registry;
mod render;
mod restart;
mod rollback;
mod snapshot;
mod status;
mod up;

use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Cli, Command, EnvCommand, SnapshotCommand},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::session::Session,
    settings::Settings,
    ui,
};

/// Runs the command on the command line.
///
/// # Errors
/// When the command fails; the error's kind is the exit code.
pub async fn run(cli: Cli, cancel: CancellationToken) -> Result<(), CommandError> {
    let settings = Settings::resolve(&cli.global).map_err(|text| CommandError::usage(Problem::new(text)))?;
    let open = |settings| Session::open(settings, cancel.clone());
    match cli.command {
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
        Command::Env(EnvCommand::Pin { environment }) => env_pin::pin(settings, cancel.clone(), &environment).await,
        Command::Restart(options) => restart::restart(&open(settings)?, &options).await,
        Command::Init(options) => init::init(&settings, &options),
        Command::Doctor => doctor::doctor(settings, cancel).await,
        Command::Completions { shell } => {
            completions::print_script(shell);
            Ok(())
        }
        Command::Man { folder } => man::man(&settings, &folder),
    }
}

/// Prints what went wrong, and returns the exit code.
pub fn print_error(error: &CommandError, color: bool) -> ErrorKind {
    if let Some(report) = &error.report {
        ui::print_message(report);
    }
    ui::print_problems(&error.problems, color);
    error.kind
}
