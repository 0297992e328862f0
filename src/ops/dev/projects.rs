//! The projects that `cmdr dev` watches.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use crate::{
    adapters::{
        cluster::{Cluster, StoredRelease},
        lock::{Lock, LockError},
        process::{ProcessError, Tool},
        source_tree::{SourceChange, SourceTree},
    },
    domain::{
        Build, Name, Presence, Problem, Project, ReleaseKey, ResolvedProject,
        dev::{Dev, DevCommand, SyncedFile},
    },
    error::{CommandError, ErrorKind},
    ops::{
        builds::{self, LocalRegistry, refuse_without_buildkit, remembered},
        describe::timeout_seconds,
        options::UpRequest,
        project_pods::named_releases,
        selection::Selection,
        session::{LocalAccess, Session},
    },
    plan::dev::{DevProject, WorkloadName},
    steps::ClusterFolder,
};

/// The kinds whose pods `dev` can change.
const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// A project and its files.
#[derive(Debug)]
pub(super) struct WatchedProject {
    key: Name,
    pub project: Arc<DevProject>,
    pub dev: Option<Dev>,
    pub build: Option<Build>,
    pub tree: SourceTree,
    /// Changes that are not deployed yet.
    pub pending: Vec<SourceChange>,
    /// The version of the folder that its containers mount; `None` before the first update.
    pub version: Option<u64>,
    /// Whether the next update changes the containers, whatever has changed.
    pub must_start: bool,
    /// Whether an update has not been tested yet.
    pub is_untested: bool,
    /// Whether an update was tried, which has to be restored.
    pub is_touched: bool,
    lock: Arc<Lock>,
}

impl WatchedProject {
    pub(super) fn name(&self) -> &str {
        &self.project.release.name
    }

    /// Its name and its lock, to go on with after an edit.
    pub(super) fn lock_of(&self) -> (Name, Arc<Lock>) {
        (self.key.clone(), Arc::clone(&self.lock))
    }

    /// Whether sources have changed that are compiled.
    pub(super) fn needs_compile(&self) -> bool {
        self.pending.iter().any(|change| self.is_compiled(change))
    }

    /// Takes the changes that the next compilation contains.
    pub(super) fn take_compiled(&mut self) -> Vec<SourceChange> {
        let pending = std::mem::take(&mut self.pending);
        let (compiled, others) = pending.into_iter().partition(|change| self.is_compiled(change));
        self.pending = others;
        compiled
    }

    fn is_compiled(&self, (path, _): &SourceChange) -> bool {
        let dockerfile = self.build.as_ref().and_then(Build::dockerfile);
        self.dev.as_ref().is_some_and(|dev| dev.is_compiled(path, dockerfile.as_deref()))
    }

    /// All synced files.
    pub(super) fn all_files(&self) -> Vec<SyncedFile> {
        let Some(dev) = &self.dev else { return Vec::new() };
        let of_source = |(number, sync): (usize, &crate::domain::dev::SyncPath)| {
            let below = self.tree.below(&sync.source).filter_map(|path| path.strip_prefix(&sync.source).ok());
            below
                .map(|below| SyncedFile { number, below: below.to_owned(), is_deleted: false })
                .collect::<Vec<SyncedFile>>()
        };
        dev.sync.iter().enumerate().flat_map(of_source).collect()
    }
}

/// Returns the names of the projects to watch: those that are named, or all with `dev` or `build`.
///
/// # Errors
/// All names that are unknown, or of projects that have neither.
pub(super) fn names(session: &Session, named: &[String]) -> Result<Vec<Name>, CommandError> {
    let projects = &session.loaded.workspace.projects;
    let is_watched = |project: &Project| project.dev.is_some() || project.build.is_some();
    if named.is_empty() {
        let is_there = |project: &Project| {
            let presence = project.overridden(&session.environment).presence;
            presence == Presence::Enabled && is_watched(project)
        };
        let found: Vec<Name> =
            projects.iter().filter(|(_, project)| is_there(project)).map(|(name, _)| name.clone()).collect();
        if found.is_empty() {
            let help = "add `dev: {sync: {src: /app/src}}` or `build: {context: FOLDER}` to a project";
            return Err(CommandError::usage(Problem::new("no project has `dev` or `build`").help(help)));
        }
        return Ok(found);
    }
    named_releases(session, named)?;
    let without = |name: &&String| !projects.get(name.as_str()).is_some_and(is_watched);
    let problem = |name: &String| {
        let help = format!("add one under projects.{name}: dev: {{sync: {{src: /app/src}}}}");
        Problem::new(format!("'{name}' has neither `dev` nor `build`")).help(help)
    };
    CommandError::require_none(ErrorKind::Usage, named.iter().filter(without).map(problem).collect())?;
    let unique: BTreeSet<&String> = named.iter().collect();
    Ok(unique.into_iter().filter_map(|name| Name::new(name).ok()).collect())
}

/// Locks the projects against another `cmdr dev`.
///
/// # Errors
/// With exit code 11: every project that another one changes.
pub(super) async fn lock(session: &Session, names: &[Name]) -> Result<Vec<(Name, Arc<Lock>)>, CommandError> {
    let (mut locks, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match take_lock(session, name.as_str()).await {
            Ok(lock) => locks.push((name.clone(), Arc::new(lock))),
            Err(LockError::Held(_)) => {
                let holder = holder(session, name.as_str());
                let cause = format!("cmdr dev already runs for '{name}'{holder}");
                problems.push(Problem::new(cause).help("end it with Ctrl-C, or name other projects"));
            }
            Err(error) => problems.push(Problem::new(error.to_string()).help("set CMDR_STATE to a writable folder")),
        }
    }
    CommandError::require_none(ErrorKind::Locked, problems)?;
    Ok(locks)
}

async fn take_lock(session: &Session, project: &str) -> Result<Lock, LockError> {
    // A test that outlives a killed cmdr does not change what runs.
    Lock::take_alone(&lock_file(session, project), std::time::Duration::ZERO).await
}

fn lock_file(session: &Session, project: &str) -> PathBuf {
    let folder = ClusterFolder(session.settings.cluster_folder(session.workspace().as_str()));
    folder.dev_lock(session.environment.copy_name(), project)
}

fn holder(session: &Session, project: &str) -> String {
    let process = std::fs::read_to_string(lock_file(session, project)).unwrap_or_default();
    if process.trim().is_empty() { String::new() } else { format!(" (process {})", process.trim()) }
}

/// Whether a `cmdr dev` runs for a project.
pub(crate) async fn is_developed(session: &Session, project: &str) -> bool {
    matches!(take_lock(session, project).await, Err(LockError::Held(_)))
}

/// What is needed to find projects in a running environment.
pub(super) struct ProjectFinder<'a> {
    session: &'a Session,
    selection: Selection,
    releases: Vec<StoredRelease>,
    registry: LocalRegistry,
    access: &'a LocalAccess,
    excluded: Arc<BTreeSet<PathBuf>>,
}

impl<'a> ProjectFinder<'a> {
    /// # Errors
    /// When the cluster or the engine does not respond.
    pub(super) async fn new(
        session: &'a Session,
        request: &UpRequest,
        cluster: &Cluster,
        access: &'a LocalAccess,
    ) -> Result<Self, CommandError> {
        let selection = Selection::choose(session, request)?;
        let releases = cluster.releases().await?;
        let registry = LocalRegistry::find(session, &access.docker, &BTreeSet::new()).await?;
        let excluded = Arc::new(session.loaded.files().collect());
        Ok(Self { session, selection, releases, registry, access, excluded })
    }

    /// Reads the files of a project; `None` for one without pods that stay.
    ///
    /// # Errors
    /// When a folder, the Dockerfile or what its build needs does not exist.
    pub(super) async fn find(&self, name: &Name, lock: Arc<Lock>) -> Result<Option<WatchedProject>, CommandError> {
        let Some(resolved) = self.selection.projects.iter().find(|project| project.name == *name) else {
            return Ok(None);
        };
        let workloads = self.workloads(name);
        if workloads.is_empty() {
            let kinds = "no Deployment, StatefulSet or DaemonSet";
            self.session.note(&format!("{name}: not watched, because it has {kinds}"));
            return Ok(None);
        }
        let (build, dev) = (resolved.build.clone(), self.usable(name, resolved.dev.clone()).await);
        let project = Arc::new(self.project(resolved, dev.as_ref(), workloads).await?);
        let mut further: Vec<PathBuf> = dev.iter().flat_map(|dev| &dev.sync).map(|sync| sync.source.clone()).collect();
        if build.is_none() && further.is_empty() {
            further.extend(dev.iter().map(|dev| dev.folder.clone()));
        }
        let (read, excluded) = (build.clone(), Arc::clone(&self.excluded));
        let tree = tokio::task::spawn_blocking(move || SourceTree::read(read.as_ref(), &further, excluded)).await;
        let tree = tree.map_err(|error| CommandError::failed(Problem::new(error.to_string())))?;
        let must_start = !project.sync.is_empty() || self.is_outdated(name, build.as_ref());
        let mut pending = Vec::new();
        if project.compile.is_some() || self.is_outdated(name, build.as_ref()) {
            pending.extend(build.as_ref().map(|build| (build.context.clone(), false)));
        }
        let key = name.clone();
        Ok(Some(WatchedProject {
            key,
            project,
            dev,
            build,
            tree,
            pending,
            version: None,
            must_start,
            is_untested: false,
            is_touched: false,
            lock,
        }))
    }

    /// `dev` of a project. Without `compile` and `sync` where the compiler is not installed: the image is built then.
    async fn usable(&self, name: &Name, dev: Option<Dev>) -> Option<Dev> {
        let dev = dev?;
        let compile = dev.in_folder(dev.compile.as_ref());
        let Some(program) = compile.as_ref().and_then(DevCommand::program) else { return Some(dev) };
        let look = Tool::new("sh").args(["-c", "command -v \"$0\"", program]).directory(&dev.folder);
        if !matches!(look.run(&self.session.cancel).await, Err(ProcessError::Failed { .. })) {
            return Some(dev);
        }
        self.session.note(&format!("{name}: {program} is not installed here, so each change builds the image"));
        Some(Dev { compile: None, sync: Vec::new(), ..dev })
    }

    /// Whether the last build is not one of the current sources.
    fn is_outdated(&self, name: &Name, build: Option<&Build>) -> bool {
        let folders = remembered(self.session).folders();
        build
            .zip(folders.get(name.as_str()))
            .is_some_and(|(build, state)| state.change(build).is_ok_and(|it| it.is_some()))
    }

    async fn project(
        &self,
        resolved: &ResolvedProject,
        dev: Option<&Dev>,
        workloads: Vec<WorkloadName>,
    ) -> Result<DevProject, CommandError> {
        let named: Vec<(&Name, &Build)> = resolved.build.iter().map(|build| (&resolved.name, build)).collect();
        let specs = builds::specs(self.session, &named, &self.registry.wanted)?;
        refuse_without_buildkit(self.session, &self.access.docker, &specs).await?;
        let copied = dev.filter(|dev| dev.compile.is_none()).into_iter().flat_map(|dev| &dev.sync);
        let missing = copied.filter(|sync| !sync.source.exists()).map(|sync| {
            let help = format!("create it, or correct projects.{}.dev.sync", resolved.name);
            Problem::new(format!("'{}' cannot be synced: {} not found", resolved.name, sync.source.display()))
                .help(help)
        });
        CommandError::require_none(ErrorKind::Usage, missing.collect())?;
        Ok(DevProject {
            release: ReleaseKey::new(&self.session.environment.namespace, resolved.name.as_str()),
            workloads,
            image: resolved.image.clone(),
            sync: dev.iter().flat_map(|dev| dev.sync.clone()).collect(),
            restart: dev.map(|dev| dev.restart.clone()).unwrap_or_default(),
            compile: dev.and_then(|dev| dev.in_folder(dev.compile.as_ref())),
            test: dev.and_then(|dev| dev.in_folder(dev.test.as_ref())),
            build: specs.into_iter().next(),
            timeout_seconds: timeout_seconds(resolved.timeout),
            holder: format!("process {}", std::process::id()),
        })
    }

    fn workloads(&self, name: &Name) -> Vec<WorkloadName> {
        let key = ReleaseKey::new(&self.session.environment.namespace, name.as_str());
        let own = self.releases.iter().filter(|release| release.key == key).flat_map(|release| &release.rendered);
        let workloads = own.map(|rendered| &rendered.object).filter(|object| KINDS.contains(&object.kind.as_str()));
        workloads.map(|object| WorkloadName { kind: object.kind.clone(), name: object.name.clone() }).collect()
    }
}
