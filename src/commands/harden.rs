//! `cmdr harden`: finds the strictest security settings with which a project works.

use crate::{
    adapters::cluster::Cluster,
    cli::HardenOptions,
    domain::{Problem, ReleaseKey, ports},
    error::CommandError,
    ops::{
        describe::describe,
        local::{run_locked, running_cluster},
        options::UpRequest,
        selection::Selection,
        session::{Session, unknown},
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
    let cluster = Cluster::open(&running_cluster(session).await?.0, None).await?;
    let key = ReleaseKey::new(&spec.release.namespace, &spec.release.name);
    if !cluster.releases().await?.iter().any(|release| release.key == key) {
        let cause = format!("'{}' is not deployed in the local cluster", options.project);
        return Err(CommandError::failed(
            Problem::new(cause).help(format!("deploy it first: cmdr up {}", options.project)),
        ));
    }
    if session.settings.dry_run {
        session.note(&format!("would start copies of {} with stricter and stricter settings", options.project));
        return Ok(());
    }
    run_locked(session, "harden", &plan_harden(spec)).await
}

async fn spec(session: &Session, name: &str) -> Result<HardenSpec, CommandError> {
    let known = || session.projects.iter().map(|project| project.name.as_str());
    if known().all(|known| known != name) {
        return Err(unknown("project", name, known()));
    }
    let up = UpRequest { projects: vec![name.to_owned()], ..UpRequest::default() };
    let mut selection = Selection::choose(session, &up)?;
    selection.projects.retain(|project| project.name.as_str() == name);
    selection.platform = Some([].into());
    let described = describe(session, &session.helm().await?, &selection, &up, ports::STANDARD).await?;
    let release = described.projects.into_iter().next().map(|project| project.release);
    let release = release.filter(|release| release.universal).ok_or_else(|| {
        let cause = format!("'{name}' does not use the universal chart");
        let help = "cmdr harden changes the value `security` of the universal chart";
        CommandError::usage(Problem::new(cause).help(help))
    })?;
    Ok(HardenSpec { timeout_seconds: release.timeout_seconds, release })
}
