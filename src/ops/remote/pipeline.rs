//! `cmdr promote --via gitlab`: starts and follows the pipeline's promotion job. The pipeline's account has access to
//! the cluster; GitLab decides who may start the job.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cluster::requests_sent,
        git,
        gitlab::{Gitlab, GitlabError, Job, Pipeline, Place, PlaceError},
    },
    domain::{Problem, StepKind},
    error::{CommandError, ErrorKind},
    event::{Event, Outcome, PlannedStep, Sender},
    ops::options::PipelineRequest,
    ops::remote::access::refuse_local,
    ops::{
        remote::{
            deploy_request::{Named, expand},
            pipeline_job::{Choice, PipelineJob, choose, no_job, spent},
            targets::nowhere,
        },
        session::Session,
    },
    settings::{OutputFormat, Settings},
    ui,
};

/// The interval between two requests for the job's status.
const PAUSE: Duration = Duration::from_secs(2);
/// The only step of the run.
const STEP: usize = 0;
const ACTION: &str = "job";

/// # Errors
/// When the job cannot be started or does not succeed; the error's kind is the exit code.
pub async fn promote_via(
    settings: &Settings,
    cancel: &CancellationToken,
    options: &PipelineRequest,
) -> Result<(), CommandError> {
    if options.to.contains('*') {
        let cause = "--via starts only one job, but a pattern can match several environments";
        return Err(CommandError::usage(Problem::new(cause).help("name one environment with --to")));
    }
    let session = Session::open_in(&options.to, settings, cancel)?;
    refuse_local(&session, "use cmdr up there")?;
    if session.environment.promote.is_none() {
        return Err(nowhere(&session));
    }
    expand(&session, &Named::read(&session, &options.projects)?.names)?;
    let variables = variables(options);
    let gitlab = open(&session).await?;
    let found = find(&session, &gitlab).await?;
    if session.settings.dry_run {
        show(session.settings.output, &found, &variables);
        return Ok(());
    }
    confirm(&session, &found, &variables)?;
    let job = gitlab.play(&found.job, &variables).await.map_err(failed)?;
    if session.settings.output == OutputFormat::Text {
        ui::print(&format!("{}\n", job.web_url));
    }
    follow(&session, &gitlab, &found.pipeline, job).await
}

/// The variables that the component's job reads.
fn variables(options: &PipelineRequest) -> Vec<(&'static str, String)> {
    let projects = Some(options.projects.join(" ")).filter(|projects| !projects.is_empty());
    // GitLab expands a single dollar sign as a variable.
    let because = options.because.as_ref().map(|because| because.replace('$', "$$"));
    let all = [("CMDR_PROJECTS", projects), ("CMDR_RECORD", options.record.clone()), ("CMDR_BECAUSE", because)];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

async fn open(session: &Session) -> Result<Gitlab, CommandError> {
    let variables = &session.settings.variables;
    let remote = git::remote(&session.loaded.workspace.root, "origin").await;
    let (server, project) = (variables.gitlab_server.as_deref(), variables.gitlab_project.as_deref());
    let place = Place::find(remote.as_deref(), server, project).map_err(misplaced)?;
    let token = variables.gitlab_token.clone().ok_or_else(|| {
        let cause = format!("no token for GitLab at {}: GITLAB_TOKEN is not set", place.server);
        let help = "create an access token with the scope api (GitLab: Preferences, Access tokens), and set \
                      GITLAB_TOKEN to it";
        CommandError::usage(Problem::new(cause).help(help))
    })?;
    let authority = session.certificate_authority()?;
    Gitlab::new(&place, token, authority.as_deref(), session.cancel.clone()).map_err(failed)
}

/// For `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn misplaced(error: PlaceError) -> CommandError {
    let help = match &error {
        PlaceError::NoRemote | PlaceError::Remote | PlaceError::Project(_) => {
            "set CI_SERVER_URL, such as https://gitlab.example.com, and CI_PROJECT_PATH, such as tunes/shop"
        }
        PlaceError::Server | PlaceError::Clear(_) => "set CI_SERVER_URL, such as https://gitlab.example.com",
    };
    CommandError::usage(Problem::new(error.to_string()).help(help))
}

/// For `map_err`, before the job is started.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn failed(error: GitlabError) -> CommandError {
    let kind = match &error {
        error if error.is_interrupted() => return CommandError::reported(ErrorKind::Interrupted),
        error if error.is_transient() => ErrorKind::Transient,
        _ => ErrorKind::Failed,
    };
    CommandError::new(kind, error.problem())
}

/// Finds the job that promotes to the environment and waits for a manual start.
async fn find(session: &Session, gitlab: &Gitlab) -> Result<PipelineJob, CommandError> {
    let choice = Choice::of(&session.loaded.workspace, &session.environment.name);
    let pipelines = pipelines(session, gitlab).await?;
    let mut seen: Vec<(Pipeline, Vec<Job>)> = Vec::new();
    for pipeline in pipelines {
        let jobs = gitlab.jobs(pipeline.id).await.map_err(failed)?;
        match choose(&choice, &jobs)? {
            Some(job) if job.is_manual() => return Ok(PipelineJob { job: job.clone(), pipeline }),
            Some(job) => return Err(spent(job)),
            None => seen.push((pipeline, jobs)),
        }
    }
    Err(no_job(&choice, &seen))
}

/// The pipelines that are ready: those of the commit, or of the default branch if the commit has none.
async fn pipelines(session: &Session, gitlab: &Gitlab) -> Result<Vec<Pipeline>, CommandError> {
    let project = gitlab.project().await.map_err(failed)?;
    let head = git::head(&session.loaded.workspace.root).await;
    if let Some(commit) = &head {
        let own = gitlab.pipelines_of_commit(commit).await.map_err(failed)?;
        if !own.is_empty() {
            return ready(own, &format!("the commit {}", short(commit)));
        }
    }
    let Some(branch) = project.default_branch else { return Err(no_pipeline("the project, which is empty")) };
    let why = match &head {
        None => "this folder has no commit".to_owned(),
        Some(commit) if gitlab.has_commit(commit).await.map_err(failed)? => {
            format!("the commit {} has no pipeline", short(commit))
        }
        Some(commit) => format!("the commit {} is not pushed", short(commit)),
    };
    session.note(&format!("{why}: using the newest pipeline of {branch}"));
    let others = gitlab.pipelines_of_branch(&branch).await.map_err(failed)?;
    // An older pipeline would deploy an older configuration.
    ready(others.into_iter().take(1).collect(), &format!("the branch {branch}"))
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn ready(pipelines: Vec<Pipeline>, whose: &str) -> Result<Vec<Pipeline>, CommandError> {
    let Some(newest) = pipelines.first().cloned() else { return Err(no_pipeline(whose)) };
    let ready: Vec<Pipeline> = pipelines.into_iter().filter(Pipeline::is_ready).collect();
    if !ready.is_empty() {
        return Ok(ready);
    }
    let cause = format!("the pipeline of {whose} is not ready: its status is {}", newest.status);
    let problem = Problem::new(cause);
    let has_failed = ["failed", "canceled", "skipped"].contains(&newest.status.as_str());
    let kind = if has_failed { ErrorKind::Failed } else { ErrorKind::Transient };
    let what = if has_failed { "see why" } else { "wait for it" };
    Err(CommandError::new(kind, problem.help(format!("{what}: {}", newest.web_url))))
}

fn no_pipeline(whose: &str) -> CommandError {
    let cause = format!("GitLab has no pipeline for {whose}");
    CommandError::failed(Problem::new(cause).help("push the commit, or run a pipeline (see docs/gitlab.md)"))
}

fn show(output: OutputFormat, found: &PipelineJob, variables: &[(&str, String)]) {
    let text = match output {
        OutputFormat::Text => format!("would start {}", described(found, variables)),
        OutputFormat::Json => {
            let PipelineJob { job, pipeline } = found;
            let variables: BTreeMap<&str, &str> =
                variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            json!({"job": job.name, "url": job.web_url, "pipeline": pipeline.web_url, "variables": variables})
                .to_string()
        }
    };
    ui::print(&format!("{text}\n"));
}

/// The job, its pipeline and its variables.
fn described(found: &PipelineJob, variables: &[(&str, String)]) -> String {
    let PipelineJob { job, pipeline } = found;
    let given: String = variables.iter().map(|(name, value)| format!("\n  {name}: {value}")).collect();
    format!("{} ({}) of pipeline {} for commit {}{given}", job.name, job.web_url, pipeline.id, short(&pipeline.sha))
}

/// On a terminal, prompts before the job is started.
fn confirm(session: &Session, found: &PipelineJob, variables: &[(&str, String)]) -> Result<(), CommandError> {
    if !session.settings.may_ask() {
        return Ok(());
    }
    let question = format!("Start {}?", described(found, variables));
    if ui::confirm(&question) {
        return Ok(());
    }
    Err(CommandError::failed(Problem::new("cancelled: nothing was started")))
}

/// Follows the job to its end, and reports it as a run of one step.
async fn follow(session: &Session, gitlab: &Gitlab, pipeline: &Pipeline, job: Job) -> Result<(), CommandError> {
    let screen = session.screen();
    let start = Instant::now();
    let (name, url) = (job.name.clone(), job.web_url.clone());
    begin(session, &screen.events, &name);
    let shown = screen.events.clone();
    let ended = gitlab
        .follow(pipeline.id, job, PAUSE, |job| {
            let message = format!("{} ({})", job.status, job.web_url);
            shown.send(Event::progress(STEP, job.name.clone(), message));
        })
        .await;
    drop(shown);
    let end = match &ended {
        Ok(job) => End::of(job),
        Err(error) => End::lost(error, &url),
    };
    let kind = end.kind;
    end.report(&screen.events, &name, start.elapsed().as_secs_f64());
    screen.close().await;
    if ended.is_err_and(|error| error.is_interrupted()) {
        ui::print_message(&format!("the job continues: {url}"));
    }
    kind.map_or(Ok(()), |kind| Err(CommandError::reported(kind)))
}

fn begin(session: &Session, events: &Sender, job: &str) {
    events.send(Event::RunStarted {
        verb: "promote".to_owned(),
        workspace: session.workspace().to_string(),
        environment: session.environment.name.to_string(),
        steps: 1,
        subjects: BTreeMap::from([(job.to_owned(), 1)]),
        unchanged: Vec::new(),
        planned: vec![PlannedStep {
            step: STEP,
            subject: job.to_owned(),
            action: ACTION.to_owned(),
            kind: StepKind::Change,
            needs: BTreeSet::new(),
        }],
    });
    events.send(Event::StepStarted {
        step: STEP,
        subject: job.to_owned(),
        action: ACTION.to_owned(),
        kind: StepKind::Change,
        needs: BTreeSet::new(),
    });
}

/// How the job ended.
struct End {
    /// `None` is success.
    kind: Option<ErrorKind>,
    outcome: Outcome,
    message: Option<String>,
    problem: Option<Problem>,
}

impl End {
    fn of(job: &Job) -> Self {
        let help = format!("see the job log: {}", job.web_url);
        let (kind, outcome, cause) = match job.status.as_str() {
            "success" => {
                let message = Some("success".to_owned());
                return Self { kind: None, outcome: Outcome::Done, message, problem: None };
            }
            "canceled" => (ErrorKind::Interrupted, Outcome::Failed, "the job was canceled".to_owned()),
            status => {
                let code = job.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
                let reason = job.failure_reason.as_deref().unwrap_or(status);
                (kind_of(job.exit_code), Outcome::Failed, format!("the job failed: {reason}{code}"))
            }
        };
        Self { kind: Some(kind), outcome, message: None, problem: Some(Problem::new(cause).help(help)) }
    }

    /// The job was started and continues unobserved, so a retry would not start it again, whatever the error is.
    fn lost(error: &GitlabError, url: &str) -> Self {
        if error.is_interrupted() {
            let kind = Some(ErrorKind::Interrupted);
            return Self { kind, outcome: Outcome::Interrupted, message: None, problem: None };
        }
        let problem = Problem { help: Some(format!("the job continues: {url}")), ..error.problem() };
        Self { kind: Some(ErrorKind::Failed), outcome: Outcome::Failed, message: None, problem: Some(problem) }
    }

    fn report(self, events: &Sender, job: &str, seconds: f64) {
        let count = |outcome| usize::from(self.outcome == outcome);
        let finished = Event::RunFinished {
            seconds,
            done: count(Outcome::Done),
            failed: count(Outcome::Failed),
            not_started: 0,
            interrupted: count(Outcome::Interrupted),
            is_superseded: false,
            urls: Vec::new(),
            project_urls: BTreeMap::new(),
            api_requests: requests_sent(),
        };
        events.send(Event::StepFinished {
            step: STEP,
            subject: job.to_owned(),
            action: ACTION.to_owned(),
            kind: StepKind::Change,
            outcome: self.outcome,
            seconds,
            message: self.message,
            problem: self.problem,
        });
        events.send(finished);
    }
}

/// The kind of error in the job, if GitLab reports its exit code; any other code is a general failure.
fn kind_of(exit_code: Option<u8>) -> ErrorKind {
    let known = [
        ErrorKind::Usage,
        ErrorKind::Differs,
        ErrorKind::Refused,
        ErrorKind::Locked,
        ErrorKind::RolledBack,
        ErrorKind::NotRolledBack,
        ErrorKind::WrongCluster,
        ErrorKind::Transient,
        ErrorKind::Interrupted,
    ];
    known.into_iter().find(|kind| Some(*kind as u8) == exit_code).unwrap_or(ErrorKind::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: &str, exit_code: Option<u8>) -> Option<i32> {
        let job = serde_json::json!({"id": 1, "name": "cmdr-promote", "status": status, "web_url": "", "exit_code": exit_code});
        End::of(&serde_json::from_value(job).unwrap()).kind.map(|kind| kind as i32)
    }

    #[test]
    fn a_job_ends_as_cmdr_in_it_did() {
        assert_eq!(ended("success", None), None);
        assert_eq!(ended("canceled", None), Some(130));
        assert_eq!(ended("failed", None), Some(1));
        for (code, kind) in [(10, 10), (13, 13), (75, 75), (0, 1), (42, 1)] {
            assert_eq!(ended("failed", Some(code)), Some(kind), "{code}");
        }
    }

    #[test]
    fn the_job_is_given_what_was_named_and_nothing_else() {
        let options = |projects: &[&str], because: Option<&str>| PipelineRequest {
            projects: projects.iter().map(ToString::to_string).collect(),
            to: "production".to_owned(),
            record: None,
            because: because.map(str::to_owned),
        };
        assert_eq!(variables(&options(&[], None)), []);
        let given = variables(&options(&["shop", "catalog"], Some("costs $5")));
        assert_eq!(given, [("CMDR_PROJECTS", "shop catalog".to_owned()), ("CMDR_BECAUSE", "costs $$5".to_owned())]);
    }
}
