//! A run on an environment whose cluster cmdr does not own: guard, gates, leases, ledger, automatic rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    domain::{Problem, VerifyWhen, ledger::DeploymentOutcome},
    error::CommandError,
    ops::options::ChangeRequest,
    ops::{
        driver::{Freshness, PlannedRun, Run, RunProgress, drive},
        exit::{RunEnd, concluded},
        prepared::{Prepared, show_plan},
        remote::{
            access::may_write,
            automatic_rollback::{self, RollbackTools},
            deploy_request::{ChangeContext, DeployRequest},
            gates::{self, SkippedVerifications},
            leases::{Held, not_locked},
            ledger::{self, EntryTemplate},
            prepare::{Remote, prepare, subject},
            preview, reviews,
            rollouts::{self, return_traffic},
        },
        run_plan::RunResult,
        session::Session,
    },
    plan::{LedgerEntry, Plan, Step, StepId, rollback::Rollback},
    steps::{Decrypted, PlatformWork, Runner},
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
    if !is_preview(session, options) {
        may_write(session)?;
    }
    let context = ChangeContext::read(session, options, session.commit().await)?;
    drive(session, RemoteRun { session, request, options, context, held: None }).await
}

/// Whether nothing is changed: the plan is shown, or written to a file.
pub fn is_preview(session: &Session, options: &ChangeRequest) -> bool {
    session.settings.dry_run || options.plan_file.is_some()
}

/// A run on an environment with a ledger.
pub(super) struct RemoteRun<'a> {
    pub(super) session: &'a Session,
    pub(super) request: &'a DeployRequest,
    options: &'a ChangeRequest,
    /// With the gates that the current plan overrides.
    pub(super) context: ChangeContext,
    held: Option<Held>,
}

impl Run for RemoteRun<'_> {
    type Target = Remote;

    async fn describe(&self) -> Result<Prepared<Remote>, CommandError> {
        let mut prepared = prepare(self.session, self.request).await?;
        rollouts::describe(self.session, self.request, &mut prepared).await?;
        if let Some(held) = &self.held {
            held.protects(&prepared.target.access)?;
        }
        Ok(prepared)
    }

    /// Only a change takes a lease, so that a run without one needs no right to write. An entry that a killed run has
    /// left open in the ledger is closed with the lease, too: that run may still hold it.
    fn needs_lock(&self, prepared: &Prepared<Remote>, plan: Option<&Plan>) -> bool {
        let changes = |plan: &Plan| plan.has_changes() || !ledger::left_open(self.session, prepared).is_empty();
        self.held.is_none() && plan.is_some_and(changes)
    }

    async fn lock(&mut self, prepared: &Prepared<Remote>) -> Result<Freshness, CommandError> {
        let (session, access) = (self.session, &prepared.target.access);
        reviews::create_namespace(session, access).await?;
        let scope = self.request.scope(session);
        self.held = match Held::take(session, access, &scope, self.context.lock_timeout).await {
            Ok(held) => Some(held),
            Err(error) => return Err(rollouts::explain_lock(session, &access.cluster, self.request, error).await),
        };
        Ok(Freshness::Outdated)
    }

    async fn plan(&mut self, prepared: &mut Prepared<Remote>) -> Result<Plan, CommandError> {
        let skipped = SkippedVerifications::leave_out(&self.context, &mut prepared.described);
        let mut plan = prepared.plan()?;
        if let Some(file) = &self.options.use_plan {
            preview::confirm_plan(self.session, prepared, &plan, file)?;
        }
        self.context.origin.overridden = gates::check(self, prepared, &plan, &skipped)?;
        self.enter(prepared, &mut plan);
        Ok(plan)
    }

    fn is_preview(&self) -> bool {
        is_preview(self.session, self.options)
    }

    async fn preview(&self, planned: &PlannedRun<Remote>) -> Result<(), CommandError> {
        let (session, PlannedRun { prepared, plan }) = (self.session, planned);
        if let Some(file) = &self.options.plan_file {
            preview::write_plan(session, prepared, plan, file)?;
        }
        show_plan(session, &prepared.described, plan);
        preview::show_differences(session, prepared, plan).await
    }

    async fn confirm(&self, planned: &PlannedRun<Remote>) -> Result<(), CommandError> {
        confirm(self.session, planned).await
    }

    async fn execute(
        &mut self,
        planned: PlannedRun<Remote>,
        decrypted: Decrypted,
    ) -> Result<RunProgress, CommandError> {
        let (session, request, remote) = (self.session, self.request, &planned.prepared.target);
        let ran = if planned.plan.has_changes() {
            let started = Timestamp::now();
            let ran = self.change(&planned, decrypted).await?;
            let about = (&planned.prepared, &self.context.origin);
            rollouts::note_replaced(session, about, &planned.plan, (&ran, started)).await;
            ran
        } else {
            self.check(&planned).await?
        };
        let result = ran.end.into_result();
        let exported = match &self.options.export_ledger {
            Some(file) => ledger::write_file(session, remote, file).await,
            None => Ok(()),
        };
        let held = match request.hold.as_ref().filter(|_| ran.summary.is_success()) {
            Some(because) => ledger::hold(session, remote, request, &self.context.origin.by, because).await,
            None => Ok(()),
        };
        concluded(result, [exported, held])?;
        if rollouts::has_passed(session, request, remote).await? {
            return Ok(RunProgress::Continues);
        }
        Ok(RunProgress::Done(ran.urls))
    }

    async fn release(self) {
        if let Some(held) = self.held {
            held.give_back().await;
        }
    }
}

impl RemoteRun<'_> {
    /// Adds the ledger entry of each release that changes.
    fn enter(&self, prepared: &Prepared<Remote>, plan: &mut Plan) {
        let Self { session, request, context, .. } = self;
        let now = Timestamp::now();
        let Prepared { described, observation, target, .. } = prepared;
        let bundles = &ledger::bundle_versions(request, described);
        let verified = &ledger::verify_images(described);
        let entry = EntryTemplate { session, request, context, bundles, verified, now };
        for planned in &mut plan.steps {
            rollouts::sign(&mut planned.step, &context.origin.by);
            let Step::Deploy(spec) = &mut planned.step else { continue };
            let release = &spec.release;
            if release.rollout_of.is_some() {
                continue;
            }
            let subject = subject(session, release);
            let observed = observation.observed.releases.get(&release.key());
            let healthy_seconds = ledger::healthy_seconds(target.histories.get(&subject), observed, now);
            let deployment = entry.draft(release);
            spec.entry = Some(LedgerEntry { subject, deployment, healthy_seconds });
        }
    }

    /// Nothing changes, but the URLs are still checked.
    async fn check(&self, planned: &PlannedRun<Remote>) -> Result<RunResult, CommandError> {
        let (session, PlannedRun { prepared, plan }) = (self.session, planned);
        let remote = &prepared.target;
        if session.environment.copy.is_some() && self.held.is_none() {
            reviews::create_namespace(session, &remote.access).await?;
        }
        ledger::close_left_open(session, remote, &ledger::left_open(session, prepared)).await?;
        let runner = remote.access.runner(session, prepared.helm.clone()).await?;
        Ok(session.run_plan(self.request.verb, plan, Arc::new(runner), &session.cancel).await)
    }

    /// Returns the traffic of rollouts that failed, and rolls back failed releases. Returns how the run ended.
    async fn undo(&self, (plan, ran): (&Plan, &RunResult), rollback: Rollback, tools: RollbackTools<'_>) -> RunEnd {
        let Self { session, request, .. } = self;
        let projects = rollouts::failed(plan, &ran.summary);
        let returned = return_traffic(session, (request.verb, &self.context.origin), tools, projects).await;
        let rolled_back = if rollback.is_about_something() {
            Some(automatic_rollback::run(session, request, tools, rollback).await)
        } else {
            None
        };
        match (returned, rolled_back) {
            (Some(one), Some(other)) => worse(one, other),
            (Some(end), None) | (None, Some(end)) => end,
            // No release was changed: a Job that must verify first has failed, or something that releases need.
            _ if ran.summary.failed.iter().all(|id| is_verify_before(&plan[*id].step)) => RunEnd::Refused,
            _ => RunEnd::Failed,
        }
    }

    async fn change(&self, planned: &PlannedRun<Remote>, decrypted: Decrypted) -> Result<RunResult, CommandError> {
        let Self { session, request, held, .. } = self;
        let Held { lost, .. } = held.as_ref().ok_or_else(not_locked)?;
        let PlannedRun { prepared, plan } = planned;
        let remote = &prepared.target;
        let runner = remote.access.runner(session, prepared.helm.clone()).await?;
        let platform = PlatformWork::of(plan, &prepared.described.platform);
        let (checks, requests) = mpsc::channel(1);
        let runner = Arc::new(Runner { decrypted, platform, checks: Some(checks), ..runner });
        let run = session.run_plan(request.verb, plan, Arc::clone(&runner), lost);
        let ran = rollouts::with_checks(session, &remote.access.cluster, (requests, lost), run).await;
        if ran.end == RunEnd::LockLost {
            // The open entries of the ledger may belong to another run by now.
            return Ok(ran);
        }
        let namespace = &session.environment.namespace;
        let outcomes = outcomes(plan, &ran, namespace);
        let failed = outcomes.iter().filter(|(_, outcome)| **outcome == DeploymentOutcome::Failed);
        let failed: BTreeSet<StepId> = failed.map(|(step, _)| *step).collect();
        let rollback = automatic_rollback::plan(session, request, prepared, plan, &failed);
        let closed = ledger::close(remote, namespace, plan, &outcomes, &rollback).await;
        if ran.summary.is_success() {
            ledger::close_left_open(session, remote, &ledger::left_open(session, prepared)).await?;
        }
        let end = match ran.end {
            RunEnd::Failed => self.undo((plan, &ran), rollback, RollbackTools { remote, runner: &runner, lost }).await,
            end => end,
        };
        if let Err(error) = closed {
            ui::print_problems(&what_is_certain(error, plan, &outcomes), session.settings.color, None);
            return Ok(RunResult { end: end.with_open_ledger(), ..ran });
        }
        if let Err(error) = remote.access.cluster.sweep_ledger(namespace).await {
            ui::print_problems(&[error.problem()], session.settings.color, None);
        }
        Ok(RunResult { end, ..ran })
    }
}

/// The worse of two ends of what follows a failure.
fn worse(one: RunEnd, other: RunEnd) -> RunEnd {
    if one == RunEnd::RolledBack { other } else { one }
}

/// The results of the run's deployments. In a run that was interrupted, none has failed by itself.
fn outcomes(plan: &Plan, ran: &RunResult, namespace: &str) -> BTreeMap<StepId, DeploymentOutcome> {
    let mut outcomes = ledger::outcomes(plan, &ran.summary, namespace);
    if ran.end == RunEnd::Interrupted {
        let failed = outcomes.values_mut().filter(|outcome| **outcome == DeploymentOutcome::Failed);
        failed.for_each(|outcome| *outcome = DeploymentOutcome::Interrupted);
    }
    outcomes
}

/// The last checks before anything is changed: on a terminal the user's, and that the cluster is still the same.
///
/// # Errors
/// When the user declines, or the context points to another cluster by now.
pub(super) async fn confirm(session: &Session, planned: &PlannedRun<Remote>) -> Result<(), CommandError> {
    let PlannedRun { prepared, plan } = planned;
    if !plan.has_changes() {
        return Ok(());
    }
    if session.settings.may_ask() {
        let _turn = ui::turn().await;
        show_plan(session, &prepared.described, plan);
        let question = format!("Apply these changes to '{}'?", session.environment.name);
        // Other targets of a promotion continue meanwhile.
        if !tokio::task::spawn_blocking(move || ui::confirm(&question)).await.unwrap_or(false) {
            return Err(CommandError::failed(Problem::new("cancelled: nothing was changed")));
        }
    }
    prepared.target.access.confirm(session).await
}

/// The cluster became unreachable during the run: adds the last observation of each project to the problems.
fn what_is_certain(
    mut error: CommandError,
    plan: &Plan,
    outcomes: &BTreeMap<StepId, DeploymentOutcome>,
) -> Vec<Problem> {
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
    error.problems
}

/// Whether a step belongs to the gate `verify`.
fn is_verify_before(step: &Step) -> bool {
    matches!(step, Step::Verify(verify) if verify.when == VerifyWhen::Before)
}
