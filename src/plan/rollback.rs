//! The plan of an automatic rollback: releases return to the Helm revision that was deployed before the run.

use std::collections::BTreeMap;

use super::{DeploySpec, LedgerEntry, ObservedRelease, Plan, ReleaseSpec, ReturnSpec, Step, StepId};
use crate::domain::{
    Problem, RecordId, ReleaseKey, labels,
    ledger::{AUTOMATIC_ROLLBACK, Deployment},
};

/// What is rolled back, and what cannot be.
#[derive(Debug, Default)]
pub struct Rollback {
    pub plan: Plan,
    pub releases: Vec<RolledBack>,
    /// Why a release is not rolled back.
    pub refused: Vec<Problem>,
}

/// A release that is rolled back.
#[derive(Debug)]
pub struct RolledBack {
    pub step: StepId,
    /// The name of the release in the ledger.
    pub subject: String,
    /// The ledger entry of the rollback, without its times and its outcome.
    pub deployment: Deployment,
}

impl Rollback {
    /// Whether a release has failed, whether or not it can be rolled back.
    pub fn is_about_something(&self) -> bool {
        !self.releases.is_empty() || !self.refused.is_empty()
    }

    /// Whether this release is rolled back.
    pub fn contains(&self, subject: &str) -> bool {
        self.releases.iter().any(|it| it.subject == subject)
    }
}

/// Plans the rollback of deployments to what was observed before the run.
pub fn rollback<'a>(
    deployments: impl IntoIterator<Item = &'a DeploySpec>,
    before: &BTreeMap<ReleaseKey, ObservedRelease>,
) -> Rollback {
    let mut rollback = Rollback::default();
    let connect = rollback.plan.add(Step::ConnectCluster, "required by all other steps", None);
    for spec in deployments {
        match target(spec, before.get(&spec.release.key())) {
            Ok(target) => rollback.add(&spec.release, target, connect),
            Err(problem) => rollback.refused.push(problem),
        }
    }
    rollback
}

/// What a release is rolled back to.
struct RollbackTarget<'a> {
    before: &'a ObservedRelease,
    record: RecordId,
    entry: &'a LedgerEntry,
}

fn target<'a>(spec: &'a DeploySpec, before: Option<&'a ObservedRelease>) -> Result<RollbackTarget<'a>, Problem> {
    let refusal =
        |why: &str, help: &str| Problem::new(format!("'{}' was not rolled back: {why}", spec.release.name)).help(help);
    let before = before.filter(|before| before.status == "deployed");
    let (Some(before), Some(entry)) = (before, &spec.entry) else {
        let help = "fix the problem and deploy again; cmdr status shows the state";
        return Err(refusal("there is no earlier deployment", help));
    };
    let Some(record) = before.record().filter(|record| *record != spec.release.record) else {
        return Err(refusal("the previous record is the same", "find the cause with cmdr status"));
    };
    if entry.deployment.irreversible {
        let help = "deploy a build that works; cmdr rollback restores the previous record nevertheless";
        return Err(refusal("its changes cannot be undone (irreversible in projects.yaml)", help));
    }
    Ok(RollbackTarget { before, record, entry })
}

impl Rollback {
    fn add(&mut self, release: &ReleaseSpec, target: RollbackTarget<'_>, connect: StepId) {
        let RollbackTarget { before, record, entry } = target;
        let reason = format!("to record {record}");
        let spec = ReturnSpec { rollout: release.rollout(), revision: before.revision, record: record.clone() };
        let step = self.plan.add(Step::Return(spec), reason, [connect]);
        let deployment = Deployment {
            record,
            version: before.labels.get(labels::VERSION).cloned().unwrap_or_default(),
            verb: AUTOMATIC_ROLLBACK.to_owned(),
            bundle: None,
            promoted_from: None,
            promoted_record: None,
            ..entry.deployment.clone()
        };
        self.releases.push(RolledBack { step, subject: entry.subject.clone(), deployment });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ledger::{DeploymentOutcome, tests::deployment},
        plan::{
            Operation,
            change::tests::{LOCAL, found, spec},
            graph::tests::lines,
        },
    };

    fn deployed(record: &str, irreversible: bool) -> DeploySpec {
        let deployment = deployment(record, "2026-11-21T12:00:00Z", DeploymentOutcome::Failed);
        let deployment = Deployment { irreversible, bundle: Some("web@1".to_owned()), ..deployment };
        let entry = LedgerEntry { subject: "shop".to_owned(), deployment, healthy_seconds: None };
        let release = ReleaseSpec { record: record.into(), ..spec("shop") };
        DeploySpec { release, operation: Operation::Upgrade, policy: LOCAL, entry: Some(entry), stopped: false }
    }

    fn planned(spec: &DeploySpec, before: Option<ObservedRelease>) -> Rollback {
        let before = before.into_iter().map(|before| (spec.release.key(), before)).collect();
        rollback([spec], &before)
    }

    #[test]
    fn a_release_returns_to_the_record_before() {
        let back = planned(&deployed("r2", false), Some(found()));
        assert_eq!(lines(&back.plan), ["connect cluster <- ", "roll back shop <- cluster"]);
        assert_eq!(back.plan[back.releases[0].step].reason, "to record r1");
        let entry = &back.releases[0].deployment;
        assert_eq!(
            (&entry.record, entry.verb.as_str(), entry.bundle.as_ref()),
            (&"r1".into(), AUTOMATIC_ROLLBACK, None)
        );
        assert!(back.contains("shop") && back.is_about_something() && back.refused.is_empty());
    }

    #[test]
    fn a_release_without_a_way_back_is_reported() {
        let failed = ObservedRelease { status: "failed".to_owned(), ..found() };
        for (release, before, why) in [
            (deployed("r2", false), None, "there is no earlier deployment"),
            (deployed("r2", false), Some(failed), "there is no earlier deployment"),
            (deployed("r1", false), Some(found()), "the previous record is the same"),
            (deployed("r2", true), Some(found()), "its changes cannot be undone (irreversible in projects.yaml)"),
        ] {
            let back = planned(&release, before);
            assert_eq!(back.refused[0].message, format!("'shop' was not rolled back: {why}"));
            assert!(!back.contains("shop") && back.is_about_something());
        }
    }
}
