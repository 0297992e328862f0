//! A registry in this process.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::domain::ImageReference;

pub(super) fn reply(status: u16, body: impl Into<String>) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_bytes(body.into())
}

/// Does not respond while a test runs.
pub(super) fn hang() -> ResponseTemplate {
    reply(200, "").set_delay(Duration::from_hours(1))
}

/// The method and the target of a request: `GET /v2/...`.
pub(super) fn line(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}{query}", request.method, request.url.path())
}

pub(super) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

/// A registry on its own port, which keeps the requests that it receives.
pub(super) struct Server {
    pub(super) host: String,
    mock: MockServer,
}

impl Server {
    /// `answer` gets the host, the request and the number of earlier requests.
    pub(super) async fn start(
        answer: impl Fn(&str, &Request, usize) -> ResponseTemplate + Send + Sync + 'static,
    ) -> Self {
        // A server of its own: one from wiremock's pool would get requests of tests that have ended.
        let mock = MockServer::builder().start().await;
        let host = mock.address().to_string();
        let (own, before) = (host.clone(), AtomicUsize::new(0));
        let respond = move |request: &Request| answer(&own, request, before.fetch_add(1, Ordering::SeqCst));
        mock.register(Mock::given(any()).respond_with(respond)).await;
        Self { host, mock }
    }

    pub(super) fn image(&self, rest: &str) -> ImageReference {
        ImageReference::parse(&format!("{}/{rest}", self.host)).unwrap()
    }

    pub(super) async fn seen(&self) -> Vec<String> {
        self.mock.received_requests().await.unwrap().iter().map(line).collect()
    }
}
