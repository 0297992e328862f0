//! URL checks: a real request to each URL.

use std::time::Duration;

use backon::BackoffBuilder;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::wait::{Wait, growing},
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
            let answer = self.http.status(&check.url).await;
            let (said, patience) = match answer {
                Ok(status) if status == check.status => return Ok(Some(format!("{status} from {}", check.url))),
                Ok(status) => {
                    let patience = if matches!(status, 404 | 502..=504) { NO_ROUTE } else { OTHERWISE };
                    (format!("HTTP {status}, expected {}", check.status), patience)
                }
                Err(error) => (format!("no response: {error}"), NO_RESPONSE),
            };
            wait.limit = patience;
            wait.pause_or(unproven(check, said), cancel).await?;
        }
    }
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

fn unproven(check: &CheckSpec, said: String) -> StepFailure {
    let help = "check that the project serves this path, or set another one with 'check' in projects.yaml; see cmdr \
                  status";
    Problem::new(format!("the check of {} failed", check.url)).detail(said).help(help).into()
}
