//! Errors of the GitLab adapter.

use std::time::Duration;

use crate::{
    adapters::wait::{Interrupted, WaitError},
    domain::Problem,
};

/// Why a request to GitLab failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct GitlabError {
    pub problem: GitlabErrorKind,
    /// The message of GitLab or of the network, unchanged.
    pub detail: Option<String>,
}

/// The kinds of errors. `server` is GitLab's URL, `what` the requested object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitlabErrorKind {
    #[error("GITLAB_TOKEN is not a valid token: it contains invalid characters")]
    Token,
    #[error("cannot create the GitLab client")]
    Setup,
    #[error("GitLab at {server} rejected the token (401)")]
    Unknown { server: String },
    #[error("GitLab denied permission: {what} (403)")]
    Forbidden { what: String },
    #[error("not found on GitLab, or not accessible with the token: {what} (404)")]
    NotFound { what: String },
    /// Any other error status.
    #[error("GitLab rejected the request: {what} ({status})")]
    Refused { what: String, status: u16 },
    #[error("{server} redirects to another address; the token is not sent there")]
    Elsewhere { server: String },
    #[error("the rate limit of GitLab at {server} is exceeded (429)")]
    Busy { server: String },
    #[error("GitLab at {server} returned a server error (HTTP {status})")]
    Broken { server: String, status: u16 },
    #[error("no response from GitLab at {server} within {} seconds", patience.as_secs())]
    Silent { server: String, patience: Duration },
    /// DNS failed, the connection was refused, or it was lost.
    #[error("GitLab at {server} cannot be reached")]
    Unreachable { server: String },
    #[error("TLS error connecting to {server}")]
    Unsafe { server: String },
    #[error("unexpected response from {server}, not from the GitLab API: {what}")]
    Answer { server: String, what: String },
    /// The request was sent, but its result is unknown.
    #[error("it is unknown whether the job was started")]
    Unsure { url: String },
    #[error("interrupted")]
    Interrupted,
}

impl From<WaitError<Self>> for GitlabError {
    fn from(error: WaitError<Self>) -> Self {
        match error {
            WaitError::Limit(error) => error,
            WaitError::Interrupted => Interrupted.into(),
        }
    }
}

impl From<Interrupted> for GitlabError {
    fn from(_: Interrupted) -> Self {
        Self::new(GitlabErrorKind::Interrupted)
    }
}

impl GitlabError {
    pub(super) fn new(problem: GitlabErrorKind) -> Self {
        Self { problem, detail: None }
    }

    #[must_use]
    pub(super) fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = Some(text.into());
        self
    }

    /// Returns whether a retry may succeed: token, project and configuration are not the cause.
    pub fn is_transient(&self) -> bool {
        match self.problem {
            GitlabErrorKind::Busy { .. }
            | GitlabErrorKind::Broken { .. }
            | GitlabErrorKind::Silent { .. }
            | GitlabErrorKind::Unreachable { .. } => true,
            GitlabErrorKind::Token
            | GitlabErrorKind::Setup
            | GitlabErrorKind::Unknown { .. }
            | GitlabErrorKind::Forbidden { .. }
            | GitlabErrorKind::NotFound { .. }
            | GitlabErrorKind::Refused { .. }
            | GitlabErrorKind::Elsewhere { .. }
            | GitlabErrorKind::Unsafe { .. }
            | GitlabErrorKind::Answer { .. }
            | GitlabErrorKind::Unsure { .. }
            | GitlabErrorKind::Interrupted => false,
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.problem == GitlabErrorKind::Interrupted
    }

    /// Returns the error as a problem: what failed, GitLab's message, and how to fix it.
    pub fn problem(&self) -> Problem {
        let details = self.detail.iter().cloned().collect();
        Problem { details, help: self.problem.help(), ..Problem::new(self.to_string()) }
    }
}

impl GitlabErrorKind {
    fn help(&self) -> Option<String> {
        let help = match self {
            Self::Token => "set GITLAB_TOKEN to an access token with the scope api".to_owned(),
            Self::Unknown { .. } => {
                "create a new access token with the scope api and set GITLAB_TOKEN to it (tokens expire)".to_owned()
            }
            Self::Forbidden { .. } => "the token needs the scope api, and its owner the permission to start the job. \
                                       For a protected environment, see Settings, CI/CD, Protected environments; \
                                       projects, --record and --because also require the permission to use pipeline \
                                       variables"
                .to_owned(),
            Self::NotFound { .. } => "check the git remote 'origin', or set CI_SERVER_URL and CI_PROJECT_PATH; the \
                                      token's owner must be a member of the project"
                .to_owned(),
            Self::Elsewhere { .. } => "set CI_SERVER_URL to the URL of GitLab itself".to_owned(),
            Self::Busy { .. } | Self::Broken { .. } => "try again later".to_owned(),
            Self::Silent { .. } | Self::Unreachable { .. } => {
                "check the network, and the git remote 'origin' or CI_SERVER_URL".to_owned()
            }
            Self::Unsafe { .. } => "if your company uses its own certificate authority, set CMDR_CA, or 'ca' in \
                                    cmdr's configuration"
                .to_owned(),
            Self::Answer { .. } => "check that this is the address of GitLab, or set CI_SERVER_URL".to_owned(),
            Self::Unsure { url } => format!("check the job before you start it again: {url}"),
            Self::Setup | Self::Refused { .. } | Self::Interrupted => return None,
        };
        Some(help)
    }
}
