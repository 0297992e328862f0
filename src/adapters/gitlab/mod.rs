//! GitLab's REST API: the pipelines of a project, their jobs, and starting a job.

mod client;
mod error;
mod place;

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::client::GitlabClient;
pub use self::{
    error::{GitlabError, GitlabErrorKind},
    place::{Place, PlaceError},
};
use super::http::url_encoded;
use super::retry_policy::RetryPolicy;
use crate::domain::secret::Secret;

/// The maximum number of pages of jobs to read; each has 100 jobs.
const MOST_PAGES: usize = 10;
/// The maximum number of pipelines to read, newest first.
const MOST_PIPELINES: usize = 20;

/// One project on a GitLab server.
#[derive(Debug)]
pub struct Gitlab {
    client: GitlabClient,
    api: String,
    project: String,
}

/// The properties of a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GitlabProject {
    /// `None` in an empty repository.
    pub default_branch: Option<String>,
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pipeline {
    pub id: u64,
    pub sha: String,
    pub status: String,
    pub web_url: String,
}

/// A job of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Job {
    pub id: u64,
    pub name: String,
    pub status: String,
    pub web_url: String,
    /// Why it failed, as GitLab reports it: `script_failure`.
    pub failure_reason: Option<String>,
    /// The exit code of its script. Some versions of GitLab do not report it.
    pub exit_code: Option<u8>,
    /// The environment's name. Some versions of GitLab do not report it.
    #[serde(default, deserialize_with = "environment_name")]
    pub environment: Option<String>,
}

impl Pipeline {
    /// Returns whether all jobs before its manual jobs have succeeded.
    pub fn is_ready(&self) -> bool {
        ["success", "manual"].contains(&self.status.as_str())
    }
}

impl Job {
    /// Returns whether the job must still be started manually.
    pub fn is_manual(&self) -> bool {
        self.status == "manual"
    }

    /// Returns whether the job has a final status.
    pub fn is_ended(&self) -> bool {
        ["success", "failed", "canceled", "skipped"].contains(&self.status.as_str())
    }
}

/// Reads the name, either as text or from an object.
fn environment_name<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().or_else(|| value["name"].as_str()).map(str::to_owned))
}

impl Gitlab {
    /// # Errors
    /// If the token contains invalid characters, or the certificates cannot be parsed.
    pub fn new(
        place: &Place,
        token: Secret,
        certificate_authority: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, GitlabError> {
        let client = GitlabClient::new(&place.server, token, certificate_authority, cancel)?;
        Ok(Self { client, api: place.api(), project: place.project.clone() })
    }

    /// Replaces the timeouts and retries.
    #[must_use]
    pub fn with_patience(mut self, patience: RetryPolicy) -> Self {
        self.client.web.patience = patience;
        self
    }

    /// # Errors
    /// If GitLab does not respond, or the token has no access to the project.
    pub async fn project(&self) -> Result<GitlabProject, GitlabError> {
        self.get(&format!("the project {}", self.project), "").await
    }

    /// Returns whether a commit exists on GitLab.
    ///
    /// # Errors
    /// If GitLab does not respond.
    pub async fn has_commit(&self, commit: &str) -> Result<bool, GitlabError> {
        match self.get::<Value>("the commit", &format!("/repository/commits/{commit}")).await {
            Ok(_) => Ok(true),
            Err(GitlabError { problem: GitlabErrorKind::NotFound { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the pipelines of a commit, newest first.
    ///
    /// # Errors
    /// If GitLab does not respond, or the token has no access to them.
    pub async fn pipelines_of_commit(&self, commit: &str) -> Result<Vec<Pipeline>, GitlabError> {
        self.pipelines("sha", commit).await
    }

    /// Returns the pipelines of a branch, newest first.
    ///
    /// # Errors
    /// If GitLab does not respond, or the token has no access to them.
    pub async fn pipelines_of_branch(&self, branch: &str) -> Result<Vec<Pipeline>, GitlabError> {
        self.pipelines("ref", branch).await
    }

    async fn pipelines(&self, key: &str, value: &str) -> Result<Vec<Pipeline>, GitlabError> {
        let value = url_encoded(value);
        let path = format!("/pipelines?{key}={value}&order_by=id&sort=desc&per_page={MOST_PIPELINES}");
        self.get("the pipelines", &path).await
    }

    /// Returns the jobs of a pipeline, without those that were retried.
    ///
    /// # Errors
    /// If GitLab does not respond, or the token has no access to them.
    pub async fn jobs(&self, pipeline: u64) -> Result<Vec<Job>, GitlabError> {
        let (mut jobs, mut page) = (Vec::new(), "1".to_owned());
        for _ in 0..MOST_PAGES {
            let url = format!("{}/pipelines/{pipeline}/jobs?per_page=100&page={page}", self.api);
            let answer = self.client.get::<Vec<Job>>("the pipeline's jobs", &url).await?;
            jobs.extend(answer.content);
            let Some(next) = answer.next_page else { break };
            page = next;
        }
        Ok(jobs)
    }

    /// # Errors
    /// If GitLab does not respond, or the token has no access to it.
    pub async fn job(&self, id: u64) -> Result<Job, GitlabError> {
        self.get("the job", &format!("/jobs/{id}")).await
    }

    /// Starts a manual job with these variables. If the response to a request was lost, the job may have been started,
    /// so its status is checked before a retry.
    ///
    /// # Errors
    /// If GitLab rejects the request, or it is unknown whether the job was started.
    pub async fn play(&self, job: &Job, variables: &[(&str, String)]) -> Result<Job, GitlabError> {
        let attributes: Vec<Value> = variables.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        // Setting variables needs its own permission, so an empty list is not sent.
        let body = if attributes.is_empty() { json!({}) } else { json!({"job_variables_attributes": attributes}) };
        let url = format!("{}/jobs/{}/play", self.api, job.id);
        let what = format!("starting the job {}", job.name);
        let mut retries = self.client.web.retries();
        loop {
            let failure = match self.client.once(&what, Method::POST, &url, Some(&body)).await {
                Ok(answer) => return Ok(answer.content),
                Err(failure) => failure,
            };
            if !failure.error.is_transient() {
                return Err(failure.error);
            }
            let unsure = |detail: GitlabError| {
                GitlabError::new(GitlabErrorKind::Unsure { url: job.web_url.clone() }).detail(detail.to_string())
            };
            let now = self.job(job.id).await.map_err(unsure)?;
            if !now.is_manual() {
                return Ok(now);
            }
            retries.pause_or(failure.error, failure.pause).await?;
        }
    }

    /// Polls a job of a pipeline until it ends, every `pause`. If GitLab retries the job automatically, follows the new
    /// one. `on_change` is called for each new status.
    ///
    /// # Errors
    /// If GitLab stops responding, or the run is interrupted: the job continues.
    pub async fn follow(
        &self,
        pipeline: u64,
        job: Job,
        pause: Duration,
        mut on_change: impl FnMut(&Job),
    ) -> Result<Job, GitlabError> {
        let mut job = job;
        on_change(&job);
        loop {
            let now = if job.is_ended() {
                match self.successor(pipeline, &job, pause).await? {
                    Some(successor) => successor,
                    None => return Ok(job),
                }
            } else {
                self.client.wait(pause).await?;
                self.job(job.id).await?
            };
            if (now.id, &now.status) != (job.id, &job.status) {
                on_change(&now);
            }
            job = now;
        }
    }

    /// Returns the job that GitLab created to retry a failed one, as the key `retry` requests.
    async fn successor(&self, pipeline: u64, job: &Job, pause: Duration) -> Result<Option<Job>, GitlabError> {
        if job.status != "failed" {
            return Ok(None);
        }
        self.client.wait(pause).await?;
        let jobs = self.jobs(pipeline).await?;
        Ok(jobs.into_iter().find(|other| other.name == job.name && other.id > job.id && !other.is_manual()))
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, GitlabError> {
        Ok(self.client.get(what, &format!("{}{path}", self.api)).await?.content)
    }
}
