//! URL checks: a real request to each URL.

use std::time::Duration;

use backon::BackoffBuilder;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        http::{HttpAnswer, HttpClient, HttpError},
        wait::{Wait, growing},
    },
    domain::{
        causes::{KnownCause, network},
        wait_reason::WaitReason,
    },
    engine::{Reporter, StepFailure},
    plan::{CheckSpec, up::INGRESS},
};

/// The delay between two requests: short at first, because most routes exist at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A request costs little, and another second of waiting is noticeable.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

impl Runner {
    pub(super) async fn check(
        &self,
        check: &CheckSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let mut shown = WaitReason::Url { url: check.url.clone(), response: None };
        reporter.waits_for(shown.clone());
        self.find_balancer().await?;
        let mut wait =
            Wait::new(growing(FIRST_PAUSE, LONGEST_PAUSE).build(), network::URL_NO_RESPONSE.budget.at_most());
        loop {
            let (cause, detail) = match request(&self.http, check).await {
                Ok(UrlAnswer::Closed) => return Ok(Some(format!("in maintenance: {}", check.url))),
                Ok(UrlAnswer::Passed(status)) => return Ok(Some(format!("{status} from {}", check.url))),
                Ok(UrlAnswer::Failed { cause, detail }) => (cause, detail),
                Err(error) => no_response(&error),
            };
            let reason = WaitReason::Url { url: check.url.clone(), response: Some(detail.clone()) };
            if reason != shown {
                reporter.waits_for(reason.clone());
                shown = reason;
            }
            wait.limit = cause.budget.at_most();
            let failure = cause.problem(&[("name", &check.url)]).detail(detail);
            wait.pause_or(StepFailure::from(failure), cancel).await?;
        }
    }
}

/// The result of one request.
enum UrlAnswer {
    Passed(u16),
    /// By the gateway: a maintenance stays on.
    Closed,
    Failed {
        cause: &'static KnownCause,
        detail: String,
    },
}

/// Returns the cause of a request without a response, and its detail.
fn no_response(error: &HttpError) -> (&'static KnownCause, String) {
    (&network::URL_NO_RESPONSE, format!("no response: {error}"))
}

/// Any response of the project passes, unless the check names a status.
async fn request(http: &HttpClient, check: &CheckSpec) -> Result<UrlAnswer, HttpError> {
    let HttpAnswer { status, is_in_maintenance, .. } = http.answer_of(&check.url, false).await?;
    if is_in_maintenance {
        return Ok(UrlAnswer::Closed);
    }
    if status == 404 && http.is_from_ingress(&check.url).await? {
        let detail = "HTTP 404 from the ingress controller: it has no route for this host and path".to_owned();
        return Ok(UrlAnswer::Failed { cause: &network::URL_NO_ROUTE, detail });
    }
    let no_pods = matches!(status, 502..=504);
    Ok(match check.status {
        None if !no_pods => UrlAnswer::Passed(status),
        Some(expected) if status == expected => UrlAnswer::Passed(status),
        expected => {
            let expected = expected.map_or_else(|| "a response of the project".to_owned(), |it| it.to_string());
            let cause = match status {
                502..=504 => &network::URL_NO_PODS,
                404 => &network::URL_NOT_FOUND,
                _ => &network::URL_UNEXPECTED_STATUS,
            };
            UrlAnswer::Failed { cause, detail: format!("HTTP {status}, expected {expected}") }
        }
    })
}

impl Runner {
    /// The hosts of a new environment may not be in DNS yet: then its load balancer is used. If the platform is
    /// external, only DNS is used.
    pub(super) async fn find_balancer(&self) -> Result<(), StepFailure> {
        if self.local.is_none()
            && let Ok(Some(address)) = self.connected()?.cluster.service_address(INGRESS, INGRESS).await
        {
            self.http.note_balancer(address);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header_regex};

    use super::*;
    use crate::{adapters::http::Resolver, domain::Name};

    /// A server that sends this status to `shop.test`, or knows no host but sends 404.
    async fn serve(status: Option<u16>) -> MockServer {
        let server = MockServer::start().await;
        if let Some(status) = status {
            let answer = ResponseTemplate::new(status).insert_header("X-Shop", "1");
            Mock::given(header_regex("host", "^shop.test")).respond_with(answer).mount(&server).await;
        }
        server
    }

    /// The code of the cause of a check of a port, or the status of a check that passes.
    async fn checked(port: u16, status: Option<u16>) -> String {
        let http = HttpClient::new(Resolver::Fixed(([127, 0, 0, 1], port).into())).unwrap();
        let url = format!("http://shop.test:{port}/");
        let check = CheckSpec { project: Name::new("shop").unwrap(), shown_url: url.clone(), url, status };
        match request(&http, &check).await {
            Ok(UrlAnswer::Passed(status)) => status.to_string(),
            Ok(UrlAnswer::Closed) => "closed".to_owned(),
            Ok(UrlAnswer::Failed { cause, .. }) => cause.code.to_owned(),
            Err(error) => no_response(&error).0.code.to_owned(),
        }
    }

    #[tokio::test]
    async fn each_failure_of_a_url_has_its_cause() {
        for (answer, status, expected) in [
            (None, None, "C134"),
            (Some(503), None, "C135"),
            (Some(500), Some(200), "C137"),
            (Some(404), Some(200), "C146"),
            (Some(404), None, "404"),
            (Some(500), Some(500), "500"),
        ] {
            let server = serve(answer).await;
            assert_eq!(checked(server.address().port(), status).await, expected);
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(checked(closed, None).await, "C136");
    }
}
