//! The images of the local environment: the builds that projects use, the builds that are due, and their registry.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::{
    adapters::{build_context::ContextState, builds::Builds, docker::Docker, host, registry::Registry},
    domain::{
        Build, ImageReference, Name, Presence, Problem, Project, ResolvedProject,
        build::{BuildMethod, BuildSecret},
        local_registry::{self, ObservedService, RegistryService, pushed_to},
        mirror::ImageMirror,
        ports::PortState,
    },
    error::{CommandError, ErrorKind},
    ops::options::UpRequest,
    ops::session::{Session, unknown},
    plan::{BuildSpec, up::Described},
    settings::is_variable_set,
    steps::ClusterFolder,
};

/// The variable with the socket of the SSH agent.
const SSH_AGENT: &str = "SSH_AUTH_SOCK";

/// The tag of a project that has no image yet.
const NOT_BUILT: &str = "not-built";

/// A project of the local environment whose image comes, or can come, from a build.
#[derive(Debug, Clone)]
pub struct Buildable {
    pub project: Name,
    /// The last build, which the project uses.
    pub built: Option<ImageReference>,
    /// Whether no other image is configured that could run instead.
    pub is_needed: bool,
}

/// Makes each project that is built here use its last build. Without a build and a tag, it gets a placeholder image.
///
/// An image in `projects.local.yaml` was chosen for this machine and is kept.
pub fn use_builds(session: &Session, projects: &mut [ResolvedProject]) -> Vec<Buildable> {
    if !session.environment.is_local() {
        return Vec::new();
    }
    let builds = known_builds(session);
    let written = &session.loaded.workspace.projects;
    // A project gets the build of another one with the same folder.
    let built_for = |name: &Name| {
        let own = builds.get(name.as_str());
        own.or_else(|| sharing(written, name).into_iter().find_map(|other| builds.get(other.as_str()))).cloned()
    };
    let chosen = |project: &ResolvedProject| {
        session.loaded.workspace.projects.get(&project.name).is_some_and(|written| written.local_image.is_some())
    };
    let own = projects.iter_mut().filter(|project| project.takes_image() && !chosen(project));
    let mut buildable = Vec::new();
    for project in own.filter(|project| project.build.is_some()) {
        let has_version =
            |image: &ImageReference| image.tag.as_deref().is_some_and(|tag| tag != "latest") || image.digest.is_some();
        let built = built_for(&project.name);
        let is_needed = built.is_none() && !project.image.as_ref().is_some_and(has_version);
        let placeholder = || {
            let port = *local_registry::PORTS.start();
            ImageReference::parse(&format!("{}:{NOT_BUILT}", repository(session, &project.name, port))).ok()
        };
        if let Some(image) = built.clone().or_else(|| is_needed.then(placeholder).flatten()) {
            project.use_image(image);
        }
        buildable.push(Buildable { project: project.name.clone(), built, is_needed });
    }
    buildable
}

/// The last builds. A copy without a build of its own uses one of another copy or of the original, if its folder has the
/// same content.
fn known_builds(session: &Session) -> BTreeMap<String, ImageReference> {
    let mut builds = remembered(session).all();
    if session.environment.local_copy.is_none() {
        return builds;
    }
    for others in cluster_folder(session).all_builds().into_iter().map(Builds) {
        let folders = others.folders();
        for (project, image) in others.all() {
            let build = session.loaded.workspace.projects.get(project.as_str()).and_then(|it| it.build.as_ref());
            let is_same = |state: &ContextState| build.is_some_and(|build| matches!(state.change(build), Ok(None)));
            if !builds.contains_key(&project) && folders.get(&project).is_some_and(is_same) {
                builds.insert(project, image);
            }
        }
    }
    builds
}

/// Remembers the builds of others that a copy uses, so that it keeps them when those change.
///
/// # Errors
/// When the file of its builds cannot be written.
pub(super) fn adopt_builds(session: &Session, buildable: &[Buildable]) -> Result<(), CommandError> {
    if session.environment.local_copy.is_none() {
        return Ok(());
    }
    let own = remembered(session);
    let known = own.all();
    for Buildable { project, built, .. } in buildable.iter().filter(|it| !known.contains_key(it.project.as_str())) {
        let build = session.loaded.workspace.projects.get(project).and_then(|it| it.build.as_ref());
        if let Some((image, build)) = built.as_ref().zip(build) {
            let state = ContextState::read(build).ok();
            let kept = own.remember([project], image, state.as_ref());
            kept.map_err(|error| CommandError::failed(Problem::new(error.to_string())))?;
        }
    }
    Ok(())
}

/// The file that stores the builds of this workspace, or of one copy of it.
pub fn remembered(session: &Session) -> Builds {
    Builds(cluster_folder(session).builds(session.environment.copy_name()))
}

fn cluster_folder(session: &Session) -> ClusterFolder {
    ClusterFolder(session.settings.cluster_folder(session.workspace().as_str()))
}

/// The other projects with the same build as a project.
fn sharing<'a>(projects: &'a BTreeMap<Name, Project>, name: &Name) -> Vec<&'a Name> {
    let Some(build) = projects.get(name).and_then(|project| project.build.as_ref()) else { return Vec::new() };
    let others = projects.iter().filter(|(other, project)| *other != name && project.build.as_ref() == Some(build));
    others.map(|(other, _)| other).collect()
}

/// The named projects, and those that share a build with one of them.
pub(crate) fn with_shared(session: &Session, names: &[String]) -> Vec<String> {
    let projects = &session.loaded.workspace.projects;
    let known = names.iter().filter_map(|name| projects.get_key_value(name.as_str()));
    let others = known.flat_map(|(name, _)| sharing(projects, name)).map(Name::to_string);
    let all: BTreeSet<String> = names.iter().cloned().chain(others).collect();
    all.into_iter().collect()
}

/// The named projects, or all that are not disabled here, that have a build, and those that share a build with one of them.
///
/// # Errors
/// Every name that is unknown, or whose project has no build.
pub fn named<'a>(session: &'a Session, names: &[String]) -> Result<Vec<(&'a Name, &'a Build)>, CommandError> {
    let projects = &session.loaded.workspace.projects;
    let built = projects.iter().filter_map(|(name, project)| Some((name, project.build.as_ref()?)));
    if names.is_empty() {
        let is_there = |project: &Project| project.overridden(&session.environment).presence != Presence::Disabled;
        return Ok(built.filter(|(name, _)| is_there(&projects[*name])).collect());
    }
    let mut wrong = Vec::new();
    for name in names {
        match projects.get(name.as_str()) {
            None => wrong.extend(unknown("project", name, projects.keys().map(Name::as_str)).problems),
            Some(project) if project.build.is_none() => {
                let help = format!("add one under projects.{name}: build: {{context: FOLDER}}");
                wrong.push(Problem::new(format!("'{name}' has no build")).help(help));
            }
            Some(_) => (),
        }
    }
    CommandError::require_none(ErrorKind::Usage, wrong)?;
    let names = with_shared(session, names);
    Ok(built.filter(|(name, _)| names.iter().any(|wanted| wanted == name.as_str())).collect())
}

/// The builds to run, each once however many projects share it, after a check that their folders and Dockerfiles exist.
///
/// # Errors
/// All folders and Dockerfiles that are missing.
pub fn specs(
    session: &Session,
    builds: &[(&Name, &Build)],
    registry: &[RegistryService],
) -> Result<Vec<BuildSpec>, CommandError> {
    let missing = builds.iter().flat_map(|(name, build)| missing(name, build)).collect();
    CommandError::require_none(ErrorKind::Usage, missing)?;
    let port = registry.iter().find_map(RegistryService::port).unwrap_or(*local_registry::PORTS.start());
    let mut specs: Vec<(&Build, BuildSpec)> = Vec::new();
    for (name, build) in builds {
        if let Some((_, spec)) = specs.iter_mut().find(|(known, _)| known == build) {
            spec.shared_by.push((*name).clone());
            continue;
        }
        let (project, repository) = ((*name).clone(), repository(session, name, port));
        specs.push((build, BuildSpec { project, shared_by: Vec::new(), build: (*build).clone(), repository }));
    }
    Ok(specs.into_iter().map(|(_, spec)| spec).collect())
}

/// What a build needs and is not there.
fn missing(name: &Name, build: &Build) -> Vec<Problem> {
    let problem = |what: String, help: String| Problem::new(format!("'{name}' cannot be built: {what}")).help(help);
    if !build.context.is_dir() {
        let help = format!("correct projects.{name}.build.context, which is relative to its projects.yaml");
        return vec![problem(format!("folder not found: {}", build.context.display()), help)];
    }
    let BuildMethod::Docker(docker) = &build.method else { return Vec::new() };
    let mut missing = Vec::new();
    if let Some(dockerfile) = build.dockerfile().filter(|file| !file.is_file()) {
        let help = format!("create it, or set another one in projects.{name}.build.dockerfile");
        missing.push(problem(format!("file not found: {}", dockerfile.display()), help));
    }
    for (id, secret) in &docker.secrets {
        let help = format!("projects.{name}.build.secrets.{id} needs it");
        match secret {
            BuildSecret::File(file) if !file.is_file() => {
                missing.push(problem(format!("file not found: {}", file.display()), help));
            }
            BuildSecret::Env(variable) if !is_variable_set(variable) => {
                missing.push(problem(format!("the variable {variable} is not set"), help));
            }
            _ => (),
        }
    }
    if docker.ssh && !is_variable_set(SSH_AGENT) {
        let help = format!("start an agent, which projects.{name}.build.ssh needs: eval \"$(ssh-agent)\" && ssh-add");
        missing.push(problem(format!("no SSH agent runs ({SSH_AGENT} is not set)"), help));
    }
    missing
}

/// Refuses builds that only `BuildKit` can do if it is not installed.
///
/// # Errors
/// Every such build, with its keys.
pub async fn refuse_without_buildkit(
    session: &Session,
    docker: &Docker,
    specs: &[BuildSpec],
) -> Result<(), CommandError> {
    let needing = specs.iter().filter_map(|spec| match &spec.build.method {
        BuildMethod::Docker(docker) => {
            Some((&spec.project, docker.buildkit_keys())).filter(|(_, keys)| !keys.is_empty())
        }
        BuildMethod::Command(_) => None,
    });
    let needing: Vec<(&Name, Vec<&str>)> = needing.collect();
    if needing.is_empty() || docker.has_buildkit(&session.cancel).await {
        return Ok(());
    }
    let problem = |(project, keys): (&Name, Vec<&str>)| {
        let keys: Vec<String> = keys.into_iter().map(|key| format!("`{key}`")).collect();
        let what = if keys.len() == 1 { "needs" } else { "need" };
        let cause = format!("'{project}' cannot be built: {} {what} BuildKit, which is not installed", keys.join(", "));
        Problem::new(cause).help("install Docker's buildx plugin: https://docs.docker.com/go/buildx/")
    };
    CommandError::require_none(ErrorKind::Failed, needing.into_iter().map(problem).collect())
}

fn repository(session: &Session, project: &Name, port: u16) -> String {
    format!("{}/{}/{project}", pushed_to(port), session.workspace())
}

/// The registry of this machine: its observed state, and its desired state for images of certain registries.
#[derive(Debug, Default)]
pub struct LocalRegistry {
    pub found: Vec<ObservedService>,
    pub wanted: Vec<RegistryService>,
}

impl LocalRegistry {
    /// # Errors
    /// When the engine returns an error, or the user's certificates or Docker's configuration cannot be read.
    pub async fn find(session: &Session, docker: &Docker, hosts: &BTreeSet<String>) -> Result<Self, CommandError> {
        let found = docker.registry_services().await?;
        let port = match found.iter().find(|service| service.is_push()).and_then(|service| service.port) {
            Some(port) => port,
            None => free_port(session, docker).await?,
        };
        let logins = logins(session, hosts).await?;
        let authority = session.certificate_authority()?;
        let mirrors = &session.user.mirrors.images;
        let has_login = |host: &str| logins.contains(host);
        let wanted = local_registry::wanted(hosts, mirrors, has_login, authority.as_deref(), port);
        let proxies = &session.settings.variables.proxies;
        let wanted = wanted.into_iter().map(|service| service.behind(proxies)).collect();
        Ok(Self { found, wanted })
    }

    /// Whether the registry has lost a build: the registry is gone, or does not find it. A stopped one keeps its data.
    async fn has_lost(&self, session: &Session, image: &ImageReference) -> bool {
        let Some(service) = self.found.iter().find(|service| service.is_push()) else { return true };
        match Registry::local(session.cancel.clone()) {
            Ok(registry) if service.is_running => {
                registry.resolve(image).await.is_err_and(|error| error.is_not_found())
            }
            _ => false,
        }
    }
}

/// The first free port for the registry.
async fn free_port(session: &Session, docker: &Docker) -> Result<u16, CommandError> {
    let holders = docker.port_holders().await?;
    let is_free = |port: &u16| {
        !session.environment.exposes(*port)
            && !holders.contains_key(port)
            && host::port_state(*port, false) == PortState::Free
    };
    let mut ports = local_registry::PORTS;
    // If none is free, the registry fails to start, and that error is reported.
    Ok(ports.find(is_free).unwrap_or(*local_registry::PORTS.end()))
}

/// The registries and mirrors for these hosts that the user is logged in to.
async fn logins(session: &Session, hosts: &BTreeSet<String>) -> Result<BTreeSet<String>, CommandError> {
    let credentials = session.credentials()?;
    let mirrors = session.user.mirrors.images.iter().map(ImageMirror::authority);
    let asked: BTreeSet<&str> = hosts.iter().map(String::as_str).chain(mirrors).collect();
    let asked: Vec<&str> = asked.into_iter().collect();
    let found = credentials.for_registries(&asked, &session.cancel).await;
    Ok(found.credentials.into_iter().map(|credential| credential.host).collect())
}

/// The builds that `up` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildScope<'a> {
    /// Projects without an image, and builds that the registry has lost.
    Missing,
    /// `--build`: all builds, or those of these projects.
    Wanted(&'a [String]),
}

impl<'a> BuildScope<'a> {
    pub fn of(options: &'a UpRequest) -> Self {
        if options.build { Self::Wanted(&options.projects) } else { Self::Missing }
    }
}

/// Finds the registry of this machine, and defers what must be built first: a later pass describes it.
///
/// # Errors
/// As [`LocalRegistry::find`], or when the folder or the Dockerfile of a build does not exist.
pub(crate) async fn settle(
    session: &Session,
    docker: &Docker,
    described: &mut Described,
    buildable: &[Buildable],
    due: BuildScope<'_>,
) -> Result<LocalRegistry, CommandError> {
    let registry = LocalRegistry::find(session, docker, &described.image_hosts).await?;
    let due: Vec<(Name, String)> = match due {
        BuildScope::Missing => missing_builds(session, &registry, buildable).await,
        BuildScope::Wanted(names) => {
            let is_selected = |name: &Name| described.projects.iter().any(|project| project.name == *name);
            let named = named(session, names)?.into_iter().filter(|(name, _)| is_selected(name));
            named.map(|(name, _)| (name.clone(), "--build".to_owned())).collect()
        }
    };
    let projects = &session.loaded.workspace.projects;
    let builds: Vec<(&Name, &Build)> =
        due.iter().filter_map(|(name, _)| Some((name, projects.get(name)?.build.as_ref()?))).collect();
    let specs = specs(session, &builds, &registry.wanted)?;
    refuse_without_buildkit(session, docker, &specs).await?;
    note_changed_folders(session, buildable, &due);
    described.later = with_dependents(described, due.iter().map(|(name, _)| name.clone()).collect());
    let reasons: BTreeMap<Name, String> = due.into_iter().collect();
    let with_reason = |spec: BuildSpec| {
        let shared: String = spec.shared_by.iter().map(|name| format!(", also for {name}")).collect();
        let reason = format!("{}{shared}", reasons.get(&spec.project).map_or("", String::as_str));
        (spec, reason)
    };
    described.builds = specs.into_iter().map(with_reason).collect();
    described.registry.clone_from(&registry.wanted);
    Ok(registry)
}

async fn missing_builds(session: &Session, registry: &LocalRegistry, buildable: &[Buildable]) -> Vec<(Name, String)> {
    let answers = buildable.iter().map(|it| async move {
        let reason = match &it.built {
            Some(image) if !registry.has_lost(session, image).await => return None,
            Some(_) => "the registry no longer has its build",
            None if it.is_needed => "it was never built",
            None => return None,
        };
        Some((it.project.clone(), reason.to_owned()))
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// Reports the builds that `up` keeps although their folders have changed.
fn note_changed_folders(session: &Session, buildable: &[Buildable], due: &[(Name, String)]) {
    let folders = remembered(session).folders();
    for it in buildable.iter().filter(|it| it.built.is_some() && due.iter().all(|(name, _)| *name != it.project)) {
        let name = &it.project;
        let build = session.loaded.workspace.projects.get(name).and_then(|project| project.build.as_ref());
        if let (Some(build), Some(state)) = (build, folders.get(name.as_str()))
            && let Ok(Some(change)) = state.change(build)
        {
            session.note(&format!("{name}: {change} since the last build; cmdr up --build {name} deploys it"));
        }
    }
}

/// Returns projects that are built first, and those that need them.
pub(super) fn with_dependents(described: &Described, mut later: BTreeSet<Name>) -> BTreeSet<Name> {
    while let Some(project) = described
        .projects
        .iter()
        .find(|project| !later.contains(&project.name) && project.needs.iter().any(|need| later.contains(need)))
    {
        later.insert(project.name.clone());
    }
    later
}

/// Removes what a later pass deploys after the builds, and the URL checks, which are made when everything is deployed.
pub(crate) fn leave_for_later(described: &mut Described) {
    let later = std::mem::take(&mut described.later);
    if later.is_empty() {
        return;
    }
    described.projects.retain(|project| !later.contains(&project.name));
    for project in &mut described.projects {
        project.checks.clear();
    }
}
