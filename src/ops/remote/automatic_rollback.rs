//! The automatic rollback: failed releases, and those of their bundles, go back to the record that ran before.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Problem, labels,
        ledger::{AUTOMATIC_ROLLBACK, Deployment, DeploymentOutcome, History},
    },
    error::CommandError,
    ops::{
        prepared::Prepared,
        remote::{
            access::failed,
            deploy_request::DeployRequest,
            prepare::{Remote, subject},
        },
        session::Session,
    },
    plan::{Plan, ReleaseSpec, ReturnSpec, Step, StepId},
    steps::Runner,
    ui,
};

/// What is rolled back, and what cannot be.
#[derive(Debug, Default)]
pub struct Returning {
    plan: Plan,
    deployments: Vec<RolledBack>,
    /// Why a release is not rolled back.
    stays: Vec<Problem>,
}

/// A release that is rolled back.
#[derive(Debug)]
struct RolledBack {
    step: StepId,
    /// The name of the release in the ledger.
    subject: String,
    deployment: Deployment,
}

impl Returning {
    /// Whether a release has failed, whether or not it can be rolled back.
    pub fn is_about_something(&self) -> bool {
        !self.deployments.is_empty() || !self.stays.is_empty()
    }

    /// Whether this release is rolled back.
    pub fn contains(&self, subject: &str) -> bool {
        self.deployments.iter().any(|it| it.subject == subject)
    }
}

/// Plans the rollback, from what was observed before the run. `failed_steps` are the deployments that failed.
pub fn plan(
    session: &Session,
    request: &DeployRequest,
    prepared: &Prepared,
    ran: &Plan,
    failed_steps: &BTreeSet<StepId>,
) -> Returning {
    let mut returning = Returning::default();
    if failed_steps.is_empty() {
        return returning;
    }
    let connect = returning.plan.add(Step::ConnectCluster, "required by all other steps", None);
    let deployments = || {
        ran.steps.iter().filter_map(|planned| match &planned.step {
            Step::Deploy(spec) => Some((planned.id, spec)),
            _ => None,
        })
    };
    let is_project = |spec: &ReleaseSpec| spec.namespace == session.environment.namespace;
    let bundle_members: BTreeSet<String> = deployments()
        .filter(|(id, spec)| failed_steps.contains(id) && is_project(spec))
        .flat_map(|(_, spec)| request.bundle_members(session, &spec.name))
        .map(|project| project.to_string())
        .collect();
    for (id, spec) in deployments() {
        if failed_steps.contains(&id) || (is_project(spec) && bundle_members.contains(&spec.name)) {
            returning.add(session, prepared, spec, connect);
        }
    }
    returning
}

impl Returning {
    fn add(&mut self, session: &Session, prepared: &Prepared, spec: &ReleaseSpec, connect: StepId) {
        let before =
            prepared.observation.observed.releases.get(&spec.key()).filter(|release| release.status == "deployed");
        let (Some(before), Some(entry)) = (before, &spec.entry) else {
            let help = "fix the problem and deploy again; cmdr status shows the state";
            self.stay(spec, "there is no earlier deployment", help);
            return;
        };
        let Some(record) = before.record().filter(|record| *record != spec.record) else {
            self.stay(spec, "the previous record is the same", "find the cause with cmdr status");
            return;
        };
        if entry.deployment.irreversible {
            let help = "deploy a build that works; cmdr rollback restores the previous record nevertheless";
            self.stay(spec, "its changes cannot be undone (irreversible in projects.yaml)", help);
            return;
        }
        let step =
            Step::Return(ReturnSpec { rollout: spec.rollout(), revision: before.revision, record: record.clone() });
        let reason = format!("to record {record}");
        let step = self.plan.add(step, reason, [connect]);
        let deployment = Deployment {
            record,
            version: before.labels.get(labels::VERSION).cloned().unwrap_or_default(),
            verb: AUTOMATIC_ROLLBACK.to_owned(),
            bundle: None,
            promoted_from: None,
            promoted_record: None,
            ..entry.deployment.clone()
        };
        self.deployments.push(RolledBack { step, subject: subject(session, spec), deployment });
    }

    fn stay(&mut self, spec: &ReleaseSpec, why: &str, help: &str) {
        let cause = format!("'{}' was not rolled back: {why}", spec.name);
        self.stays.push(Problem::new(cause).help(help));
    }
}

/// Performs the rollback. Returns whether everything that failed is in its previous state again.
///
/// # Errors
/// When the ledger cannot be written.
pub async fn run(
    session: &Session,
    request: &DeployRequest,
    remote: &Remote,
    returning: Returning,
    runner: &Arc<Runner>,
    lost: &CancellationToken,
) -> Result<bool, CommandError> {
    ui::print_problems(&returning.stays, session.settings.color);
    let mut is_back = returning.stays.is_empty();
    if returning.deployments.is_empty() {
        return Ok(is_back);
    }
    let started = Timestamp::now();
    let verb = format!("{}: automatic rollback", request.verb);
    let ran = session.run_plan(&verb, &returning.plan, Arc::clone(runner), lost).await;
    is_back &= ran.summary.is_success();
    let namespace = &session.environment.namespace;
    for RolledBack { step, subject, mut deployment } in returning.deployments {
        let is_done = ran.summary.done.contains(&step);
        deployment.outcome = if is_done { DeploymentOutcome::Healthy } else { DeploymentOutcome::Failed };
        (deployment.started, deployment.ended) = (started, Some(Timestamp::now()));
        let open = |history: &mut History| history.open(deployment.clone(), None);
        remote.access.cluster.update_history(namespace, &subject, open).await.map_err(failed)?;
    }
    Ok(is_back)
}
