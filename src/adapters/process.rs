//! Child processes: one constructor for every external tool.
//!
//! A child gets no standard input (or exactly the given text) and the `C` locale. It runs in its own process group, so
//! that Ctrl-C in a terminal reaches it through cmdr, in the right order. It is killed when cmdr is.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use super::{
    call::{Caller, log},
    seconds,
};
use crate::domain::{
    redact::masked_urls,
    secret::{MASK, Secret},
};

/// The process groups of the running children, for [`interrupt_all`], which a signal handler calls.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
/// How long a child may take to end after an interrupt before it is killed, unless its [`Tool`] says otherwise.
const GRACE: Duration = Duration::from_secs(10);

/// An external command that is not started yet.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    program: String,
    /// The command line for the log, with secrets masked. Input and variables are never logged.
    shown: String,
    input: Option<Vec<u8>>,
    /// Whether `on_line` also receives the lines of standard output.
    follows_output: bool,
    /// How long the child continues after a cancel before it is interrupted.
    grace_period: Duration,
    /// How long the child may take to end after an interrupt.
    killed_after: Duration,
}

/// The output of a child that succeeded.
#[derive(Debug, Clone)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("'{program}' is not installed, or not on PATH")]
    NotFound { program: String },
    #[error("cannot start '{program}': {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} failed ({status}): {}", summary(stderr))]
    Failed { program: String, status: ExitStatus, stdout: String, stderr: String },
    #[error("{program} was interrupted")]
    Interrupted { program: String },
}

impl Tool {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let program = Path::new(program.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            command,
            shown: program.clone(),
            program,
            input: None,
            follows_output: false,
            grace_period: Duration::ZERO,
            killed_after: GRACE,
        }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        let shown = masked_urls(&argument.as_ref().to_string_lossy());
        self.shown.push(' ');
        self.shown.push_str(&quoted(&shown));
        self.command.arg(argument);
        self
    }

    /// An argument that the log shows as `***`. Prefer [`Tool::input`]: other users can see command lines.
    #[must_use]
    pub fn secret_arg(mut self, argument: &Secret) -> Self {
        self.shown.push(' ');
        self.shown.push_str(MASK);
        self.command.arg(argument.expose());
        self
    }

    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    #[must_use]
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    #[must_use]
    pub fn directory(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets the child's standard input, for text that must not appear in a command line.
    #[must_use]
    pub fn input(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(text.into());
        self
    }

    /// Passes the lines of standard output to `on_line` of [`Tool::run_with_lines`] as well.
    #[must_use]
    pub fn follow_output(mut self) -> Self {
        self.follows_output = true;
        self
    }

    /// Lets the child continue for this long after a cancel, if unfinished requests would cause damage.
    #[must_use]
    pub fn grace_period(mut self, grace_period: Duration) -> Self {
        self.grace_period = grace_period;
        self
    }

    /// How long the child may take to end after an interrupt before it is killed, with all processes that it started.
    #[must_use]
    pub fn killed_after(mut self, time: Duration) -> Self {
        self.killed_after = time;
        self
    }

    /// Runs the child until it exits. A cancel interrupts it once, after its grace_period, and kills it if it does not exit
    /// in time.
    ///
    /// # Errors
    /// If the child cannot be started, exits with a status other than 0, or was interrupted.
    pub async fn run(self, cancel: &CancellationToken) -> Result<Output, ProcessError> {
        self.run_with_lines(cancel, |_| ()).await
    }

    /// As [`Tool::run`]; `on_line` receives each line of standard error.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub async fn run_with_lines(
        self,
        cancel: &CancellationToken,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<Output, ProcessError> {
        let (shown, start) = (self.shown.clone(), Instant::now());
        let caller = Caller::of(&self.program);
        log!(caller, trace, "started: {shown}");
        let result = self.run_to_end(cancel, on_line).await;
        log_end(caller, &shown, start.elapsed(), &result);
        result
    }

    async fn run_to_end(
        mut self,
        cancel: &CancellationToken,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<Output, ProcessError> {
        if cancel.is_cancelled() {
            return Err(ProcessError::Interrupted { program: self.program });
        }
        let on_line = Mutex::new(on_line);
        let mut child = self.start()?;
        let group = Group::of(&child);
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let stdin = child.stdin.take();
        let input = self.input.take();
        let feed = async {
            if let (Some(mut pipe), Some(text)) = (stdin, input) {
                // If a child exits before it has read everything, its status is the error that is reported.
                let _ = pipe.write_all(&text).await;
            }
        };
        let out = async {
            match stdout {
                Some(pipe) if self.follows_output => by_lines(pipe, &on_line).await,
                Some(pipe) => whole(pipe).await,
                None => String::new(),
            }
        };
        let err = async {
            match stderr {
                Some(pipe) => by_lines(pipe, &on_line).await,
                None => String::new(),
            }
        };
        let ended = wait(&mut child, &group, cancel, (self.grace_period, self.killed_after));
        let ((), stdout, stderr, ended) = tokio::join!(feed, out, err, ended);
        result_of(self.program, ended, Output { stdout, stderr })
    }

    fn start(&mut self) -> Result<Child, ProcessError> {
        self.command.spawn().map_err(|source| {
            let program = self.program.clone();
            match source.kind() {
                std::io::ErrorKind::NotFound => ProcessError::NotFound { program },
                _ => ProcessError::Start { program, source },
            }
        })
    }
}

/// Returns the output of a child that succeeded, or why it did not.
fn result_of(
    program: String,
    ended: std::io::Result<(ExitStatus, bool)>,
    output: Output,
) -> Result<Output, ProcessError> {
    match ended {
        Err(source) => Err(ProcessError::Start { program, source }),
        Ok((_, true)) => Err(ProcessError::Interrupted { program }),
        Ok((status, false)) if status.success() => Ok(output),
        Ok((status, false)) => {
            let Output { stdout, stderr } = output;
            Err(ProcessError::Failed { program, status, stdout, stderr })
        }
    }
}

/// Logs how a command ended, without its output, which may contain secrets.
fn log_end(caller: Caller, shown: &str, duration: Duration, result: &Result<Output, ProcessError>) {
    let exit = match result {
        Ok(_) => "0".to_owned(),
        Err(ProcessError::Failed { status, .. }) => {
            status.code().map_or_else(|| status.to_string(), |code| code.to_string())
        }
        Err(ProcessError::NotFound { .. }) => "not found".to_owned(),
        Err(ProcessError::Start { source, .. }) => source.to_string(),
        Err(ProcessError::Interrupted { .. }) => "interrupted".to_owned(),
    };
    let seconds = seconds(duration);
    log!(caller, debug, %exit, %seconds, "{shown}");
}

/// An argument as a shell would need it.
fn quoted(argument: &str) -> String {
    let is_plain = |letter: char| !letter.is_whitespace() && !"'\"\\$&|;<>()*?#`".contains(letter);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

async fn whole(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let _ = pipe.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads to the end, and passes each line to `on_line`.
async fn by_lines(pipe: impl AsyncRead + Unpin, on_line: &Mutex<impl FnMut(&str)>) -> String {
    let mut text = String::new();
    let (mut pipe, mut bytes) = (BufReader::new(pipe), Vec::new());
    while pipe.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        if let Ok(mut on_line) = on_line.lock() {
            on_line(line);
        }
        text.push_str(line);
        text.push('\n');
        bytes.clear();
    }
    text
}

/// Waits for the child. On a cancel, interrupts it after its grace_period, then kills it. Returns whether it was
/// interrupted.
async fn wait(
    child: &mut Child,
    group: &Group,
    cancel: &CancellationToken,
    (grace_period, killed_after): (Duration, Duration),
) -> std::io::Result<(ExitStatus, bool)> {
    let is_over = async {
        cancel.cancelled().await;
        tokio::time::sleep(grace_period).await;
    };
    tokio::select! {
        status = child.wait() => return Ok((status?, false)),
        () = is_over => (),
    }
    group.send(Signal::INT);
    let ended = tokio::time::timeout(killed_after, child.wait()).await;
    // What it has started may ignore an interrupt, and hold the output open.
    group.send(Signal::KILL);
    match ended {
        Ok(status) => Ok((status?, true)),
        Err(_) => Ok((child.wait().await?, true)),
    }
}

/// The process group of a child, registered while the child runs.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let (Some(group), Ok(mut running)) = (group, RUNNING.lock()) {
            running.push(group);
        }
        Self(group)
    }

    /// Sends a signal to all processes of the group. After SIGINT, helm records the release as failed.
    fn send(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let (Some(group), Ok(mut running)) = (self.0, RUNNING.lock()) {
            running.retain(|other| *other != group);
        }
    }
}

/// Sends one SIGINT to every running child, for an exit that does not wait for them.
pub fn interrupt_all() {
    let running = RUNNING.lock().map(|running| running.clone()).unwrap_or_default();
    for group in running {
        let _ = kill_process_group(group, Signal::INT);
    }
}

/// Returns the last few lines of standard error that are not empty, as one text.
fn summary(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// Finds a program as the shell would, in `path` (the value of `PATH`).
pub fn find_program(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
}

/// Returns whether a command line that begins with `program` can start: as a path, or on the search path.
pub fn is_program(program: &str, search_path: &OsStr) -> bool {
    if program.contains('/') { is_executable(Path::new(program)) } else { find_program(program, search_path).is_some() }
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tool {
        Tool::new("sh").args(["-c", script])
    }

    #[tokio::test]
    async fn gives_both_streams_and_feeds_input() {
        let output = shell("cat; echo oops >&2").input("hello").run(&CancellationToken::new()).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("hello", "oops\n"));
    }

    #[tokio::test]
    async fn the_log_has_the_command_without_secrets() {
        let log = crate::adapters::captured_log::CapturedLog::start();
        let tool = shell("cat; echo $TOKEN canary >&2; exit 3")
            .env("TOKEN", "canary")
            .secret_arg(&Secret::new("canary"))
            .args(["--repo", "https://me:canary@charts.example.com/x", "it's"])
            .input("canary");
        assert!(tool.run(&CancellationToken::new()).await.is_err());
        let shown = log.text();
        assert!(!shown.replace("canary >&2", "").contains("canary"), "{shown}");
        assert!(
            shown.contains(r"*** --repo 'https://***@charts.example.com/x' 'it'\''s' exit=3 seconds=0."),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn both_streams_are_followed_where_wanted() {
        let mut lines = Vec::new();
        let tool = shell("echo one; echo two >&2").follow_output();
        let output = tool.run_with_lines(&CancellationToken::new(), |line| lines.push(line.to_owned())).await.unwrap();
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("one\n", "two\n"));
    }

    #[tokio::test]
    async fn a_failure_contains_the_output_of_the_tool() {
        let error = shell("echo 'no space left' >&2; exit 3").run(&CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "sh failed (exit status: 3): no space left");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Tool::new("no-such-tool").run(&CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, ProcessError::NotFound { program } if program == "no-such-tool"));
    }

    #[tokio::test]
    async fn a_cancel_interrupts_and_lets_the_child_end() {
        let cancel = CancellationToken::new();
        let mut lines = Vec::new();
        let ready = cancel.clone();
        let run = shell("trap 'echo noted >&2; exit 0' INT; echo ready >&2; while :; do sleep 0.05; done")
            .run_with_lines(&cancel, |line| {
                lines.push(line.to_owned());
                ready.cancel();
            });
        let error = run.await.unwrap_err();
        assert!(matches!(error, ProcessError::Interrupted { .. }));
        assert_eq!(lines, ["ready", "noted"]);
    }

    #[tokio::test]
    async fn what_a_child_has_started_is_killed_with_it() {
        let cancel = CancellationToken::new();
        let ready = cancel.clone();
        // A command in the background ignores interrupts, and holds the output open.
        let tool = shell("sleep 60 & trap '' INT; echo ready >&2; sleep 60").killed_after(Duration::from_millis(100));
        let start = Instant::now();
        let error = tool.run_with_lines(&cancel, |_| ready.cancel()).await.unwrap_err();
        assert!(matches!(error, ProcessError::Interrupted { .. }));
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_child_with_a_respite_ends_by_itself() {
        let cancel = CancellationToken::new();
        let ready = cancel.clone();
        let tool = shell("trap 'echo interrupted; exit 1' INT; echo ready >&2; sleep 0.2; echo done");
        let run = tool.grace_period(Duration::from_mins(1)).run_with_lines(&cancel, |_| ready.cancel()).await;
        assert_eq!(run.unwrap().stdout, "done\n");
        assert!(cancel.is_cancelled());
    }
}
