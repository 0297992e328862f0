//! Finds the job of a pipeline that promotes to an environment.

use crate::{
    adapters::gitlab::{Job, Pipeline},
    domain::{Name, Problem, Workspace},
    error::{CommandError, ErrorKind},
};

/// The word in the names of promotion jobs, such as `cmdr-promote` of the component.
const WORD: &str = "promote";

/// A job and its pipeline.
#[derive(Debug)]
pub(super) struct PipelineJob {
    pub pipeline: Pipeline,
    pub job: Job,
}

/// The target environment, among all targets of promotions.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    environment: &'a str,
    targets: Vec<&'a str>,
}

impl<'a> Choice<'a> {
    pub(super) fn of(workspace: &'a Workspace, environment: &'a Name) -> Self {
        let targets = workspace.environments.values().filter(|environment| environment.promote.is_some());
        Self { environment: environment.as_str(), targets: targets.map(|target| target.name.as_str()).collect() }
    }

    /// The environment in a job's name: the longest match, since `production` is also in `production-eu`.
    fn named_in(&self, job: &str) -> Option<&str> {
        self.targets.iter().copied().filter(|target| job.contains(target)).max_by_key(|target| target.len())
    }

    /// GitLab's environment of the job takes precedence over its name. A job that names no environment matches if there
    /// is no other target.
    fn is_meant(&self, job: &Job) -> bool {
        match (&job.environment, self.named_in(&job.name)) {
            (Some(environment), _) => environment == self.environment,
            (None, Some(named)) => named == self.environment,
            (None, None) => self.targets == [self.environment],
        }
    }
}

/// Returns the promotion job, or `None` if there is none.
///
/// # Errors
/// When several jobs match.
pub(super) fn choose<'a>(choice: &Choice, jobs: &'a [Job]) -> Result<Option<&'a Job>, CommandError> {
    let meant: Vec<&Job> = jobs.iter().filter(|job| job.name.contains(WORD) && choice.is_meant(job)).collect();
    if meant.len() < 2 {
        return Ok(meant.first().copied());
    }
    let cause = format!("several jobs promote to '{}': {}", choice.environment, listed(meant));
    let help = "add the environment's name to the right job's name, or start the job in GitLab";
    Err(CommandError::usage(Problem::new(cause).help(help)))
}

/// The error for a job that is not waiting for a manual start.
pub(super) fn spent(job: &Job) -> CommandError {
    let cause = format!("the job {} cannot be started: its status is {}", job.name, job.status);
    let (kind, help) = match job.status.as_str() {
        // The jobs before it have not finished.
        "created" => (ErrorKind::Transient, "wait until the jobs before it have finished"),
        "failed" | "canceled" => (ErrorKind::Failed, "retry it in GitLab, or run a new pipeline"),
        "success" => (ErrorKind::Failed, "run a new pipeline to promote newer records"),
        _ => (ErrorKind::Failed, "it is running: follow it in GitLab"),
    };
    CommandError::new(kind, Problem::new(cause).help(format!("{help}: {}", job.web_url)))
}

/// The error for pipelines without a promotion job.
pub(super) fn no_job(choice: &Choice, seen: &[(Pipeline, Vec<Job>)]) -> CommandError {
    let where_to = seen.first().map(|(pipeline, _)| pipeline.web_url.as_str()).unwrap_or_default();
    let cause = format!("no job of the pipeline promotes to '{}': {where_to}", choice.environment);
    let manual = listed(seen.iter().flat_map(|(_, jobs)| jobs).filter(|job| job.is_manual()));
    let manual = if manual.is_empty() { "none".to_owned() } else { manual };
    let help = format!(
        "use a job with '{WORD}' and '{}' in its name (see docs/gitlab.md); it exists only on protected branches",
        choice.environment
    );
    CommandError::failed(Problem::new(cause).detail(format!("its manual jobs: {manual}")).help(help))
}

fn listed<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> String {
    jobs.into_iter().map(|job| job.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The job that is chosen among these, each written as `NAME` or `NAME@ENVIRONMENT`.
    fn chosen(targets: &[&str], names: &[&str]) -> Result<Option<String>, String> {
        let job = |name: &&str| {
            let (name, environment) = name.split_once('@').map_or((*name, None), |(name, of)| (name, Some(of)));
            let environment = environment.map(|name| serde_json::json!({"name": name}));
            let job = serde_json::json!({"id": 1, "name": name, "status": "manual", "web_url": "", "environment": environment});
            serde_json::from_value::<Job>(job).unwrap()
        };
        let jobs: Vec<Job> = names.iter().map(job).collect();
        let choice = Choice { environment: "production", targets: targets.to_vec() };
        let job = choose(&choice, &jobs).map_err(|error| error.problems[0].message.clone())?;
        Ok(job.map(|job| job.name.clone()))
    }

    #[test]
    fn the_job_of_the_environment_is_chosen() {
        let (one, two) = (&["production"][..], &["production", "production-eu"][..]);
        let some = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(chosen(one, &["cmdr-deploy", "cmdr-promote", "cmdr-rollback"]), some("cmdr-promote"));
        assert_eq!(chosen(two, &["cmdr-promote"]), Ok(None), "it may promote to the other one");
        assert_eq!(chosen(two, &["promote-production-eu", "promote-production"]), some("promote-production"));
        let named = ["cmdr-promote@production", "cmdr-promote-eu@production-eu", "cmdr-rollback@production"];
        assert_eq!(chosen(two, &named), some("cmdr-promote"));
        assert_eq!(chosen(one, &["promote-production@staging"]), Ok(None), "GitLab knows better than the name");
        assert_eq!(chosen(one, &["deploy-production"]), Ok(None));
        let several = Err("several jobs promote to 'production': promote-a, promote-b".to_owned());
        assert_eq!(chosen(one, &["promote-a", "promote-b"]), several);
    }
}
