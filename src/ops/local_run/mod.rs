//! A process of this machine takes the place of a project's pods: it has their variables and files, reaches Services by
//! their names, and receives their traffic while it runs.

mod prepare;
mod supervise;

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    adapters::local_run::{LocalRunMark, abandoned, active, exit_code, forget},
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        options::UpRequest,
        project_pods::{named_releases, pod_selectors},
        selection::Selection,
        session::Session,
    },
    steps::ClusterFolder,
};

/// What runs on this machine.
#[derive(Debug, Clone)]
pub struct LocalRunRequest {
    pub project: String,
    /// Ports of the container, with those of this machine: `8080:18080`.
    pub ports: Vec<String>,
    pub command: Vec<String>,
}

/// Runs the command in place of the project's pods, until it ends.
///
/// # Errors
/// When the project is unknown or cannot be replaced: nothing is changed then. With the exit code of the command, if it
/// fails.
pub async fn run_locally(session: &Session, request: &LocalRunRequest) -> Result<(), CommandError> {
    let prepared = prepare::prepare(session, request).await?;
    if session.settings.dry_run {
        session.note(&prepared.description());
        return Ok(());
    }
    match exit_code(supervise::supervise(session, prepared).await?) {
        0 => Ok(()),
        // The command has said why: no message and no path of the log.
        code => Err(CommandError { exit_code: Some(code), ..CommandError::reported(ErrorKind::Usage) }),
    }
}

/// The marks of the environment's namespace. A cluster may have several with the same projects.
fn marks_folder(session: &Session) -> PathBuf {
    all_marks_folder(session).join(&session.environment.namespace)
}

fn all_marks_folder(session: &Session) -> PathBuf {
    ClusterFolder(session.settings.cluster_folder(session.workspace().as_str())).local_runs()
}

/// Returns the projects that processes of this machine replace now.
pub(crate) fn active_runs(session: &Session) -> BTreeMap<String, LocalRunMark> {
    if session.environment.is_local() { active(&marks_folder(session)) } else { BTreeMap::new() }
}

/// Refuses a run that would change projects whose place processes of this machine take.
///
/// # Errors
/// If there are any among the projects of the request, or `deploys` is not set.
pub(crate) fn refuse_active(session: &Session, request: &UpRequest, deploys: bool) -> Result<(), CommandError> {
    let runs = active_runs(session);
    if runs.is_empty() || !deploys {
        return Ok(());
    }
    let selected = Selection::choose(session, request)?.projects;
    let held = selected.iter().filter_map(|project| runs.get(project.name.as_str()));
    let problem = |mark: &LocalRunMark| {
        let cause = format!("'{}' runs locally: {}", mark.project, mark.holder());
        Problem::new(cause).help("end that process first, or name the projects to change")
    };
    CommandError::require_none(ErrorKind::Locked, held.map(problem).collect())
}

/// Removes what runs have left that were killed. The network of the pods was restored when they ended.
pub(crate) async fn recover(session: &Session) {
    let folder = marks_folder(session);
    for mark in abandoned(&folder) {
        // The cluster may be stopped: then the next run tries again.
        if remove_annotation(session, &mark.project).await.is_ok() {
            forget(&folder, &mark);
            session.note(&format!("'{}' no longer runs locally: {} has ended", mark.project, mark.holder()));
        }
    }
}

async fn remove_annotation(session: &Session, project: &str) -> Result<(), CommandError> {
    let releases = named_releases(session, &[project.to_owned()])?;
    let cluster = connect(session).await?;
    let selectors = pod_selectors(session, &cluster, &releases, false).await?;
    let pods = cluster.replaced_pods(&session.environment.namespace).await?;
    let own = pods.iter().find(|pod| selectors.iter().any(|it| it.matches(&pod.namespace, &pod.labels)));
    match own {
        Some(pod) => Ok(cluster.annotate_workload(pod, None).await?),
        None => Ok(()),
    }
}
