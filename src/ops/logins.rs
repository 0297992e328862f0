//! The registries whose credentials a run passes to the cluster.

use std::collections::BTreeSet;

use crate::{error::CommandError, ops::session::Session, plan::up::Described};

/// Keeps only those registries of each namespace that the user is logged in to, so that the plan names them. Warnings
/// about credentials are reported when they are used.
///
/// # Errors
/// When Docker's configuration cannot be read.
pub(crate) async fn keep_logins(session: &Session, described: &mut Described) -> Result<(), CommandError> {
    let credentials = session.credentials()?;
    let hosts: BTreeSet<String> = described.namespaces.iter().flat_map(|it| it.registries.iter().cloned()).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let found = credentials.for_pulls(&hosts, session.environment.is_local(), &session.cancel).await.credentials;
    for namespace in &mut described.namespaces {
        namespace.registries.retain(|host| found.iter().any(|credential| credential.host == *host));
    }
    Ok(())
}
