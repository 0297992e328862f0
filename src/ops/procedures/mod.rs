//! Procedures: starts, continues and aborts them, and shows where they are.

mod act;
mod document;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    adapters::cluster::{Cluster, lease::Scope},
    domain::{
        Name, Problem,
        gate::Gate,
        procedure::{FlatAct, FlatStep, ProcedureAction, definition_id, flatten},
        procedure_state::{ProcedurePhase, ProcedureState, StartedBy, StepProgress},
    },
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        options::ChangeRequest,
        remote::{
            access::{RemoteAccess, may_write, refuse_local},
            deploy_request::ChangeContext,
            gates::check_operation,
            leases::Held,
        },
        session::{Session, unknown},
    },
    ui,
};
use act::Action;
pub(crate) use document::{ProcedureDocument, ProcedureRow};
use run::ProcedureRun;

/// Why `local` has no procedures.
const STATE_OF_REMOTE: &str = "procedures keep their state beside the ledger of an environment";

/// What `cmdr procedure start`, `continue` or `abort` is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct ProcedureRequest {
    pub name: String,
    /// Whether changed steps that were not started are taken over.
    pub accepts_changes: bool,
    pub change: ChangeRequest,
}

/// Starts a procedure, and runs it until it ends, fails, or waits for a person.
///
/// # Errors
/// When anything is invalid, a gate refuses, the procedure is under way, or a step fails.
pub(crate) async fn start(session: &Session, request: &ProcedureRequest) -> Result<(), CommandError> {
    let (name, steps) = described(session, &request.name)?;
    let context = ChangeContext::read(session, &request.change, session.commit().await)?;
    let access = checked(session, &all_acts(&steps), &request.change).await?;
    refuse_under_way(state_of(&access.cluster, session, name.as_str()).await?.as_ref())?;
    let own = steps.iter().filter(|step| step.act.environment == session.environment.name);
    let mut changed: BTreeSet<&str> = own.flat_map(|step| step.act.action.changed()).collect();
    // Deployment windows also apply to what the ledger does not know.
    changed.insert("the environment");
    let histories = access.cluster.histories(&session.environment.namespace).await?;
    check_operation(session, &context, &[Gate::Freeze, Gate::Hold], &histories, &changed)?;
    if session.settings.dry_run {
        ProcedureDocument::new(session, name.as_str(), &steps, None).print(session);
        return Ok(());
    }
    ask(session, name.as_str(), &steps, "Start this procedure in").await?;
    access.cluster.ensure_namespace(&session.environment.namespace, &session.cancel).await?;
    let held = hold(session, &access, name.as_str(), &context).await?;
    let (held, state) = under(held, begin(session, &access, (name, &steps), &context).await).await?;
    let run = ProcedureRun { session, access, held, steps, state, change: request.change.clone() };
    run.run_to_end().await
}

/// Writes the state of a procedure before its first step.
async fn begin(
    session: &Session,
    access: &RemoteAccess,
    (name, steps): (&Name, &[FlatStep]),
    context: &ChangeContext,
) -> Result<ProcedureState, CommandError> {
    // Another run may have started it before the lock was taken.
    refuse_under_way(state_of(&access.cluster, session, name.as_str()).await?.as_ref())?;
    let started =
        StartedBy { by: session.settings.author(), because: context.origin.because.clone(), now: Timestamp::now() };
    let state = ProcedureState::new(name.as_str(), session.environment.name.as_str(), steps, started);
    access.cluster.write_procedure(&session.environment.namespace, &state).await?;
    Ok(state)
}

/// Continues a procedure with the step that is next; approves that step if it waits for a person.
///
/// # Errors
/// As [`start`], or when it is not under way, or its definition has changed.
pub(crate) async fn go_on(session: &Session, request: &ProcedureRequest) -> Result<(), CommandError> {
    let Some(mut run) = resumed(session, request).await? else { return Ok(()) };
    let result = if run.state.phase == ProcedurePhase::Aborting {
        let cause = format!("the procedure '{}' is being aborted", request.name);
        let help = format!("go on with cmdr procedure abort {}", request.name);
        Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)))
    } else {
        approve(session, &mut run.state)
    };
    match result {
        Ok(()) => run.run_to_end().await,
        Err(error) => {
            run.held.give_back().await;
            Err(error)
        }
    }
}

/// Notes that a person has approved the step that waits for one.
fn approve(session: &Session, state: &mut ProcedureState) -> Result<(), CommandError> {
    let Some(index) = state.next().filter(|_| state.phase == ProcedurePhase::Waiting) else { return Ok(()) };
    let author = session.settings.author();
    if session.settings.variables.pipeline.is_some() && author == state.by {
        let cause =
            format!("'{author}' has started the procedure '{}', and a pipeline cannot approve", state.procedure);
        let help = "let another person start the job, or run cmdr procedure continue on a terminal";
        return Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)));
    }
    state.start_step(index, &author, Timestamp::now());
    state.end_step(index, StepProgress::Done, Some(format!("approved by {author}")), Timestamp::now());
    Ok(())
}

/// Undoes the steps of a procedure that were started, the last one first. Each has the way back of its start, so that
/// projects.yaml may have changed, and the procedure may have been removed there.
///
/// # Errors
/// As [`go_on`].
pub(crate) async fn abort(session: &Session, request: &ProcedureRequest) -> Result<(), CommandError> {
    refuse_local(session, STATE_OF_REMOTE)?;
    let context = ChangeContext::read(session, &request.change, session.commit().await)?;
    let access = RemoteAccess::open(session).await?;
    let state = started(&access.cluster, session, request).await?;
    let (name, steps) = (request.name.as_str(), state.described());
    checked(session, &state.ways_back(), &request.change).await?;
    if session.settings.dry_run {
        ProcedureDocument::new(session, name, &steps, Some(state)).print(session);
        return Ok(());
    }
    ask(session, name, &steps, "Undo the steps of this procedure in").await?;
    let held = hold(session, &access, name, &context).await?;
    // Another run may have gone on before the lock was taken.
    let (held, state) = under(held, started(&access.cluster, session, request).await).await?;
    let (steps, change) = (state.described(), request.change.clone());
    ProcedureRun { session, access, held, steps, state, change }.undo_all().await
}

/// The state of a procedure that is under way, as it was started. If changes are accepted, with the ways back that
/// projects.yaml has by now.
async fn started(
    cluster: &Cluster,
    session: &Session,
    request: &ProcedureRequest,
) -> Result<ProcedureState, CommandError> {
    let found = state_of(cluster, session, &request.name).await?;
    if found.is_none() || request.accepts_changes {
        named(session, &request.name)?;
    }
    let mut state = under_way_here(session, &request.name, found)?;
    if request.accepts_changes {
        state.take_ways_back(&named(session, &request.name)?.1);
    }
    Ok(state)
}

/// A procedure that is under way, with its lock; `None` if it is only shown.
async fn resumed<'a>(
    session: &'a Session,
    request: &ProcedureRequest,
) -> Result<Option<ProcedureRun<'a>>, CommandError> {
    let (name, steps) = match described(session, &request.name) {
        Ok(described) => described,
        Err(error) => return Err(removed(session, &request.name, error).await),
    };
    let context = ChangeContext::read(session, &request.change, session.commit().await)?;
    let access = checked(session, &all_acts(&steps), &request.change).await?;
    let state = found(&access.cluster, session, name, &steps, request).await?;
    if session.settings.dry_run {
        ProcedureDocument::new(session, name.as_str(), &steps, Some(state)).print(session);
        return Ok(None);
    }
    let held = hold(session, &access, name.as_str(), &context).await?;
    // Another run may have gone on before the lock was taken.
    let (held, state) = under(held, found(&access.cluster, session, name, &steps, request).await).await?;
    Ok(Some(ProcedureRun { session, access, held, steps, state, change: request.change.clone() }))
}

/// The error of an unknown procedure, or how one that is under way goes on although projects.yaml no longer has it.
async fn removed(session: &Session, name: &str, unknown: CommandError) -> CommandError {
    let states = states(session).await.unwrap_or_default();
    if !states.iter().any(|state| state.procedure == name && state.is_under_way()) {
        return unknown;
    }
    let cause = format!("the procedure '{name}' is under way, but no longer in projects.yaml");
    let help = format!("restore it there, or go back with cmdr procedure abort {name}");
    CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help))
}

/// The state of a procedure that is under way.
fn under_way_here(
    session: &Session,
    name: &str,
    state: Option<ProcedureState>,
) -> Result<ProcedureState, CommandError> {
    state.filter(ProcedureState::is_under_way).ok_or_else(|| {
        let cause = format!("the procedure '{name}' is not under way in '{}'", session.environment.name);
        CommandError::failed(Problem::new(cause).help(format!("start it with cmdr procedure start {name}")))
    })
}

/// The state of a procedure that is under way, with the steps of projects.yaml.
async fn found(
    cluster: &Cluster,
    session: &Session,
    name: &Name,
    steps: &[FlatStep],
    request: &ProcedureRequest,
) -> Result<ProcedureState, CommandError> {
    let state = under_way_here(session, name.as_str(), state_of(cluster, session, name.as_str()).await?)?;
    if state.definition == definition_id(steps) {
        return Ok(state);
    }
    let redefined = state.redefined(steps);
    if let Some(redefined) = redefined.clone().filter(|_| request.accepts_changes) {
        return Ok(redefined);
    }
    let cause = format!("the steps of '{name}' in projects.yaml are not those that were started");
    let mut problem = Problem::new(cause).help(match redefined {
        Some(_) => {
            "restore the steps, or take over the new ones with --accept-changes: those that are done stay".to_owned()
        }
        None => format!(
            "a step that was started cannot be changed, and new ones come after it: restore {}, or go back with cmdr \
             procedure abort {name}",
            state.started_steps().join(", ")
        ),
    });
    problem.details = state.differences(steps);
    Err(CommandError::new(ErrorKind::Refused, problem))
}

/// The procedure of a name, with its steps in the session's environment.
fn described<'a>(session: &'a Session, name: &str) -> Result<(&'a Name, Vec<FlatStep>), CommandError> {
    refuse_local(session, STATE_OF_REMOTE)?;
    named(session, name)
}

/// The procedure of a name in projects.yaml, with its steps.
fn named<'a>(session: &'a Session, name: &str) -> Result<(&'a Name, Vec<FlatStep>), CommandError> {
    let procedures = &session.loaded.workspace.procedures;
    let known = procedures.get_key_value(name);
    let (name, _) = known.ok_or_else(|| unknown("procedure", name, procedures.keys().map(Name::as_str)))?;
    Ok((name, flatten(procedures, name, &session.environment.name)))
}

/// Everything that steps do, and their ways back, each with the name of its step.
fn all_acts(steps: &[FlatStep]) -> Vec<(String, FlatAct)> {
    let acts = |step: &FlatStep| -> Vec<FlatAct> { step.undo.iter().cloned().chain([step.act.clone()]).collect() };
    steps.iter().flat_map(|step| acts(step).into_iter().map(|act| (step.name.clone(), act))).collect()
}

/// Checks every action in its environment, and that each of these environments is reached and may be changed. Returns the
/// access to the session's own.
///
/// # Errors
/// All problems at once.
async fn checked(
    session: &Session,
    all: &[(String, FlatAct)],
    change: &ChangeRequest,
) -> Result<RemoteAccess, CommandError> {
    let mut sessions: BTreeMap<Name, Session> = BTreeMap::new();
    for (_, act) in all {
        if !sessions.contains_key(&act.environment) {
            let opened = Session::open_in(act.environment.as_str(), &session.settings, &session.cancel)?;
            sessions.insert(act.environment.clone(), opened.beside(Some(session)));
        }
    }
    let mut problems = Vec::new();
    for (step, act) in all {
        let action = Action { session: &sessions[&act.environment], act, started: Timestamp::now(), change };
        if let Err(error) = action.validate() {
            problems.extend(error.problems.into_iter().map(|problem| of_step(step, problem)));
        }
    }
    CommandError::require_none(ErrorKind::Usage, problems)?;
    for other in sessions.values().chain([session]) {
        if !session.settings.dry_run {
            may_write(other)?;
        }
    }
    for other in sessions.values().filter(|other| other.environment.name != session.environment.name) {
        RemoteAccess::open(other).await?;
    }
    RemoteAccess::open(session).await
}

fn of_step(step: &str, problem: Problem) -> Problem {
    Problem { message: format!("step '{step}': {}", problem.message), ..problem }
}

fn refuse_under_way(state: Option<&ProcedureState>) -> Result<(), CommandError> {
    let Some(state) = state.filter(|state| state.is_under_way()) else { return Ok(()) };
    let (name, environment) = (&state.procedure, &state.environment);
    let help = format!(
        "go on with cmdr procedure continue {name} --env {environment}, or go back with cmdr procedure abort {name} \
         --env {environment}"
    );
    Err(CommandError::new(ErrorKind::Refused, Problem::new(state.summary()).help(help)))
}

async fn state_of(cluster: &Cluster, session: &Session, name: &str) -> Result<Option<ProcedureState>, CommandError> {
    Ok(cluster.procedure(&session.environment.namespace, name).await?)
}

/// Locks out other runs of the procedure, and runs on the whole environment.
async fn hold(
    session: &Session,
    access: &RemoteAccess,
    name: &str,
    context: &ChangeContext,
) -> Result<Held, CommandError> {
    // No project has a name with a dot.
    let scope = Scope::Projects(BTreeSet::from([format!("procedure.{name}")]));
    Held::take(session, access, &scope, context.lock_timeout).await
}

/// Returns a lock and the result of an action under it. If the action has failed, the lock is given back.
async fn under<T>(held: Held, result: Result<T, CommandError>) -> Result<(Held, T), CommandError> {
    match result {
        Ok(value) => Ok((held, value)),
        Err(error) => {
            held.give_back().await;
            Err(error)
        }
    }
}

/// On a terminal, shows the steps and asks.
async fn ask(session: &Session, name: &str, steps: &[FlatStep], question: &str) -> Result<(), CommandError> {
    if !session.settings.may_ask() {
        return Ok(());
    }
    ProcedureDocument::new(session, name, steps, None).print(session);
    let question = format!("{question} '{}'?", session.environment.name);
    if tokio::task::spawn_blocking(move || ui::confirm(&question)).await.unwrap_or(false) {
        return Ok(());
    }
    Err(CommandError::failed(Problem::new("cancelled: nothing was changed")))
}

/// The procedures of the workspace, each with its state in the environment, and those that are under way but no longer in
/// projects.yaml.
///
/// # Errors
/// When the cluster does not respond.
pub(crate) async fn list(session: &Session) -> Result<Vec<ProcedureRow>, CommandError> {
    let states = states(session).await?;
    let procedures = &session.loaded.workspace.procedures;
    let written = procedures.iter().map(|(name, procedure)| ProcedureRow::new(name, procedure, &states));
    let is_removed = |state: &&ProcedureState| !procedures.contains_key(state.procedure.as_str());
    let removed = states.iter().filter(|state| state.is_under_way()).filter(is_removed).map(ProcedureRow::removed);
    Ok(written.chain(removed).collect())
}

/// A procedure with its steps and its state in the environment. While it is under way, its steps are those of its start.
///
/// # Errors
/// When the procedure is unknown, or the cluster does not respond.
pub(crate) async fn show(session: &Session, name: &str) -> Result<ProcedureDocument, CommandError> {
    let state = states(session).await?.into_iter().find(|state| state.procedure == name);
    let steps = match state.as_ref().filter(|state| state.is_under_way()) {
        Some(state) => state.described(),
        None => named(session, name)?.1,
    };
    Ok(ProcedureDocument::new(session, name, &steps, state))
}

/// The procedures that were started; `local` has none.
async fn states(session: &Session) -> Result<Vec<ProcedureState>, CommandError> {
    if session.environment.is_local() {
        return Ok(Vec::new());
    }
    Ok(connect(session).await?.procedures(&session.environment.namespace).await?)
}

/// A line for each procedure that is under way; none if the account may not read them.
pub(crate) async fn under_way(session: &Session) -> Vec<String> {
    let states = states(session).await.unwrap_or_default();
    let next = |state: &ProcedureState| {
        format!("{}; next: cmdr procedure continue {}, or abort", state.summary(), state.procedure)
    };
    states.iter().filter(|state| state.is_under_way()).map(next).collect()
}

/// Whether only a person ends a step.
fn question_of(step: &FlatStep) -> Option<&str> {
    match &step.act.action {
        ProcedureAction::Approve(question) => Some(question),
        _ => None,
    }
}
