//! The gates of a run: which of them block its plan, and which are overridden.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    domain::{
        Problem, VerifyWhen,
        gate::{Gate, Refusal},
        ledger::History,
    },
    error::{CommandError, ErrorKind},
    ops::{
        prepared::Prepared,
        remote::{
            apply::RemoteRun,
            deploy_request::{ChangeContext, DeployRequest},
            prepare::{Remote, subject},
        },
        session::Session,
    },
    plan::{
        Plan, Step,
        gates::{Checkpoint, effective, refusals},
        up::Described,
    },
};

/// The projects whose Jobs of the gate `verify` are left out.
#[derive(Debug, Default)]
pub(super) struct SkippedVerifications(BTreeSet<String>);

impl SkippedVerifications {
    /// Leaves out the Jobs that must verify before a change, if the gate is overridden.
    pub(super) fn leave_out(context: &ChangeContext, described: &mut Described) -> Self {
        let mut skipped = BTreeSet::new();
        if context.overrides.contains(&Gate::Verify) {
            for project in &mut described.projects {
                let jobs = project.verifications.extract_if(.., |verify| verify.when == VerifyWhen::Before);
                if jobs.count() > 0 {
                    skipped.insert(project.name.to_string());
                }
            }
        }
        Self(skipped)
    }
}

/// The gates that block a plan, in the order in which they are shown; also those that are overridden.
pub(super) fn blocking(
    session: &Session,
    request: &DeployRequest,
    prepared: &Prepared<Remote>,
    plan: &Plan,
) -> Vec<Refusal> {
    let remote = &prepared.target;
    let mut changed = changed(session, plan);
    let mut refused = effective(&request.refused, &changed);
    changed.extend(refused.iter().map(|refusal| refusal.project.clone()));
    refused.extend(refusals(&Checkpoint {
        environment: &session.environment,
        now: Timestamp::now(),
        deploy_freeze: session.settings.variables.deploy_freeze,
        pipeline: session.settings.variables.pipeline.as_ref(),
        histories: &remote.histories,
        new_images: remote.new_images.iter().filter(|new| changed.contains(&new.project)).collect(),
        changed: changed.iter().map(String::as_str).collect(),
    }));
    refused
}

/// Refuses the changes that a gate blocks, unless it is overridden. Returns the overridden gates.
///
/// # Errors
/// All gates that block the plan.
pub(super) fn check(
    run: &RemoteRun<'_>,
    prepared: &Prepared<Remote>,
    plan: &Plan,
    skipped: &SkippedVerifications,
) -> Result<Vec<Gate>, CommandError> {
    let RemoteRun { session, request, context, .. } = run;
    let refused = blocking(session, request, prepared, plan);
    // No gate of these blocks a rollback: it restores a record that is known to be good.
    if request.hold.is_none() {
        refuse(&refused, context)?;
    }
    let mut passed: BTreeSet<Gate> = refused.iter().map(|refusal| refusal.gate).collect();
    if changed(session, plan).iter().any(|project| skipped.0.contains(project)) {
        passed.insert(Gate::Verify);
    }
    Ok(passed.into_iter().filter(|gate| context.overrides.contains(gate)).collect())
}

/// Refuses an operation without a new record on these releases of the ledger. Returns the overridden gates.
///
/// # Errors
/// All of `gates` that block it.
pub(crate) fn check_operation(
    session: &Session,
    context: &ChangeContext,
    gates: &[Gate],
    histories: &BTreeMap<String, History>,
    changed: &BTreeSet<&str>,
) -> Result<Vec<Gate>, CommandError> {
    let mut refused = refusals(&Checkpoint {
        environment: &session.environment,
        now: Timestamp::now(),
        deploy_freeze: session.settings.variables.deploy_freeze,
        pipeline: session.settings.variables.pipeline.as_ref(),
        histories,
        changed: changed.iter().copied().collect(),
        new_images: Vec::new(),
    });
    refused.retain(|refusal| gates.contains(&refusal.gate));
    refuse(&refused, context)?;
    let passed: BTreeSet<Gate> = refused.iter().map(|refusal| refusal.gate).collect();
    Ok(passed.into_iter().collect())
}

/// Fails with the refusals whose gates are not overridden.
fn refuse(refused: &[Refusal], context: &ChangeContext) -> Result<(), CommandError> {
    let stands = |refusal: &&Refusal| !context.overrides.contains(&refusal.gate);
    let problems: Vec<Problem> = refused.iter().filter(stands).map(Refusal::to_problem).collect();
    CommandError::require_none(ErrorKind::Refused, problems)
}

/// The names in the ledger of what a plan changes, as far as gates apply to it.
fn changed(session: &Session, plan: &Plan) -> Vec<String> {
    let changed = plan.changes().filter_map(|planned| match &planned.step {
        Step::Deploy(spec) => Some(subject(session, &spec.release)),
        step @ Step::External(_) => Some(step.subject()),
        _ => None,
    });
    changed.collect()
}
