//! Credentials of registries. Each is read only once, because a helper may ask the user to unlock a keychain.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::adapters::credentials::{Credentials, FoundCredentials, RegistryCredential};

/// Reads credentials when a registry requests them.
#[derive(Debug)]
pub(super) struct Logins {
    credentials: Credentials,
    cancel: CancellationToken,
    found: Mutex<HashMap<String, Arc<OnceCell<FoundCredentials>>>>,
}

/// Credentials, and warnings about those that could not be read.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) credential: Option<RegistryCredential>,
    pub(super) warnings: Vec<String>,
}

impl Logins {
    pub(super) fn new(credentials: Credentials, cancel: CancellationToken) -> Self {
        Self { credentials, cancel, found: Mutex::default() }
    }

    /// Returns the credentials of the first of `hosts` that has any.
    pub(super) async fn find(&self, hosts: &[String]) -> Login {
        let mut login = Login::default();
        for host in hosts {
            let cell = Arc::clone(self.found.lock().await.entry(host.clone()).or_default());
            let found = cell.get_or_init(async || self.credentials.for_registries(&[host], &self.cancel).await).await;
            login.warnings.extend(found.warnings.iter().map(ToString::to_string));
            if let Some(credential) = found.credentials.first() {
                login.credential = Some(credential.clone());
                break;
            }
        }
        login
    }
}
