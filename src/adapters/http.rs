//! Requests to projects, as a browser would send them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::root_cause;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0}")]
    Request(String),
}

/// Asks URLs; hosts of local projects are found at `address`, whatever the system's resolver knows.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
}

impl HttpClient {
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(address: Option<SocketAddr>) -> Result<Self, HttpError> {
        // One provider for the whole process; a second call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder =
            reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
        let builder = match address {
            Some(address) => builder.dns_resolver(Arc::new(Fixed(address))),
            None => builder,
        };
        builder.build().map(|client| Self { client }).map_err(|error| failure(&error))
    }

    /// The status of the answer.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn status(&self, url: &str) -> Result<u16, HttpError> {
        let response = self.client.get(url).send().await.map_err(|error| failure(&error))?;
        Ok(response.status().as_u16())
    }
}

/// Resolves every name to one address.
struct Fixed(SocketAddr);

impl reqwest::dns::Resolve for Fixed {
    fn resolve(&self, _name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let address = self.0;
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as reqwest::dns::Addrs) })
    }
}

fn failure(error: &reqwest::Error) -> HttpError {
    HttpError::Request(root_cause(error))
}
