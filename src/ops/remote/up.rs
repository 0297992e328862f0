//! `cmdr up` for an environment whose cluster cmdr does not own.

use crate::{
    domain::Problem,
    error::CommandError,
    ops::{
        options::UpRequest,
        prepared::show_urls,
        remote::{apply::apply, deploy_request::DeployRequest, from_ledger, reviews},
        session::Session,
    },
};

/// # Errors
/// When the environment cannot be brought to the described state; the error's kind is the exit code.
pub async fn up(session: &Session, options: &UpRequest) -> Result<(), CommandError> {
    refuse_build(options)?;
    if options.recreate {
        let problem = Problem::new("--recreate deletes the cluster, but cmdr does not own this one");
        return Err(CommandError::usage(problem.help("use --recreate only in the environment 'local'")));
    }
    let mut request = DeployRequest::up(options);
    if let Some(file) = &options.from_ledger {
        from_ledger::read(session, file, &mut request).await?;
    }
    if session.environment.copy.is_some() && !session.settings.dry_run {
        reviews::mark(session).await?;
    }
    let urls = apply(session, &request, &options.change).await?;
    show_urls(session, &urls);
    Ok(())
}

/// Refuses `--build` for remote environments: images that are built here stay on this machine.
///
/// # Errors
/// When a build is requested.
pub fn refuse_build(options: &UpRequest) -> Result<(), CommandError> {
    if !options.build {
        return Ok(());
    }
    let problem = Problem::new("--build works only in the environment 'local'");
    Err(CommandError::usage(problem.help("build and push images for other environments in a pipeline")))
}
