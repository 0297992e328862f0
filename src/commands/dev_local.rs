//! `cmdr dev --local`: a process of this machine takes the place of a project's pods.

use std::{ffi::OsString, path::Path, process::ExitCode};

use crate::{
    adapters::local_run,
    cli::DevOptions,
    error::CommandError,
    ops::{
        local_run::{LocalRunRequest, run_locally},
        session::Session,
    },
    ui,
};

/// # Errors
/// When the project is unknown or cannot be replaced; with the exit code of the command, if it fails.
pub(super) async fn run(session: &Session, project: &str, options: &DevOptions) -> Result<(), CommandError> {
    let request =
        LocalRunRequest { project: project.to_owned(), ports: options.ports.clone(), command: options.command.clone() };
    run_locally(session, &request).await
}

/// Becomes the command, with the files that the first word names. Returns only if that fails.
pub(crate) fn enter(words: &[OsString]) -> ExitCode {
    let Some((plan, command)) = words.split_first() else { return ExitCode::FAILURE };
    let (code, why) = local_run::enter(Path::new(plan), command);
    ui::print_message(&format!("error: {why}"));
    code.into()
}
