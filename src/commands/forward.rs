//! `cmdr forward`: ports of projects on this machine.

use crate::{
    cli::ForwardOptions,
    error::CommandError,
    ops::{reach::forward::forward as forward_ports, session::Session},
};

/// # Errors
/// When a project or port is unknown, a local port is taken, or the cluster does not respond.
pub(super) async fn forward(session: &Session, options: &ForwardOptions) -> Result<(), CommandError> {
    forward_ports(session, &options.ports, options.port).await
}
