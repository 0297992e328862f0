//! The commands for running containers.

use super::{cp, exec, forward, logs, open};
use crate::{cli::ReachCommand, error::CommandError, ops::session::Session};

/// # Errors
/// As the command.
pub(super) async fn reach(session: &Session, command: &ReachCommand) -> Result<(), CommandError> {
    match command {
        ReachCommand::Logs(options) => logs::logs(session, options).await,
        ReachCommand::Exec(options) => exec::exec(session, options).await,
        ReachCommand::Shell(options) => exec::shell(session, options).await,
        ReachCommand::Forward(options) => forward::forward(session, options).await,
        ReachCommand::Open(options) => open::open(session, options).await,
        ReachCommand::Cp(options) => cp::cp(session, options).await,
    }
}
