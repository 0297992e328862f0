//! `cmdr env pin`: records in projects.yaml which cluster an environment uses.

use std::fs;

use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, FILE},
    domain::Problem,
    error::CommandError,
    ops::remote::access::refuse_local,
    ops::{remote::access::RemoteAccess, session::Session},
    settings::Settings,
};

/// # Errors
/// When the environment is unknown, its cluster does not respond, or the file cannot be written.
pub(super) async fn pin(settings: Settings, cancel: CancellationToken, environment: &str) -> Result<(), CommandError> {
    let session = Session::open_in(environment, &settings, &cancel)?;
    refuse_local(&session, "the local cluster is identified by its name, since it can be re-created")?;
    let access = RemoteAccess::follow(&session).await?;
    let name = &session.environment.name;
    if session.environment.cluster_id.as_ref() == Some(&access.identity) {
        session.note(&format!("'{name}' is already pinned to the cluster {}", access.identity));
        return Ok(());
    }
    let path = session.loaded.workspace.root.join(FILE);
    let failed =
        |error: std::io::Error| CommandError::failed(Problem::new(format!("cannot write {}: {error}", path.display())));
    let text = fs::read_to_string(&path).map_err(failed)?;
    let pinned = config::with_environment_key(&session.loaded.sources, name, "cluster-id", &access.identity);
    let pinned = pinned.filter(|pinned| *pinned != text).ok_or_else(|| {
        let help = format!("add it manually: cluster-id: {}", access.identity);
        CommandError::failed(Problem::new(format!("cannot update '{name}' in {FILE}")).help(help))
    })?;
    if session.settings.dry_run {
        session.note(&format!("would pin '{name}' to the cluster {}", access.identity));
        return Ok(());
    }
    fs::write(&path, pinned).map_err(failed)?;
    session.note(&format!("pinned '{name}' to the cluster {} ({FILE})", access.identity));
    Ok(())
}
