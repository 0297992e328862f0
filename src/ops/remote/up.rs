//! `cmdr up` of an environment whose cluster cmdr does not own.

use crate::{
    domain::Diagnosis,
    error::CommandError,
    ops::{
        options::UpRequest,
        prepared::show_urls,
        remote::{apply::apply, deploy_request::Wish, from_ledger, reviews},
        session::Session,
    },
};

/// # Errors
/// When something cannot be made as described; the error's kind is the exit code.
pub async fn up(session: &Session, options: &UpRequest) -> Result<(), CommandError> {
    refuse_build(options)?;
    if options.recreate {
        let diagnosis = Diagnosis::new("--recreate deletes a cluster, and this one is not cmdr's own");
        return Err(CommandError::usage(diagnosis.remedy("it is for the environment 'local'")));
    }
    let mut wish = Wish::up(options);
    if let Some(file) = &options.from_ledger {
        from_ledger::read(session, file, &mut wish).await?;
    }
    if session.environment.copy.is_some() && !session.settings.dry_run {
        reviews::mark(session).await?;
    }
    let urls = apply(session, &wish, &options.change).await?;
    show_urls(session, &urls);
    Ok(())
}

/// Images that are built here are for this machine.
///
/// # Errors
/// When a build is asked for.
pub fn refuse_build(options: &UpRequest) -> Result<(), CommandError> {
    if !options.build {
        return Ok(());
    }
    let diagnosis = Diagnosis::new("--build is for the environment 'local'");
    Err(CommandError::usage(diagnosis.remedy("elsewhere a pipeline builds and pushes")))
}
