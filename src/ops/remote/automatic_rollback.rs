//! The automatic rollback: failed releases, and those of their bundles, go back to the record that ran before.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::ledger::{DeploymentOutcome, History},
    ops::{
        exit::RunEnd,
        prepared::Prepared,
        remote::{deploy_request::DeployRequest, prepare::Remote},
        session::Session,
    },
    plan::{
        DeploySpec, Plan, StepId,
        rollback::{Rollback, RolledBack, rollback},
    },
    steps::Runner,
    ui,
};

/// What a run on a remote environment and its rollback share.
#[derive(Debug, Clone, Copy)]
pub(super) struct RollbackTools<'a> {
    pub remote: &'a Remote,
    pub runner: &'a Arc<Runner>,
    /// Cancelled when the lease is lost.
    pub lost: &'a CancellationToken,
}

/// Plans the rollback, from what was observed before the run. `failed_steps` are the deployments that failed.
pub(super) fn plan(
    session: &Session,
    request: &DeployRequest,
    prepared: &Prepared<Remote>,
    ran: &Plan,
    failed_steps: &BTreeSet<StepId>,
) -> Rollback {
    if failed_steps.is_empty() {
        return Rollback::default();
    }
    let deployments = || ran.steps.iter().filter_map(|planned| Some((planned.id, planned.step.deployment()?)));
    let is_project = |spec: &DeploySpec| spec.release.namespace == session.environment.namespace;
    let bundle_members: BTreeSet<String> = deployments()
        .filter(|(id, spec)| failed_steps.contains(id) && is_project(spec))
        .flat_map(|(_, spec)| request.bundle_members(session, &spec.release.name))
        .map(|project| project.to_string())
        .collect();
    let is_affected = |id: StepId, spec: &DeploySpec| {
        failed_steps.contains(&id) || (is_project(spec) && bundle_members.contains(&spec.release.name))
    };
    let affected = deployments().filter(|(id, spec)| is_affected(*id, spec)).map(|(_, spec)| spec);
    rollback(affected, &prepared.observation.observed.releases)
}

/// Performs the rollback. Returns whether everything that failed is in its previous state again, as the end of the run:
/// a ledger that cannot be written is reported, and does not change it.
pub(super) async fn run(
    session: &Session,
    request: &DeployRequest,
    remote_run: RollbackTools<'_>,
    rollback: Rollback,
) -> RunEnd {
    let RollbackTools { remote, runner, lost } = remote_run;
    ui::print_problems(&rollback.refused, session.settings.color, None);
    let is_complete = rollback.refused.is_empty();
    if rollback.releases.is_empty() {
        return RunEnd::NotRolledBack;
    }
    let started = Timestamp::now();
    let verb = format!("{}: automatic rollback", request.verb);
    let ran = session.run_plan(&verb, &rollback.plan, Arc::clone(runner), lost).await;
    if ran.end == RunEnd::LockLost {
        return ran.end;
    }
    let namespace = &session.environment.namespace;
    for RolledBack { step, subject, mut deployment } in rollback.releases {
        let is_done = ran.summary.done.contains(&step);
        deployment.outcome = if is_done { DeploymentOutcome::Healthy } else { DeploymentOutcome::Failed };
        (deployment.started, deployment.ended) = (started, Some(Timestamp::now()));
        let open = |history: &mut History| history.open(deployment.clone(), None);
        if let Err(error) = remote.access.cluster.update_history(namespace, &subject, open).await {
            ui::print_problems(&[error.problem()], session.settings.color, None);
        }
    }
    if is_complete && ran.summary.is_success() { RunEnd::RolledBack } else { RunEnd::NotRolledBack }
}
