//! Small changes of an environment that carry no record: a restart, the removal of what nobody describes any more.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    adapters::cluster::lease::Scope,
    error::{CommandError, ErrorKind},
    ops::local::runner_of,
    ops::{
        remote::{
            access::{RemoteAccess, may_write},
            apply::take_leases,
        },
        session::Session,
    },
    plan::Plan,
};

/// Runs a plan in any environment, with everybody else kept out: by the lock of this machine in `local`, by leases
/// elsewhere.
///
/// # Errors
/// When somebody else is at work, the guard says no, or a step fails.
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
    if !ran.summary.interrupted.is_empty() {
        return Err(CommandError::told(ErrorKind::Interrupted));
    }
    if ran.summary.is_success() { Ok(()) } else { Err(CommandError::told(ErrorKind::Failed)) }
}
