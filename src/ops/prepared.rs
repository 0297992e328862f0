//! An observed environment, the plan for it, and how both are shown.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    adapters::{
        cluster::{Cluster, is_from_before},
        helm::Helm,
        registry::Registry,
    },
    domain::{Digest, ImageReference, Name, Problem, labels},
    error::{CommandError, ErrorKind},
    ops::{
        builds::{BuildScope, Buildable, leave_for_later, settle},
        copies,
        dev::is_developed,
        logins::keep_logins,
        observe::{Observation, local_cluster, look},
        own_cluster::not_running,
        remote::prepare::Remote,
        secrets::external_secrets_in,
        session::{LocalAccess, Session},
        tags::registry,
    },
    plan::{
        CheckSpec, Operation, Plan, Planned, Refresh, ReleaseSpec, Step,
        up::{Described, Observed, ObservedCluster, up as plan_up},
    },
    settings::OutputFormat,
    steps::LocalCluster,
    ui,
};

/// An environment with its description and its observation. The target is a [`LocalTarget`], a [`Remote`], or, for
/// commands that only read, either of them.
#[derive(Debug)]
pub struct Prepared<T> {
    pub helm: Helm,
    pub described: Described,
    /// Empty before the first observation.
    pub observation: Observation,
    pub target: T,
}

/// The local cluster.
#[derive(Debug)]
pub struct LocalTarget {
    pub access: LocalAccess,
    /// The cluster as it is, or as it will be created.
    pub cluster: LocalCluster,
    /// The projects that are built here.
    pub buildable: Vec<Buildable>,
}

/// Where an environment runs.
#[derive(Debug)]
pub enum Target {
    Local(Box<LocalTarget>),
    Remote(Box<Remote>),
}

impl From<Prepared<LocalTarget>> for Prepared<Target> {
    fn from(prepared: Prepared<LocalTarget>) -> Self {
        let Prepared { helm, described, observation, target } = prepared;
        Self { helm, described, observation, target: Target::Local(Box::new(target)) }
    }
}

impl From<Prepared<Remote>> for Prepared<Target> {
    fn from(prepared: Prepared<Remote>) -> Self {
        let Prepared { helm, described, observation, target } = prepared;
        Self { helm, described, observation, target: Target::Remote(Box::new(target)) }
    }
}

impl<T> Prepared<T> {
    /// Returns the plan that brings the environment to its desired state.
    ///
    /// # Errors
    /// All releases that another tool manages.
    pub(crate) fn plan(&self) -> Result<Plan, CommandError> {
        self.planned_by(plan_up)
    }

    /// Returns the plan of `planner`.
    ///
    /// # Errors
    /// Those of `planner`.
    pub(crate) fn planned_by(
        &self,
        planner: impl Fn(&Described, &Observed) -> Result<Plan, Vec<Problem>>,
    ) -> Result<Plan, CommandError> {
        let mut plan = planner(&self.described, &self.observation.observed)
            .map_err(|problems| CommandError { problems, ..CommandError::reported(ErrorKind::Failed) })?;
        mark_builds(&mut plan);
        Ok(plan)
    }
}

impl Prepared<LocalTarget> {
    /// Notes which `cmdr dev` still run: what those have changed stays.
    async fn note_developed(&mut self, session: &Session) {
        for (key, release) in &mut self.observation.observed.releases {
            if let Some(developed) = &mut release.developed {
                developed.is_running = is_developed(session, &key.name).await;
            }
        }
    }

    /// Observes the current state of the cluster.
    ///
    /// # Errors
    /// When it is running but does not respond.
    pub(crate) async fn observe(&mut self, session: &Session, recreate: bool) -> Result<(), CommandError> {
        let access = &self.target.access;
        let state = local_cluster(access, recreate);
        if state != ObservedCluster::Running {
            self.observation.observed.cluster = state;
            return Ok(());
        }
        let kubeconfig = kubeconfig(session, access).await?;
        match look(&kubeconfig, session.workspace().as_str(), external_secrets_in(session)).await {
            // An earlier start did not wait for its pods: their status is from before the stop.
            Ok(observation) if is_from_before_start(access, &observation).await? => {
                self.observation.observed.cluster = ObservedCluster::Stopped;
            }
            Ok(observation) => self.take_over(session, observation).await?,
            // A killed stop may have ended its pods: starting the cluster repairs that.
            Err(error) if error.is_unreachable() => self.observation.observed.cluster = ObservedCluster::Stopped,
            Err(error) => return Err(CommandError::failed(error.problem())),
        }
        Ok(())
    }

    /// Uses an observation of the running cluster.
    ///
    /// # Errors
    /// When the user's certificates or Docker's configuration cannot be read.
    pub(crate) async fn take_over(&mut self, session: &Session, observation: Observation) -> Result<(), CommandError> {
        observation.unreadable.iter().for_each(|warning| session.note(warning));
        let releases = &observation.observed.releases;
        for release in self.described.projects.iter_mut().map(|project| &mut project.release) {
            if let Some(found) = releases.get(&release.key()) {
                release.keep_digests(found);
            }
        }
        self.observation = observation;
        self.note_developed(session).await;
        self.recognize_images(session).await
    }

    /// Adds the resolved digests of a refresh to those that pods run, where the registry knows both as one image: a node
    /// that pulled an image by another digest before reports that one.
    async fn recognize_images(&mut self, session: &Session) -> Result<(), CommandError> {
        if self.described.policy.refresh != Refresh::ByPods {
            return Ok(());
        }
        let registry = registry(session)?;
        for release in self.described.projects.iter().map(|project| &project.release) {
            let Some(found) = self.observation.observed.releases.get_mut(&release.key()) else { continue };
            if found.labels.get(labels::FINGERPRINT) != Some(&release.fingerprint) {
                continue;
            }
            for (name, digest) in &release.content.images {
                if let Ok(image) = ImageReference::parse(name).map(|image| image.with_digest(digest))
                    && !found.digests.contains(digest)
                    && runs_as(&registry, &image, &found.digests).await
                {
                    found.digests.insert(digest.clone());
                }
            }
        }
        Ok(())
    }

    /// Returns the plan without what must be built first.
    ///
    /// # Errors
    /// As [`Prepared::plan`].
    pub(crate) fn plan_first(&mut self) -> Result<Plan, CommandError> {
        leave_for_later(&mut self.described);
        self.plan()
    }

    /// Finds the registry of this machine, and what must be built before the rest.
    ///
    /// # Errors
    /// As [`settle`].
    pub(crate) async fn settle(&mut self, session: &Session, due: BuildScope<'_>) -> Result<(), CommandError> {
        keep_logins(session, &mut self.described).await?;
        let LocalTarget { access, cluster, buildable } = &mut self.target;
        let registry = settle(session, &access.docker, &mut self.described, buildable, due).await?;
        self.observation.observed.registry = registry.found;
        let workspace = session.workspace().as_str();
        let forwarders = access.docker.forwarders(Some(workspace)).await?;
        let copy = session.environment.copy_name();
        self.observation.observed.forwarder = forwarders.into_iter().find(|it| it.copy.as_deref() == copy);
        cluster.registry = registry.wanted;
        Ok(())
    }
}

/// Says of projects that are built first what is not known before: whether their images differ from what runs.
fn mark_builds(plan: &mut Plan) {
    let specs = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Build(spec) => Some(spec),
        _ => None,
    });
    let built: BTreeSet<String> =
        specs.flat_map(|spec| [&spec.project].into_iter().chain(&spec.shared_by)).map(Name::to_string).collect();
    let (later, unchanged) = plan.unchanged.drain(..).partition(|name| built.contains(name));
    (plan.after_builds, plan.unchanged) = (later, unchanged);
    for planned in &mut plan.steps {
        if let Step::Deploy(spec) = &planned.step
            && spec.operation == Operation::Upgrade
            && built.contains(&spec.release.name)
        {
            "its image is built first".clone_into(&mut planned.reason);
        }
    }
}

/// Whether one of the running digests is the same image.
async fn runs_as(registry: &Registry, image: &ImageReference, running: &BTreeSet<Digest>) -> bool {
    for digest in running {
        if registry.is_same_image(image, &image.with_digest(digest)).await {
            return true;
        }
    }
    false
}

/// The kubeconfig of the environment's cluster. A missing or wrong file of a local cluster is written again.
async fn kubeconfig(session: &Session, access: &LocalAccess) -> Result<std::path::PathBuf, CommandError> {
    let file = access.folder.kubeconfig();
    if !access.api_port().is_none_or(|port| access.folder.points_to(port)) {
        let _ = std::fs::create_dir_all(&access.folder.0);
        access
            .kind
            .export_kubeconfig(session.workspace().as_str(), &file, &session.cancel)
            .await
            .map_err(|error| CommandError::failed(error.problem()))?;
    }
    Ok(file)
}

/// Connects to the local cluster, which must be running, and must have the session's copy.
///
/// # Errors
/// When it is not running, its kubeconfig cannot be read, or the copy does not exist.
pub(crate) async fn running_cluster(session: &Session) -> Result<Cluster, CommandError> {
    let access = session.local().await?;
    if local_cluster(&access, false) != ObservedCluster::Running {
        return Err(not_running());
    }
    let cluster = cluster_of(session, &access).await?;
    copies::require_in(session, &cluster).await?;
    Ok(cluster)
}

/// Connects to the local cluster, whatever is in it.
///
/// # Errors
/// When its kubeconfig cannot be read.
pub(crate) async fn cluster_of(session: &Session, access: &LocalAccess) -> Result<Cluster, CommandError> {
    let file = kubeconfig(session, access).await?;
    Cluster::open(&file, None).await.map_err(|error| CommandError::failed(error.problem()))
}

/// Whether the API's status of a local cluster's pods is from before its node was started.
async fn is_from_before_start(access: &LocalAccess, observation: &Observation) -> Result<bool, CommandError> {
    let (Some(node), Some(since)) = (&access.node, observation.running_since) else { return Ok(false) };
    let node_start = access.docker.started_at(&node.name).await?;
    Ok(node_start.is_some_and(|start| is_from_before(since, start)))
}

pub(crate) fn show_urls(session: &Session, urls: &[String]) {
    if session.settings.output == OutputFormat::Json {
        return;
    }
    let lines: String = urls.iter().map(|url| format!("{url}\n")).collect();
    ui::print(&lines);
}

pub(crate) fn show_plan(session: &Session, described: &Described, plan: &Plan) {
    match session.settings.output {
        OutputFormat::Json => ui::print(&format!("{}\n", json!(PlanDocument::of(described, plan)))),
        OutputFormat::Text => ui::print(&render_plan(plan)),
    }
}

/// The plan as text: one line per step, with its reason.
fn render_plan(plan: &Plan) -> String {
    let rows: Vec<Vec<String>> = plan
        .changes()
        .map(|planned| vec![format!("{} {}", planned.step.action(), planned.step.subject()), planned.reason.clone()])
        .collect();
    let mut text = ui::table::table(&rows);
    if rows.is_empty() {
        text.push_str("nothing to do\n");
    }
    if !plan.after_builds.is_empty() {
        text.push_str(&format!("deployed if their builds differ: {}\n", plan.after_builds.join(", ")));
    }
    if plan.steps.iter().any(|planned| matches!(planned.step, Step::StartCluster)) {
        text.push_str("further steps are planned when the cluster is running\n");
    }
    for note in &plan.notes {
        text.push_str(&format!("{note}\n"));
    }
    for change in &plan.postponed {
        text.push_str(&format!("{}\n", postponed(change)));
    }
    for drift in &plan.drifted {
        text.push_str(&format!("not reverted: {drift} (revert it with --repair)\n"));
    }
    if !plan.unchanged.is_empty() {
        text.push_str(&format!("{} unchanged: {}\n", plan.unchanged.len(), plan.unchanged.join(", ")));
    }
    text
}

/// The line about what `start` leaves to `up`.
pub(crate) fn postponed(change: &str) -> String {
    format!("not deployed: {change} (deploy it with cmdr up)")
}

/// The plan with every described release, as data.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument {
    pub steps: Vec<PlanChange>,
    /// Releases that need no change.
    pub unchanged: Vec<String>,
    /// Drift that is not reverted.
    pub drifted: Vec<String>,
    /// Projects that are deployed if their builds differ from what runs.
    pub after_builds: Vec<String>,
    /// What `start` leaves to `up`.
    pub postponed: Vec<String>,
    /// Whether more is known when the cluster runs or the images are built.
    pub preliminary: bool,
    pub releases: Vec<PlannedRelease>,
}

/// A step that changes something.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanChange {
    pub subject: String,
    pub action: String,
    pub reason: String,
}

/// A release as projects.yaml describes it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlannedRelease {
    pub name: String,
    pub namespace: String,
    /// A folder or an archive on this machine.
    pub chart: PathBuf,
    pub record: String,
    pub version: String,
    pub values: serde_json::Value,
    pub needs: Vec<String>,
    pub checks: Vec<PlannedCheck>,
}

/// A URL that is checked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlannedCheck {
    pub url: String,
    /// The expected status; `null` allows any response.
    pub status: Option<u16>,
}

impl PlanDocument {
    fn of(described: &Described, plan: &Plan) -> Self {
        let change = |planned: &Planned| PlanChange {
            subject: planned.step.subject(),
            action: planned.step.action().to_owned(),
            reason: planned.reason.clone(),
        };
        let platform =
            described.platform.iter().map(|it| PlannedRelease::of(it, described.order.needs_of(&it.name), &[]));
        let projects = described.projects.iter().map(|it| PlannedRelease::of(&it.release, &it.needs, &it.checks));
        Self {
            steps: plan.changes().map(change).collect(),
            unchanged: plan.unchanged.clone(),
            drifted: plan.drifted.clone(),
            after_builds: plan.after_builds.clone(),
            postponed: plan.postponed.clone(),
            preliminary: plan.preliminary,
            releases: platform.chain(projects).collect(),
        }
    }
}

impl PlannedRelease {
    fn of(release: &ReleaseSpec, needs: &[Name], checks: &[CheckSpec]) -> Self {
        let checks = checks.iter().map(|check| PlannedCheck { url: check.url.clone(), status: check.status });
        Self {
            name: release.name.clone(),
            namespace: release.namespace.clone(),
            chart: release.chart.clone(),
            record: release.record.to_string(),
            version: release.content.version.clone(),
            values: json!(release.content.values),
            needs: needs.iter().map(ToString::to_string).collect(),
            checks: checks.collect(),
        }
    }
}
