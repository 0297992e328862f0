//! Requests to projects, as a browser sends them.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    call::{self, Caller},
    root_cause, web,
};

/// The timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0}")]
    Request(String),
}

/// A client for URL checks.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    resolver: Resolver,
}

impl HttpClient {
    /// # Errors
    /// If the system's certificates cannot be read.
    pub fn new(resolver: Resolver) -> Result<Self, HttpError> {
        let builder = web::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
        let builder = builder.dns_resolver(Arc::new(resolver.clone()));
        builder.build().map(|client| Self { client, resolver }).map_err(|error| failure(&error))
    }

    /// Sets the load balancer's address, for hosts that the system's resolver does not know.
    pub fn note_balancer(&self, address: String) {
        if let Resolver::SystemElse(balancer) = &self.resolver {
            let _ = balancer.set(address);
        }
    }

    /// Returns the status of the response.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn status(&self, url: &str) -> Result<u16, HttpError> {
        let response =
            call::send(Caller::Http, &self.client, self.client.get(url)).await.map_err(|error| failure(&error))?;
        Ok(response.status().as_u16())
    }
}

/// How hosts of projects are resolved.
#[derive(Debug, Clone)]
pub enum Resolver {
    /// Every host resolves to this address, regardless of the system's resolver.
    Fixed(SocketAddr),
    /// The system's resolver; hosts that it does not know yet resolve to the load balancer's address.
    SystemElse(Arc<OnceLock<String>>),
}

impl Resolver {
    async fn addresses(self, host: String) -> std::io::Result<Vec<SocketAddr>> {
        let balancer = match self {
            Self::Fixed(address) => return Ok(vec![address]),
            Self::SystemElse(balancer) => balancer,
        };
        match (tokio::net::lookup_host((host, 0)).await, balancer.get()) {
            (Err(_), Some(balancer)) => Ok(tokio::net::lookup_host((balancer.as_str(), 0)).await?.collect()),
            (found, _) => Ok(found?.collect()),
        }
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses = self.clone().addresses(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(addresses.await?.into_iter()) as reqwest::dns::Addrs) })
    }
}

fn failure(error: &reqwest::Error) -> HttpError {
    HttpError::Request(root_cause(error))
}
