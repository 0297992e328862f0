//! Evaluates the checks of rollouts and procedures: what is observed becomes a verdict.

mod prometheus;
mod requests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster::{Cluster, runs::JobResult},
        http::HttpClient,
        wait::pause,
    },
    domain::{
        Name,
        check::{CheckVerdict, HealthCheck, HealthTest, HttpTarget, judge_status},
        ports::STANDARD,
        query::{Expression, find_kind, shown},
    },
    error::CommandError,
    ops::{certificates::environment_client, run::RunRequest, session::Session},
    plan::run::RunSpec,
};

/// How often a run is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a run of a Job may take, unless the Job has a deadline itself.
const LONGEST_RUN: Duration = Duration::from_mins(30);

/// Evaluates checks in one environment with a ledger.
#[derive(Debug)]
pub(crate) struct CheckEvaluation<'a> {
    session: &'a Session,
    cluster: Cluster,
    http: HttpClient,
}

/// What checks are about that name no project.
#[derive(Debug, Clone)]
pub(crate) struct CheckSubject {
    pub project: Name,
    /// The Service whose requests are counted, such as that of a new version.
    pub service: String,
}

impl<'a> CheckEvaluation<'a> {
    /// # Errors
    /// When the user's certificates cannot be read.
    pub(crate) async fn open(session: &'a Session, cluster: &Cluster) -> Result<Self, CommandError> {
        Ok(Self { session, cluster: cluster.clone(), http: environment_client(session, cluster).await? })
    }

    /// Evaluates all checks at the same time, which takes as long as the longest one. An interrupted check is unknown.
    pub(crate) async fn verdicts(
        &self,
        checks: &BTreeMap<Name, HealthCheck>,
        subject: Option<&CheckSubject>,
        cancel: &CancellationToken,
    ) -> BTreeMap<Name, CheckVerdict> {
        let all = checks.iter().map(|(name, check)| async move {
            let verdict = tokio::select! {
                verdict = self.verdict(check, subject, cancel) => verdict.unwrap_or_else(unknown),
                () = cancel.cancelled() => unknown("interrupted".to_owned()),
            };
            (name.clone(), verdict)
        });
        join_all(all).await.into_iter().collect()
    }

    /// # Errors
    /// Why the check cannot be answered.
    async fn verdict(
        &self,
        check: &HealthCheck,
        subject: Option<&CheckSubject>,
        cancel: &CancellationToken,
    ) -> Result<CheckVerdict, String> {
        match &check.test {
            HealthTest::Http { target: HttpTarget::Path(path), status } if is_of_subject(check, subject) => {
                let service = subject.map_or("", |subject| subject.service.as_str());
                self.answered(service, path, *status).await
            }
            HealthTest::Http { target, status } => {
                let url = self.url(target, check.project.as_ref().or(subject.map(|subject| &subject.project)))?;
                Ok(match self.http.status(&url).await {
                    Ok(found) => judge_status(&url, found, *status),
                    Err(error) => CheckVerdict::Failed {
                        seen: format!("no response from {url}: {error}"),
                        limit: "a response".to_owned(),
                    },
                })
            }
            HealthTest::Errors { .. } | HealthTest::Latency { .. } => {
                let own = subject.filter(|subject| check.project.as_ref().is_none_or(|it| *it == subject.project));
                let service = own.map(|subject| subject.service.clone());
                let service = service.or_else(|| check.project.as_ref().map(Name::to_string));
                self.counted(check, &service.ok_or("the check names no project")?).await
            }
            HealthTest::Prometheus { at, query, limit } => self.queried(at, query, *limit).await,
            HealthTest::Run(project) => self.ran(project, cancel).await,
            HealthTest::Expr { object, expression } => self.expressed(object, expression).await,
        }
    }

    /// The URL of a check: a path is below the first URL of the project.
    fn url(&self, target: &HttpTarget, project: Option<&Name>) -> Result<String, String> {
        let path = match target {
            HttpTarget::Url(url) => return Ok(url.clone()),
            HttpTarget::Path(path) => path,
        };
        let name = project.ok_or("the check names no project")?;
        let found = self.session.projects.iter().find(|project| project.name == *name);
        let mut urls = found.into_iter().flat_map(|project| &project.routes).flat_map(|route| route.urls(STANDARD));
        let url = urls.next().ok_or_else(|| format!("'{name}' has no URL in this environment"))?;
        Ok(format!("{}{path}", url.shown.trim_end_matches('/')))
    }

    /// Requests a path of a Service, which may have no route of its own, through the API server.
    async fn answered(&self, service: &str, path: &str, status: Option<u16>) -> Result<CheckVerdict, String> {
        let namespace = &self.session.environment.namespace;
        let ports = self.cluster.service_ports(namespace, service).await.map_err(|error| error.problem().message)?;
        let ports = ports.ok_or_else(|| format!("the Service '{service}' does not exist"))?;
        let port = ports.iter().find(|port| *port == "http").or(ports.first()).ok_or("the Service has no port")?;
        let target = format!("services/{service}:{port}");
        let found = match self.cluster.proxied_answer(namespace, &target, path).await {
            Ok((found, _)) => found,
            Err(error) => error.status().ok_or_else(|| error.problem().message)?,
        };
        Ok(judge_status(&format!("{service}:{port}{path}"), found, status))
    }

    /// Evaluates an expression for one object.
    async fn expressed(&self, object: &str, expression: &str) -> Result<CheckVerdict, String> {
        let (word, name) = object.split_once('/').unwrap_or((object, ""));
        let kinds = self.cluster.kinds().await.map_err(|error| error.problem().message)?;
        let kind = find_kind(&kinds, word).map_err(|_| format!("the cluster has no kind '{word}'"))?;
        let namespace = self.session.environment.namespace.clone();
        let objects = self.cluster.objects(kind, &[namespace]).await.map_err(|error| error.problem().message)?;
        let named = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str) == Some(name);
        let found = objects.into_iter().find(named).ok_or_else(|| format!("{object} does not exist"))?;
        let parsed = Expression::parse(expression).map_err(|_| "the expression is not valid".to_owned())?;
        let selected = parsed.select(&[shown(found)]).map_err(|error| error.to_string())?;
        if selected.is_selected.contains(&true) {
            return Ok(CheckVerdict::Passed { seen: format!("{expression} is true for {object}") });
        }
        let missing = selected.missing.map(|field| format!(": it has no field '{field}'")).unwrap_or_default();
        Ok(CheckVerdict::Failed { seen: format!("false for {object}{missing}"), limit: expression.to_owned() })
    }

    /// Runs the Job of a project, and returns whether it has succeeded.
    async fn ran(&self, project: &Name, cancel: &CancellationToken) -> Result<CheckVerdict, String> {
        let spec = RunRequest::unchanged(project).spec(self.session, &self.cluster).await;
        let spec = spec.map_err(|error| first_problem(&error))?;
        run_job(&self.cluster, self.session.workspace().as_str(), &spec, cancel).await
    }
}

/// Creates a run and waits for its end.
async fn run_job(
    cluster: &Cluster,
    workspace: &str,
    spec: &RunSpec,
    cancel: &CancellationToken,
) -> Result<CheckVerdict, String> {
    let namespace = &spec.release.namespace;
    let job = cluster.create_run(namespace, &spec.job).await.map_err(|error| error.problem().message)?;
    let start = Instant::now();
    loop {
        let runs = cluster.runs(workspace, namespace).await.unwrap_or_default();
        let run = runs.into_iter().find(|run| run.name == job.name);
        match run.map(|run| (run.result, run.exit_code)) {
            Some((JobResult::Succeeded, _)) => {
                return Ok(CheckVerdict::Passed { seen: format!("{} has succeeded", job.name) });
            }
            Some((JobResult::Failed | JobResult::DeadlineExceeded, code)) => {
                let code = code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
                let seen = format!("{} has failed{code}", job.name);
                return Ok(CheckVerdict::Failed { seen, limit: "exit code 0".to_owned() });
            }
            _ if start.elapsed() > LONGEST_RUN => return Err(format!("{} has not ended", job.name)),
            _ => pause(LOOK, cancel).await.map_err(|_| "interrupted".to_owned())?,
        }
    }
}

/// The message of an error that has been reported nowhere yet.
pub(crate) fn first_problem(error: &CommandError) -> String {
    error.problems.first().map_or_else(|| "the request failed".to_owned(), |problem| problem.message.clone())
}

/// Whether a check is about the new version of a rollout.
fn is_of_subject(check: &HealthCheck, subject: Option<&CheckSubject>) -> bool {
    subject.is_some_and(|subject| check.project.as_ref().is_none_or(|project| *project == subject.project))
}

fn unknown(reason: String) -> CheckVerdict {
    CheckVerdict::Unknown { reason }
}
