//! `cmdr exec` and `cmdr shell`: commands and shells in containers.

use crate::{
    cli::{ExecOptions, ReachOptions, ShellOptions},
    error::CommandError,
    ops::{
        reach::{
            ReachRequest,
            exec::{open_shell, run_command},
        },
        session::Session,
    },
};

/// # Errors
/// When the container is not reachable, the command does not start, or with its exit code.
pub(super) async fn exec(session: &Session, options: &ExecOptions) -> Result<(), CommandError> {
    run_command(session, &request(&options.project, &options.reach, None), &options.command).await
}

/// # Errors
/// When the container is not reachable, or with the exit code of the shell.
pub(super) async fn shell(session: &Session, options: &ShellOptions) -> Result<(), CommandError> {
    open_shell(session, &request(&options.project, &options.reach, options.image.as_deref())).await
}

/// What to reach into.
pub(super) fn request(project: &str, options: &ReachOptions, image: Option<&str>) -> ReachRequest {
    ReachRequest {
        project: project.to_owned(),
        container: options.container.clone(),
        because: options.because.clone(),
        image: image.map(str::to_owned),
    }
}
