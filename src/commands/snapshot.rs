//! `cmdr snapshot`: the local cluster kept as it is, and brought back.

use std::{sync::Arc, time::Instant};

use crate::{
    adapters::{docker::State, kind::configuration::NODE_PORTS},
    domain::{Diagnosis, ImageReference, Name, snapshot::Snapshot},
    error::{CommandError, ErrorKind},
    ops::{
        local::{Purpose, bring},
        options::UpRequest,
        own_cluster::{absent, access, existing},
        session::{LocalAccess, Session, docker_error},
    },
    plan::{Plan, Step},
    settings::OutputFormat,
    steps::LocalCluster,
    ui,
};

/// Bytes that stay free on the engine's disk, for the node's own layer and for what runs meanwhile.
const RESERVE: u64 = 1_000_000_000;
const MEGABYTE: u64 = 1_000_000;

/// Keeps the cluster. One that runs is stopped for it and runs again afterwards; one that sleeps goes on sleeping.
///
/// # Errors
/// When there is no cluster, the name is taken, the disk is too small, or Docker refuses.
pub async fn save(session: &Session, name: &str) -> Result<(), CommandError> {
    let name = valid(name)?;
    let access = access(session).await?;
    let workspace = session.workspace().as_str();
    let Some(node) = access.node.clone().filter(|_| !access.folder.is_unfinished()) else {
        return Err(absent(session));
    };
    if snapshots(session, &access).await?.iter().any(|snapshot| snapshot.name == name.as_str()) {
        let remedy = format!("choose another name, or remove it: cmdr snapshot delete {name}");
        return Err(CommandError::usage(Diagnosis::new(format!("there is a snapshot '{name}'")).remedy(remedy)));
    }
    if session.settings.dry_run {
        session.note(&format!("would keep the cluster '{workspace}' as the snapshot '{name}'"));
        return Ok(());
    }
    let lock = session.lock(&access).await?;
    access.docker.sweep_snapshots(workspace).await.map_err(docker_error)?;
    let local = existing(session, &access)?;
    let measured = local.measure(&node).await.map_err(docker_error)?;
    refuse_full_disk(measured.bytes, measured.free)?;
    let mut plan = Plan::default();
    let is_awake = node.state == State::Running;
    let away = Instant::now();
    let stopped = matches!(node.state, State::Running | State::Paused)
        .then(|| plan.add(Step::StopCluster { warm: false }, "cluster", "stop", "it is copied as it sleeps", None));
    plan.add(Step::SaveSnapshot(name.clone()), "snapshot", "save", "cmdr snapshot save", stopped);
    let helm = session.helm().await?;
    let runner = session.runner(helm, local).await?;
    let saved = session.execute("snapshot save", &plan, Arc::new(runner)).await;
    if !is_awake || session.cancel.is_cancelled() {
        // An interrupted stop lets it go on.
        if session.node(&access.docker).await?.is_some_and(|node| node.state != State::Running) {
            session.note(&format!("the cluster '{workspace}' sleeps; cmdr start wakes it"));
        }
        return saved.map(|_| ());
    }
    // What ran is to run again, saved or not.
    let woken = bring(session, &UpRequest::default(), Purpose::Prove("start"), Some(lock)).await;
    session.note(&format!("the cluster '{workspace}' was away for {:.0} s", away.elapsed().as_secs_f64()));
    saved.and(woken)
}

/// Puts a snapshot in the place of the cluster, and proves it as `start` does.
///
/// # Errors
/// When there is no such snapshot, it is not whole, its ports are taken, or Docker refuses.
pub async fn restore(session: &Session, name: &str) -> Result<(), CommandError> {
    let access = access(session).await?;
    let snapshot = find(session, &access, name).await?;
    refuse_broken(&access, &snapshot).await?;
    let local = local_of(session, &access, &snapshot)?;
    refuse_taken_ports(session, &access, &snapshot).await?;
    if session.settings.dry_run {
        session.note(&format!("would put the snapshot '{name}' in the place of the cluster '{}'", session.workspace()));
        return Ok(());
    }
    if access.node.is_some() {
        confirm(session, &snapshot)?;
    }
    let lock = session.lock(&access).await?;
    access.docker.sweep_snapshots(session.workspace().as_str()).await.map_err(docker_error)?;
    let mut plan = Plan::default();
    plan.add(Step::RestoreSnapshot(Box::new(snapshot)), "snapshot", "restore", "cmdr snapshot restore", None);
    let helm = session.helm().await?;
    let runner = session.runner(helm, local.clone()).await?;
    session.execute("snapshot restore", &plan, Arc::new(runner)).await?;
    let proven = bring(session, &UpRequest::default(), Purpose::Prove("start"), Some(lock)).await;
    local.remove_given_up().await;
    proven
}

/// # Errors
/// When Docker refuses.
pub async fn list(session: &Session) -> Result<(), CommandError> {
    let access = access(session).await?;
    if let Ok(_lock) = session.lock(&access).await {
        access.docker.sweep_snapshots(session.workspace().as_str()).await.map_err(docker_error)?;
    }
    let found = snapshots(session, &access).await?;
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
        session.note(&format!("there is no snapshot of '{}'; cmdr snapshot save NAME makes one", session.workspace()));
    } else {
        ui::print(&ui::table::table(&rows));
    }
    Ok(())
}

/// # Errors
/// When there is no such snapshot, or Docker refuses.
pub async fn delete(session: &Session, name: &str) -> Result<(), CommandError> {
    let access = access(session).await?;
    let snapshot = find(session, &access, name).await?;
    if session.settings.dry_run {
        session.note(&format!("would delete the snapshot '{name}'"));
        return Ok(());
    }
    let _lock = session.lock(&access).await?;
    access.docker.delete_snapshot(&snapshot).await.map_err(docker_error)?;
    session.note(&format!("the snapshot '{name}' is deleted"));
    Ok(())
}

fn valid(name: &str) -> Result<Name, CommandError> {
    Name::new(name).map_err(|error| {
        let diagnosis = Diagnosis::new(format!("'{name}' cannot name a snapshot")).detail(error.to_string());
        CommandError::usage(match error.suggestion {
            Some(better) => diagnosis.remedy(format!("such as '{better}'")),
            None => diagnosis,
        })
    })
}

async fn snapshots(session: &Session, access: &LocalAccess) -> Result<Vec<Snapshot>, CommandError> {
    access.docker.snapshots(session.workspace().as_str()).await.map_err(docker_error)
}

async fn find(session: &Session, access: &LocalAccess, name: &str) -> Result<Snapshot, CommandError> {
    let found = snapshots(session, access).await?;
    let nearest = found.iter().map(|snapshot| (strsim::jaro_winkler(name, &snapshot.name), &snapshot.name));
    let nearest = nearest.filter(|(likeness, _)| *likeness > 0.7).max_by(|one, other| one.0.total_cmp(&other.0));
    let remedy = match nearest {
        Some((_, nearest)) => format!("did you mean '{nearest}'?"),
        None => "cmdr snapshot list shows those that there are".to_owned(),
    };
    let unknown = Diagnosis::new(format!("there is no snapshot '{name}' of '{}'", session.workspace())).remedy(remedy);
    found.into_iter().find(|snapshot| snapshot.name == name).ok_or_else(|| CommandError::usage(unknown))
}

/// Everything of the snapshot must be there, and room for its copy.
async fn refuse_broken(access: &LocalAccess, snapshot: &Snapshot) -> Result<(), CommandError> {
    let volumes = access.docker.volumes(None).await.map_err(docker_error)?;
    let missing = snapshot.volumes.iter().find(|kept| !volumes.iter().any(|volume| volume.name == kept.volume));
    if let Some(kept) = missing {
        let cause = format!("the snapshot '{}' is not whole: its volume {} is gone", snapshot.name, kept.volume);
        let remedy = format!("remove what is left of it: cmdr snapshot delete {}", snapshot.name);
        return Err(CommandError::failed(Diagnosis::new(cause).remedy(remedy)));
    }
    let engine = access.docker.info().await.map_err(docker_error)?;
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
        Diagnosis::new(cause).remedy("free some: cmdr snapshot delete, docker builder prune, docker image prune"),
    ))
}

/// The ports that URLs name cannot be others.
async fn refuse_taken_ports(session: &Session, access: &LocalAccess, snapshot: &Snapshot) -> Result<(), CommandError> {
    let holders = access.docker.port_holders().await.map_err(docker_error)?;
    let own = access.node.as_ref().map(|node| format!("container {}", node.name));
    let published = snapshot.host_ports();
    for port in [NODE_PORTS.0, NODE_PORTS.1].iter().filter_map(|port| published.get(port)) {
        let holder = holders.get(port).filter(|holder| !own.as_ref().is_some_and(|own| holder.starts_with(own)));
        if let Some(holder) = holder {
            let cause = format!("port {port}, which the snapshot's cluster answers on, is taken by {holder}");
            let remedy = format!("end it, then say again: cmdr snapshot restore {}", snapshot.name);
            session.note("nothing was touched");
            return Err(CommandError::failed(Diagnosis::new(cause).remedy(remedy)));
        }
    }
    Ok(())
}

/// What is in the cluster now is lost: asked on a terminal, and said by `--yes` where nobody can be asked.
fn confirm(session: &Session, snapshot: &Snapshot) -> Result<(), CommandError> {
    let nothing = |remedy: &str| {
        let cause = "the present cluster would be given up, databases included: nothing was touched";
        Err(CommandError::new(ErrorKind::Failed, Diagnosis::new(cause).remedy(remedy)))
    };
    if session.settings.yes {
        return Ok(());
    }
    if !session.settings.may_ask() {
        return nothing("say so with --yes; cmdr snapshot save NAME keeps the present cluster first");
    }
    let question = format!(
        "Give the cluster '{}' up, databases included, for the snapshot '{}'?",
        session.workspace(),
        snapshot.name
    );
    match dialoguer::Confirm::new().with_prompt(question).default(false).interact() {
        Ok(true) => Ok(()),
        _ => nothing("cmdr snapshot save NAME keeps the present cluster first"),
    }
}

/// The cluster as the snapshot has it.
fn local_of(session: &Session, access: &LocalAccess, snapshot: &Snapshot) -> Result<LocalCluster, CommandError> {
    let wrong =
        |error| CommandError::failed(Diagnosis::new(format!("the node's image '{}': {error}", snapshot.node_image)));
    let published = snapshot.host_ports();
    let port = |port| published.get(&port).copied().unwrap_or_default();
    Ok(LocalCluster {
        docker: access.docker.clone(),
        kind: access.kind.clone(),
        name: session.workspace().to_string(),
        folder: access.folder.clone(),
        node_image: ImageReference::parse(&snapshot.node_image).map_err(wrong)?,
        kubernetes: None,
        http_port: port(NODE_PORTS.0),
        https_port: port(NODE_PORTS.1),
        mirrors: Vec::new(),
        registry: Vec::new(),
        certificate_authority: None,
    })
}
