//! Sends requests to a registry, with authentication, timeouts and retries.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use reqwest::{
    ClientBuilder, Method, RequestBuilder, StatusCode, Url,
    header::{ACCEPT, HeaderMap},
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    RegistrySetupError,
    authorization::Authorization,
    challenge::Challenge,
    document::MANIFEST_TYPES,
    endpoint::RegistryEndpoint,
    error::{RegistryErrorKind, RegistryFailure},
    logins::Logins,
};
use crate::{
    adapters::{
        call::Caller,
        credentials::Credentials,
        retry_policy::RetryPolicy,
        wait::Interrupted,
        web::{self, LONGEST_ANSWER, NoResponse, Response, WebClient},
    },
    domain::mirror::is_this_machine,
};

/// The longest part of an error response that is shown, in characters.
const LONGEST_DETAIL: usize = 200;

/// Timeouts and retries of requests to a registry.
const PATIENCE: RetryPolicy = RetryPolicy {
    request: Duration::from_secs(10),
    pauses: &[Duration::from_secs(1), Duration::from_secs(3)],
    longest_pause: Duration::from_secs(20),
};

/// A complete response.
#[derive(Debug)]
pub(super) struct RegistryResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether credentials were sent, or a token that was obtained with credentials.
    with_login: bool,
}

/// A client for registries.
pub(super) struct RegistryClient {
    pub(super) web: WebClient,
    /// For registries on this machine: without a proxy.
    direct: reqwest::Client,
    logins: Logins,
    /// The authorizations of earlier requests, by repository.
    authorizations: Mutex<HashMap<(RegistryEndpoint, String), Authorization>>,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegistryClient").field("patience", &self.web.patience).finish_non_exhaustive()
    }
}

impl RegistryClient {
    pub(super) fn new(
        credentials: Arc<Credentials>,
        certificate_authority: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, RegistrySetupError> {
        let builder = || web::builder_trusting(certificate_authority).map_err(|why| RegistrySetupError(why.into()));
        let built = |builder: ClientBuilder| builder.build().map_err(|error| RegistrySetupError(error.into()));
        let (http, direct) = (built(builder()?)?, built(builder()?.no_proxy())?);
        let logins = Logins::new(credentials, cancel.clone());
        let web = WebClient { caller: Caller::Registry, http, patience: PATIENCE, cancel };
        Ok(Self { web, direct, logins, authorizations: Mutex::default() })
    }

    fn http(&self, url: &Url) -> &reqwest::Client {
        if url.host_str().is_some_and(is_this_machine) { &self.direct } else { &self.web.http }
    }

    /// Sends a request about a repository to `endpoint`. If authentication is required, repeats it with credentials.
    ///
    /// # Errors
    /// If there is no response, or only 429 and 5xx after all retries. Any other status is a response.
    pub(super) async fn ask(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        method: Method,
        url: &Url,
    ) -> Result<RegistryResponse, RegistryFailure> {
        let request = || self.http(url).request(method.clone(), url.clone()).header(ACCEPT, accepted(url));
        let key = (endpoint.clone(), repository.to_owned());
        let known = self.authorizations.lock().await.get(&key).cloned();
        let first = self.ask_with(known.as_ref(), endpoint, request).await?;
        if first.status != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let Some(challenge) = Challenge::of(&first.headers) else { return Ok(first) };
        let Some(fresh) = self.authorize(endpoint, repository, challenge).await? else { return Ok(first) };
        let answer = self.ask_with(Some(&fresh), endpoint, request).await?;
        self.authorizations.lock().await.insert(key, fresh);
        Ok(answer)
    }

    async fn ask_with(
        &self,
        authorization: Option<&Authorization>,
        endpoint: &RegistryEndpoint,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<RegistryResponse, RegistryFailure> {
        let authorized = || authorization.map_or_else(&request, |authorization| authorization.apply(request()));
        let answer = self.persist(endpoint, &endpoint.name, authorized).await?;
        Ok(RegistryResponse { with_login: authorization.is_some_and(Authorization::is_of_login), ..answer })
    }

    /// Returns what the challenge requests; `None` if it requests a password and there are no credentials.
    async fn authorize(
        &self,
        endpoint: &RegistryEndpoint,
        repository: &str,
        challenge: Challenge,
    ) -> Result<Option<Authorization>, RegistryFailure> {
        let login = self.logins.find(&endpoint.login_hosts).await.credential;
        let Challenge::Bearer { realm, service, scope } = challenge else {
            return Ok(login.and_then(|login| Authorization::basic(&login)));
        };
        let realm = Url::parse(&realm)
            .map_err(|error| endpoint.no_image(format!("invalid URL of the token service: {error}")))?;
        let host = realm.host_str().unwrap_or_default().to_owned();
        if login.is_some() && !endpoint.may_send_login(&realm) {
            let unsafe_realm = RegistryErrorKind::Unsafe { registry: endpoint.name.clone() };
            let detail = format!("its token service {host} would get the credentials over plain HTTP");
            return Err(RegistryFailure::new(unsafe_realm).detail(detail));
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{repository}:pull"));
        let request =
            || Authorization::token_request(self.http(&realm), &realm, service.as_deref(), &scope, login.as_ref());
        let answer = self.persist(endpoint, &host, request).await?;
        if !answer.status.is_success() {
            return Err(self.refused(endpoint, &RegistryResponse { with_login: login.is_some(), ..answer }).await);
        }
        let token = Authorization::read_token(&answer.body, login.is_some());
        Ok(Some(token.ok_or_else(|| endpoint.no_image(format!("the response of {host} contains no token")))?))
    }

    /// Returns the error for a response of 401 or 403, or for any error status of a token service.
    pub(super) async fn refused(&self, endpoint: &RegistryEndpoint, answer: &RegistryResponse) -> RegistryFailure {
        let login = self.logins.find(&endpoint.login_hosts).await;
        let problem = RegistryErrorKind::Refused {
            registry: endpoint.name.clone(),
            login_host: endpoint.login_host.clone(),
            with_login: answer.with_login,
        };
        let secret = login.credential.as_ref().map(|login| login.password.expose()).filter(|secret| !secret.is_empty());
        // If the response repeats the password, the password is masked.
        let detail = secret.map_or_else(|| answer.detail(), |secret| answer.detail().replace(secret, "***"));
        let failure = RegistryFailure::new(problem).detail(detail);
        login.warnings.into_iter().fold(failure, RegistryFailure::detail)
    }

    /// Repeats a request after temporary errors.
    async fn persist(
        &self,
        endpoint: &RegistryEndpoint,
        name: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<RegistryResponse, RegistryFailure> {
        let mut retries = self.web.retries();
        loop {
            let answer = self.once(name, request()).await?;
            let Some(problem) = passing(endpoint, name, answer.status) else { return Ok(answer) };
            let asked = self.web.patience.asked_pause(&answer.headers);
            retries.pause_or(RegistryFailure::new(problem).detail(answer.detail()), asked).await?;
        }
    }

    async fn once(&self, name: &str, request: RequestBuilder) -> Result<RegistryResponse, RegistryFailure> {
        let interrupted = |Interrupted| RegistryFailure::new(RegistryErrorKind::Interrupted);
        let answer = self.web.cancellable(self.web.send(request)).await.map_err(interrupted)?;
        let Response { status, headers, body } = answer.map_err(|why| self.failure(name, why))?;
        if body.len() > LONGEST_ANSWER {
            let problem = RegistryErrorKind::NoImage { registry: name.to_owned() };
            return Err(RegistryFailure::new(problem)
                .detail(format!("the response is larger than {} MiB", LONGEST_ANSWER >> 20)));
        }
        Ok(RegistryResponse { status, headers, body, with_login: false })
    }

    fn failure(&self, name: &str, why: NoResponse) -> RegistryFailure {
        let registry = name.to_owned();
        match why {
            NoResponse::Timeout => {
                RegistryFailure::new(RegistryErrorKind::Silent { registry, patience: self.web.patience.request })
            }
            NoResponse::Tls(detail) => RegistryFailure::new(RegistryErrorKind::Unsafe { registry }).detail(detail),
            NoResponse::Network(detail) => {
                RegistryFailure::new(RegistryErrorKind::Unreachable { registry }).detail(detail)
            }
        }
    }
}

/// Returns the problem if the status is a temporary error.
fn passing(endpoint: &RegistryEndpoint, name: &str, status: StatusCode) -> Option<RegistryErrorKind> {
    let registry = name.to_owned();
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            Some(RegistryErrorKind::Busy { registry, login_host: endpoint.login_host.clone() })
        }
        status if status.is_server_error() => Some(RegistryErrorKind::Broken { registry, status: status.as_u16() }),
        _ => None,
    }
}

/// Without an `Accept` header for manifests, some registries return old formats that do not support indexes.
fn accepted(url: &Url) -> String {
    if url.path().contains("/manifests/") { MANIFEST_TYPES.join(", ") } else { "*/*".to_owned() }
}

impl RegistryResponse {
    /// Returns the registry's message: its error messages, or the first line of a text, else the status.
    pub(super) fn detail(&self) -> String {
        let detail = match serde_json::from_slice(&self.body) {
            Ok(body) => messages(&body),
            Err(_) => text(&self.body),
        };
        let detail = detail.chars().filter(|letter| !letter.is_control()).take(LONGEST_DETAIL).collect::<String>();
        if detail.is_empty() { format!("HTTP {}", self.status) } else { detail }
    }
}

/// Returns the messages in an error of the distribution API (`errors`) or of a token service (one of several keys).
fn messages(body: &serde_json::Value) -> String {
    let word = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let errors = body["errors"].as_array().into_iter().flatten();
    let messages: Vec<String> = errors
        .map(|error| [word(error, "code"), word(error, "message")])
        .map(|words| words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": "))
        .collect();
    if !messages.is_empty() {
        return messages.join("; ");
    }
    let keys = ["error_description", "details", "message", "error"];
    keys.iter().map(|key| word(body, key)).find(|detail| !detail.is_empty()).unwrap_or_default()
}

/// Returns the first line, or nothing for an HTML page.
fn text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.starts_with('<') { String::new() } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(body: &str) -> String {
        RegistryResponse {
            status: StatusCode::FORBIDDEN,
            headers: HeaderMap::new(),
            body: body.into(),
            with_login: false,
        }
        .detail()
    }

    #[test]
    fn messages_of_a_registry_are_unwrapped() {
        let errors = r#"{"errors": [{"code": "DENIED", "message": "not yours"}, {"code": "X"}]}"#;
        assert_eq!(detail(errors), "DENIED: not yours; X");
        assert_eq!(detail(r#"{"details": "incorrect username or password"}"#), "incorrect username or password");
        assert_eq!(detail("\n404 page\u{1b}[31m not found\nmore"), "404 page[31m not found");
        assert_eq!(detail("<html><body>Sign in</body></html>"), "HTTP 403 Forbidden");
        assert_eq!(detail(""), "HTTP 403 Forbidden");
        assert_eq!(detail(&"x".repeat(1000)).len(), LONGEST_DETAIL);
    }
}
