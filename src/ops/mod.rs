//! What verbs share: the session, what is described and observed, and how a plan is run on either kind of environment.

pub mod bug_report;
pub mod builds;
pub mod describe;
mod externals;
pub mod guarded;
pub mod local;
pub mod manifest;
pub mod observe;
pub mod options;
pub mod own_cluster;
pub mod prepared;
pub mod remote;
pub mod secrets;
pub mod session;
pub mod tags;

use crate::error::CommandError;
use options::UpRequest;
use prepared::Prepared;
use session::Session;

/// Reads and checks everything that can be known of an environment without changing it.
///
/// # Errors
/// When `projects.yaml` or an option does not fit, or the cluster of a remote environment cannot be read.
pub async fn prepare(session: &Session, request: &UpRequest, recreate: bool) -> Result<Prepared, CommandError> {
    if session.environment.is_local() {
        local::prepare(session, request, recreate).await
    } else {
        remote::up::refuse_build(request)?;
        remote::prepare::prepare(session, &remote::deploy_request::DeployRequest::up(request)).await
    }
}
