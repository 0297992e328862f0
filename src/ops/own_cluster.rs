//! What the commands for the lifecycle of the local cluster share.

use crate::{
    domain::{ImageReference, Problem, proxy::Proxies},
    error::{CommandError, ErrorKind},
    ops::session::{LocalAccess, Session},
    steps::LocalCluster,
    ui,
};

pub(crate) async fn access(session: &Session) -> Result<LocalAccess, CommandError> {
    if session.environment.is_local() {
        return session.local().await;
    }
    let cause = format!("cmdr does not own the cluster of the environment '{}'", session.environment.name);
    Err(CommandError::usage(Problem::new(cause).help("use this command only in the local environment")))
}

pub(crate) fn absent(session: &Session) -> CommandError {
    let cause = format!("cluster '{}' not found", session.workspace());
    CommandError::failed(Problem::new(cause).help("create it with cmdr up"))
}

pub(crate) fn not_running() -> CommandError {
    CommandError::failed(Problem::new("the local cluster is not running").help("create or start it with cmdr up"))
}

/// The existing cluster, for commands that do not create one: nothing has to be chosen.
pub(crate) fn existing(session: &Session, access: &LocalAccess) -> Result<LocalCluster, CommandError> {
    let image = access.node.as_ref().map(|node| node.image.clone()).unwrap_or_default();
    let node_image = ImageReference::parse(&image)
        .map_err(|error| CommandError::failed(Problem::new(format!("invalid node image '{image}': {error}"))))?;
    let (http_port, https_port) = access.published_ports().unwrap_or_default();
    Ok(LocalCluster {
        docker: access.docker.clone(),
        kind: access.kind.clone(),
        name: session.workspace().to_string(),
        folder: access.folder.clone(),
        node_image,
        kubernetes: None,
        http_port,
        https_port,
        mirrors: Vec::new(),
        registry: Vec::new(),
        certificate_authority: None,
        networks: session.environment.networks,
        proxies: Proxies::default(),
    })
}

/// Asks before databases are deleted. Without a terminal, `--yes` is required.
///
/// # Errors
/// If the answer is no, or there is none.
pub(crate) fn confirm(session: &Session) -> Result<(), CommandError> {
    if session.settings.yes {
        return Ok(());
    }
    if !session.settings.may_ask() {
        let cause = format!("cluster '{}' and its data would be deleted: nothing was changed", session.workspace());
        return Err(CommandError::failed(Problem::new(cause).help("confirm with --yes")));
    }
    let question = format!("Delete the cluster '{}' and everything in it, databases included?", session.workspace());
    if ui::confirm(&question) {
        return Ok(());
    }
    Err(CommandError::new(ErrorKind::Failed, Problem::new("cancelled: nothing was deleted")))
}
