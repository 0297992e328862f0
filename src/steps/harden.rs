//! Tries a project with stricter security settings, each in a pod of its own, until one works.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        cluster::{Cluster, parse_manifest, trial::TrialState},
        helm::Template,
        kind::CONTAINER_BEHAVIOR,
        wait::{Wait, WaitError, every, pause},
    },
    domain::{Problem, container_behavior::ContainerBehavior, name::shortened},
    engine::{Reporter, StepFailure},
    plan::harden::{Candidate, HardenSpec, ROOT_CAPABILITIES, candidates, trial_pod},
};

const LOOK: Duration = Duration::from_millis(300);
/// How long a container must stay ready. What it writes later is not seen.
const SETTLED: Duration = Duration::from_secs(3);
/// How much longer than with the settings of the image a trial may take.
const SLOWER: Duration = Duration::from_secs(10);

/// The trials of one project.
struct Trials<'a> {
    runner: &'a Runner,
    cluster: &'a Cluster,
    spec: &'a HardenSpec,
    reporter: &'a Reporter,
    cancel: &'a CancellationToken,
    /// The name of the pod.
    pod: String,
}

impl Runner {
    /// # Errors
    /// If the project does not even work with the settings of its image, or the cluster returns an error.
    pub(super) async fn harden(
        &self,
        spec: &HardenSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let pod = shortened(&format!("{}-trial", spec.release.name));
        let trials = Trials { runner: self, cluster, spec, reporter, cancel, pod };
        let found = trials.find().await;
        cluster.delete_trial(&spec.release.namespace, &trials.pod).await?;
        let (candidate, behavior) = found?;
        let values = candidate.values();
        let summary = summary(&values, &behavior);
        reporter.values_found(values);
        Ok(Some(summary))
    }
}

impl Trials<'_> {
    /// The strictest settings that work, and what the project does without restrictions.
    async fn find(&self) -> Result<(Candidate, ContainerBehavior), StepFailure> {
        let image = Candidate::profile("image");
        let start = Instant::now();
        let limit = Duration::from_secs(self.spec.timeout_seconds);
        let container = match self.trial(&image, limit).await? {
            TrialState::Ready { container } => container,
            TrialState::Failed(cause) => return Err(self.does_not_work(&cause)),
            TrialState::Starting => return Err(self.does_not_work("it is not ready in time")),
        };
        let limit = start.elapsed() * 2 + SLOWER;
        let behavior = self.behavior(&container).await?;
        for candidate in candidates(&behavior) {
            if self.works(&candidate, limit).await? {
                return Ok((self.with_fewest_capabilities(candidate, limit).await?, behavior));
            }
        }
        Ok((image, behavior))
    }

    async fn works(&self, candidate: &Candidate, limit: Duration) -> Result<bool, StepFailure> {
        let text = Value::Object(candidate.security.clone());
        let text = if candidate.security.is_empty() { "the default".to_owned() } else { text.to_string() };
        match self.trial(candidate, limit).await? {
            TrialState::Ready { .. } => return Ok(true),
            TrialState::Failed(cause) => self.reporter.progress(format!("does not work with {text}: {cause}")),
            TrialState::Starting => self.reporter.progress(format!("does not work with {text}: not ready in time")),
        }
        Ok(false)
    }

    /// Takes away the capabilities that root does not need.
    async fn with_fewest_capabilities(&self, found: Candidate, limit: Duration) -> Result<Candidate, StepFailure> {
        let mut fewest = found;
        for capability in ROOT_CAPABILITIES {
            let Some(fewer) = fewest.without_capability(capability) else { continue };
            if self.works(&fewer, limit).await? {
                fewest = fewer;
            }
        }
        Ok(fewest)
    }

    /// Runs the project with these settings until it is ready and stays so, it fails, or the limit is reached.
    async fn trial(&self, candidate: &Candidate, limit: Duration) -> Result<TrialState, StepFailure> {
        let release = &self.spec.release;
        let values = candidate.apply(&release.content.values);
        let template = Template {
            name: &release.name,
            namespace: &release.namespace,
            chart: &release.chart,
            values: &values,
            cluster: None,
        };
        let manifest = self.runner.release.helm.template(&template, self.cancel).await?;
        let objects: Vec<Value> =
            parse_manifest(&manifest, &release.namespace)?.into_iter().map(|rendered| rendered.content).collect();
        let pod = trial_pod(&objects, &self.pod).ok_or_else(|| self.nothing_to_try())?;
        self.cluster.start_trial(&release.namespace, &pod, self.cancel).await?;
        let mut wait = Wait::new(every(LOOK), limit);
        loop {
            let state = self.cluster.trial_state(&release.namespace, &self.pod).await?;
            match state {
                TrialState::Starting => match wait.pause_or((), self.cancel).await {
                    Ok(()) => (),
                    Err(WaitError::Limit(())) => return Ok(TrialState::Starting),
                    Err(WaitError::Interrupted) => return Err(StepFailure::Interrupted),
                },
                TrialState::Ready { .. } => {
                    pause(SETTLED, self.cancel).await?;
                    return Ok(self.cluster.trial_state(&release.namespace, &self.pod).await?);
                }
                TrialState::Failed(_) => return Ok(state),
            }
        }
    }

    async fn behavior(&self, container: &str) -> Result<ContainerBehavior, StepFailure> {
        let local = self.runner.local()?;
        let command = ["sh", "-c", CONTAINER_BEHAVIOR, "container-behavior", container];
        let output = local.docker.exec(&local.node(), &command).await.map_err(|error| error.problem())?;
        if output.exit_code != 0 {
            let problem = Problem::new("cannot see what the container does on its node");
            return Err(problem.detail(output.stderr.trim()).into());
        }
        Ok(ContainerBehavior::parse(&output.stdout))
    }

    fn does_not_work(&self, cause: &str) -> StepFailure {
        let name = &self.spec.release.name;
        let problem = Problem::new(format!("'{name}' does not work with the settings of its image"));
        problem.detail(cause).help("let it become ready first: cmdr up prints why it does not").into()
    }

    fn nothing_to_try(&self) -> StepFailure {
        let name = &self.spec.release.name;
        let problem = Problem::new(format!("'{name}' has no Deployment, StatefulSet or DaemonSet"));
        problem.help("cmdr harden starts the project several times, which a Job may not expect").into()
    }
}

/// One line about the result.
fn summary(values: &Value, behavior: &ContainerBehavior) -> String {
    let works = if values.as_object().is_some_and(serde_json::Map::is_empty) {
        "works with the default settings"
    } else if values["security"].get("profile").is_some() {
        "works with this profile only"
    } else {
        "works with these values"
    };
    let users: Vec<String> = behavior.users.iter().map(u32::to_string).collect();
    format!("{works}; in its image it runs as user {}", users.join(" and "))
}
