//! The proof: a real request to each URL.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Runner, pause};
use crate::{
    domain::Diagnosis,
    engine::{Reporter, StepFailure},
    plan::{CheckSpec, up::INGRESS},
};

/// Nobody answers yet: a cluster that was just woken starts its pods one by one, and a busy laptop takes its time.
const NOBODY: Duration = Duration::from_secs(90);
/// The ingress answers that it knows no such route, or no pod behind it: routes are known a moment after pods are.
const NO_ROUTE: Duration = Duration::from_mins(1);
/// The project itself answers with another status: it will hardly change its mind.
const OTHERWISE: Duration = Duration::from_secs(10);
/// Between two requests: short at first, since most routes are there at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A request costs next to nothing, and a second more of waiting is felt.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

impl Runner {
    pub(super) async fn check(
        &self,
        check: &CheckSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let start = Instant::now();
        let mut wait = FIRST_PAUSE;
        reporter.progress(check.url.clone());
        self.find_balancer().await?;
        loop {
            let answer = self.http.status(&check.url).await;
            let (said, patience) = match answer {
                Ok(status) if status == check.status => return Ok(Some(format!("{status} from {}", check.url))),
                Ok(status) => {
                    let patience = if matches!(status, 404 | 502..=504) { NO_ROUTE } else { OTHERWISE };
                    (format!("it answers {status}, and {} is expected", check.status), patience)
                }
                Err(error) => (format!("nobody answers: {error}"), NOBODY),
            };
            if start.elapsed() >= patience {
                return Err(unproven(check, said));
            }
            pause(wait, cancel).await?;
            wait = (wait * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Runner {
    /// A new environment's hosts may not be in any name server yet: its load balancer answers for them.
    /// Where somebody else provides it, name servers alone tell.
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
    let remedy = "see that the project serves this path ('check' in projects.yaml names another), and cmdr status";
    Diagnosis::new(format!("{} does not answer as it should", check.url)).detail(said).remedy(remedy).into()
}
