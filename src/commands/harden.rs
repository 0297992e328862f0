//! `cmdr harden`: finds the strictest security settings with which a project works.

use crate::{
    cli::HardenOptions,
    domain::{Problem, ReleaseKey, ports},
    error::CommandError,
    ops::{
        connect, describe::describe, local::run_locked, options::UpRequest, run::not_deployed, selection::Selection,
        session::Session,
    },
    plan::harden::{HardenSpec, harden as plan_harden},
};

/// # Errors
/// When the project is unknown, not deployed in the local cluster or not of the universal chart, or when it does not even
/// work with the settings of its image.
pub(super) async fn harden(session: &Session, options: &HardenOptions) -> Result<(), CommandError> {
    if !session.environment.is_local() {
        let cause = format!("cmdr harden starts copies of a project, and not in '{}'", session.environment.name);
        return Err(CommandError::usage(Problem::new(cause).help("leave out --env: it works in the local cluster")));
    }
    let spec = spec(session, &options.project).await?;
    let key = ReleaseKey::new(&spec.release.namespace, &spec.release.name);
    if !connect(session).await?.releases().await?.iter().any(|release| release.key == key) {
        return Err(not_deployed(session, &options.project));
    }
    if session.settings.dry_run {
        session.note(&format!("would start copies of {} with stricter and stricter settings", options.project));
        return Ok(());
    }
    run_locked(session, "harden", &plan_harden(spec)).await
}

async fn spec(session: &Session, name: &str) -> Result<HardenSpec, CommandError> {
    let selection = Selection::single(session, name, &[])?;
    let described =
        describe(session, &session.helm().await?, &selection, &UpRequest::default(), ports::STANDARD).await?;
    let release = described.projects.into_iter().next().map(|project| project.release);
    let release = release.filter(|release| release.universal).ok_or_else(|| {
        let cause = format!("'{name}' does not use the universal chart");
        let help = "cmdr harden changes the value `security` of the universal chart";
        CommandError::usage(Problem::new(cause).help(help))
    })?;
    Ok(HardenSpec { timeout_seconds: release.timeout_seconds, release })
}
