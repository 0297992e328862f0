//! What verbs share: the session, what is described and observed, and how a plan is run on either kind of environment.

pub mod bug_report;
pub mod builds;
mod certificates;
mod charts;
pub(crate) mod checks;
pub(crate) mod copies;
pub mod copy_list;
pub mod describe;
pub(crate) mod dev;
pub mod drain;
mod driver;
pub(crate) mod environment;
pub(crate) mod errors;
pub mod examine;
pub mod exit;
pub mod exposed;
mod externals;
mod failed_projects;
mod files;
pub mod local;
pub mod local_run;
pub mod locks;
mod logins;
pub mod logs;
pub mod maintenance;
pub mod manifest;
pub(crate) mod new;
pub mod observe;
pub mod offline;
pub mod options;
pub mod own_cluster;
pub(crate) mod own_objects;
pub mod prepared;
pub(crate) mod procedures;
pub(crate) mod project_pods;
pub mod query;
pub mod reach;
pub mod remote;
pub mod resources;
pub mod restarts;
pub mod run;
mod run_plan;
pub mod secrets;
pub mod selection;
pub mod session;
pub(crate) mod snapshots;
pub mod status;
pub mod tags;
pub(crate) mod tools;
pub(crate) mod upgrade;
mod user_configuration;
pub mod watch;

use crate::plan::up::ObservedCluster;
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
    let prepared = observe_as_is(session, request).await?;
    if prepared.observation.observed.cluster == ObservedCluster::Running {
        copies::require(session, &prepared.observation.observed.copies)?;
    }
    Ok(prepared)
}

/// The same for an environment that `up` may create or change.
///
/// # Errors
/// As [`observe_environment`], and when `up` would refuse the copy.
pub(crate) async fn observe_planned(session: &Session, request: &UpRequest) -> Result<Prepared<Target>, CommandError> {
    let mut prepared = observe_as_is(session, request).await?;
    copies::prepare(session, request, (&mut prepared.described, &prepared.observation.observed))?;
    Ok(prepared)
}

async fn observe_as_is(session: &Session, request: &UpRequest) -> Result<Prepared<Target>, CommandError> {
    if !session.environment.is_local() {
        let request = remote::up::request(session, request).await?;
        return Ok(remote::prepare::prepare(session, &request).await?.into());
    }
    let mut prepared = local::prepare(session, request, request.recreate).await?;
    prepared.observe(session, request.recreate).await?;
    prepared.settle(session, BuildScope::of(request)).await?;
    Ok(prepared.into())
}
