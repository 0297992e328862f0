//! `cmdr down`, `cmdr stop` and `cmdr start`: the lifecycle of the local cluster.

use std::sync::Arc;

use crate::{
    cli::{DownOptions, StopOptions},
    commands::{
        copies,
        registry::{down_with_registry, tell_registry_stays},
    },
    domain::Problem,
    error::CommandError,
    ops::{
        local::{Purpose, bring, refuse_change_options},
        locks::LockScope,
        observe::local_cluster,
        options::{ChangeRequest, UpRequest},
        own_cluster::{absent, access, confirm, existing},
        remote::operation::{OperationRequest, operate},
        session::{LocalAccess, Session},
    },
    plan::{self, up::ObservedCluster},
};

/// # Errors
/// When cmdr does not own the environment's cluster, or it cannot be deleted.
pub(super) async fn down(session: &Session, options: &DownOptions) -> Result<(), CommandError> {
    if session.environment.copy.is_some() && options.registry {
        let cause = "--registry removes the registry of this machine, which no review environment uses";
        return Err(CommandError::usage(Problem::new(cause).help("use it only in the local environment")));
    }
    let change = ChangeRequest::from(&options.operation);
    if session.environment.copy.is_some() {
        return operate(session, &OperationRequest::EndReview, &change).await;
    }
    refuse_change_options(&change)?;
    let access = access(session).await?;
    if let Some(name) = session.environment.copy_name() {
        return if options.registry { Err(registry_of_copy()) } else { copies::down(session, &access, name).await };
    }
    if options.registry {
        return down_with_registry(session, &access).await;
    }
    if access.node.is_none() {
        remove_ports(session, &access).await?;
        session.finish_reports();
        return Ok(());
    }
    if session.settings.dry_run {
        session.note(&format!("would delete the cluster '{}' and everything in it", session.workspace()));
        return Ok(());
    }
    confirm(session, &access).await?;
    let _lock = session.lock(&access, LockScope::Cluster).await?;
    let helm = session.helm().await?;
    let runner = session.runner(helm, existing(session, &access)?).await?;
    session.execute("down", &plan::cluster::delete(), Arc::new(runner)).await?;
    tell_registry_stays(session, &access.docker).await
}

fn registry_of_copy() -> CommandError {
    let cause = "--registry removes the registry of this machine, which all copies share";
    CommandError::usage(Problem::new(cause).help("delete everything with --copy original --registry"))
}

/// Removes what a cluster that was deleted without cmdr has left.
async fn remove_ports(session: &Session, access: &LocalAccess) -> Result<(), CommandError> {
    let workspace = session.workspace();
    let found = access.docker.forwarders(Some(workspace.as_str())).await?;
    let Some(forwarder) = found.first() else {
        session.note(&format!("cluster '{workspace}' not found: nothing to delete"));
        return Ok(());
    };
    let what = format!("container {}, which published ports of the cluster '{workspace}'", forwarder.name);
    if session.settings.dry_run {
        session.note(&format!("would remove {what}"));
        return Ok(());
    }
    access.docker.remove_forwarders(workspace.as_str()).await?;
    session.note(&format!("removed {what}"));
    Ok(())
}

/// # Errors
/// When there is no cluster, or Docker fails.
pub(super) async fn stop(session: &Session, options: &StopOptions) -> Result<(), CommandError> {
    let access = access(session).await?;
    if access.node.is_none() {
        return Err(absent(session));
    }
    if session.settings.dry_run {
        session.note(&format!("would stop the cluster '{}'", session.workspace()));
        return Ok(());
    }
    let _lock = session.lock(&access, LockScope::Cluster).await?;
    let helm = session.helm().await?;
    let runner = session.runner(helm, existing(session, &access)?).await?;
    session.execute("stop", &plan::cluster::stop(options.pause), Arc::new(runner)).await?;
    session.note(&format!("the cluster '{}' is stopped; start it with cmdr start", session.workspace()));
    Ok(())
}

/// Starts the cluster, checks its network and each URL, and reports what `up` would change.
///
/// # Errors
/// When there is no cluster, or it does not start.
pub(super) async fn start(session: &Session) -> Result<(), CommandError> {
    let access = access(session).await?;
    match local_cluster(&access, false) {
        ObservedCluster::Absent | ObservedCluster::Unfinished => Err(absent(session)),
        _ => bring(session, &UpRequest::default(), Purpose::Start, None).await,
    }
}
