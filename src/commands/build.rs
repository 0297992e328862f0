//! `cmdr build`: builds images from the folders of projects, and pushes them to the registry of this machine.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    cli::BuildOptions,
    domain::{Name, Problem},
    error::CommandError,
    ops::{
        builds::{LocalRegistry, named, refuse_without_buildkit, remembered, specs},
        locks::LockScope,
        session::Session,
    },
    plan,
    settings::OutputFormat,
    steps::LocalImages,
    ui,
};

/// # Errors
/// When a project is unknown or has no build, its folder does not exist, or the build or the push fails.
pub(super) async fn build(session: &Session, options: &BuildOptions) -> Result<(), CommandError> {
    if !session.environment.is_local() {
        let cause = format!("cmdr build works only in the local environment, not in '{}'", session.environment.name);
        let help = "build and push images for other environments in a pipeline";
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    let builds = named(session, &options.projects)?;
    if builds.is_empty() {
        let cause = "no project has a build";
        let help = "configure a build: projects.NAME.build: {context: FOLDER}";
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    let names: Vec<Name> = builds.iter().map(|(name, _)| (*name).clone()).collect();
    if options.forget {
        return forget(session, &names);
    }
    // Report mistakes before contacting Docker.
    specs(session, &builds, &[])?;
    let access = session.local().await?;
    let registry = LocalRegistry::find(session, &access.docker, &BTreeSet::new()).await?;
    let specs = specs(session, &builds, &registry.wanted)?;
    refuse_without_buildkit(session, &access.docker, &specs).await?;
    let plan = plan::registry::build(specs, &registry.wanted, &registry.found);
    if session.settings.dry_run {
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        session.note(&format!("would build {}", names.join(", ")));
        return Ok(());
    }
    let _lock = session.lock(&access, LockScope::Namespace).await?;
    let (docker, mirrors) = (access.docker.clone(), session.user.mirrors.images.clone());
    let builds = remembered(session);
    let images = LocalImages { docker, mirrors, builds: builds.clone(), saves_folders: true };
    session.execute("build", &plan, Arc::new(images)).await?;
    if session.settings.output == OutputFormat::Text {
        let built = builds.all();
        let lines = names.iter().filter_map(|name| Some(format!("{}\n", built.get(name.as_str())?)));
        ui::print(&lines.collect::<String>());
    }
    Ok(())
}

/// Forgets the last builds, so that these projects run the images in projects.yaml.
fn forget(session: &Session, names: &[Name]) -> Result<(), CommandError> {
    let shown: Vec<&str> = names.iter().map(Name::as_str).collect();
    if session.settings.dry_run {
        session.note(&format!("would forget the builds of {}", shown.join(", ")));
        return Ok(());
    }
    remembered(session).forget(names).map_err(|error| CommandError::failed(Problem::new(error.to_string())))?;
    session.note(&format!("forgot the builds of {}; the registry keeps their images", shown.join(", ")));
    Ok(())
}
