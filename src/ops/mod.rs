//! What verbs share: the session, what is described and observed, and how a plan is run on either kind of environment.

pub mod bug_report;
pub mod builds;
mod certificates;
mod charts;
pub mod describe;
mod driver;
pub(crate) mod environment;
mod errors;
pub mod exit;
pub mod exposed;
mod externals;
mod files;
pub mod local;
mod logins;
pub mod manifest;
pub mod observe;
pub mod offline;
pub mod options;
pub mod own_cluster;
pub mod prepared;
pub mod remote;
pub mod run;
pub mod secrets;
pub mod selection;
pub mod session;
pub mod tags;
mod user_configuration;

use crate::{adapters::cluster::Cluster, error::CommandError};
use builds::BuildScope;
use options::UpRequest;
use prepared::{Prepared, Target, running_cluster};
use remote::access::RemoteAccess;
use session::Session;

/// Connects to the cluster of the session's environment, which must be running.
///
/// # Errors
/// When it is not running, does not respond, or is not the expected one.
pub(crate) async fn connect(session: &Session) -> Result<Cluster, CommandError> {
    if session.environment.is_local() {
        return running_cluster(session).await;
    }
    Ok(RemoteAccess::open(session).await?.cluster)
}

/// Reads, checks and observes an environment without changing it.
///
/// # Errors
/// When `projects.yaml` or an option is invalid, or the cluster does not respond.
pub async fn observe_environment(session: &Session, request: &UpRequest) -> Result<Prepared<Target>, CommandError> {
    if !session.environment.is_local() {
        let request = remote::up::request(session, request).await?;
        return Ok(remote::prepare::prepare(session, &request).await?.into());
    }
    let mut prepared = local::prepare(session, request, request.recreate).await?;
    prepared.observe(session, request.recreate).await?;
    prepared.settle(session, BuildScope::of(request)).await?;
    Ok(prepared.into())
}
