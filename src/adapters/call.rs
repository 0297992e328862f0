//! The log of calls: external commands, and HTTP requests with method, URL without secrets, status and duration. Headers,
//! bodies, input, output and variables are never logged.

use std::{fmt::Display, time::Instant};

use super::{root_cause, seconds};
use crate::domain::redact::{masked_url, masked_urls};

/// The adapter that makes a call. A filter selects the log of an adapter by its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Cluster,
    Docker,
    Git,
    Gitlab,
    Helm,
    Http,
    Kind,
    Process,
    Registry,
    Sops,
}

impl Caller {
    /// The adapter of a program.
    pub(super) fn of(program: &str) -> Self {
        match program {
            "docker" => Self::Docker,
            "git" => Self::Git,
            "helm" => Self::Helm,
            "kind" => Self::Kind,
            "sops" => Self::Sops,
            _ => Self::Process,
        }
    }
}

/// Logs an event of a [`Caller`]. The target of an event must be a constant.
macro_rules! log {
    ($caller:expr, $level:ident, $($event:tt)+) => {
        match $caller {
            $crate::adapters::call::Caller::Cluster => tracing::$level!(target: "cmdr::adapters::cluster", $($event)+),
            $crate::adapters::call::Caller::Docker => tracing::$level!(target: "cmdr::adapters::docker", $($event)+),
            $crate::adapters::call::Caller::Git => tracing::$level!(target: "cmdr::adapters::git", $($event)+),
            $crate::adapters::call::Caller::Gitlab => tracing::$level!(target: "cmdr::adapters::gitlab", $($event)+),
            $crate::adapters::call::Caller::Helm => tracing::$level!(target: "cmdr::adapters::helm", $($event)+),
            $crate::adapters::call::Caller::Http => tracing::$level!(target: "cmdr::adapters::http", $($event)+),
            $crate::adapters::call::Caller::Kind => tracing::$level!(target: "cmdr::adapters::kind", $($event)+),
            $crate::adapters::call::Caller::Process => tracing::$level!(target: "cmdr::adapters::process", $($event)+),
            $crate::adapters::call::Caller::Registry => tracing::$level!(target: "cmdr::adapters::registry", $($event)+),
            $crate::adapters::call::Caller::Sops => tracing::$level!(target: "cmdr::adapters::sops", $($event)+),
        }
    };
}
pub(super) use log;

/// A request that was sent, for the log.
#[derive(Debug)]
pub(super) struct HttpCall {
    caller: Caller,
    shown: String,
    start: Instant,
}

impl HttpCall {
    pub(super) fn start(caller: Caller, method: &impl Display, url: &impl Display) -> Self {
        let shown = format!("{method} {}", masked_url(&url.to_string()));
        log!(caller, trace, "started: {shown}");
        Self { caller, shown, start: Instant::now() }
    }

    /// Logs the status of the response.
    pub(super) fn end(&self, status: u16) {
        let seconds = seconds(self.start.elapsed());
        log!(self.caller, debug, status, %seconds, "{}", self.shown);
    }

    /// Logs why there was no response.
    pub(super) fn fail(&self, error: &str) {
        let (seconds, error) = (seconds(self.start.elapsed()), masked_urls(error));
        log!(self.caller, debug, %error, %seconds, "{}", self.shown);
    }
}

/// Sends a request with the client that it was made with, and logs it.
pub(super) async fn send(
    caller: Caller,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, reqwest::Error> {
    let (client, request) = request.build_split();
    let request = request?;
    let call = HttpCall::start(caller, request.method(), request.url());
    let result = client.execute(request).await;
    match &result {
        Ok(response) => call.end(response.status().as_u16()),
        Err(error) => call.fail(&root_cause(error)),
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
        assert!(lines.iter().all(|line| line.contains("GET http://shop.localhost:1/x?sig=***&page=2")), "{text}");
        assert!(!lines.concat().contains("canary"), "{text}");
    }
}
