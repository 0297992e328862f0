//! What can go wrong between cmdr and a Docker engine.

use std::path::PathBuf;

use crate::domain::Diagnosis;

/// Each message says what happened and why; [`DockerError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("no Docker engine was found: no socket at {}", list(tried))]
    NotFound { tried: Vec<PathBuf> },
    #[error("Docker is not running: nobody answers at {host}")]
    NotRunning { host: String },
    #[error("Docker's socket {} may not be used by this user: permission denied", socket.display())]
    PermissionDenied { socket: PathBuf },
    #[error("the Docker engine at {host} cannot be reached: {why}")]
    Unreachable { host: String, why: String },
    #[error("the Docker context '{name}', named by {named_by}, does not exist")]
    ContextNotFound { name: String, named_by: String, nearest: Option<String> },
    #[error("the Docker context '{name}' cannot be used: {why}")]
    Context { name: String, why: String },
    #[error("cannot read Docker's configuration {}: {why}", path.display())]
    Configuration { path: PathBuf, why: String },
    #[error("the Docker host '{host}' is not supported: {why}")]
    Unsupported { host: String, why: String },
    #[error("Docker has no free address range for the network '{name}': {why}")]
    NoAddresses { name: String, why: String },
    #[error("the Docker network '{name}' {why}")]
    Network { name: String, why: String },
    #[error("the image {image} cannot be pulled: {why}")]
    Pull { image: String, why: String },
    #[error("the image {image} cannot be pushed: {why}")]
    Push { image: String, why: String },
    #[error("{path} in container {container} {why}")]
    File { container: String, path: String, why: String },
    /// The engine refused, or the connection to it broke.
    #[error("Docker could not {action}: {why}")]
    Request { action: String, why: String, status: Option<u16> },
}

impl DockerError {
    /// Translates what bollard says, in the words of what was tried (`start container x`).
    pub(super) fn request(action: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let action = action.into();
        |error| {
            let status = match &error {
                bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
                _ => None,
            };
            Self::Request { action, why: reason(&error), status }
        }
    }

    /// What the user can do, where cmdr knows.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { .. } => {
                "start Docker (Docker Desktop, Colima, or sudo systemctl start docker), or name it with DOCKER_HOST"
            }
            Self::NotRunning { .. } => "start Docker: Docker Desktop, colima start, or sudo systemctl start docker",
            Self::PermissionDenied { .. } => {
                "sudo usermod -aG docker $USER and log in again, or use a rootless Docker \
                 (https://docs.docker.com/engine/security/rootless)"
            }
            Self::Unreachable { .. } => "check DOCKER_HOST and the network, or choose another: docker context use",
            Self::ContextNotFound { nearest: Some(nearest), .. } => {
                return Some(format!("did you mean '{nearest}'? docker context ls shows all"));
            }
            Self::ContextNotFound { .. } => "docker context ls shows all; docker context use default goes back",
            Self::Context { .. } => "docker context inspect shows it; docker context use chooses another",
            Self::Unsupported { .. } => {
                "use a local engine, or forward its socket: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST"
            }
            Self::NoAddresses { .. } => "docker network prune removes networks that nothing uses",
            Self::Pull { .. } => "check the name, log in with docker login, or name a mirror",
            Self::Push { .. } => "see that the registry runs: docker logs cmdr-registry",
            Self::Request { why, .. } if is_port_taken(why) => {
                "end the program that has the port; docker ps shows containers that publish it"
            }
            Self::Request { why, .. } if why.contains("no space left on device") => {
                "free some disk: docker builder prune and docker image prune remove what nothing uses"
            }
            Self::Configuration { .. } | Self::Network { .. } | Self::File { .. } | Self::Request { .. } => {
                return None;
            }
        };
        Some(hint.to_owned())
    }

    /// What happened and what to do about it.
    pub fn diagnosis(&self) -> Diagnosis {
        let diagnosis = Diagnosis::new(self.to_string());
        match self.hint() {
            Some(hint) => diagnosis.remedy(hint),
            None => diagnosis,
        }
    }

    /// Whether the engine says that something of that name is there already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Request { status: Some(409), .. })
    }

    /// Whether the engine says that the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Request { status: Some(404), .. })
    }
}

/// The innermost cause of an error, which is the one that tells something.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(bollard::errors::Error::DockerResponseServerError { message, status_code }) = error.downcast_ref() {
        let message = message.trim();
        return if message.is_empty() { format!("it answers with status {status_code}") } else { message.to_owned() };
    }
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn is_port_taken(why: &str) -> bool {
    ["port is already allocated", "address already in use"].iter().any(|words| why.contains(words))
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}
