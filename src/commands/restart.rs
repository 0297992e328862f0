//! `cmdr restart`: a new rollout of the same content.

use crate::{
    cli::RestartOptions,
    domain::{Name, ReleaseKey},
    error::{CommandError, ErrorKind},
    ops::{
        describe::timeout_seconds,
        local::{refuse_change_options, run_locked},
        options::ChangeRequest,
        remote::operation::{OperationRequest, operate},
        session::{Session, unknown},
    },
    plan::{self, RolloutSpec},
};

/// # Errors
/// When a project is unknown or not deployed, a gate refuses, or its new pods do not become ready.
pub(super) async fn restart(session: &Session, options: &RestartOptions) -> Result<(), CommandError> {
    let change = ChangeRequest::from(&options.operation);
    let rollouts = rollouts(session, &options.projects)?;
    if !session.environment.is_local() {
        return operate(session, &OperationRequest::Restart(rollouts), &change).await;
    }
    refuse_change_options(&change)?;
    if session.settings.dry_run {
        session.note(&format!("would restart {}", options.projects.join(", ")));
        return Ok(());
    }
    run_locked(session, "restart", &plan::restart::restart(rollouts)).await
}

fn rollouts(session: &Session, names: &[String]) -> Result<Vec<RolloutSpec>, CommandError> {
    let projects = &session.loaded.workspace.projects;
    let (mut rollouts, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match projects.get(name.as_str()) {
            Some(project) => rollouts.push(RolloutSpec {
                release: ReleaseKey::new(&session.environment.namespace, name),
                timeout_seconds: timeout_seconds(project.overridden(&session.environment).timeout),
            }),
            None => problems.extend(unknown("project", name, projects.keys().map(Name::as_str)).problems),
        }
    }
    CommandError::require_none(ErrorKind::Usage, problems)?;
    Ok(rollouts)
}
