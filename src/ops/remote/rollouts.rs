//! Rollouts of an environment: which projects have one, how they are continued, and what people request of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, future::try_join_all, stream};
use jiff::Timestamp;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster::Cluster,
        wait::{Wait, every},
    },
    domain::{
        Name, Problem, ReleaseKey,
        check::CheckVerdict,
        ledger::{AUTOMATIC_ROLLBACK, History, OperationEntry, OperationOutcome, Origin, ROLLBACK},
        objects::has_routes,
        rollout::{RolloutPhase, RolloutState, TrafficRequest, next_name, shared_replicas},
    },
    engine::Summary,
    error::{CommandError, ErrorKind},
    ops::{
        checks::{CheckEvaluation, CheckSubject, first_problem},
        exit::RunEnd,
        prepared::Prepared,
        remote::{
            access::RemoteAccess, automatic_rollback::RollbackTools, deploy_request::DeployRequest, prepare::Remote,
            recorded_charts::chart_of,
        },
        run_plan::RunResult,
        session::Session,
    },
    plan::{
        OperateStep, Plan, Step, StepId,
        traffic::{ProjectRollout, TrafficChange, TrafficStep, end_rollouts, replaced},
    },
    steps::CheckRequest,
    ui,
};

/// The verb of a run that returns the traffic of rollouts on request.
pub const ABORT: &str = "traffic abort";
/// The verb of a rollout that ended because something else was deployed.
const ENDED: &str = "rollout ended";
/// The verb of a run that continues rollouts.
pub const TRAFFIC: &str = "traffic";
/// How long the run that drives a rollout may take to do what was requested.
const TAKEN: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_secs(1);

/// Adds how the new version of each project gets its traffic. A rollback does not wait.
///
/// # Errors
/// When the cluster does not have the kinds of Traefik.
pub(super) async fn describe(
    session: &Session,
    request: &DeployRequest,
    prepared: &mut Prepared<Remote>,
) -> Result<(), CommandError> {
    if request.verb == ROLLBACK {
        return Ok(());
    }
    let Prepared { described, observation, target, .. } = prepared;
    let mut has_splits = false;
    for project in &mut described.projects {
        let resolved = session.projects.iter().find(|it| it.name == project.name);
        let rollout = resolved.and_then(|it| it.rollout.clone()).filter(|rollout| !rollout.is_none());
        let running = observation.observed.releases.get(&project.release.key());
        let can_share = |values| has_routes(values) || shared_replicas(values).is_some();
        let Some(rollout) = rollout.filter(|_| running.is_some_and(|it| can_share(&it.values))) else { continue };
        has_splits |= running.is_some_and(|it| has_routes(&it.values));
        project.rollout = Some(Box::new(ProjectRollout::of(&project.release, rollout, request.is_detached)));
    }
    if !has_splits || target.access.cluster.can_split(&session.environment.namespace).await? {
        return Ok(());
    }
    let cause = "a rollout splits the requests with a TraefikService, which the cluster does not have";
    let help = "install Traefik's CustomResourceDefinitions, or set `kind: none` under `rollout` for this environment";
    Err(CommandError::usage(Problem::new(cause).help(help)))
}

/// Writes into a step who starts the rollout.
pub(super) fn sign(step: &mut Step, by: &str) {
    if let Step::Operate(OperateStep::Traffic(step)) = step
        && let TrafficChange::Start(start) = &mut step.change
    {
        by.clone_into(&mut start.by);
    }
}

/// The projects whose rollout has failed: its start, its second release or a check.
pub(super) fn failed(plan: &Plan, summary: &Summary) -> Vec<ReleaseKey> {
    let of_rollout = |step: &Step| match step {
        Step::Operate(OperateStep::Traffic(step)) if !matches!(step.change, TrafficChange::End(_)) => {
            Some(step.project.clone())
        }
        Step::Deploy(spec) => {
            let project = spec.release.rollout_of.as_ref()?;
            Some(ReleaseKey::new(&spec.release.namespace, project))
        }
        _ => None,
    };
    summary.failed.iter().filter_map(|id| of_rollout(&plan[*id].step)).collect()
}

/// Evaluates the checks of rollouts while a run needs them.
pub(super) async fn with_checks<T>(
    session: &Session,
    cluster: &Cluster,
    (requests, lost): (mpsc::Receiver<CheckRequest>, &CancellationToken),
    run: impl Future<Output = T>,
) -> T {
    let requests = stream::unfold(requests, async |mut requests| Some((requests.recv().await?, requests)));
    // Opened with the first request: most runs have no checks.
    let opened = OnceCell::new();
    let evaluation = &opened;
    let answers = requests.for_each_concurrent(None, |request| {
        answer(evaluation.get_or_try_init(|| CheckEvaluation::open(session, cluster)), request, lost)
    });
    tokio::pin!(run);
    tokio::select! {
        ran = &mut run => ran,
        // The run holds the other end of the channel.
        () = answers => run.await,
    }
}

async fn answer<'a, 'b: 'a>(
    evaluation: impl Future<Output = Result<&'a CheckEvaluation<'b>, CommandError>>,
    request: CheckRequest,
    lost: &CancellationToken,
) {
    let CheckRequest { checks, project, verdicts } = request;
    let Ok(name) = Name::new(&project) else { return };
    let subject = CheckSubject { project: name, service: next_name(&project) };
    let found = match evaluation.await {
        Ok(evaluation) => evaluation.verdicts(&checks, Some(&subject), lost).await,
        Err(error) => {
            let reason = first_problem(&error);
            checks.into_keys().map(|name| (name, CheckVerdict::Unknown { reason: reason.clone() })).collect()
        }
    };
    // A step that has ended no longer waits for its checks.
    let _ = verdicts.send(found);
}

/// Returns the traffic of rollouts that failed, and removes their second releases, which the ledger records. `None` if
/// there are none.
pub(super) async fn return_traffic(
    session: &Session,
    (verb, origin): (&str, &Origin),
    RollbackTools { remote, runner, lost }: RollbackTools<'_>,
    projects: Vec<ReleaseKey>,
) -> Option<RunEnd> {
    if projects.is_empty() {
        return None;
    }
    let (plan, started) = (end_rollouts(projects, "the rollout failed"), Timestamp::now());
    let verb = format!("{verb}: {AUTOMATIC_ROLLBACK}");
    let ran = session.run_plan(&verb, &plan, Arc::clone(runner), lost).await;
    if ran.end != RunEnd::LockLost {
        note_returns(session, (&remote.access.cluster, origin), &plan, (&ran, started)).await;
    }
    Some(match ran.end {
        RunEnd::Succeeded => RunEnd::RolledBack,
        RunEnd::LockLost => RunEnd::LockLost,
        _ => RunEnd::NotRolledBack,
    })
}

/// Writes the rollouts that were rolled back into the ledger, each with its record and why.
async fn note_returns(
    session: &Session,
    (cluster, origin): (&Cluster, &Origin),
    plan: &Plan,
    (ran, started): (&RunResult, Timestamp),
) {
    for planned in plan.changes() {
        let Step::Operate(OperateStep::Traffic(TrafficStep { project, .. })) = &planned.step else { continue };
        let state = cluster.rollout(project).await.ok().flatten();
        let is_done = ran.summary.done.contains(&planned.id);
        let because = state.as_ref().and_then(|state| state.reason.clone());
        let aborted_by = state.as_ref().and_then(|state| state.aborted_by.clone());
        let operation = OperationEntry {
            verb: if aborted_by.is_some() { ABORT } else { AUTOMATIC_ROLLBACK }.to_owned(),
            record: state.as_ref().map(|state| state.record.clone()),
            version: state.map(|state| state.version),
            started,
            ended: Some(Timestamp::now()),
            outcome: if is_done { OperationOutcome::Done } else { OperationOutcome::Failed },
            origin: Origin { because, by: aborted_by.unwrap_or_else(|| origin.by.clone()), ..origin.clone() },
        };
        note(session, cluster, project, operation).await;
    }
}

/// Writes the rollouts into the ledger that a run has ended because it deploys something else, such as a rollback.
pub(super) async fn note_replaced(
    session: &Session,
    (prepared, origin): (&Prepared<Remote>, &Origin),
    plan: &Plan,
    (ran, started): (&RunResult, Timestamp),
) {
    // After a lost lock, the ledger may belong to another run.
    let is_done = |step: StepId| ran.end != RunEnd::LockLost && ran.summary.done.contains(&step);
    let rollouts = &prepared.observation.observed.rollouts;
    for (_, project, state) in replaced(plan, rollouts).filter(|(step, ..)| is_done(*step)) {
        let release = prepared.described.projects.iter().map(|it| &it.release).find(|it| it.key() == *project);
        let by = release.map(|release| format!("replaced by version {}", release.content.version));
        let operation = OperationEntry {
            verb: ENDED.to_owned(),
            record: Some(state.record.clone()),
            version: Some(state.version.clone()),
            started,
            ended: Some(Timestamp::now()),
            outcome: OperationOutcome::Done,
            origin: Origin { because: origin.because.clone().or(by), ..origin.clone() },
        };
        note(session, &prepared.target.access.cluster, project, operation).await;
    }
}

/// Adds an operation to the ledger. What has happened does not fail because of it.
async fn note(session: &Session, cluster: &Cluster, project: &ReleaseKey, operation: OperationEntry) {
    let note = move |history: &mut History| history.note_operation(operation.clone());
    if let Err(error) = cluster.update_history(&project.namespace, &project.name, note).await {
        ui::print_problems(&[error.problem()], session.settings.color, None);
    }
}

/// Whether a detached run has passed the last step of a rollout that it continues: its release is deployed next.
pub(super) async fn has_passed(
    session: &Session,
    request: &DeployRequest,
    remote: &Remote,
) -> Result<bool, CommandError> {
    if request.verb != TRAFFIC || !request.is_detached {
        return Ok(false);
    }
    let states = remote.access.cluster.rollouts(&session.environment.namespace).await?;
    let is_own = |name: &String| request.only.iter().flatten().any(|own| own.as_str() == name);
    Ok(states.iter().any(|(name, state)| is_own(name) && state.phase == RolloutPhase::Passed))
}

/// Returns the rollouts in progress, of these projects or of all.
///
/// # Errors
/// When a named project has none.
pub async fn in_progress(
    session: &Session,
    cluster: &Cluster,
    names: &[Name],
) -> Result<BTreeMap<String, RolloutState>, CommandError> {
    let mut states = cluster.rollouts(&session.environment.namespace).await?;
    states.retain(|_, state| state.is_in_progress());
    let absent = names.iter().filter(|name| !states.contains_key(name.as_str()));
    let environment = &session.environment.name;
    let problem = |name: &Name| {
        Problem::new(format!("no rollout of '{name}' is in progress in '{environment}'"))
            .help(format!("cmdr deploy {name} starts one, if projects.yaml has `rollout`"))
    };
    CommandError::require_none(ErrorKind::Failed, absent.map(problem).collect())?;
    states.retain(|name, _| names.is_empty() || names.iter().any(|named| named.as_str() == name));
    Ok(states)
}

/// Returns the request that continues rollouts with their own records.
///
/// # Errors
/// When the ledger no longer contains a record or its chart.
pub async fn continuation(
    session: &Session,
    states: &BTreeMap<String, RolloutState>,
    is_detached: bool,
) -> Result<DeployRequest, CommandError> {
    let (helm, access) = tokio::try_join!(session.helm(), RemoteAccess::open(session))?;
    let namespace = &session.environment.namespace;
    let contents = states.iter().map(async |(project, state)| {
        let Some(record) = access.cluster.record(namespace, &state.record).await? else {
            let cause = format!("record {} of the rollout of '{project}' is not in the ledger", state.record);
            let help = format!("end the rollout with cmdr traffic abort {project}");
            return Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)));
        };
        let chart = chart_of(session, &helm, &access, namespace, &record).await?;
        Ok((project.clone(), (record, chart)))
    });
    let contents: BTreeMap<_, _> = try_join_all(contents).await?.into_iter().collect();
    let only = states.keys().filter_map(|project| Name::new(project).ok()).collect();
    Ok(DeployRequest { verb: TRAFFIC, only: Some(only), contents, is_detached, ..DeployRequest::default() })
}

/// Writes what a person requests of a rollout. The run that drives it takes the request.
///
/// # Errors
/// When the state cannot be written.
pub async fn request(cluster: &Cluster, project: &ReleaseKey, request: &TrafficRequest) -> Result<(), CommandError> {
    let write = |state: Option<RolloutState>| {
        let mut state = state.filter(RolloutState::is_in_progress)?;
        state.request = Some(request.clone());
        Some(state)
    };
    Ok(cluster.update_rollout(project, write).await?)
}

/// Adds to the refusal of a locked project how the rollout that another run may drive there is ended. Such a run holds the
/// lock for as long as the steps take.
pub(super) async fn explain_lock(
    session: &Session,
    cluster: &Cluster,
    request: &DeployRequest,
    mut error: CommandError,
) -> CommandError {
    if error.kind != ErrorKind::Locked {
        return error;
    }
    let states = cluster.rollouts(&session.environment.namespace).await.unwrap_or_default();
    let is_meant = |name: &str| request.only.as_ref().is_none_or(|only| only.iter().any(|own| own.as_str() == name));
    let driven = states.iter().find(|(name, state)| state.is_in_progress() && is_meant(name));
    if let (Some((project, _)), Some(problem)) = (driven, error.problems.first_mut()) {
        problem.help = Some(format!(
            "a rollout of '{project}' is in progress: end it with cmdr traffic abort {project} --env {}, or wait for it \
             with --lock-timeout 5m",
            session.environment.name
        ));
    }
    error
}

/// Returns the projects of which another run holds the lock, or that of an external project that they need. A run that
/// drives a rollout holds it for as long as the steps take.
///
/// # Errors
/// When the cluster does not respond.
pub async fn driven(
    session: &Session,
    cluster: &Cluster,
    projects: impl Iterator<Item = &String>,
) -> Result<BTreeSet<String>, CommandError> {
    let held = cluster.held_scopes(&session.environment.namespace).await?;
    let is_held = |project: &&String| {
        let only = Name::new(project.as_str()).ok().into_iter().collect();
        let own = DeployRequest { only: Some(only), ..DeployRequest::default() }.scope(session);
        held.iter().any(|held| held.excludes(&own))
    };
    Ok(projects.filter(is_held).cloned().collect())
}

/// Waits until the run that holds the lock has done what was requested. Returns whether it has.
///
/// # Errors
/// When the cluster does not respond.
pub async fn is_taken(session: &Session, cluster: &Cluster, project: &str) -> Result<bool, CommandError> {
    let key = ReleaseKey::new(&session.environment.namespace, project);
    let mut wait = Wait::new(every(LOOK), TAKEN);
    loop {
        if cluster.rollout(&key).await?.is_none_or(|state| state.request.is_none()) {
            return Ok(true);
        }
        if wait.pause_or((), &session.cancel).await.is_err() {
            return Ok(false);
        }
    }
}
