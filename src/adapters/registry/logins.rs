//! The credentials that a registry requests.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::adapters::credentials::{Credentials, RegistryCredential};

/// Reads credentials when a registry requests them.
#[derive(Debug)]
pub(super) struct Logins {
    credentials: Arc<Credentials>,
    cancel: CancellationToken,
}

/// Credentials, and warnings about those that could not be read.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) credential: Option<RegistryCredential>,
    pub(super) warnings: Vec<String>,
}

impl Logins {
    pub(super) fn new(credentials: Arc<Credentials>, cancel: CancellationToken) -> Self {
        Self { credentials, cancel }
    }

    /// Returns the credentials of the first of `hosts` that has any.
    pub(super) async fn find(&self, hosts: &[String]) -> Login {
        let mut login = Login::default();
        for host in hosts {
            let found = self.credentials.for_registries(&[host], &self.cancel).await;
            login.warnings.extend(found.warnings.iter().map(ToString::to_string));
            login.credential = found.credentials.into_iter().next();
            if login.credential.is_some() {
                break;
            }
        }
        login
    }
}
