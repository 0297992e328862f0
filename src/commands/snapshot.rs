//! `cmdr snapshot`: saves and restores the local cluster.

use std::{sync::Arc, time::Instant};

use crate::{
    adapters::{docker::State, kind::configuration::NODE_PORTS},
    cli::SnapshotCommand,
    domain::{ImageReference, Name, Problem, proxy::Proxies, snapshot::Snapshot},
    error::{CommandError, ErrorKind},
    ops::{
        local::{Purpose, bring},
        locks::LockScope,
        options::UpRequest,
        own_cluster::{absent, access, copies_in, existing},
        session::{LocalAccess, Session},
        snapshots,
    },
    plan,
    settings::OutputFormat,
    steps::LocalCluster,
    ui,
};

/// Bytes to keep free on the engine's disk, for the node's own layer and for everything else that runs.
const RESERVE: u64 = 1_000_000_000;
const MEGABYTE: u64 = 1_000_000;

/// # Errors
/// If the snapshot or the cluster does not exist, or Docker returns an error.
pub(super) async fn snapshot(session: &Session, command: &SnapshotCommand) -> Result<(), CommandError> {
    match command {
        SnapshotCommand::Save { name } => save(session, name).await,
        SnapshotCommand::Restore { name } => restore(session, name).await,
        SnapshotCommand::List => list(session).await,
        SnapshotCommand::Delete { name } => delete(session, name).await,
    }
}

/// Saves the cluster. A running cluster is stopped first and started again; a stopped one stays stopped.
///
/// # Errors
/// When there is no cluster, the name is taken, the disk is too small, or Docker fails.
async fn save(session: &Session, name: &str) -> Result<(), CommandError> {
    let name = valid(name)?;
    let access = access(session).await?;
    let workspace = session.workspace().as_str();
    let Some(node) = access.node.clone().filter(|_| !access.folder.is_unfinished()) else {
        return Err(absent(session));
    };
    if snapshots::all(session, &access.docker).await?.iter().any(|snapshot| snapshot.name == name.as_str()) {
        let help = format!("choose another name, or delete it: cmdr snapshot delete {name}");
        return Err(CommandError::usage(Problem::new(format!("snapshot '{name}' already exists")).help(help)));
    }
    if session.settings.dry_run {
        let copies = copies_in(session, &access).await;
        session.note(&format!("would save the cluster '{workspace}'{copies} as the snapshot '{name}'"));
        return Ok(());
    }
    let lock = session.lock(&access, LockScope::Cluster).await?;
    access.docker.sweep_snapshots(workspace).await?;
    let local = existing(session, &access)?;
    let measured = local.measure(&node).await?;
    refuse_full_disk(measured.bytes, measured.free)?;
    let is_running = node.state == State::Running;
    let away = Instant::now();
    let is_stopped = !matches!(node.state, State::Running | State::Paused);
    let plan = plan::snapshot::save(name.clone(), is_stopped);
    let helm = session.helm().await?;
    let runner = session.runner(helm, local).await?;
    let saved = session.execute("snapshot save", &plan, Arc::new(runner)).await;
    if !is_running || session.cancel.is_cancelled() {
        // After an interrupted stop, the cluster keeps running.
        if session.node(&access.docker).await?.is_some_and(|node| node.state != State::Running) {
            session.note(&format!("the cluster '{workspace}' is stopped; start it with cmdr start"));
        }
        return saved.map(|_| ());
    }
    // A cluster that was running is started again, whether or not it was saved.
    let started = bring(session, &UpRequest::default(), Purpose::Check("start"), Some(lock)).await;
    session.note(&format!("the cluster '{workspace}' was unavailable for {:.0} s", away.elapsed().as_secs_f64()));
    saved.and(started)
}

/// Replaces the cluster with a snapshot, and checks it as `start` does.
///
/// # Errors
/// When the snapshot does not exist or is incomplete, its ports are taken, or Docker fails.
async fn restore(session: &Session, name: &str) -> Result<(), CommandError> {
    let access = access(session).await?;
    let snapshot = snapshots::find(session, &access.docker, name).await?;
    refuse_broken(&access, &snapshot).await?;
    let local = local_of(session, &access, &snapshot)?;
    refuse_taken_ports(session, &access, &snapshot).await?;
    if session.settings.dry_run {
        session.note(&format!("would replace the cluster '{}' with the snapshot '{name}'", session.workspace()));
        return Ok(());
    }
    if access.node.is_some() {
        confirm(session, &snapshot, &copies_in(session, &access).await)?;
    }
    let lock = session.lock(&access, LockScope::Cluster).await?;
    access.docker.sweep_snapshots(session.workspace().as_str()).await?;
    let plan = plan::snapshot::restore(snapshot);
    let helm = session.helm().await?;
    let runner = session.runner(helm, local.clone()).await?;
    session.execute("snapshot restore", &plan, Arc::new(runner)).await?;
    let checked = bring(session, &UpRequest::default(), Purpose::Check("start"), Some(lock)).await;
    local.remove_given_up().await;
    checked
}

/// # Errors
/// When Docker fails.
async fn list(session: &Session) -> Result<(), CommandError> {
    let access = access(session).await?;
    if let Ok(_lock) = session.lock(&access, LockScope::Cluster).await {
        access.docker.sweep_snapshots(session.workspace().as_str()).await?;
    }
    let found = snapshots::all(session, &access.docker).await?;
    if session.settings.output == OutputFormat::Json {
        ui::print(&format!("{}\n", serde_json::to_string(&found).unwrap_or_default()));
        return Ok(());
    }
    let mut rows = vec![["NAME", "SAVED", "SIZE", "NODE IMAGE"].map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|snapshot| {
        let saved = snapshot.created.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let size = format!("{} MB", snapshot.bytes / MEGABYTE);
        vec![snapshot.name.clone(), saved, size, snapshot.node_image.clone()]
    }));
    if found.is_empty() {
        let text = format!("no snapshots of '{}' found; create one with cmdr snapshot save NAME", session.workspace());
        session.note(&text);
    } else {
        ui::print(&ui::table::table(&rows));
    }
    Ok(())
}

/// # Errors
/// When the snapshot does not exist, or Docker fails.
async fn delete(session: &Session, name: &str) -> Result<(), CommandError> {
    let access = access(session).await?;
    let snapshot = snapshots::find(session, &access.docker, name).await?;
    if session.settings.dry_run {
        session.note(&format!("would delete the snapshot '{name}'"));
        return Ok(());
    }
    let _lock = session.lock(&access, LockScope::Cluster).await?;
    access.docker.delete_snapshot(&snapshot).await?;
    session.note(&format!("deleted the snapshot '{name}'"));
    Ok(())
}

fn valid(name: &str) -> Result<Name, CommandError> {
    Name::short(name).map_err(|error| {
        let problem = Problem::new(format!("'{name}' is not a valid snapshot name")).detail(error.to_string());
        CommandError::usage(match error.suggestion {
            Some(better) => problem.help(format!("did you mean '{better}'?")),
            None => problem,
        })
    })
}

/// Refuses a snapshot with missing volumes, or without free disk space for its copy.
async fn refuse_broken(access: &LocalAccess, snapshot: &Snapshot) -> Result<(), CommandError> {
    let volumes = access.docker.volumes(None).await?;
    let missing = snapshot.volumes.iter().find(|kept| !volumes.iter().any(|volume| volume.name == kept.volume));
    if let Some(kept) = missing {
        let cause = format!("the snapshot '{}' is incomplete: its volume {} is missing", snapshot.name, kept.volume);
        let help = format!("delete the rest of it: cmdr snapshot delete {}", snapshot.name);
        return Err(CommandError::failed(Problem::new(cause).help(help)));
    }
    let engine = access.docker.info().await?;
    match access.docker.free_disk_bytes(&engine) {
        Some(free) => refuse_full_disk(snapshot.bytes, free),
        None => Ok(()),
    }
}

fn refuse_full_disk(bytes: u64, free: u64) -> Result<(), CommandError> {
    let wanted = bytes.saturating_add(RESERVE);
    if free >= wanted {
        return Ok(());
    }
    let (free, wanted) = (free / MEGABYTE, wanted / MEGABYTE);
    let cause = format!("only {free} MB are free on Docker's disk; a copy of the cluster needs {wanted} MB");
    Err(CommandError::failed(
        Problem::new(cause).help("free some space: cmdr snapshot delete, docker builder prune, docker image prune"),
    ))
}

/// Refuses taken ports: the ports in the URLs cannot change.
async fn refuse_taken_ports(session: &Session, access: &LocalAccess, snapshot: &Snapshot) -> Result<(), CommandError> {
    let holders = access.docker.port_holders().await?;
    let own = access.node.as_ref().map(|node| format!("container {}", node.name));
    let published = snapshot.host_ports();
    for port in [NODE_PORTS.0, NODE_PORTS.1].iter().filter_map(|port| published.get(port)) {
        let holder = holders.get(port).filter(|holder| !own.as_ref().is_some_and(|own| holder.starts_with(own)));
        if let Some(holder) = holder {
            let cause = format!("port {port} of the snapshot's cluster is taken by {holder}");
            let help = format!("stop it, then run again: cmdr snapshot restore {}", snapshot.name);
            session.note("nothing was changed");
            return Err(CommandError::failed(Problem::new(cause).help(help)));
        }
    }
    Ok(())
}

/// The current content of the cluster is lost: prompts on a terminal, and requires `--yes` otherwise.
fn confirm(session: &Session, snapshot: &Snapshot, copies: &str) -> Result<(), CommandError> {
    let nothing = |help: &str| {
        let cause = format!("the current cluster{copies} would be deleted, databases included: nothing was changed");
        Err(CommandError::new(ErrorKind::Failed, Problem::new(cause).help(help)))
    };
    if session.settings.yes {
        return Ok(());
    }
    if !session.settings.may_ask() {
        return nothing("confirm with --yes, or save the current cluster first with cmdr snapshot save NAME");
    }
    let question = format!(
        "Replace the cluster '{}'{copies}, databases included, with the snapshot '{}'?",
        session.workspace(),
        snapshot.name
    );
    if ui::confirm(&question) {
        return Ok(());
    }
    nothing("save the current cluster first with cmdr snapshot save NAME")
}

/// The cluster as described by the snapshot.
fn local_of(session: &Session, access: &LocalAccess, snapshot: &Snapshot) -> Result<LocalCluster, CommandError> {
    let wrong =
        |error| CommandError::failed(Problem::new(format!("invalid node image '{}': {error}", snapshot.node_image)));
    let published = snapshot.host_ports();
    let port = |port| published.get(&port).copied().unwrap_or_default();
    Ok(LocalCluster {
        docker: access.docker.clone(),
        kind: access.kind.clone(),
        name: session.workspace().to_string(),
        folder: access.folder.clone(),
        copy: session.environment.copy_name().map(str::to_owned),
        node_image: ImageReference::parse(&snapshot.node_image).map_err(wrong)?,
        kubernetes: None,
        http_port: port(NODE_PORTS.0),
        https_port: port(NODE_PORTS.1),
        mirrors: Vec::new(),
        registry: Vec::new(),
        certificate_authority: None,
        networks: session.environment.networks,
        proxies: Proxies::default(),
    })
}
