//! Errors of the registry adapter.

use std::time::Duration;

use crate::{
    adapters::{Cause, wait::WaitError},
    domain::{ImageReference, Problem},
};

/// The client cannot be created, because the company's CA file is invalid.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the registry client")]
pub struct RegistrySetupError(#[source] pub(super) Cause);

/// Why a request for an image failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {image}")]
pub struct RegistryError {
    pub image: ImageReference,
    pub problem: RegistryErrorKind,
    /// The messages of the registry and its mirrors, unchanged.
    pub detail: Vec<String>,
}

/// The kinds of errors. `registry` is the endpoint: a host, or `the mirror URL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryErrorKind {
    #[error("image not found")]
    NotFound { nearest: Option<String> },
    /// 401 or 403. `login_host` is the host for `docker login`.
    #[error("{registry} denied access {} credentials", if *with_login { "with the stored" } else { "without" })]
    Refused { registry: String, login_host: String, with_login: bool },
    /// 429, after all retries.
    #[error("the rate limit of {registry} is exceeded (429)")]
    Busy { registry: String, login_host: String },
    /// 5xx, after all retries.
    #[error("{registry} returned a server error (HTTP {status})")]
    Broken { registry: String, status: u16 },
    #[error("no response from {registry} within {} seconds", patience.as_secs())]
    Silent { registry: String, patience: Duration },
    /// DNS failed, the connection was refused, or it was lost.
    #[error("{registry} cannot be reached")]
    Unreachable { registry: String },
    #[error("cannot establish a secure connection to {registry}")]
    Unsafe { registry: String },
    /// A response that the distribution API does not allow here.
    #[error("unexpected response from {registry} (not an image manifest)")]
    NoImage { registry: String },
    #[error("interrupted")]
    Interrupted,
}

impl RegistryErrorKind {
    /// Returns whether a retry may succeed.
    fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Broken { .. } | Self::Silent { .. } | Self::Unreachable { .. } => true,
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Unsafe { .. }
            | Self::NoImage { .. }
            | Self::Interrupted => false,
        }
    }

    /// Returns how specific the error is. If a mirror and the registry fail in different ways, the more specific error
    /// is shown first: behind a mirror, the registry itself often cannot be reached.
    fn weight(&self) -> u8 {
        match self {
            Self::Silent { .. } | Self::Unreachable { .. } => 0,
            Self::Unsafe { .. } | Self::Busy { .. } | Self::Broken { .. } => 1,
            Self::NotFound { .. } | Self::Refused { .. } | Self::NoImage { .. } => 2,
            Self::Interrupted => 3,
        }
    }

    /// `name` is the image's name without tag and digest.
    fn help(&self, name: &str) -> Option<String> {
        let help = match self {
            Self::NotFound { nearest: Some(nearest) } => format!("did you mean {name}:{nearest}?"),
            Self::NotFound { nearest: None } => {
                "check the name and the tag, and that the image was pushed to this registry".to_owned()
            }
            Self::Refused { login_host, with_login: false, .. } => {
                format!("run docker login {login_host}; some registries also deny access to images that do not exist")
            }
            Self::Refused { login_host, with_login: true, .. } => {
                format!("run docker login {login_host} as a user with read access to {name}")
            }
            Self::Busy { login_host, .. } => {
                format!("try again later, run docker login {login_host} for a higher limit, or configure a mirror")
            }
            Self::Broken { .. } => "try again later, or check the registry's status page".to_owned(),
            Self::Silent { .. } | Self::Unreachable { .. } => {
                "check the name of the registry and the network, or configure a mirror".to_owned()
            }
            Self::Unsafe { .. } => {
                "if your company uses its own certificate authority, set CMDR_CA, or 'ca' in cmdr's configuration"
                    .to_owned()
            }
            Self::NoImage { .. } => "check that this is the address of a registry and the name of an image".to_owned(),
            Self::Interrupted => return None,
        };
        Some(help)
    }
}

impl RegistryError {
    /// `failures` has one entry per endpoint, in order: mirrors, then the registry itself.
    pub(super) fn new(image: &ImageReference, failures: Vec<RegistryFailure>) -> Self {
        let (mut best, mut detail) = (None::<RegistryFailure>, Vec::new());
        for failure in failures {
            let replaced = match &best {
                Some(known) if known.problem.weight() > failure.problem.weight() => Some(failure),
                _ => best.replace(failure),
            };
            detail.extend(replaced.into_iter().flat_map(RegistryFailure::in_passing));
        }
        // There is always at least one endpoint: without mirrors it is the registry itself.
        let RegistryFailure { problem, detail: first } =
            best.unwrap_or(RegistryFailure::new(RegistryErrorKind::Interrupted));
        Self { image: image.clone(), problem, detail: [first, detail].concat() }
    }

    /// Returns whether a retry may succeed: image, credentials and configuration are not the cause.
    pub fn is_transient(&self) -> bool {
        self.problem.is_transient()
    }

    /// Returns whether the registry responded that the image does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.problem, RegistryErrorKind::NotFound { .. })
    }

    /// The tag of the registry that is closest to the one that it does not have.
    pub fn nearest_tag(&self) -> Option<&str> {
        match &self.problem {
            RegistryErrorKind::NotFound { nearest } => nearest.as_deref(),
            _ => None,
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.problem == RegistryErrorKind::Interrupted
    }

    /// Returns the error as a problem: what failed, the registry's message, and how to fix it.
    pub fn problem(&self) -> Problem {
        let help = self.problem.help(self.image.name());
        Problem { details: self.detail.clone(), help, ..Problem::new(self.to_string()) }
    }
}

/// The error of one endpoint.
#[derive(Debug)]
pub(super) struct RegistryFailure {
    pub(super) problem: RegistryErrorKind,
    pub(super) detail: Vec<String>,
}

impl From<WaitError<Self>> for RegistryFailure {
    fn from(error: WaitError<Self>) -> Self {
        match error {
            WaitError::Limit(failure) => failure,
            WaitError::Interrupted => Self::new(RegistryErrorKind::Interrupted),
        }
    }
}

impl RegistryFailure {
    pub(super) fn new(problem: RegistryErrorKind) -> Self {
        Self { problem, detail: Vec::new() }
    }

    pub(super) fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail.push(text.into());
        self
    }

    /// Returns the error as details of another error.
    fn in_passing(self) -> Vec<String> {
        let problem = self.problem.to_string();
        if self.detail.is_empty() {
            return vec![problem];
        }
        self.detail.into_iter().map(|detail| format!("{problem}: {detail}")).collect()
    }
}
