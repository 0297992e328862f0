//! Programs in a container that cmdr talks to while they run.

use std::pin::Pin;

use bollard::{
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio_util::task::AbortOnDropHandle;

use super::{Docker, DockerError};

/// How much of the output waits for its reader.
const BUFFER: usize = 256 * 1024;

/// A running program. Its standard input ends when this is dropped, also by the end of cmdr.
#[expect(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct AttachedExec {
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    pub output: DuplexStream,
    pub errors: Lines<BufReader<DuplexStream>>,
    /// Passes the output on.
    pub passing: AbortOnDropHandle<()>,
}

impl Docker {
    /// Starts a program in a container, connected to its standard streams.
    ///
    /// # Errors
    /// If the engine returns an error, or the container is not running.
    pub async fn attach(&self, container: &str, args: &[&str]) -> Result<AttachedExec, DockerError> {
        let action = format!("run {} in container {container}", args.first().copied().unwrap_or_default());
        let wrong = || DockerError::request(&action);
        let config = ExecConfig {
            cmd: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.client.create_exec(container, config).await.map_err(wrong())?;
        let options = StartExecOptions { output_capacity: Some(BUFFER), ..StartExecOptions::default() };
        let started = self.client.start_exec(&exec.id, Some(options)).await.map_err(wrong())?;
        let (mut to_output, output) = tokio::io::duplex(BUFFER);
        let (mut to_errors, errors) = tokio::io::duplex(BUFFER);
        let (input, parts) = match started {
            StartExecResults::Attached { output, input } => (input, output),
            StartExecResults::Detached => (Box::pin(tokio::io::sink()) as _, futures::stream::empty().boxed() as _),
        };
        let passing = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut parts = parts;
            while let Some(Ok(part)) = parts.next().await {
                let written = match part {
                    LogOutput::StdErr { message } => to_errors.write_all(&message).await,
                    other => to_output.write_all(&other.into_bytes()).await,
                };
                if written.is_err() {
                    break;
                }
            }
        }));
        Ok(AttachedExec { input, output, errors: BufReader::new(errors).lines(), passing })
    }
}
