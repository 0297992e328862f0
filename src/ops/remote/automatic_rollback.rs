//! The automatic rollback: failed releases, and those of their bundles, go back to the record that ran before.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Diagnosis, labels,
        ledger::{Deployment, DeploymentOutcome, History},
    },
    error::CommandError,
    ops::{
        prepared::Prepared,
        remote::{
            access::failed,
            deploy_request::Wish,
            prepare::{Remote, subject},
        },
        session::Session,
    },
    plan::{Plan, ReleaseSpec, ReturnSpec, RolloutSpec, Step},
    steps::Runner,
    ui,
};

/// What is rolled back, and what cannot be.
#[derive(Debug, Default)]
pub struct Returning {
    plan: Plan,
    /// For the ledger: the subject, and the deployment of the rollback.
    deployments: Vec<(String, Deployment)>,
    /// Why a release is not rolled back.
    stays: Vec<Diagnosis>,
}

impl Returning {
    /// Whether a release has failed, whether or not it can be rolled back.
    pub fn is_about_something(&self) -> bool {
        !self.deployments.is_empty() || !self.stays.is_empty()
    }

    /// Whether this release is rolled back.
    pub fn contains(&self, subject: &str) -> bool {
        self.deployments.iter().any(|(returning, _)| returning == subject)
    }
}

/// Plans the rollback, from what was observed before the run.
pub fn plan(
    session: &Session,
    wish: &Wish,
    prepared: &Prepared,
    ran: &Plan,
    failed_subjects: &BTreeSet<&str>,
) -> Returning {
    let mut returning = Returning::default();
    if failed_subjects.is_empty() {
        return returning;
    }
    let connect = returning.plan.add(Step::ConnectCluster, "cluster", "connect", "required by all other steps", None);
    let companions: BTreeSet<String> = failed_subjects
        .iter()
        .flat_map(|subject| wish.companions(session, subject))
        .map(|project| project.to_string())
        .collect();
    for planned in &ran.steps {
        let Step::Deploy(spec) = &planned.step else { continue };
        if failed_subjects.contains(planned.subject.as_str()) || companions.contains(&planned.subject) {
            returning.add(session, prepared, spec, connect);
        }
    }
    returning
}

impl Returning {
    fn add(&mut self, session: &Session, prepared: &Prepared, spec: &ReleaseSpec, connect: usize) {
        let key = (spec.namespace.clone(), spec.name.clone());
        let before = prepared.sight.observed.releases.get(&key).filter(|release| release.status == "deployed");
        let (Some(before), Some(entry)) = (before, &spec.entry) else {
            let remedy = "fix the problem and deploy again; cmdr status shows the state";
            self.stay(spec, "there is no earlier deployment", remedy);
            return;
        };
        let Some(record) = before.labels.get(labels::RECORD).filter(|record| **record != spec.record) else {
            self.stay(spec, "the previous record is the same", "find the cause with cmdr status");
            return;
        };
        if entry.deployment.irreversible {
            let remedy = "deploy a build that works; cmdr rollback restores the previous record nevertheless";
            self.stay(spec, "its changes cannot be undone (irreversible in projects.yaml)", remedy);
            return;
        }
        let rollout = RolloutSpec {
            namespace: spec.namespace.clone(),
            release: spec.name.clone(),
            timeout_seconds: spec.timeout_seconds,
        };
        let step = Step::Return(ReturnSpec { rollout, revision: before.revision, record: record.clone() });
        let reason = format!("to record {record}");
        self.plan.add(step, spec.name.clone(), "roll back", reason, [connect]);
        let deployment = Deployment {
            record: record.clone(),
            version: before.labels.get(labels::VERSION).cloned().unwrap_or_default(),
            verb: "automatic rollback".to_owned(),
            bundle: None,
            promoted_from: None,
            promoted_record: None,
            ..entry.deployment.clone()
        };
        self.deployments.push((subject(session, spec), deployment));
    }

    fn stay(&mut self, spec: &ReleaseSpec, why: &str, remedy: &str) {
        let cause = format!("'{}' was not rolled back: {why}", spec.name);
        self.stays.push(Diagnosis::new(cause).remedy(remedy));
    }
}

/// Performs the rollback. Returns whether everything that failed is in its previous state again.
///
/// # Errors
/// When the ledger cannot be written.
pub async fn run(
    session: &Session,
    wish: &Wish,
    remote: &Remote,
    returning: Returning,
    runner: &Arc<Runner>,
    lost: &CancellationToken,
) -> Result<bool, CommandError> {
    ui::tell_diagnoses(&returning.stays, session.settings.color);
    let mut is_back = returning.stays.is_empty();
    if returning.deployments.is_empty() {
        return Ok(is_back);
    }
    let started = Timestamp::now();
    let verb = format!("{}: automatic rollback", wish.verb);
    let ran = session.run_plan(&verb, &returning.plan, Arc::clone(runner), lost).await;
    is_back &= ran.summary.is_success();
    let namespace = &session.environment.namespace;
    for (subject, mut deployment) in returning.deployments {
        let step = returning.plan.steps.iter().find(|planned| subject.ends_with(&planned.subject));
        let is_done = step.is_some_and(|planned| ran.summary.done.contains(&planned.id));
        deployment.outcome = if is_done { DeploymentOutcome::Healthy } else { DeploymentOutcome::Failed };
        (deployment.started, deployment.ended) = (started, Some(Timestamp::now()));
        let open = |history: &mut History| history.open(deployment.clone(), None);
        remote.access.cluster.update_history(namespace, &subject, open).await.map_err(failed)?;
    }
    Ok(is_back)
}
