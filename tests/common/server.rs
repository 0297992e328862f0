//! A web server in this process.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fs, path::Path};

use futures::executor::block_on;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

/// A web server on its own port, until it is dropped.
pub(crate) struct Server(MockServer);

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        // Not from wiremock's pool: such a server could get requests of tests that have ended.
        let server = block_on(MockServer::builder().start());
        block_on(server.register(Mock::given(any()).respond_with(answer)));
        Self(server)
    }

    pub(crate) fn url(&self) -> String {
        self.0.uri()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        block_on(self.0.received_requests()).unwrap_or_default()
    }
}

/// The method and the target of a request: `GET /index.yaml`.
pub(crate) fn line(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}{query}", request.method, request.url.path())
}

/// The file of a folder that a request addresses.
pub(crate) fn file(folder: &Path, request: &Request) -> ResponseTemplate {
    match fs::read(folder.join(request.url.path().trim_start_matches('/'))) {
        Ok(content) => ResponseTemplate::new(200).set_body_bytes(content),
        Err(_) => ResponseTemplate::new(404),
    }
}
