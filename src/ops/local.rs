//! The local environment: from what is described to what runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::{
    adapters::{cluster::Cluster, docker::Docker, host, wait::pause},
    domain::{ImageReference, Name, Problem, ports},
    error::{CommandError, ErrorKind},
    ops::{
        builds::{BuildScope, Buildable, adopt_builds},
        copies,
        describe::describe,
        driver::{Freshness, PlannedRun, Run, RunProgress, drive},
        exit::RunEnd,
        exposed,
        failed_projects::FailedProjects,
        local_run,
        locks::{LockScope, RunLock},
        observe::{Observation, local_cluster},
        options::{ChangeRequest, UpRequest},
        own_cluster,
        prepared::{LocalTarget, Prepared, running_cluster, show_plan, show_urls},
        run_plan::RunResult,
        selection::Selection,
        session::{LocalAccess, Session, docker_lookup},
        tags::{pin, registry},
    },
    plan::{
        Plan, Step, check_all,
        start::start,
        up::{Described, ObservedCluster},
    },
    steps::{Connection, Decrypted, LocalCluster, PlatformWork, Runner},
};

/// How often `wait` looks for a cluster that does not run yet.
const CLUSTER_INTERVAL: Duration = Duration::from_secs(1);
/// How long an observation is used again after builds.
const RECENT_SECONDS: i64 = 30;
/// Bytes that a cluster with its images needs on the engine's disk.
const LEAST_DISK: u64 = 5_000_000_000;

/// The purpose of a run on the local environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Up,
    /// Start what is deployed, check it and the network, and report what `up` would change.
    Start,
    /// Check what is deployed, and leave it unchanged.
    Check(&'static str),
}

impl Purpose {
    fn verb(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Start => "start",
            Self::Check(verb) => verb,
        }
    }
}

/// Brings the local environment to its described state, or only checks it. The network of a cluster that was stopped is
/// checked too. `lock` is the cluster's lock, if the caller already holds it.
///
/// # Errors
/// When the environment cannot be brought to the described state; the error's kind is the exit code.
pub(crate) async fn bring(
    session: &Session,
    request: &UpRequest,
    purpose: Purpose,
    lock: Option<RunLock>,
) -> Result<(), CommandError> {
    if !session.settings.dry_run && !matches!(purpose, Purpose::Check(_)) {
        local_run::refuse_active(session, request, purpose == Purpose::Up)?;
        local_run::recover(session).await;
    }
    let (recreate, was_started) = (request.recreate, purpose != Purpose::Up);
    let due = BuildScope::of(request);
    let needs_cluster = was_started;
    let kept = KeptState::default();
    let failed = FailedProjects::default();
    let run =
        LocalRun { session, request, purpose, lock, recreate, was_started, needs_cluster, plans: 0, due, kept, failed };
    let urls = drive(session, run).await?;
    let docker = Docker::connect(&docker_lookup(&session.settings)).await?;
    show_urls(session, &[urls, exposed::shown(session, &docker).await?].concat());
    Ok(())
}

/// A run on the local environment.
struct LocalRun<'a> {
    session: &'a Session,
    request: &'a UpRequest,
    purpose: Purpose,
    lock: Option<RunLock>,
    /// Whether an existing cluster is still to be deleted first.
    recreate: bool,
    /// Whether the cluster was started: then its network is checked.
    was_started: bool,
    /// Whether more than the namespace of the environment or copy changes.
    needs_cluster: bool,
    /// How many plans were made for the running cluster.
    plans: usize,
    /// The builds that are still to be run.
    due: BuildScope<'a>,
    /// What the previous plan has found and left as it was.
    kept: KeptState,
    /// What failed in the previous plans.
    failed: FailedProjects,
}

/// What a plan of builds leaves as it was, for the plan after it.
#[derive(Default)]
struct KeptState {
    observation: Option<Observation>,
    connection: Option<Arc<OnceCell<Connection>>>,
}

impl KeptState {
    /// The observation, if it is recent: pods may change by themselves.
    fn recent(&mut self) -> Option<Observation> {
        let is_recent = |at: Timestamp| Timestamp::now().duration_since(at).as_secs() < RECENT_SECONDS;
        self.observation.take().filter(|observation| observation.observed.at.is_some_and(is_recent))
    }
}

impl Run for LocalRun<'_> {
    type Target = LocalTarget;

    async fn describe(&self) -> Result<Prepared<LocalTarget>, CommandError> {
        let mut prepared = prepare(self.session, self.request, self.recreate).await?;
        self.failed.leave_out(&mut prepared);
        Ok(prepared)
    }

    /// The lock of this machine costs nothing: it is taken before the cluster is observed, even if nothing changes. A
    /// plan that changes more than one namespace needs the whole cluster.
    fn needs_lock(&self, _: &Prepared<LocalTarget>, plan: Option<&Plan>) -> bool {
        let is_enough = |lock: &RunLock| {
            lock.scope == LockScope::Cluster || !plan.is_some_and(|plan| changes_cluster(self.session, plan))
        };
        !self.lock.as_ref().is_some_and(is_enough) && !self.is_preview()
    }

    async fn lock(&mut self, prepared: &Prepared<LocalTarget>) -> Result<Freshness, CommandError> {
        let access = &prepared.target.access;
        let was_observed = self.lock.take().is_some();
        self.needs_cluster |= was_observed || local_cluster(access, self.recreate) != ObservedCluster::Running;
        let scope = if self.needs_cluster { LockScope::Cluster } else { LockScope::Namespace };
        let lock = self.session.lock(access, scope).await?;
        // The previous holder may have created or deleted the cluster.
        let is_same = self.session.node(&access.docker).await? == access.node;
        // A lock on one namespace does not protect another cluster than the one that was found.
        self.lock = Some(lock).filter(|_| is_same || self.needs_cluster);
        Ok(if is_same && !was_observed { Freshness::Current } else { Freshness::Outdated })
    }

    async fn plan(&mut self, prepared: &mut Prepared<LocalTarget>) -> Result<Plan, CommandError> {
        match self.kept.recent() {
            Some(observation) => prepared.take_over(self.session, observation).await?,
            None => prepared.observe(self.session, self.recreate).await?,
        }
        prepared.observation.observed.was_started = self.was_started;
        copies::note_ports_of_node(self.session);
        copies::note_abandoned(self.session, &prepared.observation.observed.copies).await;
        if let Purpose::Check(_) = self.purpose {
            return Ok(check_all::check_all(&prepared.described, &prepared.observation.observed));
        }
        let Prepared { described, observation, .. } = &mut *prepared;
        copies::prepare(self.session, self.request, (described, &observation.observed))?;
        prepared.settle(self.session, self.due).await?;
        if self.purpose == Purpose::Up {
            exposed::refuse_taken(self.session, prepared).await?;
        }
        let plan = match self.purpose {
            Purpose::Start => prepared.planned_by(start),
            _ if self.is_preview() => prepared.plan(),
            _ => prepared.plan_first(),
        }?;
        // A later plan of the same run finds the volumes that the first one has created.
        self.plans += usize::from(prepared.observation.observed.cluster == ObservedCluster::Running);
        if self.plans == 1 {
            copies::note_unused_data(self.session, self.request, &plan);
        }
        Ok(plan)
    }

    fn is_preview(&self) -> bool {
        self.session.settings.dry_run
    }

    async fn preview(&self, planned: &PlannedRun<LocalTarget>) -> Result<(), CommandError> {
        show_plan(self.session, &planned.prepared.described, &planned.plan);
        Ok(())
    }

    /// Asks before `--recreate` deletes a cluster; the rest is the user's own.
    async fn confirm(&self, planned: &PlannedRun<LocalTarget>) -> Result<(), CommandError> {
        let is_lost = self.recreate && planned.prepared.target.access.node.is_some();
        if is_lost { own_cluster::confirm(self.session, &planned.prepared.target.access).await } else { Ok(()) }
    }

    async fn execute(
        &mut self,
        planned: PlannedRun<LocalTarget>,
        decrypted: Decrypted,
    ) -> Result<RunProgress, CommandError> {
        let PlannedRun { prepared, plan } = planned;
        let platform = PlatformWork::of(&plan, &prepared.described.platform);
        adopt_builds(self.session, &prepared.target.buildable)?;
        let runner = self.session.runner(prepared.helm, prepared.target.cluster).await?;
        let connection = self.kept.connection.take().unwrap_or_default();
        let runner = Runner { decrypted, platform, connection: Arc::clone(&connection), ..runner };
        let RunResult { end, summary, urls } =
            self.session.run_plan(self.purpose.verb(), &plan, Arc::new(runner), &self.session.cancel).await;
        let known = self.session.loaded.workspace.projects.keys().cloned().collect();
        let goes_on = end == RunEnd::Failed && plan.preliminary && self.failed.add(&known, &plan, &summary);
        if !goes_on {
            end.into_result()?;
        }
        (self.recreate, self.due) = (false, BuildScope::Missing);
        self.was_started |= plan.steps.iter().any(|planned| matches!(planned.step, Step::StartCluster));
        if plan.only_builds() {
            self.kept = KeptState { observation: Some(prepared.observation), connection: Some(connection) };
        }
        if plan.preliminary {
            return Ok(RunProgress::Continues);
        }
        std::mem::take(&mut self.failed).into_result()?;
        Ok(RunProgress::Done(urls))
    }

    async fn release(self) {}
}

/// Whether a plan changes the cluster or its platform.
fn changes_cluster(session: &Session, plan: &Plan) -> bool {
    plan.steps.iter().any(|planned| match &planned.step {
        Step::DeleteCluster | Step::CreateCluster | Step::StartCluster => true,
        Step::Deploy(spec) => spec.release.namespace != session.environment.namespace,
        _ => false,
    })
}

/// Reads and checks everything that can be known without observing the cluster; changes nothing.
pub(crate) async fn prepare(
    session: &Session,
    options: &UpRequest,
    recreate: bool,
) -> Result<Prepared<LocalTarget>, CommandError> {
    refuse_foreign_options(options)?;
    copies::refuse_options(session, options)?;
    let selection = Selection::choose(session, options)?;
    let (helm, access) = tokio::try_join!(session.helm(), session.local())?;
    let cluster = local_of(session, &access, recreate).await?;
    let mut described = describe(session, &helm, &selection, options, cluster.ports()).await?;
    described.data_from = copies::snapshot_source(session, &access.docker, options).await?;
    if options.refresh {
        // A build has its digest, and a project that is not built yet has none.
        let uses_build = |it: &&Buildable| it.built.is_some() || it.is_needed || options.build;
        let built: BTreeSet<Name> =
            selection.buildable.iter().filter(uses_build).map(|it| it.project.clone()).collect();
        pin(session, &registry(session)?, (&selection, &built), &BTreeMap::new(), &mut described).await?;
    }
    if let Some(networks) = access.folder.networks().filter(|_| access.node.is_some() && !recreate) {
        described.forwarder.networks = networks;
    }
    let target = LocalTarget { access, cluster, buildable: selection.buildable };
    Ok(Prepared { helm, described, observation: Observation::default(), target })
}

/// Refuses options for environments with a ledger, instead of ignoring them in `local`.
fn refuse_foreign_options(options: &UpRequest) -> Result<(), CommandError> {
    if !options.tags.is_empty() {
        let cause = "not supported in the environment 'local', which runs builds: --tag";
        let help = "write the image to projects.local.yaml, or choose another environment with --env";
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    let mut given = options.change.given();
    given.extend(options.from_ledger.as_ref().map(|_| "--from-ledger"));
    refuse_given(&given)
}

/// Refuses these options, which were given in `local`.
fn refuse_given(given: &[&str]) -> Result<(), CommandError> {
    if given.is_empty() {
        return Ok(());
    }
    let cause = format!("not supported in the environment 'local', which has no ledger: {}", given.join(", "));
    Err(CommandError::usage(Problem::new(cause).help("choose another environment with --env")))
}

/// Refuses the options of a change in another environment.
///
/// # Errors
/// When any was given.
pub(crate) fn refuse_change_options(options: &ChangeRequest) -> Result<(), CommandError> {
    refuse_given(&options.given())
}

/// Returns the running local cluster for the steps of a plan. Nothing is locked.
///
/// # Errors
/// When the cluster is not running.
pub(crate) async fn running_local(session: &Session) -> Result<LocalCluster, CommandError> {
    let access = running(session).await?;
    local_of(session, &access, false).await
}

async fn running(session: &Session) -> Result<LocalAccess, CommandError> {
    let access = session.local().await?;
    if local_cluster(&access, false) == ObservedCluster::Running { Ok(access) } else { Err(own_cluster::not_running()) }
}

/// Waits until the local cluster runs, which another run may be creating or starting. Returns how much of the time is
/// left.
///
/// # Errors
/// When it does not run in time, or the command is interrupted.
pub(crate) async fn wait_until_running(session: &Session, timeout: Duration) -> Result<Duration, CommandError> {
    let start = Instant::now();
    let mut is_noted = false;
    let mut access = session.local().await?;
    while local_cluster(&access, false) != ObservedCluster::Running {
        if !is_noted {
            session.note("the local cluster is not running: waiting for it");
            is_noted = true;
        }
        if start.elapsed() >= timeout {
            return Err(own_cluster::not_running());
        }
        pause(CLUSTER_INTERVAL, &session.cancel).await.map_err(|_| CommandError::reported(ErrorKind::Interrupted))?;
        access.node = session.node(&access.docker).await?;
    }
    Ok(timeout.saturating_sub(start.elapsed()))
}

/// Runs a plan on the running local cluster.
///
/// # Errors
/// When the cluster is not running, another run holds its lock, or a step fails.
pub(crate) async fn run_locked(session: &Session, verb: &str, plan: &Plan) -> Result<(), CommandError> {
    let (runner, _lock) = runner_of(session).await?;
    session.execute(verb, plan, runner).await.map(drop)
}

/// Plans with the lock of the running local cluster, so that the plan is as new as the lock, and runs it. With `--dry-run`
/// it only shows the plan.
///
/// # Errors
/// When the cluster is not running, another run holds its lock, or a step fails; and those of `plan`.
pub(crate) async fn run_planned(
    session: &Session,
    verb: &str,
    plan: impl AsyncFnOnce(&Cluster) -> Result<Plan, CommandError>,
) -> Result<(), CommandError> {
    if session.settings.dry_run {
        show_plan(session, &Described::default(), &plan(&running_cluster(session).await?).await?);
        return Ok(());
    }
    let (runner, _lock) = runner_of(session).await?;
    let plan = plan(&running_cluster(session).await?).await?;
    if plan.has_changes() { session.execute(verb, &plan, runner).await.map(drop) } else { Ok(()) }
}

/// The cluster as it is, or as it will be created; refuses one that cannot be created before anything is changed.
async fn local_of(session: &Session, access: &LocalAccess, recreate: bool) -> Result<LocalCluster, CommandError> {
    let image = node_image(session, access)?;
    let made = access.node.as_ref().filter(|_| !recreate && !access.folder.is_unfinished());
    let (http_port, https_port) = match made.and_then(|_| access.published_ports()) {
        Some(ports) => {
            note_differences(session, access, &image);
            ports
        }
        None => ports_to_take(session, access, recreate).await?,
    };
    let tag = image.tag.as_deref().unwrap_or_default().trim_start_matches('v');
    Ok(LocalCluster {
        docker: access.docker.clone(),
        kind: access.kind.clone(),
        name: session.workspace().to_string(),
        folder: access.folder.clone(),
        copy: session.environment.copy_name().map(str::to_owned),
        kubernetes: semver::Version::parse(tag).ok(),
        node_image: image,
        http_port,
        https_port,
        mirrors: session.user.mirrors.images.clone(),
        registry: Vec::new(),
        certificate_authority: session.certificate_authority()?,
        networks: session.environment.networks,
        proxies: session.settings.variables.proxies.clone(),
    })
}

/// The node image: that of the variable, of the Kubernetes version in projects.yaml, or kind's default.
fn node_image(session: &Session, access: &LocalAccess) -> Result<ImageReference, CommandError> {
    let unknown = || {
        let version = access.kind.version();
        let cause = format!("kind {version} is newer than this cmdr, and its Kubernetes version is unknown");
        let help = "set the version in environments.local.kubernetes in projects.yaml";
        CommandError::usage(Problem::new(cause).help(help))
    };
    let text = match (&session.settings.variables.node_image, &session.environment.kubernetes) {
        (Some(image), _) => image.clone(),
        (None, Some(version)) => format!("kindest/node:v{}", whole_version(version)),
        (None, None) => format!("kindest/node:v{}", access.kind.default_node().ok_or_else(unknown)?),
    };
    ImageReference::parse(&text)
        .map_err(|error| CommandError::usage(Problem::new(format!("invalid node image '{text}': {error}"))))
}

/// kind publishes an image at least for the first patch release of each minor version.
fn whole_version(version: &str) -> String {
    let version = version.trim_start_matches('v');
    if version.matches('.').count() >= 2 { version.to_owned() } else { format!("{version}.0") }
}

/// Reports the differences that cannot change while the cluster exists.
fn note_differences(session: &Session, access: &LocalAccess, image: &ImageReference) {
    let Some(node) = &access.node else { return };
    let mut differences = Vec::new();
    if node.image != image.to_string() {
        differences.push(format!("its node image is {}, but {image} is configured", node.image));
    }
    let wanted = (session.environment.http_port, session.environment.https_port);
    if let Some((http, https)) = access.published_ports()
        && (wanted.0.is_some_and(|port| port != http) || wanted.1.is_some_and(|port| port != https))
    {
        differences.push(format!("its ports are {http} and {https}, but projects.yaml sets others"));
    }
    let networks = session.environment.networks;
    if let Some(made) = access.folder.networks().filter(|made| *made != networks) {
        let what = "its networks of Pods and Services are";
        differences.push(format!("{what} {made}, but {networks} are configured"));
    }
    for difference in differences {
        session.note(&format!("the cluster is left unchanged: {difference}; only cmdr up --recreate changes that"));
    }
}

async fn ports_to_take(session: &Session, access: &LocalAccess, recreate: bool) -> Result<(u16, u16), CommandError> {
    let engine = access.docker.info().await?;
    if let Some(free) = access.docker.free_disk_bytes(&engine)
        && free < LEAST_DISK
    {
        let cause = format!(
            "only {} MB are free on Docker's disk; a cluster needs {} MB",
            free / 1_000_000,
            LEAST_DISK / 1_000_000
        );
        return Err(CommandError::failed(
            Problem::new(cause).help("free some space: docker builder prune, docker image prune"),
        ));
    }
    let holders = access.docker.port_holders().await?;
    // The ports of a cluster that is deleted first are free again when they are needed.
    let own = access.published_ports().filter(|_| recreate || access.folder.is_unfinished());
    let state = |port| match own {
        _ if session.environment.exposes(port) => {
            ports::PortState::Taken { by: Some("`expose` of this workspace".to_owned()) }
        }
        Some((http, https)) if port == http || port == https => ports::PortState::Free,
        _ => match holders.get(&port) {
            Some(holder) => ports::PortState::Taken { by: Some(holder.clone()) },
            None => host::port_state(port, engine.rootless),
        },
    };
    let environment = &session.environment;
    let chosen = ports::choose(environment.http_port, environment.https_port, state).map_err(|error| {
        let hint = error.hint(&environment.name);
        CommandError::failed(Problem::new(error.to_string()).help(hint))
    })?;
    if let Some(note) = &chosen.note {
        session.note(note);
    }
    Ok((chosen.http, chosen.https))
}

/// Returns the runner for commands on the running local cluster.
async fn runner_of(session: &Session) -> Result<(Arc<Runner>, RunLock), CommandError> {
    let (helm, access) = tokio::try_join!(session.helm(), running(session))?;
    let lock = session.lock(&access, LockScope::Namespace).await?;
    if session.environment.local_copy.is_some() {
        running_cluster(session).await?;
    }
    let local = local_of(session, &access, false).await?;
    Ok((Arc::new(session.runner(helm, local).await?), lock))
}
