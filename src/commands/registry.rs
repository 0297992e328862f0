//! Removes the registry of this machine, and prints notes about it.

use std::sync::Arc;

use futures::future::join_all;

use crate::{
    adapters::{
        docker::{Docker, Mount},
        kind::configuration::pool_of_mark,
    },
    domain::{
        Problem,
        local_registry::{PORTS, pushed_to},
        node_files::HOSTS_FOLDER,
    },
    error::{CommandError, ErrorKind},
    ops::{
        builds::remembered,
        locks::LockScope,
        own_cluster::{confirm, existing},
        session::{LocalAccess, Session},
    },
    plan::cluster::delete_with_registry,
    steps::LocalImages,
};

/// `cmdr down --registry`: deletes the cluster, if there is one, and what outlives clusters.
///
/// # Errors
/// When other clusters of cmdr pull from the registry, or something cannot be removed.
pub(super) async fn down_with_registry(session: &Session, access: &LocalAccess) -> Result<(), CommandError> {
    let users = other_users(session, &access.docker).await?;
    if !users.is_empty() {
        let cause = format!("the registry serves other clusters: {}", users.join(", "));
        let help = "delete them first, each with cmdr down in its workspace, or omit --registry";
        return Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)));
    }
    let plan = delete_with_registry(access.node.is_some());
    if session.settings.dry_run {
        session.note("would delete the cluster and the registry with its caches, and every image in them");
        return Ok(());
    }
    if access.node.is_some() {
        confirm(session, access).await?;
    }
    let _lock = session.lock(access, LockScope::Cluster).await?;
    if access.node.is_some() {
        let helm = session.helm().await?;
        let runner = session.runner(helm, existing(session, access)?).await?;
        session.execute("down", &plan, Arc::new(runner)).await?;
    } else {
        let (docker, builds) = (access.docker.clone(), remembered(session));
        let images = LocalImages { docker, mirrors: Vec::new(), builds, saves_folders: true };
        session.execute("down", &plan, Arc::new(images)).await?;
    }
    Ok(())
}

/// Other clusters of cmdr whose nodes are configured to use the registry or its caches.
async fn other_users(session: &Session, docker: &Docker) -> Result<Vec<String>, CommandError> {
    let nodes = docker.node_containers().await?;
    let is_own = |mount: &Mount| pool_of_mark(&mount.destination).is_some();
    let others = nodes.into_iter().filter(|node| node.cluster != session.workspace().as_str());
    let mut users = Vec::new();
    for node in others.filter(|node| node.mounts.iter().any(is_own)) {
        let shown = PORTS.map(|port| format!("{HOSTS_FOLDER}/{}/hosts.toml", pushed_to(port)));
        let shown: Vec<String> = shown.collect();
        let found = join_all(shown.iter().map(|file| docker.read_file(&node.name, file))).await;
        if found.iter().any(Result::is_ok) {
            users.push(node.cluster);
        }
    }
    Ok(users)
}

/// Prints what `down` keeps, if anything.
///
/// # Errors
/// When the engine returns an error.
pub(super) async fn tell_registry_stays(session: &Session, docker: &Docker) -> Result<(), CommandError> {
    if !docker.registry_services().await?.is_empty() {
        session.note(
            "the local registry, its caches, the cluster's images and its new node are kept for the next cluster; \
             cmdr down --registry removes them",
        );
    }
    Ok(())
}

/// Prints one line about the registry and its caches.
///
/// # Errors
/// When the engine returns an error.
pub(super) async fn note_registry(session: &Session, docker: &Docker) -> Result<(), CommandError> {
    let services = docker.registry_services().await?;
    let running = services.iter().filter(|service| service.is_running);
    let (push, caches): (Vec<_>, Vec<_>) = running.partition(|service| service.is_push());
    let Some(port) = push.first().and_then(|service| service.port) else { return Ok(()) };
    let hosts: Vec<&str> = caches.iter().map(|service| service.label.as_str()).collect();
    let caches = if hosts.is_empty() { String::new() } else { format!(", caches of {}", hosts.join(", ")) };
    session.note(&format!("images: registry {}{caches}", pushed_to(port)));
    Ok(())
}
