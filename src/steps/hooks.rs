//! Runs Helm and watches the hooks that it waits for: Helm itself reports neither their pods nor their logs, and waits
//! until its timeout for those that can never end.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Connection, Runner,
    rollout::{Verdict, Watch},
};
use crate::{
    adapters::{
        cluster::{
            Object,
            rollout::{self, Progress, RolloutProblem},
        },
        helm::{HelmError, Upgrade, Upgraded},
    },
    domain::{Problem, ReleaseKey},
    engine::{Reporter, StepFailure},
};

/// Releases without hooks are done before this time, so that most cause no requests.
const START: Duration = Duration::from_secs(2);
/// How often hooks are assessed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Helm itself limits how long a hook may take.
const NEVER: Duration = Duration::from_hours(24);

/// The hooks of one Helm run.
struct Hooks<'a> {
    connection: &'a Connection,
    release: ReleaseKey,
    /// Jobs and pods that existed before: those of an earlier run.
    known: BTreeSet<String>,
}

impl Runner {
    /// Installs or upgrades a release. If one of its hooks can never end, Helm is interrupted.
    ///
    /// # Errors
    /// `Ok(Err)` with Helm's own error, and `Err` with the cause if a hook has failed.
    pub(super) async fn run_helm(
        &self,
        upgrade: &Upgrade<'_>,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Result<Upgraded, HelmError>, StepFailure> {
        let hooks = Hooks::of(self.connected()?, upgrade);
        let own = cancel.child_token();
        let mut run = pin!(self.release.helm.upgrade(&self.release.target, upgrade, &own));
        let problem = tokio::select! {
            done = &mut run => {
                let is_about_hooks = done.as_ref().is_err_and(HelmError::is_about_hooks);
                return match hooks.failed(is_about_hooks).await {
                    Some(problem) => Err(problem.into()),
                    None => Ok(done),
                };
            }
            problem = hooks.watch(reporter) => problem,
        };
        own.cancel();
        // Helm marks the release as failed.
        let _ = run.await;
        Err(problem.into())
    }
}

impl<'a> Hooks<'a> {
    fn of(connection: &'a Connection, upgrade: &Upgrade<'_>) -> Self {
        let known = connection.view().snapshot(upgrade.namespace).map(|snapshot| rollout::identities(&snapshot));
        let release = ReleaseKey::new(upgrade.namespace, upgrade.name);
        Self { connection, release, known: known.unwrap_or_default() }
    }

    /// Waits until a hook can no longer succeed; does not end otherwise.
    async fn watch(&self, reporter: &Reporter) -> Problem {
        let objects = self.started().await;
        let mut watch = Watch::new();
        let mut shown = String::new();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let (object, progress) = match self.current(&objects) {
                Some((object, progress)) if !progress.is_complete => (object, [Some(progress)]),
                _ => continue,
            };
            match watch.judge(&progress, NEVER) {
                Verdict::GiveUp(problem) => return self.explain(object, &problem).await,
                Verdict::Wait { status, warning } => {
                    if let Some(problem) = warning {
                        reporter.warn(self.explain(object, &problem).await);
                    }
                    let message = format!("helm hook {}: {status}", object.label());
                    if message != shown {
                        reporter.rollout(message.clone(), status);
                        shown = message;
                    }
                }
                Verdict::Complete => (),
            }
        }
    }

    /// Returns the hooks once Helm has stored its revision; never ends if there are none.
    async fn started(&self) -> Vec<Object> {
        loop {
            tokio::time::sleep(START).await;
            match self.connection.cluster.hooks(&self.release).await {
                Ok((true, objects)) if objects.is_empty() => std::future::pending().await,
                Ok((true, objects)) => return objects,
                // Helm is not there yet, or the account may not read this.
                Ok((false, _)) | Err(_) => (),
            }
        }
    }

    /// Returns why a hook has failed, after Helm has reported that one did.
    async fn failed(&self, is_about_hooks: bool) -> Option<Problem> {
        if !is_about_hooks {
            return None;
        }
        let (_, objects) = self.connection.cluster.hooks(&self.release).await.ok()?;
        let (object, progress) = self.current(&objects)?;
        let problem = progress.problems.into_iter().next().or(progress.unready).or(progress.running)?;
        Some(self.explain(object, &problem).await)
    }

    /// Returns the hook of this run that is not complete, or the last one.
    fn current<'b>(&self, objects: &'b [Object]) -> Option<(&'b Object, Progress)> {
        let mut found = None;
        for object in objects {
            let Some(mut snapshot) = self.connection.view().snapshot(&object.namespace) else { continue };
            let is_new = |uid: Option<&String>| uid.is_some_and(|uid| !self.known.contains(uid));
            snapshot.jobs.retain(|job| is_new(job.metadata.uid.as_ref()));
            if object.kind == "Pod" {
                snapshot.pods.retain(|pod| is_new(pod.metadata.uid.as_ref()));
            }
            let Some(progress) = rollout::assess(&snapshot, object, None) else { continue };
            let is_complete = progress.is_complete;
            found = Some((object, progress));
            if !is_complete {
                break;
            }
        }
        found
    }

    async fn explain(&self, object: &Object, problem: &RolloutProblem) -> Problem {
        let mut problem = self.connection.cluster.explain(problem, None).await;
        problem.message = format!("helm hook {}: {}", object.label(), problem.message);
        problem
    }
}
