//! Small changes of an environment without a record: a restart, or the removal of what is no longer described.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    adapters::cluster::lease::Scope,
    error::CommandError,
    ops::local::runner_of,
    ops::{
        remote::{
            access::{RemoteAccess, may_write},
            leases::take_leases,
        },
        session::Session,
    },
    plan::Plan,
};

/// Runs a plan in any environment and locks out other runs: with this machine's lock in `local`, with leases elsewhere.
///
/// # Errors
/// When another run holds the lock, the guard refuses, or a step fails.
pub async fn run_guarded(
    session: &Session,
    verb: &str,
    plan: &Plan,
    projects: BTreeSet<String>,
) -> Result<(), CommandError> {
    if session.environment.is_local() {
        let (runner, _lock) = runner_of(session).await?;
        session.execute(verb, plan, runner).await?;
        return Ok(());
    }
    may_write(session)?;
    let (helm, access) = tokio::try_join!(session.helm(), RemoteAccess::open(session))?;
    let (leases, lost) = take_leases(session, &access, &Scope::Projects(projects), Duration::ZERO).await?;
    let runner = access.runner(session, helm).await?;
    let ran = session.run_plan(verb, plan, Arc::new(runner), &lost).await;
    leases.give_back().await;
    ran.end.into_result()
}
