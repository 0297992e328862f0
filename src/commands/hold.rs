//! `cmdr hold` and `cmdr unhold`: block and unblock deployments of projects in an environment.

use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    cli::{HoldOptions, UnholdOptions},
    domain::{Name, ledger::Hold},
    error::CommandError,
    ops::remote::access::refuse_local,
    ops::{
        exit::after_changes,
        remote::{
            access::{RemoteAccess, may_write},
            deploy_request::expand,
        },
        session::Session,
    },
};

const LOCAL: &str = "holds are not needed there: nothing else deploys to it";

/// # Errors
/// When a project is unknown, or the ledger cannot be written.
pub(super) async fn hold(session: &Session, options: &HoldOptions) -> Result<(), CommandError> {
    let hold = Hold { since: Timestamp::now(), by: session.settings.author(), because: options.because.clone() };
    set(session, &options.projects, Some(hold)).await
}

/// # Errors
/// When a project is unknown, or the ledger cannot be written.
pub(super) async fn unhold(session: &Session, options: &UnholdOptions) -> Result<(), CommandError> {
    set(session, &options.projects, None).await
}

async fn set(session: &Session, names: &[String], hold: Option<Hold>) -> Result<(), CommandError> {
    refuse_local(session, LOCAL)?;
    let (projects, _) = expand(session, names)?;
    let shown = projects.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let what = if hold.is_some() { "held" } else { "no longer held" };
    let environment = &session.environment;
    if session.settings.dry_run {
        session.note(&format!("would be {what} in '{}': {shown}", environment.name));
        return Ok(());
    }
    may_write(session)?;
    let access = RemoteAccess::open(session).await?;
    access.cluster.ensure_namespace(&environment.namespace, &session.cancel).await?;
    let holds = projects.iter().map(|project| {
        let hold = hold.clone();
        access.cluster.update_history(&environment.namespace, project.as_str(), move |history| {
            history.hold.clone_from(&hold);
        })
    });
    // Some may have been written before one fails.
    try_join_all(holds).await.map_err(|error| after_changes(error.into()))?;
    session.note(&format!("{what} in '{}': {shown}", environment.name));
    Ok(())
}
