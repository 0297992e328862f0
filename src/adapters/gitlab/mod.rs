//! GitLab, over its REST API: pipelines of a project, their jobs, and starting one of them.

mod client;
mod error;
mod place;

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::{client::Client, place::encoded};
pub use self::{
    error::{GitlabError, Problem},
    place::{Place, PlaceError},
};
use super::patience::Patience;
use crate::domain::secret::Secret;

/// How many pages of jobs are read; each has a hundred.
const MOST_PAGES: usize = 10;
/// How many pipelines are looked at, the newest first.
const MOST_PIPELINES: usize = 20;

/// One project of a GitLab.
#[derive(Debug)]
pub struct Gitlab {
    client: Client,
    api: String,
    project: String,
}

/// What GitLab knows of a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// None in an empty repository.
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
    /// Why it failed, in GitLab's word: `script_failure`.
    pub failure_reason: Option<String>,
    /// What its script ended with. Not every GitLab tells.
    pub exit_code: Option<u8>,
    /// The environment's name. Not every GitLab tells.
    #[serde(default, deserialize_with = "environment_name")]
    pub environment: Option<String>,
}

impl Pipeline {
    /// Whether what comes before its manual jobs is done.
    pub fn is_ready(&self) -> bool {
        ["success", "manual"].contains(&self.status.as_str())
    }
}

impl Job {
    /// Whether somebody has yet to start it.
    pub fn is_manual(&self) -> bool {
        self.status == "manual"
    }

    /// Whether nothing more will happen to it.
    pub fn is_ended(&self) -> bool {
        ["success", "failed", "canceled", "skipped"].contains(&self.status.as_str())
    }
}

/// The name, whether it stands there itself or in an object.
fn environment_name<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().or_else(|| value["name"].as_str()).map(str::to_owned))
}

impl Gitlab {
    /// # Errors
    /// When the token cannot be sent, or the certificates cannot be read.
    pub fn new(
        place: &Place,
        token: Secret,
        certificate_authority: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, GitlabError> {
        let client = Client::new(&place.server, token, certificate_authority, cancel)?;
        Ok(Self { client, api: place.api(), project: place.project.clone() })
    }

    /// With another patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.client.patience = patience;
        self
    }

    /// # Errors
    /// When GitLab does not answer, or the token may not see the project.
    pub async fn project(&self) -> Result<Project, GitlabError> {
        self.get(&format!("the project {}", self.project), "").await
    }

    /// Whether GitLab has a commit.
    ///
    /// # Errors
    /// When GitLab does not answer.
    pub async fn has_commit(&self, commit: &str) -> Result<bool, GitlabError> {
        match self.get::<Value>("the commit", &format!("/repository/commits/{commit}")).await {
            Ok(_) => Ok(true),
            Err(GitlabError { problem: Problem::NotFound { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The pipelines of a commit, the newest first.
    ///
    /// # Errors
    /// When GitLab does not answer, or the token may not see them.
    pub async fn pipelines_of_commit(&self, commit: &str) -> Result<Vec<Pipeline>, GitlabError> {
        self.pipelines("sha", commit).await
    }

    /// The pipelines of a branch, the newest first.
    ///
    /// # Errors
    /// When GitLab does not answer, or the token may not see them.
    pub async fn pipelines_of_branch(&self, branch: &str) -> Result<Vec<Pipeline>, GitlabError> {
        self.pipelines("ref", branch).await
    }

    async fn pipelines(&self, key: &str, value: &str) -> Result<Vec<Pipeline>, GitlabError> {
        let value = encoded(value);
        let path = format!("/pipelines?{key}={value}&order_by=id&sort=desc&per_page={MOST_PIPELINES}");
        self.get("the pipelines", &path).await
    }

    /// The jobs of a pipeline, without those that were tried again since.
    ///
    /// # Errors
    /// When GitLab does not answer, or the token may not see them.
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
    /// When GitLab does not answer, or the token may not see it.
    pub async fn job(&self, id: u64) -> Result<Job, GitlabError> {
        self.get("the job", &format!("/jobs/{id}")).await
    }

    /// Starts a manual job with these variables. A request whose answer was lost may have done its work: then the job
    /// is looked at before another try.
    ///
    /// # Errors
    /// When GitLab refuses, or it cannot be told whether the job was started.
    pub async fn play(&self, job: &Job, variables: &[(&str, String)]) -> Result<Job, GitlabError> {
        let attributes: Vec<Value> = variables.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        // To give variables is a right of its own: nobody needs it who gives none.
        let body = if attributes.is_empty() { json!({}) } else { json!({"job_variables_attributes": attributes}) };
        let url = format!("{}/jobs/{}/play", self.api, job.id);
        let what = format!("starting the job {}", job.name);
        let mut pauses = self.client.patience.pauses.iter();
        loop {
            let failure = match self.client.once(&what, Method::POST, &url, Some(&body)).await {
                Ok(answer) => return Ok(answer.content),
                Err(failure) => failure,
            };
            if !failure.error.is_transient() {
                return Err(failure.error);
            }
            let unsure = |said: GitlabError| {
                GitlabError::new(Problem::Unsure { url: job.web_url.clone() }).said(said.to_string())
            };
            let now = self.job(job.id).await.map_err(unsure)?;
            if !now.is_manual() {
                return Ok(now);
            }
            let pause = pauses.next().ok_or(failure.error)?;
            self.client.wait(failure.pause.unwrap_or(*pause)).await?;
        }
    }

    /// Follows a job of a pipeline to its end, and where GitLab tries it again by itself, its successor; asks each
    /// `pause`. `on_change` sees each new state.
    ///
    /// # Errors
    /// When GitLab does not answer any more, or the run is interrupted: the job goes on.
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

    /// The job that GitLab made in place of one that failed, as `retry` has it do.
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
