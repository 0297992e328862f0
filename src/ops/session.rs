//! What every command needs: the workspace, its environment, the tools, the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cache::CacheFolder,
        credentials::Credentials,
        docker::{Docker, DockerLookup, NodeContainer},
        git,
        helm::{ChartCache, Helm, HelmError, HelmTarget},
        host::ProcessorWatch,
        http::Resolver,
        kind::{
            Kind,
            configuration::{API_PORT, NODE_PORTS, pool_of_mark},
        },
        lock::{Lock, LockError},
    },
    config::{self, LoadError, Loaded, Report, ValueOrigin},
    domain::{
        Environment, Name, Problem, ResolvedProject, nearest::nearest, resolve::resolve,
        user_configuration::UserConfiguration,
    },
    engine::{self, StepRunner, Summary},
    error::{CommandError, ErrorKind},
    event::Event,
    ops::{
        certificates::client,
        environment::{copied, find_environment, no_review},
        exit::RunEnd,
        options::check_output_files,
        prepared::postponed,
        tags::registry,
        user_configuration,
    },
    plan::{Plan, Step},
    settings::{OutputFormat, ReportPaths, Settings},
    steps::{ClusterFolder, Decrypted, LocalCluster, PlatformWork, ReleaseContext, ReleaseOrigin, Runner},
    ui::{self, Clock, EventSink, Mode, RenderStyle, ReportFiles, Reports},
};

/// How long a run waits for another cmdr run on the same cluster: enough for one that is finishing.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// The context of a command, read and checked, with nothing changed yet.
#[derive(Debug)]
pub struct Session {
    pub settings: Settings,
    pub loaded: Loaded,
    pub environment: Environment,
    pub user: UserConfiguration,
    pub cancel: CancellationToken,
    /// All projects of the workspace, resolved for the environment, by name.
    pub projects: Vec<ResolvedProject>,
    reports: Reports,
    /// Measures until the command has finished.
    _processor: Option<ProcessorWatch>,
    /// The notes printed so far: a second observation does not repeat them.
    noted: Mutex<BTreeSet<String>>,
    /// Notes name the environment, because this command changes others, too.
    pub is_one_of_several: bool,
    /// The workspace's commit, once git has been called.
    commit: OnceCell<Option<String>>,
    /// Helm, once it has been found.
    helm: OnceCell<Helm>,
    /// The user's credentials, once they have been read.
    credentials: OnceLock<Arc<Credentials>>,
}

/// The result of a plan, with the URLs whose checks passed.
#[derive(Debug)]
pub struct RunResult {
    pub end: RunEnd,
    pub summary: Summary,
    pub urls: Vec<String>,
}

/// The Docker engine, kind, and the environment's node as observed.
#[derive(Debug)]
pub struct LocalAccess {
    pub docker: Docker,
    pub kind: Kind,
    /// The cluster's container; `None` when there is no cluster.
    pub node: Option<NodeContainer>,
    pub folder: ClusterFolder,
}

impl Session {
    /// Reads the workspace and the user's configuration.
    ///
    /// # Errors
    /// Every error in the files, or an unknown environment.
    pub fn open(settings: Settings, cancel: CancellationToken) -> Result<Self, CommandError> {
        let loaded = config::load(&settings.directory).map_err(|error| load_error(&error, settings.color))?;
        let environment = find_environment(&loaded, &settings.environment)?;
        let environment = match &environment.review {
            Some(review) => copied(&loaded, &environment, review, settings.slug.as_deref())?,
            None if settings.requires_review => return Err(no_review(&environment)),
            None => environment,
        };
        let user = user_configuration::read(&settings)?;
        if !loaded.warnings.is_empty() && !settings.quiet {
            ui::print_message(&Report { diagnostics: loaded.warnings.clone() }.render(settings.color));
        }
        let (reports, processor) = reports(&settings.reports)?;
        Ok(Self {
            projects: resolve(&loaded.workspace, &environment),
            settings,
            loaded,
            environment,
            user,
            cancel,
            reports,
            _processor: processor,
            noted: Mutex::default(),
            is_one_of_several: false,
            commit: OnceCell::new(),
            helm: OnceCell::new(),
            credentials: OnceLock::new(),
        })
    }

    /// One of several environments that a command changes, with one set of report files.
    #[must_use]
    pub fn beside(self, first: Option<&Self>) -> Self {
        let reports = first.map_or_else(|| self.reports.clone(), |first| first.reports.clone());
        Self { is_one_of_several: true, reports, ..self }
    }

    /// The same in another environment.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open_in(environment: &str, settings: &Settings, cancel: &CancellationToken) -> Result<Self, CommandError> {
        let settings = Settings { environment: environment.to_owned(), requires_review: false, ..settings.clone() };
        Self::open(settings, cancel.clone())
    }

    /// Writes the requested report files if the command had no plan to run.
    pub fn finish_reports(&self) {
        self.reports.finish();
    }

    pub fn workspace(&self) -> &Name {
        &self.loaded.workspace.name
    }

    /// The caches on this machine.
    pub fn cache(&self) -> CacheFolder {
        CacheFolder(self.settings.folders.cache.clone())
    }

    /// Where the values of this environment's projects are written.
    pub(crate) fn value_origin(&self) -> ValueOrigin<'_> {
        ValueOrigin { sources: &self.loaded.sources, environment: &self.environment, set: None }
    }

    pub fn charts(&self) -> ChartCache {
        ChartCache { folder: self.settings.folders.cache.join("charts"), mirrors: self.user.mirrors.charts.clone() }
    }

    /// # Errors
    /// When helm is not installed or its version is not supported.
    pub async fn helm(&self) -> Result<Helm, CommandError> {
        self.helm.get_or_try_init(|| self.find_helm()).await.cloned()
    }

    async fn find_helm(&self) -> Result<Helm, CommandError> {
        let failed = |error: HelmError| CommandError::failed(error.problem());
        let helm = Helm::find(Path::new("helm"), &self.settings.folders.cache).await?;
        match self.certificate_authority()? {
            Some(authority) => helm.trusting(&authority).map_err(failed),
            None => Ok(helm),
        }
    }

    /// Finds the engine, kind, and the environment's cluster.
    ///
    /// # Errors
    /// When the engine or kind is not available, or cmdr does not own the cluster of the same name.
    pub async fn local(&self) -> Result<LocalAccess, CommandError> {
        let docker = Docker::connect(&docker_lookup(&self.settings)).await?;
        let kind = Kind::find(Path::new("kind"), docker.endpoint().environment())
            .await
            .map_err(|error| CommandError::failed(error.problem()))?;
        let node = self.node(&docker).await?;
        if let Some(node) = &node
            && !node.mounts.iter().any(|mount| pool_of_mark(&mount.destination).is_some())
        {
            return Err(foreign_cluster(self.workspace()));
        }
        let folder = ClusterFolder(self.settings.cluster_folder(self.workspace().as_str()));
        Ok(LocalAccess { docker, kind, node, folder })
    }

    /// The current state of the local cluster's container.
    ///
    /// # Errors
    /// When the engine returns an error.
    pub async fn node(&self, docker: &Docker) -> Result<Option<NodeContainer>, CommandError> {
        let nodes = docker.node_containers().await?;
        Ok(nodes.into_iter().find(|node| node.cluster == self.workspace().as_str()))
    }

    /// Locks the local cluster against every other cmdr run on this machine.
    ///
    /// # Errors
    /// When another run holds the lock.
    pub async fn lock(&self, access: &LocalAccess) -> Result<Lock, CommandError> {
        Lock::take(&access.folder.lock(), LOCK_PATIENCE).await.map_err(|error| match &error {
            LockError::Held(_) => {
                let help = "wait until it has finished, or stop it";
                CommandError::new(ErrorKind::Locked, Problem::new(error.to_string()).help(help))
            }
            LockError::File(..) => {
                CommandError::failed(Problem::new(error.to_string()).help("set CMDR_STATE to a writable folder"))
            }
        })
    }

    /// Returns the runner for plans on a local cluster.
    ///
    /// # Errors
    /// When the user's certificates or Docker's configuration cannot be read.
    pub async fn runner(&self, helm: Helm, local: LocalCluster) -> Result<Runner, CommandError> {
        let target = HelmTarget { kubeconfig: local.folder.kubeconfig(), context: None };
        let resolver = Resolver::Fixed(([127, 0, 0, 1], 0).into());
        self.runner_at(helm, target, resolver, Some(local)).await
    }

    /// Returns the runner for plans on the cluster of `target`. `resolver` resolves the hosts of its projects.
    ///
    /// # Errors
    /// When the user's certificates or Docker's configuration cannot be read.
    pub async fn runner_at(
        &self,
        helm: Helm,
        target: HelmTarget,
        resolver: Resolver,
        local: Option<LocalCluster>,
    ) -> Result<Runner, CommandError> {
        let origin = ReleaseOrigin {
            workspace: self.workspace().to_string(),
            environment: self.environment.name.to_string(),
            commit: self.commit().await,
        };
        let processors = match &local {
            Some(local) => Some(local.docker.info().await?.cpus),
            None => None,
        };
        let (http, authority) = client(self, resolver, local.is_some())?;
        Ok(Runner {
            local,
            kubeconfig: target.kubeconfig.clone(),
            context: target.context.clone(),
            reach: None,
            ledger: None,
            release: ReleaseContext::new(helm, target, origin, self.settings.concurrency, processors),
            credentials: self.credentials()?,
            registry: registry(self)?,
            pull_warnings: tokio::sync::Mutex::default(),
            http,
            authority,
            decrypted: Decrypted::new(),
            platform: PlatformWork::default(),
            connection: OnceCell::new(),
        })
    }

    /// The credentials of registries, as the user's Docker has them.
    ///
    /// # Errors
    /// When Docker's configuration or `DOCKER_AUTH_CONFIG` cannot be read.
    pub fn credentials(&self) -> Result<Arc<Credentials>, CommandError> {
        if let Some(known) = self.credentials.get() {
            return Ok(Arc::clone(known));
        }
        let variables = &self.settings.variables;
        let read = Credentials::read(&self.settings.docker_config_folder());
        let credentials = read.and_then(|credentials| match &variables.docker_auth_config {
            Some(text) => credentials.with_auth_config(text.expose()),
            None => Ok(credentials),
        });
        let credentials = credentials
            .map_err(|error| CommandError::failed(Problem::new(error.to_string())))?
            .with_search_path(variables.path.clone());
        Ok(Arc::clone(self.credentials.get_or_init(|| Arc::new(credentials))))
    }

    /// The company's certificates, if the user has configured some.
    ///
    /// # Errors
    /// When the file cannot be read or contains none.
    pub fn certificate_authority(&self) -> Result<Option<String>, CommandError> {
        user_configuration::certificate_authority(&self.settings, &self.user)
    }

    /// Runs a plan and reports it. Returns the URLs whose checks passed.
    ///
    /// # Errors
    /// When a step failed or the run was interrupted; everything has been reported by then.
    pub async fn execute(
        &self,
        verb: &str,
        plan: &Plan,
        runner: Arc<impl StepRunner>,
    ) -> Result<Vec<String>, CommandError> {
        let RunResult { end, urls, .. } = self.run_plan(verb, plan, runner, &self.cancel).await;
        end.into_result().map(|()| urls)
    }

    /// Runs a plan and reports it. `cancel` is cancelled when the run is interrupted, or its lock is lost.
    pub async fn run_plan(
        &self,
        verb: &str,
        plan: &Plan,
        runner: Arc<impl StepRunner>,
        cancel: &CancellationToken,
    ) -> RunResult {
        for drift in &plan.drifted {
            self.note(&format!("not reverted: {drift} (revert it with --repair)"));
        }
        for change in &plan.postponed {
            self.note(&postponed(change));
        }
        let screen = self.screen();
        let start = Instant::now();
        screen.events.send(Event::RunStarted {
            verb: verb.to_owned(),
            workspace: self.workspace().to_string(),
            environment: self.environment.name.to_string(),
            steps: plan.steps.len(),
            subjects: plan.steps.iter().fold(BTreeMap::new(), |mut subjects, planned| {
                *subjects.entry(planned.step.subject()).or_default() += 1;
                subjects
            }),
            unchanged: plan.unchanged.clone(),
        });
        let summary = engine::run(plan, runner, &screen.events, cancel).await;
        let (urls, project_urls) = answered(plan, &summary);
        screen.events.send(Event::RunFinished {
            seconds: start.elapsed().as_secs_f64(),
            done: summary.done.len(),
            failed: summary.failed.len(),
            not_started: summary.not_started.len(),
            interrupted: summary.interrupted.len(),
            urls: urls.clone(),
            project_urls,
        });
        screen.close().await;
        RunResult { end: RunEnd::of(&summary, cancel, &self.cancel), summary, urls }
    }

    /// The commit of the workspace.
    pub async fn commit(&self) -> Option<String> {
        self.commit.get_or_init(|| git::commit(&self.loaded.workspace.root)).await.clone()
    }

    /// Opens the screen that shows events to the user, and passes them to the reports.
    pub fn screen(&self) -> EventSink {
        EventSink::open(self.look(), &self.reports)
    }

    fn look(&self) -> RenderStyle {
        let settings = &self.settings;
        let mode = match settings.output {
            OutputFormat::Json => Mode::Json,
            OutputFormat::Text if settings.is_gitlab_job() => Mode::Gitlab,
            OutputFormat::Text if settings.is_live && !settings.log.prints() => Mode::Live,
            OutputFormat::Text => Mode::Plain,
        };
        RenderStyle { mode, color: settings.color, quiet: settings.quiet, verbose: settings.verbose }
    }

    /// Prints a note once, unless `--quiet` is set.
    pub fn note(&self, text: &str) {
        let name = if self.is_one_of_several { format!("{}: ", self.environment.name) } else { String::new() };
        let is_new = self.noted.lock().is_ok_and(|mut noted| noted.insert(text.to_owned()));
        if is_new && !self.settings.quiet {
            ui::print_message(&format!("{name}{text}"));
        }
    }
}

impl LocalAccess {
    /// The port of the Kubernetes API on 127.0.0.1.
    pub fn api_port(&self) -> Option<u16> {
        self.node.as_ref()?.published.get(&API_PORT).map(|published| published.port)
    }

    /// The ports on 127.0.0.1 that the cluster was created with.
    pub fn published_ports(&self) -> Option<(u16, u16)> {
        let node = self.node.as_ref()?;
        let published = |port| node.published.get(&port).map(|published| published.port);
        Some((published(NODE_PORTS.0)?, published(NODE_PORTS.1)?))
    }
}

/// The report files, and a measurement of the processors if one of them shows it.
fn reports(paths: &ReportPaths) -> Result<(Reports, Option<ProcessorWatch>), CommandError> {
    let ReportPaths { junit, dotenv, timeline } = paths.clone();
    let began = Timestamp::now();
    let watch = timeline.as_ref().and_then(|_| ProcessorWatch::begin(Instant::now()));
    let files = ReportFiles { junit, dotenv, timeline };
    check_output_files(paths.named())?;
    let clock = Clock { began, processor: watch.as_ref().map(ProcessorWatch::uses) };
    Ok((Reports::new(files, clock), watch))
}

/// The URLs whose checks passed, and the first of each project.
fn answered(plan: &Plan, summary: &Summary) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut urls, mut by_project) = (Vec::new(), BTreeMap::new());
    for planned in plan.steps.iter().filter(|planned| summary.done.contains(&planned.id)) {
        if let Step::Check(check) = &planned.step {
            urls.push(check.shown_url.clone());
            by_project.entry(check.project.to_string()).or_insert_with(|| check.shown_url.clone());
        }
    }
    (urls, by_project)
}

pub fn docker_lookup(settings: &Settings) -> DockerLookup {
    let variables = &settings.variables;
    DockerLookup {
        host: variables.docker_host.clone(),
        context: variables.docker_context.clone(),
        config_folder: settings.docker_config_folder(),
        home: settings.home.clone(),
        runtime_folder: variables.runtime_folder.clone(),
        tls_verify: variables.docker_tls_verify,
        cert_path: variables.docker_certificates.clone(),
    }
}

/// For `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
pub fn docker_error(error: crate::adapters::docker::DockerError) -> CommandError {
    CommandError::failed(error.problem())
}

fn load_error(error: &LoadError, color: bool) -> CommandError {
    match error {
        LoadError::Invalid(report) => {
            CommandError { report: Some(report.render(color)), ..CommandError::reported(ErrorKind::Usage) }
        }
        LoadError::NotFound { .. } => CommandError::usage(
            Problem::new(error.to_string()).help("change to a workspace folder, or pass one with -C"),
        ),
        LoadError::Unreadable { source, .. } => CommandError::usage(Problem::new(format!("{error}: {source}"))),
    }
}

/// The error for an unknown name, with the closest valid name.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> CommandError {
    let known: Vec<&str> = known.collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None if known.is_empty() => "projects.yaml has none: leave out the name, or add it there".to_owned(),
        None => format!("valid names: {}", known.join(", ")),
    };
    CommandError::usage(Problem::new(format!("projects.yaml has no {what} '{name}'")).help(help))
}

/// Why a project that projects.yaml has cannot be named in the session's environment.
pub fn disabled_here(session: &Session, project: &str) -> Problem {
    let environment = &session.environment.name;
    let help = format!("to enable it, remove 'enabled: false' under projects.{project}.environments.{environment}");
    Problem::new(format!("'{project}' is disabled in the environment '{environment}'")).help(help)
}

fn foreign_cluster(name: &Name) -> CommandError {
    let cause = format!("a kind cluster named '{name}' exists, but cmdr did not create it");
    let help = format!("give the workspace another name, or delete that cluster: kind delete cluster --name {name}");
    CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help))
}
