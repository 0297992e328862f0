//! Errors of the Docker adapter.

use std::path::PathBuf;

use crate::{
    adapters::Cause,
    domain::{
        Problem,
        causes::{self, CauseSource, docker as known},
    },
};

/// Each message says what failed, and its source says why; [`DockerError::hint`] says how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("cannot find a Docker engine: no socket at {}", list(tried))]
    NotFound { tried: Vec<PathBuf> },
    #[error("Docker is not running: cannot connect to {host}")]
    NotRunning { host: String },
    #[error("permission denied on the Docker socket {}", socket.display())]
    PermissionDenied { socket: PathBuf },
    #[error("cannot connect to the Docker engine at {host}")]
    Unreachable { host: String, source: Cause },
    #[error("Docker context '{name}' (from {named_by}) not found")]
    ContextNotFound { name: String, named_by: String, nearest: Option<String> },
    #[error("cannot use the Docker context '{name}': {why}")]
    Context { name: String, why: String },
    #[error("cannot read Docker's configuration {}", path.display())]
    Configuration { path: PathBuf, source: Cause },
    #[error("the Docker host '{host}' is not supported: {why}")]
    Unsupported { host: String, why: String },
    #[error("Docker has no free address range for the network '{name}': {why}")]
    NoAddresses { name: String, why: String },
    #[error("the Docker network '{name}' {why}")]
    Network { name: String, why: String },
    #[error("cannot pull image {image}")]
    Pull { image: String, source: Cause },
    #[error("cannot push image {image}")]
    Push { image: String, source: Cause },
    #[error("{path} in container {container} {why}")]
    File { container: String, path: String, why: String },
    /// The engine returned an error, or the connection was lost.
    #[error("Docker could not {action}")]
    Request { action: String, source: Cause, status: Option<u16> },
}

impl DockerError {
    /// Converts an error of bollard. `action` is what was attempted (`start container x`).
    pub(super) fn request(action: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let action = action.into();
        |error| {
            let status = match &error {
                bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
                _ => None,
            };
            // Without the engine's message, which may quote the request.
            tracing::debug!(target: "cmdr::adapters::docker", status, "could not {action}");
            Self::Request { action, source: cause(error), status }
        }
    }

    /// Returns how to fix the error, if cmdr knows.
    pub fn hint(&self) -> Option<String> {
        if let Some(cause) = self.known_cause() {
            return Some(cause.remedy(&[]));
        }
        let hint = match self {
            Self::ContextNotFound { nearest: Some(nearest), .. } => {
                return Some(format!("did you mean '{nearest}'? run docker context ls to list all contexts"));
            }
            Self::ContextNotFound { .. } => {
                "list the contexts with docker context ls, or run docker context use default"
            }
            Self::Context { .. } => "run docker context inspect to see it, or select another with docker context use",
            Self::Unsupported { .. } => {
                "use a local engine, or forward its socket: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST"
            }
            Self::Pull { .. } => "check the name, log in with docker login, or configure a mirror",
            Self::Push { .. } => "check that the registry is running: docker logs cmdr-registry",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn known_cause(&self) -> Option<&'static causes::KnownCause> {
        match self {
            Self::NotFound { .. } => Some(&known::DOCKER_NOT_FOUND),
            Self::NotRunning { .. } => Some(&known::DOCKER_NOT_RUNNING),
            Self::PermissionDenied { .. } => Some(&known::DOCKER_PERMISSION_DENIED),
            Self::Unreachable { .. } => Some(&known::DOCKER_UNREACHABLE),
            Self::NoAddresses { .. } => Some(&known::DOCKER_NETWORKS_EXHAUSTED),
            Self::Request { source, .. } => causes::find(CauseSource::Docker, &source.to_string()),
            _ => None,
        }
    }

    /// Returns what happened and how to fix it.
    pub fn problem(&self) -> Problem {
        let code = self.known_cause().map(|cause| cause.code.to_owned());
        Problem { help: self.hint(), code, ..Problem::of(self) }
    }

    /// Returns whether the engine reports that the name is already in use.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Request { status: Some(409), .. })
    }

    /// Returns whether the engine reports that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Request { status: Some(404), .. })
    }
}

/// Converts an error of bollard to a cause. The engine's own message is kept unchanged, without bollard's words before
/// it.
pub(super) fn cause(error: bollard::errors::Error) -> Cause {
    let bollard::errors::Error::DockerResponseServerError { message, status_code } = error else { return error.into() };
    match message.trim() {
        "" => format!("HTTP status {status_code}").into(),
        message => message.into(),
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn causes_are_kept_and_shown_one_a_line() {
        let engine = |message: &str| bollard::errors::Error::DockerResponseServerError {
            message: message.to_owned(),
            status_code: 500,
        };
        let error = DockerError::request("start container x")(engine("driver failed: port is already allocated\n"));
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("driver failed: port is already allocated")
        );
        let problem = error.problem();
        assert_eq!(
            (problem.message.as_str(), problem.details.as_slice()),
            ("Docker could not start container x", ["driver failed: port is already allocated".to_owned()].as_slice())
        );
        assert!(problem.help.is_some_and(|help| help.starts_with("stop the program")));
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let error = DockerError::request("list containers")(refused.into());
        assert_eq!(error.problem().details, ["connection refused"]);
        assert_eq!(DockerError::request("x")(engine("")).problem().details, ["HTTP status 500"]);
    }
}
