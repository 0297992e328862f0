//! The lock on an environment: leases in its namespace.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    adapters::cluster::lease::{HeldLeases, LeaseError, LeaseRequest, Scope},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::{
        remote::access::{RemoteAccess, failed},
        session::Session,
    },
};

/// Locks out other runs. The token is cancelled when a lease is lost.
///
/// # Errors
/// With exit code 11 when another run holds the lock.
pub async fn take_leases(
    session: &Session,
    access: &RemoteAccess,
    scope: &Scope,
    patience: Duration,
) -> Result<(HeldLeases, CancellationToken), CommandError> {
    let namespace = &session.environment.namespace;
    access.cluster.ensure_namespace(namespace, &session.cancel).await?;
    let lost = session.cancel.child_token();
    let request = LeaseRequest { namespace, scope, holder: &session.settings.holder() };
    let taken = access.cluster.take_leases(request, patience, &lost).await;
    let leases = taken.map_err(|error| match error {
        LeaseError::Held { .. } => {
            let help = "try again when it has finished, or wait for it with --lock-timeout 5m";
            CommandError::new(ErrorKind::Locked, Problem::new(error.to_string()).help(help))
        }
        LeaseError::Cluster(error) => failed(error),
        LeaseError::Interrupted => CommandError::reported(ErrorKind::Interrupted),
    })?;
    Ok((leases, lost))
}
