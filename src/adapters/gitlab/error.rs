//! What can go wrong between cmdr and GitLab.

use std::time::Duration;

use crate::domain::Diagnosis;

/// Why GitLab did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct GitlabError {
    pub problem: Problem,
    /// What GitLab or the network said, in its own words.
    pub said: Option<String>,
}

/// The kinds of failure. `server` is GitLab's URL, `what` the thing that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("GITLAB_TOKEN is no token: it has characters that none has")]
    Token,
    #[error("GitLab cannot be asked")]
    Setup,
    #[error("GitLab at {server} does not know the token (401)")]
    Unknown { server: String },
    #[error("GitLab does not allow it: {what} (403)")]
    Forbidden { what: String },
    #[error("GitLab has no such thing, or hides it from the token: {what} (404)")]
    NotFound { what: String },
    /// Any other status that is no success.
    #[error("GitLab refuses: {what} ({status})")]
    Refused { what: String, status: u16 },
    #[error("{server} sends elsewhere, where the token does not go")]
    Elsewhere { server: String },
    #[error("GitLab at {server} takes no more requests for now (429)")]
    Busy { server: String },
    #[error("GitLab at {server} is out of order (HTTP {status})")]
    Broken { server: String, status: u16 },
    #[error("GitLab at {server} did not answer within {} seconds", patience.as_secs())]
    Silent { server: String, patience: Duration },
    /// Its name is unknown, nobody listens there, or the connection broke.
    #[error("GitLab at {server} cannot be reached")]
    Unreachable { server: String },
    #[error("there is no safe connection to {server}")]
    Unsafe { server: String },
    #[error("{server} answers with what is not GitLab's: {what}")]
    Answer { server: String, what: String },
    /// The request was sent, and what became of it cannot be told.
    #[error("it cannot be told whether the job was started")]
    Unsure { url: String },
    #[error("interrupted")]
    Interrupted,
}

impl GitlabError {
    pub(super) fn new(problem: Problem) -> Self {
        Self { problem, said: None }
    }

    #[must_use]
    pub(super) fn said(mut self, text: impl Into<String>) -> Self {
        self.said = Some(text.into());
        self
    }

    /// Whether trying again may do: nothing is wrong with token, project or configuration.
    pub fn is_transient(&self) -> bool {
        match self.problem {
            Problem::Busy { .. } | Problem::Broken { .. } | Problem::Silent { .. } | Problem::Unreachable { .. } => {
                true
            }
            Problem::Token
            | Problem::Setup
            | Problem::Unknown { .. }
            | Problem::Forbidden { .. }
            | Problem::NotFound { .. }
            | Problem::Refused { .. }
            | Problem::Elsewhere { .. }
            | Problem::Unsafe { .. }
            | Problem::Answer { .. }
            | Problem::Unsure { .. }
            | Problem::Interrupted => false,
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.problem == Problem::Interrupted
    }

    /// For a person: cause, what GitLab said, what to do.
    pub fn diagnosis(&self) -> Diagnosis {
        let details = self.said.iter().cloned().collect();
        Diagnosis { details, remedy: self.problem.remedy(), ..Diagnosis::new(self.to_string()) }
    }
}

impl Problem {
    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Token => "set GITLAB_TOKEN to an access token with the scope api".to_owned(),
            Self::Unknown { .. } => {
                "make a new access token with the scope api and set GITLAB_TOKEN to it: tokens expire".to_owned()
            }
            Self::Forbidden { .. } => "the token needs the scope api, and its owner the right to start the job: where \
                                       the environment is protected, Settings, CI/CD, Protected environments says who \
                                       may; projects, --record and --because also need the right to use pipeline \
                                       variables"
                .to_owned(),
            Self::NotFound { .. } => "check the git remote 'origin', or set CI_SERVER_URL and CI_PROJECT_PATH; the \
                                      token's owner must be a member of the project"
                .to_owned(),
            Self::Elsewhere { .. } => "set CI_SERVER_URL to where GitLab itself is".to_owned(),
            Self::Busy { .. } => "wait a while and try again".to_owned(),
            Self::Broken { .. } => "try again in a while".to_owned(),
            Self::Silent { .. } | Self::Unreachable { .. } => {
                "check the network, and the git remote 'origin' or CI_SERVER_URL".to_owned()
            }
            Self::Unsafe { .. } => "if your company has a certificate authority of its own, name it with CMDR_CA, or \
                                    as 'ca' in cmdr's configuration"
                .to_owned(),
            Self::Answer { .. } => "check that GitLab is there, or set CI_SERVER_URL".to_owned(),
            Self::Unsure { url } => format!("look before you start it again: {url}"),
            Self::Setup | Self::Refused { .. } | Self::Interrupted => return None,
        };
        Some(remedy)
    }
}
