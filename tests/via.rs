//! `cmdr promote --via gitlab` against a GitLab in this process: what it asks, what it starts, how it ends, and that
//! the token is in nothing that it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/server.rs"]
mod server;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use cmdr::{
    adapters::{
        gitlab::{Gitlab, GitlabErrorKind, Job, Place},
        retry_policy::RetryPolicy,
    },
    domain::secret::Secret,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wiremock::{Request, ResponseTemplate};

use server::{Server, line};

/// The token of every run; it must not be said anywhere.
const CANARY: &str = "glpat-canary-5e7a";
const PROJECTS: &str = "version: 1
name: tunes
environments:
  staging: {context: s}
  production: {context: p, only: ci, promote: {from: staging}}
projects:
  shop: {image: 'docker.io/library/redis:7.0', values: {ports: {redis: 6379}}}
  catalog: {image: 'docker.io/library/redis:7.0', values: {ports: {redis: 6379}}}
";

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn status(status: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"message": message})).insert_header("Retry-After", "0")
}

/// A GitLab on a port of its own.
struct FakeGitlab(Server);

impl FakeGitlab {
    /// `answer` gets the request's line below the project, and how many there were before with the same one; `None`
    /// is answered as [`usual`] does.
    fn start(answer: impl Fn(&str, usize) -> Option<ResponseTemplate> + Send + Sync + 'static) -> Self {
        let seen = Mutex::new(Vec::new());
        Self(Server::start(move |request| {
            let line = below_the_project(request);
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(line.clone());
                seen.iter().filter(|earlier| **earlier == line).count() - 1
            };
            let is_known = request.headers.get("private-token").is_some_and(|token| token == CANARY);
            let usual = || if is_known { usual(&line) } else { status(401, "401 Unauthorized") };
            answer(&line, before).unwrap_or_else(usual)
        }))
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn lines(&self) -> Vec<String> {
        self.0.requests().iter().map(below_the_project).collect()
    }

    /// The body of the request that started the job.
    fn played(&self) -> Option<Value> {
        let requests = self.0.requests();
        let play = requests.iter().find(|request| request.method.as_str() == "POST")?;
        serde_json::from_slice(&play.body).ok()
    }
}

/// The method and the target of a request, without the part that all requests share.
fn below_the_project(request: &Request) -> String {
    line(request).replace("/api/v4/projects/tunes%2Fteams%2Fshop", "")
}

fn job(id: u64, name: &str, status: &str) -> Value {
    let url = format!("https://gitlab.example.com/tunes/-/jobs/{id}");
    json!({"id": id, "name": name, "status": status, "web_url": url})
}

fn pipeline(id: u64, status: &str) -> Value {
    let url = format!("https://gitlab.example.com/tunes/-/pipelines/{id}");
    json!({"id": id, "sha": "0123456789abcdef", "status": status, "web_url": url})
}

/// A project whose commit has a pipeline with the component's jobs; the job that promotes succeeds at once.
fn usual(line: &str) -> ResponseTemplate {
    match line.split('?').next().unwrap() {
        "GET " => ok(&json!({"id": 1, "default_branch": "main"})),
        "GET /pipelines" => ok(&json!([pipeline(5, "success")])),
        "GET /pipelines/5/jobs" => ok(&json!([
            job(6, "cmdr-deploy", "success"),
            job(7, "cmdr-promote", "manual"),
            job(8, "cmdr-rollback", "manual")
        ])),
        "POST /jobs/7/play" | "GET /jobs/7" => ok(&job(7, "cmdr-promote", "success")),
        _ => status(404, "404 Not Found"),
    }
}

/// A workspace in a repository that was fetched from the server.
struct Checkout {
    folder: TempDir,
    token: Option<String>,
}

impl Checkout {
    fn new(server: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), token: Some(CANARY.to_owned()) };
        fs::write(place.folder.path().join("projects.yaml"), PROJECTS).unwrap();
        let remote = format!("{server}/tunes/teams/shop.git");
        for words in [
            &["init", "--quiet", "--initial-branch", "main"][..],
            &["remote", "add", "origin", &remote],
            &["add", "--all"],
            &["-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "begin"],
        ] {
            assert!(place.command("git").args(words).status().unwrap().success(), "git {words:?}");
        }
        place
    }

    /// In an environment of nothing but what is needed.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("GIT_CONFIG_NOSYSTEM", "1").current_dir(self.folder.path());
        command.envs(self.token.iter().map(|token| ("GITLAB_TOKEN", token)));
        command
    }

    fn cmdr(&self, words: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_cmdr"));
        command.args(["promote", "--to", "production", "--via", "gitlab"]).args(words);
        command
    }

    /// Exit code, standard output, standard error; none of them with the token.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let output = self.cmdr(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(!stdout.contains(CANARY) && !stderr.contains(CANARY), "{stdout}{stderr}");
        (output.status.code().unwrap(), stdout, stderr)
    }
}

/// A run against a GitLab that answers in its own way: exit code and standard error, and whether a job was started.
fn run_with(answer: impl Fn(&str, usize) -> Option<ResponseTemplate> + Send + Sync + 'static) -> (i32, String, bool) {
    let server = FakeGitlab::start(answer);
    let (code, _, stderr) = Checkout::new(&server.url()).run(&[]);
    (code, stderr, server.played().is_some())
}

#[track_caller]
fn assert_refused(run: (i32, String, bool), code: i32, words: &[&str]) {
    let (ended, report, is_started) = run;
    assert_eq!((ended, is_started), (code, false), "{report}");
    for word in words {
        assert!(report.contains(word), "'{word}' was not said: {report}");
    }
}

#[test]
fn the_job_is_started_and_its_url_is_reported() {
    let server = FakeGitlab::start(|_, _| None);
    let place = Checkout::new(&server.url());
    let (code, stdout, stderr) = place.run(&[]);
    assert_eq!((code, stdout.as_str()), (0, "https://gitlab.example.com/tunes/-/jobs/7\n"), "{stderr}");
    assert!(stderr.contains("promote tunes in production") && stderr.contains("cmdr-promote"), "{stderr}");
    assert_eq!(server.played(), Some(json!({})), "nothing was named, nothing is given");
    let head = place.command("git").args(["rev-parse", "HEAD"]).output().unwrap().stdout;
    let of_commit = format!("GET /pipelines?sha={}&", String::from_utf8_lossy(head.trim_ascii()));
    assert!(server.lines().iter().any(|line| line.starts_with(&of_commit)), "{:?}", server.lines());
}

#[test]
fn options_are_passed_to_the_job() {
    let server = FakeGitlab::start(|_, _| None);
    let words = ["shop", "catalog", "--record", "0123456789abcdef0123", "--because", "a reason", "--output", "json"];
    let (code, stdout, stderr) = Checkout::new(&server.url()).run(&words);
    assert_eq!(code, 0, "{stderr}");
    let given = json!([
        {"key": "CMDR_PROJECTS", "value": "shop catalog"},
        {"key": "CMDR_RECORD", "value": "0123456789abcdef0123"},
        {"key": "CMDR_BECAUSE", "value": "a reason"}
    ]);
    assert_eq!(server.played(), Some(json!({"job_variables_attributes": given})));
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["message"].as_str().is_some_and(|report| report.contains("/jobs/7"))));
    assert_eq!(events.last().unwrap()["event"], "run-finished");
}

#[test]
fn a_dry_run_names_the_job_and_starts_nothing() {
    let server = FakeGitlab::start(|_, _| None);
    let (code, stdout, _) = Checkout::new(&server.url()).run(&["shop", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("would start cmdr-promote (https://") && stdout.contains("CMDR_PROJECTS: shop"),
        "{stdout}"
    );
    let (_, stdout, _) = Checkout::new(&server.url()).run(&["--dry-run", "--output", "json"]);
    let shown: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&shown["job"], &shown["variables"]), (&json!("cmdr-promote"), &json!({})));
    assert_eq!(server.played(), None);
}

#[test]
fn a_job_that_fails_ends_the_run_with_its_code() {
    for (end, code) in [(json!({"exit_code": 12, "failure_reason": "script_failure"}), 12), (json!({}), 1)] {
        let server = FakeGitlab::start(move |line, _| {
            let mut failed = job(7, "cmdr-promote", "failed");
            failed.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
            line.starts_with("POST").then(|| ok(&failed))
        });
        let (ended, _, stderr) = Checkout::new(&server.url()).run(&[]);
        assert_eq!(ended, code, "{stderr}");
        assert!(stderr.contains("the job failed") && stderr.contains("/jobs/7"), "{stderr}");
    }
    let (code, report, _) =
        run_with(|line, _| line.starts_with("POST").then(|| ok(&job(7, "cmdr-promote", "canceled"))));
    assert_eq!(code, 130, "{report}");
}

#[test]
fn an_interrupt_ends_only_the_local_run() {
    let server = FakeGitlab::start(|line, _| line.contains("/jobs/7").then(|| ok(&job(7, "cmdr-promote", "running"))));
    let place = Checkout::new(&server.url());
    let mut child = place.cmdr(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(sent.success() && url.contains("/jobs/7"));
    assert_eq!(output.status.code(), Some(130), "{report}");
    assert!(report.contains("the job continues: https://gitlab.example.com/tunes/-/jobs/7"), "{report}");
}

#[test]
fn a_commit_that_is_not_pushed_takes_the_default_branch() {
    let server = FakeGitlab::start(|line, _| line.contains("?sha=").then(|| ok(&json!([]))));
    let (code, _, stderr) = Checkout::new(&server.url()).run(&[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("is not pushed: using the newest pipeline of main"), "{stderr}");
}

#[test]
fn what_gitlab_refuses_is_reported_with_a_remedy() {
    let server = FakeGitlab::start(|_, _| None);
    let mut place = Checkout::new(&server.url());
    place.token = None;
    let (code, _, report) = place.run(&[]);
    assert!(code == 2 && report.contains("GITLAB_TOKEN is not set") && report.contains("scope api"), "{report}");
    place.token = Some(" \n".to_owned());
    assert!(place.run(&[]).2.contains("GITLAB_TOKEN is not set"));
    place.token = Some(format!("{CANARY}\u{1}"));
    assert!(place.run(&[]).2.contains("GITLAB_TOKEN is not a valid token"));
    let echo = |line: &str, _| line.starts_with("GET ").then(|| status(401, &format!("no such token: {CANARY}")));
    assert_refused(run_with(echo), 1, &["rejected the token (401)", "no such token: ***", "help: create a new"]);
    let unknown = |_: &str, _| Some(status(404, "404 Project Not Found"));
    assert_refused(
        run_with(unknown),
        1,
        &["not accessible with the token: the project tunes/teams/shop", "CI_PROJECT_PATH"],
    );
    let moved = |_: &str, _| Some(ResponseTemplate::new(302).insert_header("Location", "http://127.0.0.1:1/"));
    assert_refused(run_with(moved), 1, &["redirects to another address; the token is not sent there"]);
    let (code, report, _) = run_with(|line, _| line.starts_with("POST").then(|| status(403, "403 Forbidden")));
    assert!(code == 1 && report.contains("see Settings, CI/CD, Protected environments"), "{report}");
}

#[test]
fn a_job_that_cannot_be_started_is_reported_with_what_is_there() {
    let pipelines = |found: Value| move |line: &str, _| line.starts_with("GET /pipelines?").then(|| ok(&found));
    assert_refused(
        run_with(pipelines(json!([]))),
        1,
        &["GitLab has no pipeline for the branch main", "push the commit"],
    );
    let running = pipelines(json!([pipeline(5, "running")]));
    assert_refused(run_with(running), 75, &["is not ready: its status is running", "wait for it: https://"]);
    let failed = pipelines(json!([pipeline(5, "failed")]));
    assert_refused(run_with(failed), 1, &["is not ready: its status is failed", "see why: https://"]);
    let jobs = |found: Value| move |line: &str, _| line.contains("/pipelines/5/jobs").then(|| ok(&found));
    let other = jobs(json!([job(8, "cmdr-rollback", "manual")]));
    assert_refused(run_with(other), 1, &["promotes to 'production'", "its manual jobs: cmdr-rollback"]);
    let spent = jobs(json!([job(7, "cmdr-promote", "success")]));
    assert_refused(run_with(spent), 1, &["its status is success", "run a new pipeline", "/jobs/7"]);
    let several = jobs(json!([job(7, "promote-a", "manual"), job(8, "promote-b", "manual")]));
    assert_refused(run_with(several), 2, &["several jobs promote to 'production': promote-a, promote-b"]);
}

#[test]
fn a_gitlab_that_cannot_answer_now_is_asked_again() {
    let busy = |line: &str, before| (line.contains("/jobs?") && before < 2).then(|| status(429, "Retry later"));
    let (code, report, is_started) = run_with(busy);
    assert!(code == 0 && is_started, "{report}");
    assert_refused(run_with(|_, _| Some(status(503, "down"))), 75, &["returned a server error (HTTP 503)", "down"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, report) = Checkout::new(&format!("http://{nobody}")).run(&[]);
    assert!(code == 75 && report.contains("cannot be reached"), "{report}");
}

#[test]
fn the_command_line_refuses_what_the_job_does_not_take() {
    let place = Checkout::new("http://127.0.0.1:1");
    for words in [&["--plan-file", "x"][..], &["--override", "soak", "--because", "x"], &["--lock-timeout", "1m"]] {
        let (code, _, report) = place.run(words);
        assert!(code == 2 && report.contains("cannot be used with"), "{report}");
    }
    let pattern = place.command(env!("CARGO_BIN_EXE_cmdr")).args(["promote", "--to", "p*", "--via", "gitlab"]).output();
    let report = String::from_utf8(pattern.unwrap().stderr).unwrap();
    assert!(report.contains("name one environment with --to"), "{report}");
    let (code, _, report) = place.run(&["shopp"]);
    assert!(code == 2 && report.contains("did you mean 'shop'?"), "{report}");
}

/// The server's project, asked without pauses.
fn gitlab(server: &FakeGitlab) -> Gitlab {
    let place = Place { server: server.url(), project: "tunes/teams/shop".to_owned() };
    let patience = RetryPolicy {
        request: Duration::from_secs(15),
        pauses: &[Duration::ZERO; 3],
        longest_pause: Duration::from_secs(30),
    };
    let gitlab = Gitlab::new(&place, Secret::new(CANARY), None, CancellationToken::new()).unwrap();
    assert!(!format!("{gitlab:?}").contains(CANARY));
    gitlab.with_patience(patience)
}

fn read(job: Value) -> Job {
    serde_json::from_value(job).unwrap()
}

#[tokio::test]
async fn a_job_is_followed_through_its_states_and_its_second_try() {
    let server = FakeGitlab::start(|line, before| match line.split('?').next().unwrap() {
        "GET /jobs/7" => Some(ok(&job(7, "cmdr-promote", ["pending", "running", "running", "failed"][before]))),
        "GET /pipelines/5/jobs" => {
            Some(ok(&json!([job(8, "cmdr-rollback", "success"), job(9, "cmdr-promote", "pending")])))
        }
        "GET /jobs/9" => Some(ok(&job(9, "cmdr-promote", "success"))),
        _ => None,
    });
    let mut states = Vec::new();
    let begun = read(job(7, "cmdr-promote", "pending"));
    let seen = |job: &Job| states.push(format!("{} {}", job.id, job.status));
    let ended = gitlab(&server).follow(5, begun, Duration::ZERO, seen).await.unwrap();
    assert_eq!((ended.id, ended.status.as_str()), (9, "success"));
    assert_eq!(states, ["7 pending", "7 running", "7 failed", "9 pending", "9 success"]);
}

#[tokio::test]
async fn a_job_is_not_started_twice_where_the_answer_was_lost() {
    let server = FakeGitlab::start(|line, _| match line {
        "POST /jobs/7/play" => Some(status(502, "gone")),
        "GET /jobs/7" => Some(ok(&job(7, "cmdr-promote", "pending"))),
        _ => None,
    });
    let manual = read(job(7, "cmdr-promote", "manual"));
    assert_eq!(gitlab(&server).play(&manual, &[]).await.unwrap().status, "pending");
    assert_eq!(server.lines(), ["POST /jobs/7/play", "GET /jobs/7"]);

    let server = FakeGitlab::start(|line, _| Some(status(if line.starts_with("POST") { 502 } else { 404 }, "gone")));
    let error = gitlab(&server).play(&manual, &[]).await.unwrap_err();
    assert_eq!(error.problem, GitlabErrorKind::Unsure { url: manual.web_url.clone() });

    let server = FakeGitlab::start(|line, before| match line {
        "POST /jobs/7/play" if before == 0 => Some(status(502, "gone")),
        "GET /jobs/7" => Some(ok(&job(7, "cmdr-promote", "manual"))),
        _ => None,
    });
    assert_eq!(gitlab(&server).play(&manual, &[]).await.unwrap().status, "success");
}

#[tokio::test]
async fn jobs_on_further_pages_are_read() {
    let server = FakeGitlab::start(|line, _| {
        line.ends_with("page=1").then(|| ok(&json!([job(1, "a", "manual")])).insert_header("X-Next-Page", "2"))
    });
    let names: Vec<String> = gitlab(&server).jobs(5).await.unwrap().into_iter().map(|job| job.name).collect();
    assert_eq!(names, ["a", "cmdr-deploy", "cmdr-promote", "cmdr-rollback"]);
}
