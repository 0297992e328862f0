//! URL checks: a real request to each URL.

use std::time::Duration;

use backon::BackoffBuilder;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        http::HttpError,
        wait::{Wait, growing},
    },
    domain::Problem,
    engine::{Reporter, StepFailure},
    plan::{CheckSpec, up::INGRESS},
};

/// Timeout if there is no response: a cluster that was just started starts its pods one by one, and a busy laptop is
/// slow.
const NO_RESPONSE: Duration = Duration::from_secs(90);
/// Timeout if the ingress has no route, or no pod behind it: it knows routes a moment after pods are ready.
const NO_ROUTE: Duration = Duration::from_mins(1);
/// Timeout if the project itself responds with another status, which rarely changes.
const OTHERWISE: Duration = Duration::from_secs(10);
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
        reporter.progress(check.url.clone());
        self.find_balancer().await?;
        let mut wait = Wait::new(growing(FIRST_PAUSE, LONGEST_PAUSE).build(), NO_RESPONSE);
        loop {
            let (detail, patience) = match self.request(check).await {
                Ok(UrlAnswer::Passed(status)) => return Ok(Some(format!("{status} from {}", check.url))),
                Ok(UrlAnswer::Failed { detail, patience }) => (detail, patience),
                Err(error) => (format!("no response: {error}"), NO_RESPONSE),
            };
            wait.limit = patience;
            wait.pause_or(check_failure(check, detail), cancel).await?;
        }
    }

    /// Any response of the project passes, unless the check names a status.
    async fn request(&self, check: &CheckSpec) -> Result<UrlAnswer, HttpError> {
        let status = self.http.status(&check.url).await?;
        if status == 404 && self.http.is_from_ingress(&check.url).await? {
            let detail = "HTTP 404 from the ingress controller: it has no route for this host and path".to_owned();
            return Ok(UrlAnswer::Failed { detail, patience: NO_ROUTE });
        }
        let no_pods = matches!(status, 502..=504);
        Ok(match check.status {
            None if !no_pods => UrlAnswer::Passed(status),
            Some(expected) if status == expected => UrlAnswer::Passed(status),
            expected => {
                let expected = expected.map_or_else(|| "a response of the project".to_owned(), |it| it.to_string());
                let patience = if no_pods || status == 404 { NO_ROUTE } else { OTHERWISE };
                UrlAnswer::Failed { detail: format!("HTTP {status}, expected {expected}"), patience }
            }
        })
    }
}

/// The result of one request.
enum UrlAnswer {
    Passed(u16),
    Failed { detail: String, patience: Duration },
}

impl Runner {
    /// The hosts of a new environment may not be in DNS yet: then its load balancer is used. If the platform is
    /// external, only DNS is used.
    async fn find_balancer(&self) -> Result<(), StepFailure> {
        if self.local.is_none()
            && let Ok(Some(address)) = self.connected()?.cluster.service_address(INGRESS, INGRESS).await
        {
            self.http.note_balancer(address);
        }
        Ok(())
    }
}

fn check_failure(check: &CheckSpec, detail: String) -> StepFailure {
    let help = "check that the project serves this path, or set another one with 'check' in projects.yaml; see cmdr \
                  status";
    Problem::new(format!("the check of {} failed", check.url)).detail(detail).help(help).into()
}
