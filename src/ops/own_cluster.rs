//! What the commands for the lifecycle of the local cluster share.

use crate::{
    domain::{ImageReference, Problem, proxy::Proxies},
    error::{CommandError, ErrorKind},
    ops::{
        observe::local_cluster,
        prepared::cluster_of,
        session::{LocalAccess, Session},
    },
    plan::up::ObservedCluster,
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
        copy: session.environment.copy_name().map(str::to_owned),
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
pub(crate) async fn confirm(session: &Session, access: &LocalAccess) -> Result<(), CommandError> {
    if session.settings.yes {
        return Ok(());
    }
    let copies = copies_in(session, access).await;
    if !session.settings.may_ask() {
        let workspace = session.workspace();
        let cause = format!("cluster '{workspace}'{copies} and its data would be deleted: nothing was changed");
        return Err(CommandError::failed(Problem::new(cause).help("confirm with --yes")));
    }
    let question =
        format!("Delete the cluster '{}'{copies} and everything in it, databases included?", session.workspace());
    if ui::confirm(&question) {
        return Ok(());
    }
    Err(CommandError::new(ErrorKind::Failed, Problem::new("cancelled: nothing was deleted")))
}

/// The copies in the cluster, in words; those of a stopped cluster are not known.
pub(crate) async fn copies_in(session: &Session, access: &LocalAccess) -> String {
    if local_cluster(access, false) != ObservedCluster::Running {
        return String::new();
    }
    let Ok(cluster) = cluster_of(session, access).await else { return String::new() };
    let copies = cluster.copies(session.workspace().as_str()).await.unwrap_or_default();
    let names: Vec<String> = copies.into_iter().map(|copy| format!("'{}'", copy.name)).collect();
    match names.len() {
        0 => String::new(),
        1 => format!(" with the copy {}", names.join(", ")),
        _ => format!(" with the copies {}", names.join(", ")),
    }
}
