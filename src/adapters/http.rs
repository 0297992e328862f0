//! Requests to projects, as a browser sends them.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};

use super::{
    call::{self, Caller},
    root_cause, web,
};
use crate::domain::maintenance;

/// The timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A host that no ingress routes: the domain is reserved (RFC 2606).
const UNKNOWN_HOST: &str = "unknown.invalid";

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
        Self::trusting(resolver, "")
    }

    /// Also trusts these authorities, in PEM.
    ///
    /// # Errors
    /// If the certificates cannot be read.
    pub fn trusting(resolver: Resolver, authorities: &str) -> Result<Self, HttpError> {
        let own = reqwest::Certificate::from_pem_bundle(authorities.as_bytes()).map_err(|error| failure(&error))?;
        let builder =
            web::builder().tls_certs_merge(own).timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
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
        Ok(self.send(self.client.get(url)).await?.status().as_u16())
    }

    /// Returns the status and the text of the response.
    ///
    /// # Errors
    /// If there is no complete response.
    pub async fn text(&self, url: &str) -> Result<(u16, String), HttpError> {
        let response = self.send(self.client.get(url)).await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(|error| failure(&error))?))
    }

    /// Requests a URL. `is_check`: from any address, the answer is that of a maintenance, if there is one.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn answer_of(&self, url: &str, is_check: bool) -> Result<HttpAnswer, HttpError> {
        let request = self.client.get(url);
        let request = if is_check { request.header(maintenance::HEADER, maintenance::CHECK) } else { request };
        let response = self.send(request).await?;
        let headers = response.headers();
        Ok(HttpAnswer {
            status: response.status().as_u16(),
            is_html: headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")),
            is_in_maintenance: headers.contains_key(maintenance::HEADER) && headers.contains_key(RETRY_AFTER),
        })
    }

    /// Returns whether a response with the status 404 is from the ingress controller: it sends the same one to a host
    /// that no project has. The order of the headers counts, because a controller passes on a project's headers in
    /// another order than it writes its own; Traefik and Go programs otherwise send the same 404.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn is_from_ingress(&self, url: &str) -> Result<bool, HttpError> {
        let own = self.answer(self.client.get(url)).await?;
        let of_unknown = self.answer(self.client.get(url).header(HOST, UNKNOWN_HOST)).await?;
        Ok(own == of_unknown)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer, HttpError> {
        let response = self.send(request).await?;
        let (status, headers) = (response.status().as_u16(), names_in_order(response.headers()));
        let body = response.bytes().await.map_err(|error| failure(&error))?;
        Ok(Answer { status, headers, body: body.to_vec() })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, HttpError> {
        call::send(Caller::Http, request).await.map_err(|error| failure(&error))
    }
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub is_html: bool,
    /// Whether the gateway answered in place of the project.
    pub is_in_maintenance: bool,
}

/// The parts of a response that tell its senders apart.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

/// The client's map of headers keeps the order in which they arrived.
fn names_in_order(headers: &HeaderMap) -> Vec<String> {
    headers.keys().map(ToString::to_string).collect()
}

/// How hosts of projects are resolved.
#[derive(Debug, Clone)]
pub enum Resolver {
    /// Every host resolves to this address, regardless of the system's resolver. Port 0 is that of the URL.
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

/// Encodes `text` as one segment of a URL.
pub(crate) fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn failure(error: &reqwest::Error) -> HttpError {
    HttpError::Request(root_cause(error))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What Traefik itself and a Go program behind it send.
    const TRAEFIK: &str = "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
                           Date: Thu, 26 Nov 2026 10:00:00 GMT\r\nContent-Length: 19\r\n";
    const PROJECT: &str = "Content-Length: 19\r\nContent-Type: text/plain; charset=utf-8\r\n\
                           Date: Thu, 26 Nov 2026 10:00:00 GMT\r\nX-Content-Type-Options: nosniff\r\n";

    /// Answers every request with 404; the host `shop.test` gets the first headers, any other host Traefik's.
    fn serve(project: &'static str) -> u16 {
        use std::io::{BufRead, BufReader, Write};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let is_project = head.iter().any(|line| line.to_lowercase().starts_with("host: shop.test"));
                let headers = if is_project { project } else { TRAEFIK };
                let text = format!("HTTP/1.1 404 Not Found\r\n{headers}Connection: close\r\n\r\n404 page not found\n");
                let _ = stream.write_all(text.as_bytes());
            }
        });
        port
    }

    #[tokio::test]
    async fn the_404_of_the_ingress_is_not_taken_for_the_projects_own() {
        for (project, is_from_ingress) in [(TRAEFIK, true), (PROJECT, false)] {
            let port = serve(project);
            let client = HttpClient::new(Resolver::Fixed(([127, 0, 0, 1], port).into())).unwrap();
            let url = format!("http://shop.test:{port}/");
            assert_eq!(client.is_from_ingress(&url).await.unwrap(), is_from_ingress);
        }
    }
}
