//! What each step of a procedure does, with the operations of the commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster::runs::{JobResult, RunOrigin, RunState},
        wait::pause,
    },
    domain::{
        Name, Problem, ReleaseKey,
        check::{CheckVerdict, FailuresInARow, HealthCheck},
        procedure::{FlatAct, ProcedureAction},
    },
    error::{CommandError, ErrorKind},
    ops::{
        checks::CheckEvaluation,
        describe::timeout_seconds,
        drain::{AtDeadline, DrainRequest, drain, fill},
        maintenance::{MaintenanceChange, MaintenanceRequest, maintain},
        options::{ChangeRequest, UpRequest},
        remote::{
            access::RemoteAccess,
            apply::apply,
            deploy_request::{DeployRequest, expand_enabled},
            named_images::NamedImages,
            operation::{OperationRequest, operate},
        },
        run::RunRequest,
        session::Session,
    },
    plan::{RolloutSpec, scale::ScaleSpec},
};

/// The pause between two evaluations of checks that have not all passed.
const AGAIN: Duration = Duration::from_secs(2);

/// An action in the session of its environment.
pub(super) struct Action<'a> {
    pub session: &'a Session,
    pub act: &'a FlatAct,
    /// When the step was first started: an interrupted step continues.
    pub started: Timestamp,
    pub change: &'a ChangeRequest,
}

impl Action<'_> {
    /// Checks the names of an action in its environment, before anything is changed.
    ///
    /// # Errors
    /// All that is unknown, disabled, external or invalid there.
    pub(super) fn validate(&self) -> Result<(), CommandError> {
        let session = self.session;
        match &self.act.action {
            ProcedureAction::Maintenance { projects, .. } => expand_enabled(session, &texts(projects)).map(drop),
            ProcedureAction::Drain(name) | ProcedureAction::Fill(name) => {
                crate::ops::drain::consumers(session, &[name.to_string()]).map(drop)
            }
            ProcedureAction::Scale(projects) => {
                expand_enabled(session, &texts(&projects.keys().cloned().collect::<Vec<_>>())).map(drop)
            }
            ProcedureAction::Run(project) => RunRequest::unchanged(project).release(session).map(drop),
            ProcedureAction::Deploy { projects, tag } => {
                NamedImages::read(session, &texts(projects), tag.as_deref()).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Does it, and returns what was observed at the end.
    ///
    /// # Errors
    /// As the command that does the same.
    pub(super) async fn perform(&self, cancel: &CancellationToken) -> Result<Option<String>, CommandError> {
        let Self { session, change, .. } = self;
        match &self.act.action {
            ProcedureAction::Maintenance { is_on, projects, message } => {
                let request = MaintenanceRequest {
                    projects: texts(projects),
                    change: if *is_on { MaintenanceChange::on(None, message.clone())? } else { MaintenanceChange::Off },
                };
                let change = if *is_on { (*change).clone() } else { change.without_overrides() };
                maintain(session, &request, &change).await.map(|()| None)
            }
            ProcedureAction::Drain(name) => {
                let timeout = Duration::from_secs(self.act.timeout_seconds.unwrap_or_default());
                let request = DrainRequest { projects: vec![name.to_string()], timeout, then: AtDeadline::Keep };
                drain(session, &request, change).await.map(|()| None)
            }
            ProcedureAction::Fill(name) => {
                fill(session, &[name.to_string()], &change.without_overrides()).await.map(|()| None)
            }
            ProcedureAction::Scale(projects) => {
                operate(session, &OperationRequest::Scale(self.scale_specs(projects)), change).await.map(|()| None)
            }
            ProcedureAction::Run(project) => self.run(project, cancel).await,
            ProcedureAction::Deploy { projects, tag } => self.deploy(projects, tag.as_deref()).await,
            ProcedureAction::Check(checks) => self.check(checks, cancel).await,
            ProcedureAction::Wait(duration) => self.wait(*duration, cancel).await,
            // A person approves; steps of other procedures are in their place.
            ProcedureAction::Approve(_) | ProcedureAction::Procedure(_) => Ok(None),
        }
    }

    fn scale_specs(&self, projects: &BTreeMap<Name, u32>) -> Vec<ScaleSpec> {
        let Session { environment, loaded, .. } = self.session;
        let timeout =
            |name: &Name| loaded.workspace.projects.get(name).and_then(|it| it.overridden(environment).timeout);
        let spec = |(name, replicas): (&Name, &u32)| ScaleSpec {
            rollout: RolloutSpec {
                release: ReleaseKey::new(&environment.namespace, name.as_str()),
                timeout_seconds: timeout_seconds(timeout(name)),
            },
            replicas: *replicas,
        };
        projects.iter().map(spec).collect()
    }

    async fn deploy(&self, projects: &[Name], tag: Option<&str>) -> Result<Option<String>, CommandError> {
        let NamedImages { projects, bundles, images } = NamedImages::read(self.session, &texts(projects), tag)?;
        let up = UpRequest::default();
        let request =
            DeployRequest { verb: "deploy", up, only: Some(projects), images, bundles, ..DeployRequest::default() };
        let urls = apply(self.session, &request, self.change).await?;
        Ok((!urls.is_empty()).then(|| urls.join(", ")))
    }

    /// Runs a Job. A run that an interrupted step has started is not started again: its end counts.
    async fn run(&self, project: &Name, cancel: &CancellationToken) -> Result<Option<String>, CommandError> {
        if let Some(run) = self.earlier_run(project, cancel).await? {
            return Ok(Some(format!("{} has succeeded", run.name)));
        }
        operate(self.session, &OperationRequest::Run(RunRequest::unchanged(project)), self.change).await.map(|()| None)
    }

    /// The successful run that this step has started before it was interrupted; waits for one that still runs.
    async fn earlier_run(&self, project: &Name, cancel: &CancellationToken) -> Result<Option<RunState>, CommandError> {
        let cluster = RemoteAccess::open(self.session).await?.cluster;
        let (workspace, namespace) = (self.session.workspace().as_str(), &self.session.environment.namespace);
        loop {
            let runs = cluster.runs(workspace, namespace).await?;
            let is_own = |run: &RunState| {
                run.project == project.as_str()
                    && run.origin == RunOrigin::Run
                    // Kubernetes stores whole seconds.
                    && run.started.is_some_and(|started| started + SignedDuration::from_secs(1) > self.started)
            };
            match runs.into_iter().find(is_own) {
                Some(run) if run.result == JobResult::Succeeded => return Ok(Some(run)),
                Some(run) if run.result == JobResult::Running => {
                    self.session.note(&format!("waiting for {}, which the interrupted step has started", run.name));
                    pause(AGAIN, cancel).await.map_err(|_| interrupted())?;
                }
                _ => return Ok(None),
            }
        }
    }

    /// Evaluates checks until all have passed, one has failed as often as it may, or the time of the step is over.
    async fn check(
        &self,
        checks: &BTreeMap<Name, HealthCheck>,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, CommandError> {
        let cluster = RemoteAccess::open(self.session).await?.cluster;
        let evaluation = CheckEvaluation::open(self.session, &cluster).await?;
        let deadline = Timestamp::now() + Duration::from_secs(self.act.timeout_seconds.unwrap_or_default());
        let (mut row, mut left) = (FailuresInARow::default(), checks.clone());
        let mut passed = BTreeSet::new();
        loop {
            let counted = row.count_all(checks, evaluation.verdicts(&left, None, cancel).await);
            if cancel.is_cancelled() {
                return Err(interrupted());
            }
            refuse_failed(checks, &counted)?;
            for (name, verdict) in &counted {
                self.session.note(&format!("check '{name}' {verdict}"));
                if matches!(verdict, CheckVerdict::Passed { .. }) {
                    passed.insert(name.clone());
                }
            }
            left.retain(|name, _| !passed.contains(name));
            if left.is_empty() {
                return Ok(Some("all checks have passed".to_owned()));
            }
            if Timestamp::now() >= deadline {
                return Err(unanswered(&counted));
            }
            pause(AGAIN, cancel).await.map_err(|_| interrupted())?;
        }
    }

    /// Waits from the first start of the step on.
    async fn wait(&self, duration: Duration, cancel: &CancellationToken) -> Result<Option<String>, CommandError> {
        let passed = Timestamp::now().duration_since(self.started);
        let left = duration.saturating_sub(Duration::try_from(passed).unwrap_or_default());
        pause(left, cancel).await.map(|()| None).map_err(|_| interrupted())
    }
}

/// A check that has failed ends the step if that is final: others may pass until the timeout.
fn refuse_failed(
    checks: &BTreeMap<Name, HealthCheck>,
    counted: &BTreeMap<Name, CheckVerdict>,
) -> Result<(), CommandError> {
    let is_final = |name: &Name| checks.get(name).is_some_and(HealthCheck::ends_wait);
    let failed = counted.iter().filter(|(_, verdict)| matches!(verdict, CheckVerdict::Failed { .. }));
    let failed = failed.filter(|(name, _)| is_final(name));
    let problem = |(name, verdict): (&Name, &CheckVerdict)| Problem::new(format!("check '{name}' {verdict}"));
    CommandError::require_none(ErrorKind::Failed, failed.map(problem).collect())
}

fn unanswered(counted: &BTreeMap<Name, CheckVerdict>) -> CommandError {
    let open = counted.iter().filter(|(_, verdict)| !matches!(verdict, CheckVerdict::Passed { .. }));
    let mut problem = Problem::new("checks have not passed within the timeout of the step");
    problem.details = open.map(|(name, verdict)| format!("check '{name}' {verdict}")).collect();
    CommandError::failed(problem)
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}

pub(super) fn interrupted() -> CommandError {
    CommandError::reported(ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{CHECK_WINDOW, HealthTest};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_failed_check_ends_the_step_only_if_its_failures_are_limited() {
        let expression = HealthTest::Expr { object: "deployment/shop".to_owned(), expression: "false".to_owned() };
        let check = |test: HealthTest, failures| HealthCheck { test, project: None, failures, window: CHECK_WINDOW };
        let ends = |check: HealthCheck| {
            let failed = CheckVerdict::Failed { seen: "false".to_owned(), limit: "true".to_owned() };
            let counted = BTreeMap::from([(name("ready"), failed)]);
            (refuse_failed(&BTreeMap::from([(name("ready"), check)]), &counted).is_err(), unanswered(&counted))
        };
        let (is_over, at_deadline) = ends(check(expression.clone(), None));
        assert!(!is_over, "it may pass until the timeout");
        assert_eq!(at_deadline.problems[0].details, ["check 'ready' failed: false, expected true"]);
        assert!(ends(check(expression, Some(3))).0);
        assert!(ends(check(HealthTest::Run(name("count")), None)).0, "a Job is not run again and again");
    }
}
