//! `cmdr up` for an environment whose cluster cmdr does not own.

use crate::{
    domain::Problem,
    error::CommandError,
    ops::{
        options::UpRequest,
        prepared::show_urls,
        remote::{
            apply::apply,
            deploy_request::{ChangeContext, DeployRequest},
            from_ledger,
            named_images::{NamedImages, split},
        },
        session::Session,
    },
};

/// # Errors
/// When the environment cannot be brought to the described state; the error's kind is the exit code.
pub async fn up(session: &Session, options: &UpRequest) -> Result<(), CommandError> {
    // Options are checked before tools and the cluster are looked for.
    ChangeContext::read(session, &options.change, None)?;
    let request = request(session, options).await?;
    let urls = apply(session, &request, &options.change).await?;
    show_urls(session, &urls);
    Ok(())
}

/// The changes that `up` requests.
///
/// # Errors
/// When an option is invalid here, or a file cannot be read.
pub async fn request(session: &Session, options: &UpRequest) -> Result<DeployRequest, CommandError> {
    refuse_build(options)?;
    if options.data_from.is_some() {
        let problem = Problem::new("--data-from: only the local environment has copies");
        return Err(CommandError::usage(problem.help("use --data-from only in the environment 'local'")));
    }
    if options.recreate {
        let problem = Problem::new("--recreate deletes the cluster, but cmdr does not own this one");
        return Err(CommandError::usage(problem.help("use --recreate only in the environment 'local'")));
    }
    if let Some(target) = options.tags.iter().find(|target| split(target).1.is_none()) {
        let cause = format!("--tag: '{target}' has no tag");
        return Err(CommandError::usage(Problem::new(cause).help(format!("write --tag {target}=TAG"))));
    }
    let mut request = DeployRequest::up(options);
    request.images = NamedImages::read(session, &options.tags, None)?.images;
    if let Some(file) = &options.from_ledger {
        from_ledger::read(session, file, &mut request).await?;
    }
    Ok(request)
}

/// Refuses `--build` for remote environments: images that are built here stay on this machine.
///
/// # Errors
/// When a build is requested.
fn refuse_build(options: &UpRequest) -> Result<(), CommandError> {
    if !options.build {
        return Ok(());
    }
    let problem = Problem::new("--build works only in the environment 'local'");
    Err(CommandError::usage(problem.help("build and push images for other environments in a pipeline")))
}
