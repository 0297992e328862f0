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

/// The leases of a run, and the cluster that they belong to.
pub(crate) struct Held {
    leases: HeldLeases,
    /// Cancelled when a lease is lost.
    pub(crate) lost: CancellationToken,
    identity: String,
}

impl Held {
    /// Locks out other runs. The environment's namespace must exist.
    ///
    /// # Errors
    /// With exit code 11 when another run holds the lock.
    pub(crate) async fn take(
        session: &Session,
        access: &RemoteAccess,
        scope: &Scope,
        patience: Duration,
    ) -> Result<Self, CommandError> {
        let namespace = &session.environment.namespace;
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
        Ok(Self { leases, lost, identity: access.identity.clone() })
    }

    /// Refuses any cluster other than the one with the leases.
    ///
    /// # Errors
    /// When the context points to another cluster by now.
    pub(crate) fn protects(&self, access: &RemoteAccess) -> Result<(), CommandError> {
        access.is_still(&self.identity)
    }

    pub(crate) async fn give_back(self) {
        self.leases.give_back().await;
    }
}

/// The error of a run that changes something without a lock.
pub(crate) fn not_locked() -> CommandError {
    CommandError::failed(Problem::new("internal error: the environment is not locked"))
}
