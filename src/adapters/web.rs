//! What HTTP clients share: their setup, timeouts, retries, and why there is no response.

use std::{slice, time::Duration};

use reqwest::{Certificate, ClientBuilder, RequestBuilder, StatusCode, header::HeaderMap};
use tokio_util::sync::CancellationToken;

use super::{
    call::{self, Caller},
    retry_policy::RetryPolicy,
    root_cause,
    wait::{Interrupted, WaitError, pause},
};

/// The maximum size of a response in bytes. Registries reject manifests larger than 4 MiB.
pub(super) const LONGEST_ANSWER: usize = 8 << 20;

/// Returns the builder of a client.
pub(super) fn builder() -> ClientBuilder {
    // One crypto provider for the whole process; it fails harmlessly if one is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// Returns the builder of a client for servers outside of this machine. It trusts the company's certificate authority,
/// in addition to the system's.
///
/// # Errors
/// If the certificates cannot be parsed, or there are none.
pub(super) fn builder_trusting(certificate_authority: Option<&str>) -> Result<ClientBuilder, String> {
    let pem = certificate_authority.unwrap_or_default().as_bytes();
    let authorities = Certificate::from_pem_bundle(pem).map_err(|error| root_cause(&error))?;
    if certificate_authority.is_some() && authorities.is_empty() {
        return Err("the company's CA file contains no certificates".to_owned());
    }
    Ok(builder().user_agent(concat!("cmdr/", env!("CARGO_PKG_VERSION"))).tls_certs_merge(authorities))
}

/// A complete response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Longer than [`LONGEST_ANSWER`] if the response is too large; then it is not complete.
    pub(super) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoResponse {
    Timeout,
    /// The connection failed at TLS; such a request is not retried.
    Tls(String),
    /// DNS failed, the connection was refused, or it was lost.
    Network(String),
}

/// A client with timeouts and retries.
#[derive(Debug)]
pub(super) struct WebClient {
    /// The adapter that sends the requests, for the log.
    pub(super) caller: Caller,
    pub(super) http: reqwest::Client,
    pub(super) patience: RetryPolicy,
    pub(super) cancel: CancellationToken,
}

impl WebClient {
    /// Sends one request, and reads the whole response.
    ///
    /// # Errors
    /// If there is no response. Any status is a response.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, NoResponse> {
        let request = request.timeout(self.patience.request);
        let response = async { read(call::send(self.caller, request).await?).await };
        response.await.map_err(|error| no_response(&error))
    }

    /// Waits, unless the run is interrupted.
    pub(super) async fn cancellable<T>(&self, waited_for: impl Future<Output = T>) -> Result<T, Interrupted> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Interrupted),
            output = waited_for => Ok(output),
        }
    }

    /// Returns the retries of one request.
    pub(super) fn retries(&self) -> Retries<'_> {
        Retries { client: self, pauses: self.patience.pauses.iter() }
    }
}

/// The retries of one request after temporary errors.
#[derive(Debug)]
pub(super) struct Retries<'a> {
    client: &'a WebClient,
    pauses: slice::Iter<'static, Duration>,
}

impl Retries<'_> {
    /// Pauses before the next attempt, as long as the server `asked` for, unless the run is interrupted.
    ///
    /// # Errors
    /// `error`, why the last attempt did not succeed, if there are no more retries; or that the run is interrupted.
    pub(super) async fn pause_or<E>(&mut self, error: E, asked: Option<Duration>) -> Result<(), WaitError<E>> {
        let Some(own) = self.pauses.next() else { return Err(WaitError::Limit(error)) };
        pause(asked.unwrap_or(*own), &self.client.cancel).await.map_err(|Interrupted| WaitError::Interrupted)
    }
}

/// Reads the response, and stops when it exceeds the maximum size.
async fn read(mut response: reqwest::Response) -> Result<Response, reqwest::Error> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            break;
        }
    }
    Ok(Response { status, headers, body })
}

fn no_response(error: &reqwest::Error) -> NoResponse {
    let detail = root_cause(error);
    match error {
        error if error.is_timeout() => NoResponse::Timeout,
        error if is_tls(error) => NoResponse::Tls(detail),
        _ => NoResponse::Network(detail),
    }
}

/// Returns whether the connection failed at TLS.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // `source()` of an IO error skips the error that it wraps.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
