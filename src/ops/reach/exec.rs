//! Commands and shells in containers.

use tokio::io::AsyncRead;

use super::{DEBUG_IMAGE, ReachRequest};
use crate::{
    adapters::cluster::{
        Cluster,
        exec::{ExecEnd, ExecStreams, ExecTarget},
    },
    domain::Problem,
    error::{CommandError, ErrorKind},
    ops::session::Session,
    ui::terminal::{RawTerminal, errors, input, is_terminal, output},
};

/// The exit code of a shell for a program that does not exist.
const NO_PROGRAM: u8 = 127;
/// Starts bash, or sh if the image has no bash.
const SHELL: [&str; 3] = ["sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh"];
/// Does nothing, if the image has a shell.
const PROBE: [&str; 3] = ["sh", "-c", ":"];
/// Keeps a debug container running, and notes its process: it shares the processes of the target. Kubernetes halves `$$`.
const HOLD: [&str; 3] = ["sh", "-c", "echo $$$$ >/tmp/cmdr-debug; exec sleep 86400"];
const RELEASE: [&str; 3] = ["sh", "-c", "kill $(cat /tmp/cmdr-debug)"];
/// The shell of a debug container, in the root folder of the target.
const DEBUG_SHELL: [&str; 3] = ["sh", "-c", "cd /proc/1/root 2>/dev/null; exec sh"];

/// Runs a command in a container of a project, and returns its exit code.
///
/// # Errors
/// When the container is not reachable, the command does not start, or with its exit code.
pub async fn run_command(session: &Session, request: &ReachRequest, command: &[String]) -> Result<(), CommandError> {
    let (cluster, target) = request.open(session, "exec").await?;
    let end = AttachedTerminal::open()?.exec(session, &cluster, &target, command).await?;
    conclude(end, |message| {
        let cause = format!("cannot run '{}' in '{}'", command.join(" "), request.project);
        let problem = Problem { details: vec![message], ..Problem::new(cause) };
        let problem = problem.help(format!("if the image has no such program: cmdr shell {}", request.project));
        CommandError { exit_code: Some(NO_PROGRAM), ..CommandError::failed(problem) }
    })
}

/// Opens a shell in a container, or in a debug container beside it if its image has none.
///
/// # Errors
/// When neither is possible, or with the exit code of the shell.
pub async fn open_shell(session: &Session, request: &ReachRequest) -> Result<(), CommandError> {
    let (cluster, target) = request.open(session, "shell").await?;
    // A shell that does not start would already have read from standard input.
    if request.image.is_none() && !matches!(cluster.output(&target, &PROBE).await?.end, ExecEnd::NotFound(_)) {
        let end = AttachedTerminal::open()?.exec(session, &cluster, &target, &SHELL.map(str::to_owned)).await?;
        return conclude(end, |message| failed(&request.project, message));
    }
    let image = request.image.as_deref().unwrap_or(DEBUG_IMAGE);
    session
        .note(&format!("starting a debug container ({image}): the files of {} are in /proc/1/root", target.container));
    let debug = start_debug(&cluster, &target, image).await?;
    let command = DEBUG_SHELL.map(str::to_owned);
    let end = AttachedTerminal::open()?.exec(session, &cluster, &debug, &command).await;
    stop_debug(session, &cluster, &debug, &request.project).await;
    conclude(end?, |message| failed(&request.project, message))
}

/// Starts a debug container.
///
/// # Errors
/// With the reason why it does not start.
pub(super) async fn start_debug(
    cluster: &Cluster,
    target: &ExecTarget,
    image: &str,
) -> Result<ExecTarget, CommandError> {
    let started = cluster.start_debug_container(target, image, &HOLD).await?;
    started.map_err(|reason| {
        let problem = Problem {
            details: vec![reason],
            ..Problem::new(format!("cannot start a debug container in {}", target.pod))
        };
        CommandError::failed(problem.help("choose an image with a shell that the nodes can pull: --image IMAGE"))
    })
}

/// Ends a debug container, which would otherwise run as long as its pod.
pub(super) async fn stop_debug(session: &Session, cluster: &Cluster, debug: &ExecTarget, project: &str) {
    // It ends with its pod at the latest.
    let _ = cluster.output(debug, &RELEASE).await;
    session.note(&format!(
        "the debug container {} has ended; Kubernetes lists it until its pod is replaced: cmdr restart {project}",
        debug.container
    ));
}

fn failed(project: &str, message: String) -> CommandError {
    let problem = Problem { details: vec![message], ..Problem::new(format!("cannot open a shell in '{project}'")) };
    CommandError::failed(problem)
}

fn conclude(end: ExecEnd, error: impl FnOnce(String) -> CommandError) -> Result<(), CommandError> {
    match end {
        ExecEnd::Exited(0) | ExecEnd::OutputClosed => Ok(()),
        // The command has said why: no message and no path of the log.
        ExecEnd::Exited(code) => {
            Err(CommandError { exit_code: Some(code), ..CommandError::reported(ErrorKind::Usage) })
        }
        ExecEnd::NotFound(message) | ExecEnd::Failed(message) => Err(error(message)),
    }
}

/// The user's side: the terminal in raw mode, or the streams of a script.
struct AttachedTerminal {
    terminal: Option<RawTerminal>,
}

impl AttachedTerminal {
    fn open() -> Result<Self, CommandError> {
        let terminal = is_terminal().then(RawTerminal::open).transpose();
        let terminal = terminal.map_err(|error| {
            CommandError::failed(Problem::new(format!("cannot change the mode of the terminal: {error}")))
        })?;
        Ok(Self { terminal })
    }

    async fn exec(
        self,
        session: &Session,
        cluster: &Cluster,
        target: &ExecTarget,
        command: &[String],
    ) -> Result<ExecEnd, CommandError> {
        let (mut output, mut errors) = (output(), errors());
        let terminal = self.terminal.as_ref().map(RawTerminal::sizes);
        let input: Option<Box<dyn AsyncRead + Send + Unpin>> = Some(Box::new(input()));
        let streams = ExecStreams { input, output: &mut output, errors: &mut errors, terminal };
        tokio::select! {
            end = cluster.exec(target, command, streams) => Ok(end?),
            () = session.cancel.cancelled() => Err(CommandError::reported(ErrorKind::Interrupted)),
        }
    }
}
