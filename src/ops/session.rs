//! What every command needs: the workspace, its environment, the tools, the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cache::CacheFolder,
        credentials::Credentials,
        docker::{Docker, DockerLookup, NodeContainer},
        durations::DurationsFile,
        git,
        helm::{ChartCache, Helm, HelmError, HelmTarget},
        host::ProcessorWatch,
        http::Resolver,
        kind::{
            Kind, KindError,
            configuration::{API_PORT, NODE_PORTS, pool_of_mark},
        },
    },
    config::{self, LoadError, Loaded, Report, ValueOrigin},
    domain::{
        Environment, Name, Problem, ResolvedProject,
        exposed::PublishedPort,
        nearest::nearest,
        pinned_tools::{HELM, KIND},
        platform::{INGRESS, namespace_of},
        resolve::resolve,
        user_configuration::UserConfiguration,
    },
    error::{CommandError, ErrorKind},
    ops::{
        certificates::client,
        copies,
        environment::{copied, find_environment, no_review},
        errors::mistakes,
        exposed,
        options::check_output_files,
        tags::registry,
        tools::provide,
        user_configuration,
    },
    settings::{OutputFormat, ReportPaths, Settings},
    steps::{
        ClusterFolder, Decrypted, LocalCluster, NodePullWatch, PlatformWork, ReleaseContext, ReleaseOrigin, Runner,
        SyncedFolders,
    },
    ui::{self, Clock, EventSink, Mode, RenderStyle, ReportFiles, Reports},
};

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
    /// The ports on this machine that a copy has in place of those of the original, once they have been chosen.
    pub(super) copy_ports: Mutex<BTreeMap<PublishedPort, PublishedPort>>,
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
        let environment = copies::chosen(&loaded, environment, &settings)?;
        let user = user_configuration::read(&settings)?;
        if !loaded.warnings.is_empty() && !settings.quiet {
            let warnings = Report { diagnostics: loaded.warnings.clone() };
            ui::print_warnings(&warnings.render(settings.color), &warnings.mistakes());
        }
        let (reports, processor) = reports(&settings.reports)?;
        let session = Self {
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
            copy_ports: Mutex::default(),
        };
        copies::check_hosts(&session)?;
        Ok(session)
    }

    /// One of several environments that a command changes, with one set of report files.
    #[must_use]
    pub fn beside(self, first: Option<&Self>) -> Self {
        let reports = first.map_or_else(|| self.reports.clone(), |first| first.reports.clone());
        Self { is_one_of_several: true, reports, ..self }
    }

    /// The same session, whose runs are shown as lines: something else writes to the screen.
    #[must_use]
    pub fn in_lines(mut self) -> Self {
        self.settings.is_live = false;
        self
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
        let cache = &self.settings.folders.cache;
        let helm = match Helm::find(Path::new(HELM.name), cache).await {
            Err(error @ (HelmError::NotFound | HelmError::Version { .. })) => {
                Helm::find(&provide(self, &HELM, error.problem()).await?, cache).await?
            }
            found => found?,
        };
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
        let kind = self.kind(&docker).await?;
        let node = self.node(&docker).await?;
        if let Some(node) = &node
            && !node.mounts.iter().any(|mount| pool_of_mark(&mount.destination).is_some())
        {
            return Err(foreign_cluster(self.workspace()));
        }
        let folder = ClusterFolder(self.settings.cluster_folder(self.workspace().as_str()));
        exposed::choose_ports(self, &docker).await?;
        Ok(LocalAccess { docker, kind, node, folder })
    }

    async fn kind(&self, docker: &Docker) -> Result<Kind, CommandError> {
        let engine = docker.endpoint().environment();
        let found = match Kind::find(Path::new(KIND.name), engine.clone()).await {
            Err(error @ (KindError::NotFound | KindError::TooOld(_))) => {
                Kind::find(&provide(self, &KIND, error.problem()).await?, engine).await
            }
            found => found,
        };
        found.map_err(|error| CommandError::failed(error.problem()))
    }

    /// The current state of the local cluster's container.
    ///
    /// # Errors
    /// When the engine returns an error.
    pub async fn node(&self, docker: &Docker) -> Result<Option<NodeContainer>, CommandError> {
        let nodes = docker.node_containers().await?;
        Ok(nodes.into_iter().find(|node| node.cluster == self.workspace().as_str()))
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
            folder: self.loaded.workspace.root.clone(),
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
            connection: Arc::default(),
            saved_data: OnceCell::new(),
            synced: SyncedFolders::default(),
            pulls: NodePullWatch::default(),
            checks: None,
            ingress: namespace_of(&self.loaded.workspace, INGRESS),
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

    /// The commit of the workspace.
    pub async fn commit(&self) -> Option<String> {
        self.commit.get_or_init(|| git::commit(&self.loaded.workspace.root)).await.clone()
    }

    /// Opens the screen that shows events to the user, and passes them to the reports.
    pub fn screen(&self) -> EventSink {
        EventSink::open(self.look(), &self.reports, self.durations_file().read())
    }

    /// The durations of steps in earlier runs.
    pub(super) fn durations_file(&self) -> DurationsFile {
        DurationsFile(self.settings.durations_file(self.workspace(), &self.environment.name))
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

    /// Prints a note whether or not it was printed before, unless `--quiet` is set.
    pub fn note_again(&self, text: &str) {
        if !self.settings.quiet {
            ui::print_message(text);
        }
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

pub(super) fn load_error(error: &LoadError, color: bool) -> CommandError {
    match error {
        LoadError::Invalid(report) => mistakes(report.diagnostics.clone(), color),
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

/// The error for a project that cmdr does not run in the session's environment.
pub fn external_here(project: &str) -> CommandError {
    let problem = Problem::new(format!("'{project}' is external in this environment: cmdr does not run it"));
    CommandError::usage(problem.help("cmdr status shows its address"))
}

fn foreign_cluster(name: &Name) -> CommandError {
    let cause = format!("a kind cluster named '{name}' exists, but cmdr did not create it");
    let help = format!("give the workspace another name, or delete that cluster: kind delete cluster --name {name}");
    CommandError::new(ErrorKind::WrongCluster, Problem::new(cause).help(help))
}
