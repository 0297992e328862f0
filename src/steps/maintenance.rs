//! Closes and opens the routes of projects. Nothing is reported as closed or open before a request has found it so.

use std::time::Duration;

use backon::BackoffBuilder;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Runner, rollout::RolloutTarget};
use crate::{
    adapters::wait::{Wait, WaitError, growing},
    domain::{Problem, ReleaseKey, objects::TRAEFIK},
    engine::{Reporter, StepFailure},
    plan::maintenance::{MaintenanceAction, MaintenanceStep, NAME, PURPOSE},
};

/// How long the page may take to start, its image included.
const PAGE_SECONDS: u64 = 120;
/// How long Traefik may take to read its objects.
const OBSERVED_WITHIN: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Runner {
    pub(super) async fn maintain(
        &self,
        step: &MaintenanceStep,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match &step.action {
            MaintenanceAction::Page(objects) => self.provide_page(objects, reporter, cancel).await,
            MaintenanceAction::Close { objects, urls } => {
                self.close(&step.project, objects).await?;
                self.await_answers((&step.project, urls), true, cancel).await
            }
            MaintenanceAction::Open { urls } => {
                // The routes first: a route without its middlewares is an error in Traefik's log.
                let project = (step.project.namespace.as_str(), Some(step.project.name.as_str()));
                self.delete_objects(project, &[(TRAEFIK, "IngressRoute"), (TRAEFIK, "Middleware")]).await?;
                self.await_answers((&step.project, urls), false, cancel).await
            }
            MaintenanceAction::RemovePage => {
                // The Deployment is last: it shows that there is something to remove.
                let all = [(TRAEFIK, "Middleware"), ("v1", "Service"), ("v1", "ConfigMap"), ("apps/v1", "Deployment")];
                self.delete_objects((&step.project.namespace, None), &all).await?;
                Ok(None)
            }
        }
    }

    async fn provide_page(
        &self,
        objects: &[Value],
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let mut targets = Vec::new();
        for object in objects {
            let (object, generation) = self.connected()?.cluster.apply_own(object).await?;
            if object.kind == "Deployment" {
                targets.push(RolloutTarget { object, meant: Some(generation) });
            }
        }
        Ok(Some(self.await_rollout(&targets, PAGE_SECONDS, reporter, cancel).await?))
    }

    /// Applies the objects in their order, then deletes those of routes that no longer exist.
    async fn close(&self, project: &ReleaseKey, objects: &[Value]) -> Result<(), StepFailure> {
        let cluster = &self.connected()?.cluster;
        let mut names = Vec::new();
        for object in objects {
            names.push(cluster.apply_own(object).await?.0.name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let project = (project.namespace.as_str(), Some(project.name.as_str()));
        Ok(cluster.delete_own((TRAEFIK, "IngressRoute"), PURPOSE, project, &names).await?)
    }

    async fn delete_objects(&self, project: (&str, Option<&str>), kinds: &[(&str, &str)]) -> Result<(), StepFailure> {
        for kind in kinds {
            self.connected()?.cluster.delete_own(*kind, PURPOSE, project, &[]).await?;
        }
        Ok(())
    }

    /// Requests each URL until the gateway answers in place of the project, or no longer does.
    async fn await_answers(
        &self,
        (project, urls): (&ReleaseKey, &[String]),
        is_closed: bool,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        self.find_balancer().await?;
        let mut found = None;
        for url in urls {
            found = Some(self.await_answer((&project.name, url), is_closed, cancel).await?);
        }
        let shown = |found: String| format!("{found} from {}", urls.join(", "));
        Ok(Some(found.map_or_else(|| format!("not requested: no URL of {} is known", project.name), shown)))
    }

    /// The gateway may know its new routes before the address of the page: then the answer has only a line of text.
    async fn await_answer(
        &self,
        (project, url): (&str, &str),
        is_closed: bool,
        cancel: &CancellationToken,
    ) -> Result<String, StepFailure> {
        let mut wait = Wait::new(growing(FIRST_PAUSE, LONGEST_PAUSE).build(), OBSERVED_WITHIN);
        loop {
            let mut is_without_page = false;
            let detail = match self.http.answer_of(url, is_closed).await {
                Ok(answer) if answer.is_in_maintenance == is_closed && (!is_closed || answer.is_html) => {
                    return Ok(answer.status.to_string());
                }
                Ok(answer) => {
                    is_without_page = answer.is_in_maintenance && is_closed;
                    format!("HTTP {} from {url}", answer.status)
                }
                Err(error) => format!("no response from {url}: {error}"),
            };
            let failure = StepFailure::from(not_observed(project, is_closed).detail(detail));
            match wait.pause_or(failure, cancel).await {
                Err(WaitError::Limit(_)) if is_without_page => return Ok("503 without the page".to_owned()),
                paused => paused?,
            }
        }
    }
}

/// The objects are there, but a request does not show their effect.
fn not_observed(project: &str, is_closed: bool) -> Problem {
    let (state, command) = if is_closed { ("closed", "on") } else { ("open", "off") };
    Problem::new(format!("'{project}' is not {state}: the gateway still answers as before")).help(format!(
        "see what Traefik reports about the objects {NAME}-{project}-*, then run cmdr maintenance {command} {project} again"
    ))
}
