//! Operations on an environment without a new record: a restart, the removal of orphans, the end of a review
//! environment. They go through the stages of a deployment, as far as these apply.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::try_join_all;
use jiff::Timestamp;

use crate::{
    adapters::cluster::{lease::Scope, ledger::subject},
    domain::{
        Problem, ReleaseKey,
        gate::Gate,
        ledger::{History, OperationEntry, OperationOutcome},
    },
    error::{CommandError, ErrorKind},
    ops::{
        drain::{DrainRequest, changed_projects, fill_plan},
        driver::{Freshness, PlannedRun, Run, RunProgress, drive},
        exit::{RunEnd, concluded},
        maintenance::MaintenanceRequest,
        options::ChangeRequest,
        prepared::{Prepared, show_plan},
        remote::{
            access::may_write,
            apply::confirm,
            deploy_request::ChangeContext,
            gates::check_operation,
            leases::{Held, not_locked},
            prepare::{Remote, observe},
            reviews,
            rollouts::ABORT,
        },
        run::RunRequest,
        run_plan::RunResult,
        session::Session,
    },
    plan::{
        Plan, Removal, RolloutSpec, Step, StepId,
        end_review::end_review,
        prune::{Orphans, differences, orphans, prune},
        restart::restart,
        run::run,
        scale::{ScaleSpec, scale},
        traffic::end_rollouts,
    },
    steps::Decrypted,
};

/// What to do without a new record.
#[derive(Debug, Clone)]
pub enum OperationRequest {
    Restart(Vec<RolloutSpec>),
    /// Sets numbers of pods.
    Scale(Vec<ScaleSpec>),
    Prune {
        /// What projects.yaml describes, which stays.
        described: BTreeSet<ReleaseKey>,
        /// What the user was shown.
        shown: Orphans,
    },
    /// Starts a run of a Job.
    Run(RunRequest),
    /// Closes or opens routes.
    Maintenance(MaintenanceRequest),
    /// Drains queues and stops their consumers.
    Drain(DrainRequest),
    /// Starts drained projects and opens their producers.
    Fill(Vec<String>),
    /// Returns the traffic of these rollouts, for this reason.
    AbortRollouts(Vec<ReleaseKey>, String),
    /// Deletes the session's review environment.
    EndReview,
}

/// Performs an operation.
///
/// # Errors
/// When a gate refuses, another run holds the lock, what was shown has changed, or a step fails; the error's kind is
/// the exit code.
pub async fn operate(
    session: &Session,
    request: &OperationRequest,
    options: &ChangeRequest,
) -> Result<(), CommandError> {
    let context = ChangeContext::read(session, options, session.commit().await)?;
    refuse_other_gates(request, &context.overrides)?;
    if !session.settings.dry_run {
        may_write(session)?;
    }
    drive(session, OperationRun { session, request, context, held: None }).await.map(drop)
}

/// Refuses to override a gate that does not apply.
fn refuse_other_gates(request: &OperationRequest, overrides: &BTreeSet<Gate>) -> Result<(), CommandError> {
    let others = overrides.iter().filter(|gate| !request.gates().contains(gate));
    let names: Vec<&str> = request.gates().iter().map(|gate| gate.name()).collect();
    let help = format!("gates that apply: {}", names.join(", "));
    let problem = |gate: &Gate| {
        let cause = format!("--override: the gate '{gate}' does not apply to 'cmdr {}'", request.verb());
        Problem::new(cause).help(&help)
    };
    let problems: Vec<Problem> = others.map(problem).collect();
    CommandError::require_none(ErrorKind::Usage, problems)
}

impl OperationRequest {
    fn verb(&self) -> &'static str {
        match self {
            Self::Restart(_) => "restart",
            Self::Scale(_) => "scale",
            Self::Prune { .. } => "status --prune",
            Self::Run(_) => "run",
            Self::AbortRollouts(..) => ABORT,
            Self::Maintenance(request) => request.verb(),
            Self::Drain(_) => "drain",
            Self::Fill(_) => "fill",
            Self::EndReview => "down",
        }
    }

    /// The gates that apply. An older pipeline does not know what later ones added, and would remove it.
    fn gates(&self) -> &'static [Gate] {
        match self {
            // The way back is always open.
            Self::Maintenance(request) if !request.is_on() => &[],
            // The old version of a rollout is known to work.
            Self::Fill(_) | Self::AbortRollouts(..) => &[],
            Self::Prune { .. } => &[Gate::Freeze, Gate::Hold, Gate::Outdated],
            _ => &[Gate::Freeze, Gate::Hold],
        }
    }

    fn scope(&self, session: &Session) -> Scope {
        let is_project = |key: &&ReleaseKey| key.namespace == session.environment.namespace;
        let keys: Vec<&ReleaseKey> = match self {
            Self::Restart(rollouts) => rollouts.iter().map(|rollout| &rollout.release).collect(),
            Self::Scale(specs) => specs.iter().map(|spec| &spec.rollout.release).collect(),
            Self::Prune { shown, .. } => shown.keys().collect(),
            Self::AbortRollouts(projects, _) => projects.iter().collect(),
            Self::Run(run) => return Scope::Projects([run.project.clone()].into_iter().collect()),
            Self::Drain(DrainRequest { projects, .. }) | Self::Fill(projects) => {
                return Scope::Projects(changed_projects(session, projects).into_iter().collect());
            }
            // All closed projects share a page.
            Self::Maintenance(_) | Self::EndReview => return Scope::Environment,
        };
        if keys.iter().all(is_project) {
            Scope::Projects(keys.into_iter().map(|key| key.name.clone()).collect())
        } else {
            Scope::Environment
        }
    }

    /// # Errors
    /// When the request does not fit what was observed.
    async fn plan(&self, session: &Session, prepared: &Prepared<Remote>) -> Result<Plan, CommandError> {
        let (environment, observed) = (&session.environment, &prepared.observation.observed);
        match self {
            Self::Restart(rollouts) => {
                refuse_foreign(session, prepared, rollouts)?;
                Ok(restart(rollouts.iter().cloned()))
            }
            Self::Scale(specs) => {
                let rollouts: Vec<RolloutSpec> = specs.iter().map(|spec| spec.rollout.clone()).collect();
                refuse_foreign(session, prepared, &rollouts)?;
                Ok(scale(specs.iter().cloned()))
            }
            Self::Prune { described, shown } => {
                let now = orphans(observed, described, session.workspace().as_str(), environment);
                refuse_differences(differences(shown, &now))?;
                Ok(prune(now.keys(), &observed.externals))
            }
            Self::Run(request) => Ok(run(request.spec(session, &prepared.target.access.cluster).await?)),
            Self::Maintenance(request) => request.plan(session, &prepared.target.access.cluster).await,
            Self::Drain(request) => request.plan(session, &prepared.target.access.cluster).await,
            Self::Fill(projects) => fill_plan(session, &prepared.target.access.cluster, projects).await,
            Self::AbortRollouts(projects, reason) => Ok(end_rollouts(projects.iter().cloned(), reason)),
            Self::EndReview if reviews::exists(session, &prepared.target.access).await? => {
                Ok(end_review(&environment.namespace))
            }
            Self::EndReview => Ok(Plan::default()),
        }
    }
}

/// Refuses what this workspace has not deployed.
fn refuse_foreign(
    session: &Session,
    prepared: &Prepared<Remote>,
    rollouts: &[RolloutSpec],
) -> Result<(), CommandError> {
    let workspace = session.workspace().as_str();
    let found = |rollout: &RolloutSpec| prepared.observation.observed.releases.get(&rollout.release);
    let is_own = |rollout: &RolloutSpec| found(rollout).is_some_and(|found| found.belongs_to(workspace));
    refuse_absent(session.environment.name.as_str(), rollouts.iter().filter(|rollout| !is_own(rollout)))
}

fn refuse_absent<'a>(environment: &str, absent: impl Iterator<Item = &'a RolloutSpec>) -> Result<(), CommandError> {
    let help = format!("list what is deployed with cmdr status --env {environment}");
    let problem = |rollout: &RolloutSpec| {
        let name = &rollout.release.name;
        Problem::new(format!("'{name}' is not deployed in '{environment}' by this workspace")).help(&help)
    };
    let problems: Vec<Problem> = absent.map(problem).collect();
    CommandError::require_none(ErrorKind::Failed, problems)
}

fn refuse_differences(differing: Vec<String>) -> Result<(), CommandError> {
    if differing.is_empty() {
        return Ok(());
    }
    let mut problem = Problem::new("what would be removed has changed since it was shown: nothing was changed")
        .help("run the command again to see what would be removed now");
    problem.details = differing;
    Err(CommandError::new(ErrorKind::Refused, problem))
}

/// A run without a new record on an environment with a ledger.
struct OperationRun<'a> {
    session: &'a Session,
    request: &'a OperationRequest,
    /// With the gates that the current plan overrides.
    context: ChangeContext,
    held: Option<Held>,
}

impl Run for OperationRun<'_> {
    type Target = Remote;

    async fn describe(&self) -> Result<Prepared<Remote>, CommandError> {
        let prepared = observe(self.session).await?;
        if let Some(held) = &self.held {
            held.protects(&prepared.target.access)?;
        }
        Ok(prepared)
    }

    fn needs_lock(&self, _: &Prepared<Remote>, plan: Option<&Plan>) -> bool {
        self.held.is_none() && plan.is_some_and(Plan::has_changes)
    }

    async fn lock(&mut self, prepared: &Prepared<Remote>) -> Result<Freshness, CommandError> {
        let (access, scope) = (&prepared.target.access, self.request.scope(self.session));
        self.held = Some(Held::take(self.session, access, &scope, self.context.lock_timeout).await?);
        Ok(Freshness::Outdated)
    }

    async fn plan(&mut self, prepared: &mut Prepared<Remote>) -> Result<Plan, CommandError> {
        let plan = self.request.plan(self.session, prepared).await?;
        let (subjects, histories) = (self.subjects(prepared, &plan), &prepared.target.histories);
        let mut changed: BTreeSet<&str> = subjects.keys().map(String::as_str).collect();
        if plan.has_changes() {
            // Deployment windows also apply to what the ledger does not know. No project has this name.
            changed.insert("the environment");
        }
        let gates = self.request.gates();
        self.context.origin.overridden = check_operation(self.session, &self.context, gates, histories, &changed)?;
        Ok(plan)
    }

    fn is_preview(&self) -> bool {
        self.session.settings.dry_run
    }

    async fn preview(&self, planned: &PlannedRun<Remote>) -> Result<(), CommandError> {
        show_plan(self.session, &planned.prepared.described, &planned.plan);
        Ok(())
    }

    async fn confirm(&self, planned: &PlannedRun<Remote>) -> Result<(), CommandError> {
        confirm(self.session, planned).await
    }

    async fn execute(&mut self, planned: PlannedRun<Remote>, _: Decrypted) -> Result<RunProgress, CommandError> {
        let (session, PlannedRun { prepared, plan }) = (self.session, planned);
        if !plan.has_changes() {
            return Ok(RunProgress::Done(Vec::new()));
        }
        let Held { lost, .. } = self.held.as_ref().ok_or_else(not_locked)?;
        let (remote, subjects) = (&prepared.target, self.subjects(&prepared, &plan));
        let runner = remote.access.runner(session, prepared.helm.clone()).await?;
        self.start(remote, &subjects).await?;
        let ran = session.run_plan(self.request.verb(), &plan, Arc::new(runner), lost).await;
        let is_deleted = matches!(self.request, OperationRequest::EndReview) && ran.end == RunEnd::Succeeded;
        let ended = match ran.end {
            // The open entries of the ledger may belong to another run by now.
            RunEnd::LockLost => Ok(()),
            // The ledger is deleted, too.
            _ if is_deleted => Ok(()),
            _ => self.end(remote, &subjects, &ran).await,
        };
        concluded(ran.end.into_result(), [ended])?;
        if let Some(copy) = session.environment.copy.as_ref().filter(|_| is_deleted) {
            session.note(&format!("deleted the review environment '{}'", copy.slug));
        }
        Ok(RunProgress::Done(Vec::new()))
    }

    async fn release(self) {
        if let Some(held) = self.held {
            held.give_back().await;
        }
    }
}

impl OperationRun<'_> {
    /// The histories of the ledger that a plan concerns, each with the step that changes what it is about. The end of a
    /// review environment concerns everything in its ledger.
    fn subjects(&self, prepared: &Prepared<Remote>, plan: &Plan) -> BTreeMap<String, StepId> {
        let namespace = &self.session.environment.namespace;
        let mut subjects = BTreeMap::new();
        for planned in plan.changes() {
            let of = |key: &ReleaseKey| (subject(namespace, &key.namespace, &key.name), planned.id);
            match &planned.step {
                Step::Operate(step) => subjects.extend(step.release().map(of)),
                Step::Remove(Removal { release, .. }) | Step::RemoveExternal(Removal { release, .. }) => {
                    subjects.extend([of(release)]);
                }
                Step::Run(run) => subjects.extend([of(&run.release)]),
                _ => subjects.extend(prepared.target.histories.keys().map(|subject| (subject.clone(), planned.id))),
            }
        }
        subjects
    }

    /// Writes to the ledger that the operation starts.
    async fn start(&self, remote: &Remote, subjects: &BTreeMap<String, StepId>) -> Result<(), CommandError> {
        let started = Timestamp::now();
        let starts = subjects.keys().map(|subject| {
            let current = remote.histories.get(subject).and_then(History::current);
            let operation = OperationEntry {
                verb: self.request.verb().to_owned(),
                record: current.map(|current| current.record.clone()),
                version: current.map(|current| current.version.clone()),
                started,
                ended: None,
                outcome: OperationOutcome::Running,
                origin: self.context.origin.clone(),
            };
            let start = move |history: &mut History| history.start_operation(operation.clone());
            remote.access.cluster.update_history(&self.session.environment.namespace, subject, start)
        });
        try_join_all(starts).await?;
        Ok(())
    }

    /// Writes to the ledger how the operation ended.
    async fn end(
        &self,
        remote: &Remote,
        subjects: &BTreeMap<String, StepId>,
        ran: &RunResult,
    ) -> Result<(), CommandError> {
        let ended = Timestamp::now();
        let ends = subjects.iter().map(|(subject, step)| {
            let outcome = outcome(ran, *step);
            let end = move |history: &mut History| history.end_operation(outcome, ended);
            remote.access.cluster.update_history(&self.session.environment.namespace, subject, end)
        });
        try_join_all(ends).await?;
        Ok(())
    }
}

fn outcome(ran: &RunResult, step: StepId) -> OperationOutcome {
    if ran.summary.done.contains(&step) {
        OperationOutcome::Done
    } else if ran.end == RunEnd::Interrupted {
        OperationOutcome::Interrupted
    } else {
        OperationOutcome::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Summary;

    #[test]
    fn gates_of_records_do_not_apply() {
        let prune = OperationRequest::Prune { described: BTreeSet::new(), shown: Orphans::new() };
        refuse_other_gates(&prune, &BTreeSet::from([Gate::Freeze, Gate::Hold, Gate::Outdated])).unwrap();
        refuse_other_gates(&OperationRequest::EndReview, &BTreeSet::from([Gate::Outdated])).unwrap_err();
        let error = refuse_other_gates(&prune, &BTreeSet::from([Gate::Hold, Gate::Soak, Gate::Scan])).unwrap_err();
        let messages: Vec<&str> = error.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "--override: the gate 'soak' does not apply to 'cmdr status --prune'",
                "--override: the gate 'scan' does not apply to 'cmdr status --prune'",
            ]
        );
        assert_eq!(error.kind as i32, 2);
    }

    #[test]
    fn what_was_not_shown_is_not_removed() {
        refuse_differences(Vec::new()).unwrap();
        let error = refuse_differences(vec!["mail would also be removed".to_owned()]).unwrap_err();
        assert_eq!((error.kind as i32, error.problems[0].details.len()), (10, 1));
    }

    #[test]
    fn each_step_has_its_own_outcome() {
        let steps: Vec<StepId> = end_review("review-a").ids().collect();
        let summary = Summary { done: BTreeSet::from([steps[0]]), ..Summary::default() };
        let ran = |end| RunResult { end, summary: summary.clone(), urls: Vec::new() };
        assert_eq!(outcome(&ran(RunEnd::Failed), steps[0]), OperationOutcome::Done);
        assert_eq!(outcome(&ran(RunEnd::Failed), steps[1]), OperationOutcome::Failed);
        assert_eq!(outcome(&ran(RunEnd::Interrupted), steps[1]), OperationOutcome::Interrupted);
    }
}
