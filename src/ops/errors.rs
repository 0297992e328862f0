//! What an adapter's error means for a command: its exit code. The problem with its cause comes from the adapter.

use crate::{
    adapters::{cluster::ClusterError, docker::DockerError, helm::HelmError, wait::WaitError},
    config::{ConfigError, Report},
    error::{CommandError, ErrorKind, MistakeReport},
};

/// Mistakes in files or options as an error of a command.
pub(crate) fn mistakes(diagnostics: Vec<ConfigError>, color: bool) -> CommandError {
    let report = Report { diagnostics };
    CommandError::mistakes(MistakeReport { text: report.render(color), mistakes: report.mistakes() })
}

impl From<ClusterError> for CommandError {
    /// An unreachable cluster may be reachable later.
    fn from(error: ClusterError) -> Self {
        let kind = if error.is_unreachable() { ErrorKind::Transient } else { ErrorKind::Failed };
        Self::new(kind, error.problem())
    }
}

impl<E> From<WaitError<E>> for CommandError
where
    Self: From<E>,
{
    fn from(error: WaitError<E>) -> Self {
        match error {
            WaitError::Limit(error) => error.into(),
            WaitError::Interrupted => Self::reported(ErrorKind::Interrupted),
        }
    }
}

impl From<DockerError> for CommandError {
    fn from(error: DockerError) -> Self {
        Self::failed(error.problem())
    }
}

impl From<HelmError> for CommandError {
    fn from(error: HelmError) -> Self {
        Self::failed(error.problem())
    }
}
