//! `cmdr copies` and `cmdr down --copy`: lists and deletes copies of the local environment.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    cli::CopiesOptions,
    commands::status_project::age,
    domain::{Problem, local_copy::ObservedCopy},
    error::{CommandError, ErrorKind},
    ops::{
        copies::unknown_copy,
        copy_list::{CopyList, CopyRow},
        locks::LockScope,
        observe::local_cluster,
        own_cluster::{existing, not_running},
        prepared::cluster_of,
        session::{LocalAccess, Session},
    },
    plan::{Plan, copies::end_copies, up::ObservedCluster},
    settings::OutputFormat,
    ui::{self, table::table},
};

/// # Errors
/// When the environment is not `local`, or the cluster does not respond.
pub(super) async fn copies(session: &Session, options: &CopiesOptions) -> Result<(), CommandError> {
    if !session.environment.is_local() {
        let cause =
            format!("'{}' is not the local environment, and only that one has copies", session.environment.name);
        return Err(CommandError::usage(Problem::new(cause).help("leave out --env")));
    }
    let access = session.local().await?;
    match local_cluster(&access, false) {
        ObservedCluster::Running => (),
        ObservedCluster::Absent | ObservedCluster::Unfinished => {
            show(session, &[]);
            return Ok(());
        }
        _ => return Err(not_running()),
    }
    let cluster = cluster_of(session, &access).await?;
    let list = CopyList::read(session, &access, &cluster).await?;
    if !options.prune {
        show(session, &list.rows);
        return Ok(());
    }
    let is_abandoned =
        |copy: &&ObservedCopy| list.rows.iter().any(|row| row.name == copy.name && row.abandoned.is_some());
    let abandoned: Vec<ObservedCopy> = list.copies.iter().filter(is_abandoned).cloned().collect();
    if abandoned.is_empty() {
        session.note("the worktree and the branch of every copy exist: nothing to delete");
        return Ok(());
    }
    let plan = end_copies(&abandoned, &list.observation.observed);
    delete(session, &access, (&abandoned, &plan), LockScope::Cluster).await
}

/// Deletes the session's copy.
///
/// # Errors
/// When the copy does not exist, the user declines, or it cannot be deleted.
pub(super) async fn down(session: &Session, access: &LocalAccess, name: &str) -> Result<(), CommandError> {
    if local_cluster(access, false) != ObservedCluster::Running {
        return Err(not_running());
    }
    let cluster = cluster_of(session, access).await?;
    let list = CopyList::read(session, access, &cluster).await?;
    let own: Vec<ObservedCopy> = list.copies.iter().filter(|copy| copy.name == name).cloned().collect();
    if own.is_empty() {
        return Err(unknown_copy(name, &list.copies));
    }
    let plan = end_copies(&own, &list.observation.observed);
    delete(session, access, (&own, &plan), LockScope::Namespace).await
}

async fn delete(
    session: &Session,
    access: &LocalAccess,
    (copies, plan): (&[ObservedCopy], &Plan),
    scope: LockScope,
) -> Result<(), CommandError> {
    let described: Vec<String> =
        copies.iter().map(|copy| format!("'{}' of {}", copy.name, copy.owner.worktree.display())).collect();
    let (noun, list) = (if copies.len() == 1 { "copy" } else { "copies" }, described.join(", "));
    if session.settings.dry_run {
        session.note(&format!("would delete the {noun} {list}, databases included"));
        return Ok(());
    }
    if !session.settings.yes && !session.settings.may_ask() {
        let cause = format!("the {noun} {list} would be deleted, databases included: nothing was changed");
        return Err(CommandError::failed(Problem::new(cause).help("confirm with --yes")));
    }
    if !session.settings.yes && !ui::confirm(&format!("Delete the {noun} {list}, databases included?")) {
        return Err(CommandError::new(ErrorKind::Failed, Problem::new("cancelled: nothing was deleted")));
    }
    let _lock = session.lock(access, scope).await?;
    let runner = session.runner(session.helm().await?, existing(session, access)?).await?;
    session.execute("down", plan, Arc::new(runner)).await.map(drop)
}

fn show(session: &Session, rows: &[CopyRow]) {
    if session.settings.output == OutputFormat::Json {
        return ui::print(&format!("{}\n", serde_json::json!(rows)));
    }
    if rows.is_empty() {
        return session.note("no copies; create one with cmdr up --copy");
    }
    let now = Timestamp::now();
    let header = ["COPY", "BRANCH", "AGE", "READY", "DATA", "URL", "WORKTREE"].map(str::to_owned).to_vec();
    let lines = rows.iter().map(|row| line(row, now));
    ui::print(&table(&[header].into_iter().chain(lines).collect::<Vec<_>>()));
}

fn line(row: &CopyRow, now: Timestamp) -> Vec<String> {
    let worktree = match row.abandoned {
        Some(abandoned) => format!("{} ({})", row.worktree.display(), abandoned.shown()),
        None => row.worktree.display().to_string(),
    };
    vec![
        row.name.clone(),
        row.branch.clone().unwrap_or_else(|| "-".to_owned()),
        age(row.created, now),
        format!("{}/{}", row.ready, row.projects),
        format!("{} MB", row.data_bytes.div_ceil(1_000_000)),
        row.urls.first().cloned().unwrap_or_else(|| "-".to_owned()),
        worktree,
    ]
}
