//! Releases: installed or upgraded with Helm, annotated, restarted, removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use backon::BackoffBuilder;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Connection, Runner, rollout::RolloutTarget};
use crate::{
    adapters::{
        cluster::{ClusterError, Generation, Object, Rendered, parse_manifest, rollout},
        helm::{Helm, HelmError, HelmRollback, HelmTarget, Upgrade, Upgraded, definitions, pack},
        wait::{Wait, every, growing, pause},
    },
    domain::{
        Digest, ImageReference, Problem, causes::images::IMAGE_MOVED, drain_state::without_pods, labels,
        ledger::History, record::RecordedSource,
    },
    engine::{Reporter, StepFailure},
    plan::{DefinitionsSpec, DeploySpec, ReleaseSpec, Removal, ReturnSpec, RolloutSpec},
};

/// The number of releases that roll out at once on a local node, per CPU. The pods of hundreds of releases would slow
/// down each other until none is ready in time.
const ROLLOUTS_PER_PROCESSOR: usize = 16;
/// The same in a cluster with many nodes.
const ROLLOUTS_ELSEWHERE: usize = 64;
/// After this time, a release may be waiting for something else, and the next one starts.
const TURN: Duration = Duration::from_secs(30);

/// The maximum number of Helm calls for a release if the API server is unavailable.
const TRIES: u32 = 3;
/// The delay before the next call.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest delay while the platform is in work.
const LATER: Duration = Duration::from_secs(5);
/// A laptop that resumes from sleep, or a control plane that is being moved, is available within this time.
const AWAY: Duration = Duration::from_secs(30);

/// Where the releases of a run come from; their labels record it.
#[derive(Debug)]
pub struct ReleaseOrigin {
    pub workspace: String,
    pub environment: String,
    /// The commit of the workspace; `None` outside a repository.
    pub commit: Option<String>,
}

/// The settings and limits that all releases of a run share.
#[derive(Debug)]
pub struct ReleaseContext {
    pub helm: Helm,
    pub target: HelmTarget,
    pub origin: ReleaseOrigin,
    processes: Semaphore,
    rollouts: Semaphore,
}

impl ReleaseContext {
    /// `concurrency` is the number of Helm processes. `processors` is the number of CPUs of the local node; `None` for
    /// a cluster that cmdr did not create.
    pub fn new(
        helm: Helm,
        target: HelmTarget,
        origin: ReleaseOrigin,
        concurrency: u16,
        processors: Option<u32>,
    ) -> Self {
        let rollouts = processors.map_or(ROLLOUTS_ELSEWHERE, |count| count.max(1) as usize * ROLLOUTS_PER_PROCESSOR);
        Self { helm, target, origin, processes: Semaphore::new(concurrency.into()), rollouts: Semaphore::new(rollouts) }
    }

    /// Returns the labels of a release, which are also annotations of its workloads: they record its origin.
    fn labels(&self, spec: &ReleaseSpec) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            (labels::WORKSPACE.to_owned(), self.origin.workspace.clone()),
            (labels::ENVIRONMENT.to_owned(), self.origin.environment.clone()),
            (labels::PROJECT.to_owned(), spec.name.clone()),
            (labels::RECORD.to_owned(), spec.record.to_string()),
            (labels::FINGERPRINT.to_owned(), spec.fingerprint.clone()),
            (labels::VERSION.to_owned(), spec.content.version.clone()),
            (labels::CHART.to_owned(), spec.content.chart.label()),
        ]);
        labels.extend(spec.rollout_of.clone().map(|project| (labels::ROLLOUT.to_owned(), project)));
        if let Some(commit) = &self.origin.commit {
            labels.insert(labels::COMMIT.to_owned(), commit.clone());
        }
        labels
    }
}

impl Runner {
    pub(super) async fn deploy(
        &self,
        spec: &DeploySpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let connection = self.connected()?;
        // The view must be complete when Helm starts: what was there before is known by it.
        connection.view();
        let cluster = &connection.cluster;
        let DeploySpec { release, operation, .. } = spec;
        if let Some(revision) = operation.failed_revision() {
            reporter.progress(format!("marking revision {revision} as failed"));
            cluster.mark_release_failed(&release.namespace, &release.name, revision).await?;
        }
        for job in operation.retry_jobs() {
            cluster.delete_job(&release.namespace, job).await?;
        }
        self.open_entry(spec).await?;
        self.provide_files(release).await?;
        self.provide_pull_secrets(release, reporter, cancel).await?;
        let turn = tokio::select! {
            turn = self.release.rollouts.acquire() => turn,
            () = cancel.cancelled() => return Err(StepFailure::Interrupted),
        };
        let labels = self.release.labels(release);
        let (revision, objects) = self.upgrade(spec, &labels, reporter, cancel).await?;
        let targets = self.annotate(objects, &labels, cancel).await?;
        let mut rollout = pin!(self.await_rollout(&targets, release.timeout_seconds, reporter, cancel));
        let shown = tokio::select! {
            shown = &mut rollout => shown?,
            () = tokio::time::sleep(TURN) => {
                drop(turn);
                rollout.await?
            }
        };
        self.confirm_images(release, &targets).await?;
        self.note_references(spec, &targets).await?;
        let swept = if release.universal { self.sweep_files(&release.key()).await } else { None };
        let parts = [Some(format!("revision {revision}")), Some(shown).filter(|shown| !shown.is_empty()), swept];
        Ok(Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", ")))
    }

    /// Annotates workloads with their origin, and returns what to wait for.
    async fn annotate(
        &self,
        objects: Vec<Object>,
        labels: &BTreeMap<String, String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<RolloutTarget>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let mut targets = Vec::with_capacity(objects.len());
        for object in objects {
            let meant = if is_annotated(&object) {
                unless_expired(&object, once_reached(|| cluster.annotate(&object, labels), cancel).await?)?
            } else {
                None
            };
            targets.push(RolloutTarget { object, meant });
        }
        Ok(targets)
    }

    /// Applies CustomResourceDefinitions of a chart.
    pub(super) async fn apply_definitions(&self, spec: &DefinitionsSpec) -> Result<Option<String>, StepFailure> {
        let all = definitions(&spec.chart)?.into_iter();
        let wanted = all.filter(|definition| spec.definitions.get(&definition.name) == Some(&definition.checksum));
        let wanted = wanted.map(|definition| (definition.content, definition.checksum)).collect();
        self.connected()?.cluster.apply_definitions(wanted).await?;
        Ok(Some(spec.definitions.keys().cloned().collect::<Vec<_>>().join(", ")))
    }

    /// Writes the deployment to the ledger before anything is changed, so that an interrupted run is visible.
    async fn open_entry(&self, spec: &DeploySpec) -> Result<(), StepFailure> {
        let (Some(namespace), Some(entry)) = (&self.ledger, &spec.entry) else { return Ok(()) };
        self.keep_content(namespace, &spec.release).await?;
        let cluster = &self.connected()?.cluster;
        let open = |history: &mut History| history.open(entry.deployment.clone(), entry.healthy_seconds);
        Ok(cluster.update_history(namespace, &entry.subject, open).await?)
    }

    /// Stores the record of a release in the ledger, and its chart if nothing else has it.
    pub(super) async fn keep_content(&self, namespace: &str, release: &ReleaseSpec) -> Result<(), StepFailure> {
        let (cluster, ReleaseSpec { chart, content, .. }) = (&self.connected()?.cluster, release);
        if content.chart.source == RecordedSource::Kept {
            cluster.keep_chart(namespace, &content.chart.digest, &pack(chart)?).await?;
        }
        Ok(cluster.keep_record(namespace, content).await?)
    }

    /// Verifies that pods run the images of the record: a tag in the chart may have moved.
    async fn confirm_images(&self, spec: &ReleaseSpec, targets: &[RolloutTarget]) -> Result<(), StepFailure> {
        let view = self.connected()?.view();
        let running: BTreeSet<ImageReference> = targets
            .iter()
            .filter_map(|target| Some((view.snapshot(&target.object.namespace)?, &target.object)))
            .flat_map(|(snapshot, object)| rollout::running_images(&snapshot, object))
            .collect();
        let mut strangers = Vec::new();
        for image in unknown_images(&running, &spec.content.images) {
            if !self.is_deployed(&image, &spec.content.images).await {
                strangers.push(image.to_string());
            }
        }
        moved(strangers).map_or(Ok(()), |problem| Err(problem.into()))
    }

    /// Whether the registry knows a running image as one of the deployed ones: the node may have pulled the same image
    /// by another digest before.
    async fn is_deployed(&self, running: &ImageReference, deployed: &BTreeMap<String, Digest>) -> bool {
        for (name, digest) in deployed {
            let Ok(image) = ImageReference::parse(name).map(|image| image.with_digest(digest)) else { continue };
            if has_same_repository(&image, running) && self.registry.is_same_image(&image, running).await {
                return true;
            }
        }
        false
    }

    /// Writes to the ledger which ConfigMaps and Secrets the pods use.
    async fn note_references(&self, spec: &DeploySpec, targets: &[RolloutTarget]) -> Result<(), StepFailure> {
        let (Some(namespace), Some(entry)) = (&self.ledger, &spec.entry) else { return Ok(()) };
        let connection = self.connected()?;
        let workloads: Vec<&Object> = targets.iter().map(|target| &target.object).collect();
        let release_namespace = &spec.release.namespace;
        let snapshot = connection.view().snapshot(release_namespace).unwrap_or_default();
        let references = connection.cluster.references(release_namespace, &snapshot, &workloads).await?;
        if references.is_empty() {
            return Ok(());
        }
        let note = |history: &mut History| {
            if let Some(last) = history.deployments.last_mut() {
                last.references.clone_from(&references);
            }
        };
        Ok(connection.cluster.update_history(namespace, &entry.subject, note).await?)
    }

    /// Rolls back to a revision that Helm still has, and waits for its rollout.
    pub(super) async fn go_back(
        &self,
        back: &ReturnSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let RolloutSpec { release, timeout_seconds } = &back.rollout;
        reporter.progress(format!("helm: rolling back to revision {}", back.revision));
        let target = &self.release.target;
        let rollback = HelmRollback { release, revision: back.revision, timeout_seconds: *timeout_seconds };
        self.release.helm.rollback(target, &rollback, cancel).await?;
        let cluster = &self.connected()?.cluster;
        let mut targets = Vec::new();
        for Rendered { object, .. } in self.rendered_of(release).await? {
            let meant = if rollout::is_workload(&object) {
                unless_expired(&object, once_reached(|| cluster.generation(&object), cancel).await?)?
            } else {
                None
            };
            targets.push(RolloutTarget { object, meant });
        }
        let shown = self.await_rollout(&targets, *timeout_seconds, reporter, cancel).await?;
        Ok(Some(format!("rolled back to record {}, {shown}", back.record)))
    }

    async fn upgrade(
        &self,
        DeploySpec { release, policy, stopped, .. }: &DeploySpec,
        labels: &BTreeMap<String, String>,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(u32, Vec<Object>), StepFailure> {
        let description = format!("cmdr: record {}", release.record);
        let without_pods = stopped.then(|| without_pods(&release.content.values));
        let upgrade = Upgrade {
            name: &release.name,
            namespace: &release.namespace,
            chart: &release.chart,
            values: without_pods.as_ref().unwrap_or(&release.content.values),
            labels,
            description: &description,
            adopt: policy.adopt,
            repair: policy.repair,
            timeout_seconds: release.timeout_seconds,
        };
        let upgraded = self.call_helm(release, &upgrade, reporter, cancel).await?;
        let rendered = parse_manifest(&upgraded.manifest, &release.namespace)?;
        let objects = rendered.into_iter().map(|rendered| rendered.object).collect();
        Ok((upgraded.revision, objects))
    }

    /// Calls Helm, again if the API server is unavailable or the platform may still provide what was missing.
    async fn call_helm(
        &self,
        spec: &ReleaseSpec,
        upgrade: &Upgrade<'_>,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Upgraded, StepFailure> {
        let mut tries = 1;
        let mut wait = Wait::new(growing(AGAIN, LATER).build(), Duration::ZERO);
        loop {
            let error = match self.call_helm_once(upgrade, reporter, cancel).await? {
                Ok(upgraded) => return Ok(upgraded),
                Err(error) => error,
            };
            let message = error.problem().message;
            if let Some(limit) = error.missing().and_then(|missing| self.platform.patience(&spec.key(), missing)) {
                wait.limit = limit;
                reporter.progress(format!("helm: {message}; waiting for the platform"));
                wait.pause_or(error, cancel).await?;
            } else if error.is_transient() && tries < TRIES {
                tries += 1;
                reporter.progress(format!("helm: {message}; retrying"));
            } else {
                return Err(error.into());
            }
            self.await_free_release(spec, cancel).await?;
        }
    }

    /// Calls Helm when fewer than the limit of its processes run. Others have their turn while a release waits.
    async fn call_helm_once(
        &self,
        upgrade: &Upgrade<'_>,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Result<Upgraded, HelmError>, StepFailure> {
        let _turn = tokio::select! {
            turn = self.release.processes.acquire() => turn,
            () = cancel.cancelled() => return Err(StepFailure::Interrupted),
        };
        reporter.progress("running helm");
        self.run_helm(upgrade, reporter, cancel).await
    }

    /// Waits until the API server responds, and marks the release as failed if an interrupted request left it pending.
    async fn await_free_release(&self, spec: &ReleaseSpec, cancel: &CancellationToken) -> Result<(), StepFailure> {
        pause(AGAIN, cancel).await?;
        Ok(once_reached(|| self.free_release(spec), cancel).await??)
    }

    async fn free_release(&self, spec: &ReleaseSpec) -> Result<(), ClusterError> {
        let Some(Connection { cluster, .. }) = self.connection.get() else { return Ok(()) };
        let own = cluster.release(&spec.key()).await?;
        match own.filter(|found| found.status.starts_with("pending-")) {
            Some(found) => cluster.mark_release_failed(&spec.namespace, &spec.name, found.revision).await,
            None => Ok(()),
        }
    }

    pub(super) async fn remove(
        &self,
        removal: &Removal,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let claims = self.connected()?.cluster.keep_claims(&removal.release).await?;
        self.release.helm.uninstall(&self.release.target, &removal.release, cancel).await?;
        let failed = self.sweep_files(&removal.release).await;
        let named = if claims.is_empty() { String::new() } else { format!(": {}", claims.join(", ")) };
        let parts = [Some(format!("volumes are kept{named}")), failed].into_iter().flatten();
        Ok(Some(parts.collect::<Vec<_>>().join(", ")))
    }
}

/// Returns the running images from deployed repositories whose digests differ from the deployed ones. Images that were
/// deployed only by tag are not compared.
fn unknown_images(running: &BTreeSet<ImageReference>, deployed: &BTreeMap<String, Digest>) -> Vec<ImageReference> {
    let known: Vec<ImageReference> = deployed.keys().filter_map(|image| ImageReference::parse(image).ok()).collect();
    let is_unknown = |image: &&ImageReference| {
        image.digest.as_ref().is_some_and(|digest| deployed.values().all(|deployed| deployed != digest))
            && known.iter().any(|known| has_same_repository(known, image))
    };
    running.iter().filter(is_unknown).cloned().collect()
}

/// Returns the problem of images that run although they were not deployed.
fn moved(images: Vec<String>) -> Option<Problem> {
    (!images.is_empty()).then(|| Problem { details: images, ..IMAGE_MOVED.problem(&[]) })
}

fn has_same_repository(one: &ImageReference, other: &ImageReference) -> bool {
    one.registry == other.registry && one.repository == other.repository
}

/// Calls the API server again while it does not respond, for at most [`AWAY`].
async fn once_reached<T, F>(
    call: impl Fn() -> F + Send,
    cancel: &CancellationToken,
) -> Result<Result<T, ClusterError>, StepFailure>
where
    F: Future<Output = Result<T, ClusterError>> + Send,
{
    let mut wait = Wait::new(every(AGAIN), AWAY);
    loop {
        match call().await {
            Err(error) if error.is_unreachable() => wait.pause_or(error, cancel).await?,
            answer => return Ok(answer),
        }
    }
}

/// A Job that ended and was already deleted has no generation to wait for. The API server takes an annotation of it for
/// an incomplete new Job.
fn unless_expired(
    object: &Object,
    found: Result<Generation, ClusterError>,
) -> Result<Option<Generation>, ClusterError> {
    match found {
        Err(error) if object.expires && (error.is_status(404) || error.is_status(422)) => Ok(None),
        found => found.map(Some),
    }
}

/// Returns whether the object is annotated with its origin. The annotations do not restart pods.
fn is_annotated(object: &Object) -> bool {
    rollout::is_workload(object) || object.kind == "CronJob"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_whose_digest_was_deployed_can_be_others() {
        let digest = |letter: &str| Digest::of(letter.as_bytes());
        let deployed = BTreeMap::from([("localhost:5001/tunes/shop:1".to_owned(), digest("a"))]);
        let running = |images: &[(&str, &str)]| {
            let image =
                |(name, letter): &(&str, &str)| ImageReference::parse(&format!("{name}@{}", digest(letter))).unwrap();
            images.iter().map(image).collect::<BTreeSet<ImageReference>>()
        };
        let beside = running(&[("localhost:5001/tunes/shop", "a"), ("docker.io/library/nginx", "b")]);
        assert_eq!(unknown_images(&beside, &deployed), Vec::new());
        let moved = running(&[("localhost:5001/tunes/shop", "c")]);
        assert_eq!(unknown_images(&moved, &deployed), Vec::from_iter(moved));
    }

    #[test]
    fn images_that_were_not_deployed_are_named() {
        let problem = moved(vec!["localhost:5001/tunes/shop@sha256:c".to_owned()]).unwrap();
        assert_eq!((problem.code.as_deref(), problem.details.len()), (Some("C014"), 1));
        assert_eq!(moved(Vec::new()), None);
    }
}
