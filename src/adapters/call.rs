//! The log of HTTP requests: method, URL without secrets, status and duration. Headers and bodies are never logged.

use std::{fmt::Display, time::Instant};

use super::seconds;
use crate::domain::redact::{masked_url, masked_urls};

/// A request that was sent, for the log.
#[derive(Debug)]
pub(super) struct HttpCall {
    shown: String,
    start: Instant,
}

impl HttpCall {
    pub(super) fn start(method: &impl Display, url: &impl Display) -> Self {
        let shown = format!("{method} {}", masked_url(&url.to_string()));
        tracing::trace!(target: "cmdr::adapters::http", "started: {shown}");
        Self { shown, start: Instant::now() }
    }

    /// Logs the status of the response.
    pub(super) fn end(&self, status: u16) {
        let seconds = seconds(self.start.elapsed());
        tracing::debug!(target: "cmdr::adapters::http", status, %seconds, "{}", self.shown);
    }

    /// Logs why there was no response.
    pub(super) fn fail(&self, error: &str) {
        let (seconds, error) = (seconds(self.start.elapsed()), masked_urls(error));
        tracing::debug!(target: "cmdr::adapters::http", %error, %seconds, "{}", self.shown);
    }
}

/// Sends a request and logs it.
pub(super) async fn send(
    client: &reqwest::Client,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, reqwest::Error> {
    let request = request.build()?;
    let call = HttpCall::start(request.method(), request.url());
    let result = client.execute(request).await;
    match &result {
        Ok(response) => call.end(response.status().as_u16()),
        Err(error) => call.fail(&super::root_cause(error)),
    }
    result
}

#[cfg(test)]
mod tests {
    use crate::adapters::{
        captured_log::CapturedLog,
        http::{HttpClient, Resolver},
    };

    #[tokio::test]
    async fn requests_are_logged_without_secrets() {
        let log = CapturedLog::start();
        let client = HttpClient::new(Resolver::Fixed(([127, 0, 0, 1], 1).into())).unwrap();
        client.status("http://me:canary@shop.localhost:1/x?sig=canary&page=2").await.unwrap_err();
        let text = log.text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("cmdr::adapters::http")).collect();
        assert!(lines.iter().any(|line| line.contains("DEBUG") && line.contains("seconds=0.")), "{text}");
        assert!(lines.iter().all(|line| line.contains("GET http://***@shop.localhost:1/x?sig=***&page=2")), "{text}");
        assert!(!lines.concat().contains("canary"), "{text}");
    }
}
