//! Sends requests to GitLab's REST API, with the token, timeouts and retries.

use std::{fmt, time::Duration};

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::error::{GitlabError, GitlabErrorKind};
use crate::{
    adapters::{
        call::Caller,
        retry_policy::RetryPolicy,
        root_cause, wait,
        web::{self, NoResponse, Response, WebClient},
    },
    domain::secret::Secret,
};

/// The header for the token.
const TOKEN: HeaderName = HeaderName::from_static("private-token");
/// The header with the number of the next page; empty on the last one.
const NEXT_PAGE: &str = "x-next-page";
/// The longest part of GitLab's message that is shown, in characters.
const LONGEST_DETAIL: usize = 300;

/// Timeouts and retries of requests to GitLab.
const PATIENCE: RetryPolicy = RetryPolicy {
    request: Duration::from_secs(15),
    pauses: &[Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)],
    longest_pause: Duration::from_secs(30),
};

/// A successful response.
pub(super) struct GitlabResponse<T> {
    pub(super) content: T,
    pub(super) next_page: Option<String>,
}

/// A failed request, and the delay before the next one, if GitLab requests one.
pub(super) struct GitlabFailure {
    pub(super) error: GitlabError,
    pub(super) pause: Option<Duration>,
}

impl From<GitlabError> for GitlabFailure {
    fn from(error: GitlabError) -> Self {
        Self { error, pause: None }
    }
}

/// A client of one GitLab server.
pub(super) struct GitlabClient {
    pub(super) web: WebClient,
    server: String,
    token: Secret,
}

impl fmt::Debug for GitlabClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GitlabClient").field("server", &self.server).finish_non_exhaustive()
    }
}

impl GitlabClient {
    pub(super) fn new(
        server: &str,
        token: Secret,
        certificate_authority: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, GitlabError> {
        let failed = |detail: String| GitlabError::new(GitlabErrorKind::Setup).detail(detail);
        let mut header = HeaderValue::from_str(token.expose()).map_err(|_| GitlabError::new(GitlabErrorKind::Token))?;
        header.set_sensitive(true);
        let mut builder = web::builder_trusting(certificate_authority)
            .map_err(failed)?
            .default_headers(HeaderMap::from_iter([(TOKEN, header)]))
            // A redirect would send the token to another host.
            .redirect(reqwest::redirect::Policy::none());
        if server.starts_with("http://") {
            // Plain HTTP is allowed only to this machine, so no proxy must be used.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| failed(root_cause(&error)))?;
        let web = WebClient { caller: Caller::Gitlab, http, patience: PATIENCE, cancel };
        Ok(Self { web, server: server.to_owned(), token })
    }

    /// Sends a GET request, and retries it after temporary errors. `what` names the object in messages.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        url: &str,
    ) -> Result<GitlabResponse<T>, GitlabError> {
        let mut retries = self.web.retries();
        loop {
            match self.web.cancellable(self.once(what, Method::GET, url, None)).await.map_err(GitlabError::from)? {
                Ok(answer) => return Ok(answer),
                Err(GitlabFailure { error, pause }) if error.is_transient() => retries.pause_or(error, pause).await?,
                Err(failure) => return Err(failure.error),
            }
        }
    }

    /// Sends one request, without a retry.
    pub(super) async fn once<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<GitlabResponse<T>, GitlabFailure> {
        let unreachable = || GitlabError::new(GitlabErrorKind::Unreachable { server: self.server.clone() });
        let url = Url::parse(url).map_err(|error| unreachable().detail(error.to_string()))?;
        let mut request = self.web.http.request(method, url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let Response { status, headers, body } = self.web.send(request).await.map_err(|why| self.no_response(why))?;
        if !status.is_success() {
            let error = GitlabError::new(self.problem(what, status)).detail(self.detail(&body));
            let pause = self.web.patience.asked_pause(&headers);
            return Err(GitlabFailure { error, pause });
        }
        let content = serde_json::from_slice(&body).map_err(|_| {
            GitlabError::new(GitlabErrorKind::Answer { server: self.server.clone(), what: what.to_owned() })
        })?;
        let next_page = headers.get(NEXT_PAGE).and_then(|value| value.to_str().ok());
        Ok(GitlabResponse { content, next_page: next_page.filter(|page| !page.is_empty()).map(str::to_owned) })
    }

    /// Waits, unless the run is interrupted.
    pub(super) async fn wait(&self, pause: Duration) -> Result<(), GitlabError> {
        Ok(wait::pause(pause, &self.web.cancel).await?)
    }

    fn problem(&self, what: &str, status: StatusCode) -> GitlabErrorKind {
        let (server, what) = (self.server.clone(), what.to_owned());
        match status {
            StatusCode::UNAUTHORIZED => GitlabErrorKind::Unknown { server },
            StatusCode::FORBIDDEN => GitlabErrorKind::Forbidden { what },
            StatusCode::NOT_FOUND => GitlabErrorKind::NotFound { what },
            StatusCode::TOO_MANY_REQUESTS => GitlabErrorKind::Busy { server },
            status if status.is_redirection() => GitlabErrorKind::Elsewhere { server },
            status if status.is_server_error() => GitlabErrorKind::Broken { server, status: status.as_u16() },
            status => GitlabErrorKind::Refused { what, status: status.as_u16() },
        }
    }

    fn no_response(&self, why: NoResponse) -> GitlabError {
        let server = self.server.clone();
        match why {
            NoResponse::Timeout => {
                GitlabError::new(GitlabErrorKind::Silent { server, patience: self.web.patience.request })
            }
            NoResponse::Tls(detail) => GitlabError::new(GitlabErrorKind::Unsafe { server }).detail(detail),
            NoResponse::Network(detail) => GitlabError::new(GitlabErrorKind::Unreachable { server }).detail(detail),
        }
    }

    /// Returns GitLab's own message. If it repeats the token, the token is masked.
    fn detail(&self, body: &[u8]) -> String {
        let detail = serde_json::from_slice(body).map(|body| message(&body)).unwrap_or_default();
        let detail = detail.replace(self.token.expose(), "***");
        detail.chars().filter(|letter| !letter.is_control()).take(LONGEST_DETAIL).collect()
    }
}

/// Returns the message in an error response: one of several keys, as text or as JSON.
fn message(body: &Value) -> String {
    let keys = ["error_description", "message", "error"];
    let found = keys.iter().map(|key| &body[key]).find(|value| !value.is_null());
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
