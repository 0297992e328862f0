//! Applies a request to an environment: guard, observe, plan, gates, lease, confirm, run, roll back, ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::cluster::lease::{HeldLeases, LeaseError, LeaseRequest, Scope},
    domain::{
        Problem, VerifyWhen,
        gate::{Gate, Refusal},
        ledger::DeploymentOutcome,
    },
    error::{CommandError, ErrorKind},
    ops::options::ChangeRequest,
    ops::{
        prepared::{Prepared, show_plan},
        remote::{
            access::{RemoteAccess, failed, may_write},
            automatic_rollback::{self, RemoteRun},
            deploy_request::{ChangeContext, DeployRequest},
            ledger::{self, EntryTemplate},
            prepare::{Remote, prepare, subject},
            preview,
        },
        secrets::decrypt,
        session::{RunResult, Session},
    },
    plan::{
        LedgerEntry, Plan, Step, StepId,
        gates::{Checkpoint, refusals},
        rollback::Rollback,
    },
    steps::{Decrypted, Runner},
    ui,
};

/// Brings an environment to the requested state. Returns the URLs whose checks passed.
///
/// # Errors
/// As the exit codes of the contract define. Started steps are reported, and failed releases are rolled back where
/// possible.
pub async fn apply(
    session: &Session,
    request: &DeployRequest,
    options: &ChangeRequest,
) -> Result<Vec<String>, CommandError> {
    if !session.settings.dry_run && options.plan_file.is_none() {
        may_write(session)?;
    }
    let context = ChangeContext::read(session, options, session.commit().await)?;
    let mut held: Option<Held> = None;
    loop {
        let mut delivery = Delivery { session, request, options, context: context.clone() };
        let result = match delivery.attempt(held.as_ref()).await {
            Ok(Attempt::NeedsLease(access)) => {
                let scope = request.scope(session);
                let (leases, lost) = take_leases(session, &access, &scope, context.lock_timeout).await?;
                held = Some(Held { leases, lost, identity: access.identity });
                continue;
            }
            Ok(Attempt::Done(urls)) => Ok(urls),
            Err(error) => Err(error),
        };
        if let Some(held) = held {
            held.leases.give_back().await;
        }
        return result;
    }
}

/// The leases, and the cluster that they belong to.
struct Held {
    leases: HeldLeases,
    lost: CancellationToken,
    identity: String,
}

enum Attempt {
    /// Something would change: other runs must be locked out first, and then everything is observed again.
    NeedsLease(Box<RemoteAccess>),
    Done(Vec<String>),
}

/// A request in progress.
struct Delivery<'a> {
    session: &'a Session,
    request: &'a DeployRequest,
    options: &'a ChangeRequest,
    context: ChangeContext,
}

/// Locks out other runs. The token is cancelled when a lease is lost.
///
/// # Errors
/// With exit code 11 when another run holds the lock.
pub async fn take_leases(
    session: &Session,
    access: &RemoteAccess,
    scope: &Scope,
    patience: Duration,
) -> Result<(HeldLeases, CancellationToken), CommandError> {
    let namespace = &session.environment.namespace;
    access.cluster.ensure_namespace(namespace, &session.cancel).await?;
    let lost = session.cancel.child_token();
    let request = LeaseRequest { namespace, scope, holder: &session.settings.holder() };
    let taken = access.cluster.take_leases(request, patience, &lost).await;
    let leases = taken.map_err(|error| match error {
        LeaseError::Held { .. } => {
            let help = "try again when it has finished, or wait for it with --lock-timeout 5m";
            CommandError::new(ErrorKind::Locked, Problem::new(error.to_string()).help(help))
        }
        LeaseError::Cluster(error) => failed(error),
        LeaseError::Interrupted => CommandError::reported(ErrorKind::Interrupted),
    })?;
    Ok((leases, lost))
}

impl Delivery<'_> {
    async fn attempt(&mut self, held: Option<&Held>) -> Result<Attempt, CommandError> {
        let (session, options) = (self.session, self.options);
        let mut prepared = prepare(session, self.request).await?;
        if let Some(held) = held {
            prepared.target.access.is_still(&held.identity)?;
        }
        let plan = prepared.plan()?;
        if let Some(file) = &options.use_plan {
            preview::confirm_plan(session, &prepared, &plan, file)?;
        }
        self.check_gates(&prepared, &plan)?;
        if self.context.overrides.contains(&Gate::Verify) {
            let projects = prepared.described.projects.iter_mut();
            projects.for_each(|project| {
                project.verifications.retain(|verification| verification.when == VerifyWhen::After);
            });
        }
        self.enter(&mut prepared);
        let plan = prepared.plan()?;
        if let Some(file) = &options.plan_file {
            preview::write_plan(session, &prepared, &plan, file)?;
        }
        if session.settings.dry_run || options.plan_file.is_some() {
            show_plan(session, &prepared.described, &plan);
            preview::show_differences(session, &prepared, &plan).await?;
            return Ok(Attempt::Done(Vec::new()));
        }
        let left_open = ledger::left_open(session, &prepared);
        if plan.changes().next().is_none() && (left_open.is_empty() || held.is_some()) {
            ledger::close_left_open(session, &prepared.target, &left_open).await?;
            return self.unchanged(&prepared, &plan).await;
        }
        // Before the lease, so that a failed decryption changes nothing.
        let decrypted = decrypt(session, &plan).await?;
        let Some(Held { lost, .. }) = held else { return Ok(Attempt::NeedsLease(Box::new(prepared.target.access))) };
        confirm(session, &prepared, &plan)?;
        self.run(&prepared, &plan, decrypted, lost).await.map(Attempt::Done)
    }

    /// Nothing changes, but the URLs are still checked.
    async fn unchanged(&self, prepared: &Prepared<Remote>, plan: &Plan) -> Result<Attempt, CommandError> {
        let (session, remote) = (self.session, &prepared.target);
        let runner = Arc::new(remote.access.runner(session, prepared.helm.clone()).await?);
        let urls = session.execute(self.request.verb, plan, runner).await?;
        if let Some(file) = &self.options.export_ledger {
            ledger::write_file(session, remote, file).await?;
        }
        Ok(Attempt::Done(urls))
    }

    /// Prepares the ledger entry of each release.
    fn enter(&self, prepared: &mut Prepared<Remote>) {
        let Self { session, request, context, .. } = self;
        let now = Timestamp::now();
        let Prepared { described, observation, target, .. } = prepared;
        let bundles = &ledger::bundle_versions(request, described);
        let entry = EntryTemplate { session, request, context, bundles, now };
        let projects = described.projects.iter_mut().map(|project| &mut project.release);
        for release in described.platform.iter_mut().chain(projects) {
            let history = target.histories.get(&subject(session, release));
            let observed = observation.observed.releases.get(&release.key());
            let healthy_seconds = ledger::healthy_seconds(history, observed, now);
            let deployment = entry.draft(release);
            release.entry =
                Some(Box::new(LedgerEntry { subject: subject(session, release), deployment, healthy_seconds }));
        }
    }

    /// Refuses the changes that a gate blocks, unless it is overridden; records the overridden gates.
    fn check_gates(&mut self, prepared: &Prepared<Remote>, plan: &Plan) -> Result<(), CommandError> {
        let Self { session, request, context, .. } = self;
        let remote = &prepared.target;
        let changed: Vec<String> = plan
            .changes()
            .filter(|planned| changes_project(&planned.step))
            .map(|planned| planned.step.subject())
            .collect();
        let is_changed = |project: &str| changed.iter().any(|changed| changed == project);
        let new_images = remote.new_images.iter().filter(|(project, _)| is_changed(project));
        let checkpoint = Checkpoint {
            environment: &session.environment,
            now: Timestamp::now(),
            deploy_freeze: session.settings.variables.deploy_freeze,
            histories: &remote.histories,
            new_images: new_images.map(|(project, image)| (project.as_str(), image.clone())).collect(),
            changed: changed.iter().map(String::as_str).collect(),
        };
        let refused = refusals(&checkpoint);
        // Deployment windows and holds do not block a rollback: it restores a record that is known to be good.
        let is_rollback = request.hold.is_some();
        let stands = |refusal: &&Refusal| !is_rollback && !context.overrides.contains(&refusal.gate);
        let standing: Vec<Problem> = refused.iter().filter(stands).map(Refusal::to_problem).collect();
        if !standing.is_empty() {
            return Err(CommandError { kind: ErrorKind::Refused, problems: standing, report: None });
        }
        let mut passed: BTreeSet<Gate> = refused.iter().map(|refusal| refusal.gate).collect();
        if plan.steps.iter().any(|planned| is_verify_before(&planned.step)) {
            passed.insert(Gate::Verify);
        }
        context.origin.overridden = passed.into_iter().filter(|gate| context.overrides.contains(gate)).collect();
        Ok(())
    }

    async fn run(
        &self,
        prepared: &Prepared<Remote>,
        plan: &Plan,
        decrypted: Decrypted,
        lost: &CancellationToken,
    ) -> Result<Vec<String>, CommandError> {
        let Self { session, request, context, .. } = self;
        let remote = &prepared.target;
        remote.access.confirm(session).await?;
        let runner = remote.access.runner(session, prepared.helm.clone()).await?;
        let runner = Arc::new(Runner { decrypted, ..runner });
        let ran = session.run_plan(request.verb, plan, Arc::clone(&runner), lost).await;
        // The open entries of the ledger may belong to another run by now.
        if lost.is_cancelled() && !session.cancel.is_cancelled() {
            let cause = "the lease was lost during the run: another run may have started";
            let help = "check the deployments with cmdr history, and run the command again";
            return Err(CommandError::new(ErrorKind::Locked, Problem::new(cause).help(help)));
        }
        let namespace = &session.environment.namespace;
        let mut outcomes = ledger::outcomes(plan, &ran.summary, namespace);
        if session.cancel.is_cancelled() {
            let failed = outcomes.values_mut().filter(|outcome| **outcome == DeploymentOutcome::Failed);
            failed.for_each(|outcome| *outcome = DeploymentOutcome::Interrupted);
        }
        let has_failed = |outcome: &DeploymentOutcome| *outcome == DeploymentOutcome::Failed;
        let failed_steps = outcomes.iter().filter(|(_, outcome)| has_failed(outcome)).map(|(step, _)| *step).collect();
        let returning = automatic_rollback::plan(session, request, prepared, plan, &failed_steps);
        let closed = ledger::close(remote, namespace, plan, &outcomes, &returning).await;
        closed.map_err(|error| what_is_certain(error, plan, &outcomes))?;
        if ran.summary.is_success() {
            ledger::close_left_open(session, remote, &ledger::left_open(session, prepared)).await?;
        }
        let remote_run = RemoteRun { remote, runner: &runner, lost };
        let result = self.conclude(remote_run, plan, ran, returning).await;
        if let Err(error) = remote.access.cluster.sweep_ledger(namespace).await {
            ui::print_problems(&[error.problem()], session.settings.color);
        }
        if let Some(file) = &self.options.export_ledger {
            ledger::write_file(session, remote, file).await?;
        }
        if let (Ok(_), Some(because)) = (&result, &request.hold) {
            ledger::hold(session, remote, request, &context.origin.by, because).await?;
        }
        result
    }

    /// Rolls back the releases that failed, and returns the result of the run.
    async fn conclude(
        &self,
        remote_run: RemoteRun<'_>,
        plan: &Plan,
        ran: RunResult,
        returning: Rollback,
    ) -> Result<Vec<String>, CommandError> {
        let Self { session, request, .. } = self;
        if ran.summary.is_success() {
            return Ok(ran.urls);
        }
        if !ran.summary.interrupted.is_empty() || session.cancel.is_cancelled() {
            return Err(CommandError::reported(ErrorKind::Interrupted));
        }
        if !returning.is_about_something() {
            // No release was changed: a Job that must verify first has failed, or something that releases need.
            let is_gate = ran.summary.failed.iter().all(|id| is_verify_before(&plan[*id].step));
            return Err(CommandError::reported(if is_gate { ErrorKind::Refused } else { ErrorKind::Failed }));
        }
        let returned = automatic_rollback::run(session, request, remote_run, returning).await?;
        let kind = if returned { ErrorKind::RolledBack } else { ErrorKind::NotRolledBack };
        Err(CommandError::reported(kind))
    }
}

/// The cluster became unreachable during the run: adds the last observation of each project to the error.
fn what_is_certain(
    mut error: CommandError,
    plan: &Plan,
    outcomes: &BTreeMap<StepId, DeploymentOutcome>,
) -> CommandError {
    let seen =
        outcomes.iter().map(|(step, outcome)| (plan[*step].step.subject(), outcome)).map(|(subject, outcome)| {
            match outcome {
                DeploymentOutcome::Healthy => format!("{subject}: healthy when last observed"),
                other => {
                    format!("{subject}: started, last observed as {}; its current state is unknown", other.as_str())
                }
            }
        });
    let mut problem = Problem::new("the ledger could not be written at the end of the run")
        .help("run the command again when the cluster responds: it continues from the current state");
    problem.details.extend(seen);
    error.problems.push(problem);
    // Something was changed: a retry is right, but the failure is not transient.
    error.kind = ErrorKind::NotRolledBack;
    error
}

/// Whether deployment windows and holds apply to a step.
fn changes_project(step: &Step) -> bool {
    matches!(step, Step::Deploy(_) | Step::External(_))
}

/// Whether a step belongs to the gate `verify`.
fn is_verify_before(step: &Step) -> bool {
    matches!(step, Step::Verify(verify) if verify.when == VerifyWhen::Before)
}

/// On a terminal, prompts before anything is changed.
fn confirm(session: &Session, prepared: &Prepared<Remote>, plan: &Plan) -> Result<(), CommandError> {
    if !session.settings.may_ask() {
        return Ok(());
    }
    show_plan(session, &prepared.described, plan);
    let question = format!("Apply these changes to '{}'?", session.environment.name);
    if ui::confirm(&question) {
        return Ok(());
    }
    Err(CommandError::failed(Problem::new("cancelled: nothing was changed")))
}
