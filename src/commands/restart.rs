//! `cmdr restart`: a new rollout of the same content.

use crate::{
    cli::RestartOptions,
    domain::{Name, ReleaseKey},
    error::CommandError,
    ops::{
        describe::timeout_seconds,
        guarded::run_guarded,
        session::{Session, unknown},
    },
    plan::{self, RolloutSpec},
};

/// # Errors
/// When a project is unknown or not deployed, or its new pods do not become ready.
pub(super) async fn restart(session: &Session, options: &RestartOptions) -> Result<(), CommandError> {
    let projects = &session.loaded.workspace.projects;
    for name in &options.projects {
        if !projects.contains_key(name.as_str()) {
            return Err(unknown("project", name, projects.keys().map(Name::as_str)));
        }
    }
    if session.settings.dry_run {
        session.note(&format!("would restart {}", options.projects.join(", ")));
        return Ok(());
    }
    let rollouts = options.projects.iter().map(|name| RolloutSpec {
        release: ReleaseKey::new(&session.environment.namespace, name),
        timeout_seconds: timeout_seconds(
            projects.get(name.as_str()).and_then(|project| project.overridden(&session.environment).timeout),
        ),
    });
    let plan = plan::restart::restart(rollouts);
    run_guarded(session, "restart", &plan, options.projects.iter().cloned().collect()).await
}
