//! What can go wrong between cmdr and a container registry.

use std::time::Duration;

use crate::domain::{Diagnosis, ImageReference};

/// No client can be made: the company's certificates are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("registries cannot be asked: {0}")]
pub struct RegistrySetupError(pub(super) String);

/// Why a registry did not say what was asked about an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {image}")]
pub struct RegistryError {
    pub image: ImageReference,
    pub problem: Problem,
    /// What registry and mirrors said, in their own words.
    pub said: Vec<String>,
}

/// The kinds of failure. `registry` is who was asked: a host, or `the mirror URL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("image not found")]
    NotFound { nearest: Option<String> },
    /// 401 or 403. `login_host` is the name that a login is kept under.
    #[error("{registry} refuses an image {}", if *with_login { "to the login that Docker has" } else { "without a login" })]
    Refused { registry: String, login_host: String, with_login: bool },
    /// 429, again and again.
    #[error("{registry} takes no more requests for now")]
    Busy { registry: String, login_host: String },
    /// 5xx, again and again.
    #[error("{registry} is out of order (HTTP {status})")]
    Broken { registry: String, status: u16 },
    #[error("{registry} did not answer within {} seconds", patience.as_secs())]
    Silent { registry: String, patience: Duration },
    /// Its name is unknown, nobody listens there, or the connection broke.
    #[error("{registry} cannot be reached")]
    Unreachable { registry: String },
    #[error("there is no safe connection to {registry}")]
    Unsafe { registry: String },
    /// An answer that is not what the distribution API has in this place.
    #[error("{registry} answers with what is no image")]
    NoImage { registry: String },
    #[error("interrupted")]
    Interrupted,
}

impl Problem {
    /// Whether trying again may do.
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

    /// How much is known of the image when this is the answer. Where mirror and registry fail in different ways, the
    /// one that knows more is told first: behind a mirror, the registry itself often cannot be reached at all.
    fn weight(&self) -> u8 {
        match self {
            Self::Silent { .. } | Self::Unreachable { .. } => 0,
            Self::Unsafe { .. } | Self::Busy { .. } | Self::Broken { .. } => 1,
            Self::NotFound { .. } | Self::Refused { .. } | Self::NoImage { .. } => 2,
            Self::Interrupted => 3,
        }
    }

    /// `name` is the image's, without tag and digest.
    fn remedy(&self, name: &str) -> Option<String> {
        let remedy = match self {
            Self::NotFound { nearest: Some(nearest) } => format!("did you mean {name}:{nearest}?"),
            Self::NotFound { nearest: None } => {
                "check name and tag, and that the image has been pushed to this registry".to_owned()
            }
            Self::Refused { login_host, with_login: false, .. } => {
                format!("docker login {login_host}; some registries say this of images that do not exist, too")
            }
            Self::Refused { login_host, with_login: true, .. } => {
                format!("docker login {login_host}, as a user who may read {name}")
            }
            Self::Busy { login_host, .. } => {
                format!("wait a while; registries allow more after docker login {login_host}, or name a mirror")
            }
            Self::Broken { .. } => "try again in a while; the registry's status page may know more".to_owned(),
            Self::Silent { .. } | Self::Unreachable { .. } => {
                "check the name of the registry and the network, or name a mirror".to_owned()
            }
            Self::Unsafe { .. } => {
                "if your company has a certificate authority of its own, name it with CMDR_CA, or as 'ca' in cmdr's \
                 configuration"
                    .to_owned()
            }
            Self::NoImage { .. } => "check that a registry is at this address, and that this is an image".to_owned(),
            Self::Interrupted => return None,
        };
        Some(remedy)
    }
}

impl RegistryError {
    /// Of everybody who was asked in vain, in order: mirrors, then the registry itself.
    pub(super) fn new(image: &ImageReference, failures: Vec<Failure>) -> Self {
        let (mut best, mut said) = (None::<Failure>, Vec::new());
        for failure in failures {
            let replaced = match &best {
                Some(known) if known.problem.weight() > failure.problem.weight() => Some(failure),
                _ => best.replace(failure),
            };
            said.extend(replaced.into_iter().flat_map(Failure::in_passing));
        }
        // Somebody is always asked: without a mirror it is the registry itself.
        let Failure { problem, said: first } = best.unwrap_or(Failure::new(Problem::Interrupted));
        Self { image: image.clone(), problem, said: [first, said].concat() }
    }

    /// Whether trying again may do: nothing is wrong with image, login or configuration.
    pub fn is_transient(&self) -> bool {
        self.problem.is_transient()
    }

    /// The registry answers, and does not have it.
    pub fn is_not_found(&self) -> bool {
        matches!(self.problem, Problem::NotFound { .. })
    }

    pub fn is_interrupted(&self) -> bool {
        self.problem == Problem::Interrupted
    }

    /// For a person: cause, what the registry said, what to do.
    pub fn diagnosis(&self) -> Diagnosis {
        let remedy = self.problem.remedy(self.image.name());
        Diagnosis { details: self.said.clone(), remedy, ..Diagnosis::new(self.to_string()) }
    }
}

/// What one of those who were asked failed with.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    pub(super) said: Vec<String>,
}

impl Failure {
    pub(super) fn new(problem: Problem) -> Self {
        Self { problem, said: Vec::new() }
    }

    pub(super) fn said(mut self, text: impl Into<String>) -> Self {
        self.said.push(text.into());
        self
    }

    /// As a note beside another failure.
    fn in_passing(self) -> Vec<String> {
        let problem = self.problem.to_string();
        if self.said.is_empty() {
            return vec![problem];
        }
        self.said.into_iter().map(|said| format!("{problem}: {said}")).collect()
    }
}
