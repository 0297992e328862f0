//! `cmdr dev`: watches the sources of projects, and updates what runs.

use super::dev_local;
use crate::{
    cli::DevOptions,
    error::CommandError,
    ops::{dev::develop, session::Session},
};

/// # Errors
/// When a project is unknown, the environment cannot be brought up, or the deployed state cannot be restored.
pub(super) async fn dev(session: Session, options: &DevOptions) -> Result<(), CommandError> {
    match &options.local {
        Some(project) => dev_local::run(&session, project, options).await,
        None => develop(session, &options.projects).await,
    }
}
