//! `cmdr plan` for an environment whose cluster cmdr does not own: shows a change without a lock, and changes nothing.

use crate::{
    error::CommandError,
    ops::{
        options::ChangeRequest,
        remote::{deploy_request::DeployRequest, gates, prepare::prepare, preview},
        session::Session,
    },
    plan::{Plan, up::Described},
};

/// Plans a change, compares it with a reviewed plan, and writes it for review. Reports the gates that would block it.
///
/// # Errors
/// As the change itself before it starts, or when a plan file differs or cannot be written.
pub async fn plan(
    session: &Session,
    request: &DeployRequest,
    options: &ChangeRequest,
) -> Result<(Described, Plan), CommandError> {
    let prepared = prepare(session, request).await?;
    let plan = prepared.plan()?;
    if let Some(file) = &options.use_plan {
        preview::confirm_plan(session, &prepared, &plan, file)?;
    }
    if let Some(file) = &options.plan_file {
        preview::write_plan(session, &prepared, &plan, file)?;
    }
    for refusal in gates::blocking(session, request, &prepared, &plan) {
        session.note(&format!("not yet possible: {}", refusal.to_problem().message));
    }
    Ok((prepared.described, plan))
}
