//! One file per command; each is a thin layer over plan, engine and adapters.

mod agent;
mod build;
mod cache;
mod cluster;
pub(crate) mod command_line;
pub mod completions;
mod copies;
mod cp;
mod deploy;
mod dev;
pub(crate) mod dev_local;
mod diff;
pub mod docs;
mod doctor;
mod drain;
mod env_pin;
mod examination;
mod exec;
mod explain;
mod forward;
mod harden;
mod history;
mod hold;
mod identity;
mod init;
mod logs;
mod maintenance;
mod man;
mod mcp;
mod new;
mod open;
mod options;
mod procedure;
mod promote;
mod query;
mod reach;
mod registry;
mod render;
mod resources;
mod restart;
mod rollback;
mod run;
pub mod schema;
mod secret;
mod snapshot;
mod status;
mod status_project;
mod top;
pub mod traffic;
mod trust;
mod up;
mod upgrade;
mod wait;

use std::{path::Path, process::ExitCode};

use tokio_util::sync::CancellationToken;

use crate::{
    cli::{AgentCommand, Cli, Command, EnvCommand, MachineCommand, OperateCommand},
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
    let mut settings = Settings::resolve(&cli.global).map_err(usage)?;
    if !cli.works_on_copies() {
        settings.copy = None;
    }
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
        Command::Dev(options) => dev::dev(open(settings)?, &options).await,
        Command::Copies(options) => copies::copies(&open(settings)?, &options).await,
        Command::Down(options) => cluster::down(&open(settings)?, &options).await,
        Command::Stop(options) => cluster::stop(&open(settings)?, &options).await,
        Command::Start => cluster::start(&open(settings)?).await,
        Command::Snapshot(command) => snapshot::snapshot(&open(settings)?, &command).await,
        Command::Status(options) => status::status(&open(settings)?, &options).await,
        Command::Wait(options) => wait::wait(&open(settings)?, &options).await,
        Command::Top(options) => top::top(&open(settings)?, &options).await,
        Command::Render(options) => render::render(&open(settings)?, &options).await,
        Command::Deploy(options) => deploy::deploy(&open(settings)?, &options).await,
        Command::Promote(options) => promote::promote(settings, cancel.clone(), &options).await,
        Command::Rollback(options) => rollback::rollback(&open(settings)?, &options).await,
        Command::Operate(command) => operate(command, &open(settings)?).await,
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
        Command::Reach(command) => reach::reach(&open(settings)?, &command).await,
        Command::Restart(options) => restart::restart(&open(settings)?, &options).await,
        Command::New(options) => new::new(&open(settings)?, &options).await,
        Command::Query(options) => query::query(settings, cancel.clone(), &options).await,
        Command::Machine(command) => run_on_machine(command, settings, cancel).await,
    }
}

/// Runs a command that moves the traffic and the work of projects.
async fn operate(command: OperateCommand, session: &Session) -> Result<(), CommandError> {
    match command {
        OperateCommand::Drain(options) => drain::drain(session, &options).await,
        OperateCommand::Fill(options) => drain::fill(session, &options).await,
        OperateCommand::Maintenance(options) => maintenance::maintenance(session, &options).await,
        OperateCommand::Procedure(command) => procedure::procedure(session, &command).await,
        OperateCommand::Traffic(options) => traffic::traffic(session, &options).await,
    }
}

/// Runs a command that needs no workspace, or opens its own.
async fn run_on_machine(
    command: MachineCommand,
    settings: Settings,
    cancel: CancellationToken,
) -> Result<(), CommandError> {
    match command {
        MachineCommand::Init(options) => init::init(&settings, &options),
        MachineCommand::Cache(command) => cache::cache(&settings, &command).await,
        MachineCommand::Trust(options) => trust::trust(&settings, &options),
        MachineCommand::Explain(options) => explain::explain(&settings, &options),
        MachineCommand::Doctor(options) => doctor::doctor(settings, cancel, &options).await,
        MachineCommand::Upgrade(options) => upgrade::upgrade(&settings, &cancel, &options).await,
        MachineCommand::Docs(options) => docs::docs(&settings, &options),
        MachineCommand::Agent(AgentCommand::Init(options)) => agent::init(settings, cancel, &options),
        MachineCommand::Schema(options) => schema::schema(&settings, &options),
        MachineCommand::Mcp(options) => mcp::mcp(&settings, cancel, &options).await,
        MachineCommand::Completions { shell } => {
            completions::print_script(shell);
            Ok(())
        }
        MachineCommand::Man { folder } => man::man(&settings, &folder),
    }
}

/// Prints what went wrong and where the log is, and returns the exit code.
pub fn print_error(error: &CommandError, color: bool, log: Option<&Path>) -> ExitCode {
    let exit_code = error.exit_code.unwrap_or(error.kind as u8);
    if let Some(report) = &error.report {
        ui::print_mistakes(&report.text, &report.mistakes, exit_code);
    }
    ui::print_problems(&error.problems, color, Some(exit_code));
    if let Some(log) = log.filter(|_| names_log(error.kind)) {
        ui::print_message(&format!("log: {}", log.display()));
    }
    ExitCode::from(exit_code)
}
