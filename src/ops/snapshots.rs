//! The snapshots of a workspace.

use super::session::{Session, docker_error};
use crate::{
    adapters::docker::Docker,
    domain::{
        Problem,
        nearest::nearest,
        snapshot::{Snapshot, SnapshotKind},
    },
    error::CommandError,
};

/// Returns the snapshots of the session's workspace, sorted by name.
///
/// # Errors
/// When the engine returns an error.
pub(crate) async fn all(session: &Session, docker: &Docker) -> Result<Vec<Snapshot>, CommandError> {
    docker.snapshots(SnapshotKind::Saved, Some(session.workspace().as_str())).await.map_err(docker_error)
}

/// Returns a snapshot of the session's workspace.
///
/// # Errors
/// When the engine returns an error, or there is no such snapshot.
pub(crate) async fn find(session: &Session, docker: &Docker, name: &str) -> Result<Snapshot, CommandError> {
    let found = all(session, docker).await?;
    let help = match nearest(name, found.iter().map(|snapshot| snapshot.name.as_str())) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "list the snapshots with cmdr snapshot list".to_owned(),
    };
    let unknown = Problem::new(format!("snapshot '{name}' of '{}' not found", session.workspace())).help(help);
    found.into_iter().find(|snapshot| snapshot.name == name).ok_or_else(|| CommandError::usage(unknown))
}
