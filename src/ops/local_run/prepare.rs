//! Reads and checks everything that a local run needs, before anything in the cluster is changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    adapters::{
        cluster::{
            Cluster,
            local_run::{ReplacedContainer, ReplacedPod, ServiceNames, VolumeContent},
        },
        docker::{Docker, NETWORK},
        kind::configuration::API_PORT,
        local_run::{
            Bind, ContainerFacts, ContainerMount, Fetched, HeldMark, LocalCommand, LocalRunMark, MarkError,
            PrivateFolder, ProcessPlan, connect as connect_locally, read_container, read_files, take, taken_blocks,
            write_plan,
        },
        process::is_program,
        tcp,
    },
    domain::{
        Problem,
        local_run::{AddressBook, PortPair, choose_block, with_hosts_file_first},
    },
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        local_run::{LocalRunRequest, active_runs, all_marks_folder, marks_folder},
        own_cluster,
        project_pods::{PodSelector, named_releases, pod_selectors},
        session::Session,
    },
};

const HOSTS: &str = "/etc/hosts";
const NAME_SERVICE: &str = "/etc/nsswitch.conf";
/// The variable with the folder of the container's files.
const FILES_VARIABLE: &str = "CMDR_LOCAL_FILES";
/// How long the node may take to accept a connection from this machine.
const REACH: Duration = Duration::from_secs(2);
/// The kinds of workloads that end by themselves.
const TASKS: [&str; 2] = ["Job", "CronJob"];

/// A run that can start.
pub(super) struct PreparedRun {
    pub project: String,
    pub cluster: Cluster,
    pub docker: Docker,
    pub node: String,
    pub selectors: Vec<PodSelector>,
    pub pod: ReplacedPod,
    pub ports: Vec<PortPair>,
    /// Where names lead; `None` if this machine cannot reach the cluster's network.
    pub book: Option<AddressBook>,
    pub command: Vec<String>,
    pub mark: LocalRunMark,
    pub variables: BTreeMap<String, String>,
    pub plan: Option<PathBuf>,
    pub cmdr: PathBuf,
    _files: PrivateFolder,
    _held: HeldMark,
}

impl PreparedRun {
    pub(super) fn description(&self) -> String {
        let ports: Vec<String> =
            self.ports.iter().map(|port| format!("{} (here {})", port.container, port.local)).collect();
        format!("would run '{}' on this machine, with the traffic of its ports: {}", self.project, ports.join(", "))
    }

    pub(super) fn local_command(&self) -> LocalCommand<'_> {
        LocalCommand {
            command: &self.command,
            variables: self.variables.clone(),
            plan: self.plan.clone(),
            cmdr: self.cmdr.clone(),
        }
    }
}

/// What is known of the cluster.
struct ReplacedProject {
    cluster: Cluster,
    docker: Docker,
    node: String,
    selectors: Vec<PodSelector>,
    pod: ReplacedPod,
    names: ServiceNames,
    can_reach_node: bool,
    facts: ContainerFacts,
}

/// # Errors
/// Every mistake of the request; or what prevents the run in the cluster or on this machine.
pub(super) async fn prepare(session: &Session, request: &LocalRunRequest) -> Result<PreparedRun, CommandError> {
    let given = check(session, request)?;
    let observed = observe(session, request).await?;
    let ports = ports(&observed, &given);
    refuse_taken(&ports).await?;
    let book = address_book(session, request, &observed).await?;
    let (mark, held) = mark(session, request, book.as_ref())?;
    let files = PrivateFolder::create(mark.files.clone()).map_err(|error| unwritable(&mark.files, &error))?;
    let binds = binds(session, &observed, files.path(), book.as_ref()).await?;
    let variables = variables(&observed.facts, files.path(), book.as_ref());
    let cmdr = std::env::current_exe().map_err(|error| unwritable(Path::new("cmdr"), &error))?;
    let plan = files.path().join("plan");
    write_plan(&plan, &ProcessPlan { binds }).map_err(|error| unwritable(&plan, &error))?;
    let ReplacedProject { cluster, docker, node, selectors, pod, .. } = observed;
    let mut prepared = PreparedRun {
        project: request.project.clone(),
        cluster,
        docker,
        node,
        selectors,
        pod,
        ports,
        book,
        command: request.command.clone(),
        mark,
        variables,
        plan: Some(plan),
        cmdr,
        _files: files,
        _held: held,
    };
    if let Err(reason) = prepared.local_command().test().await {
        without_namespace(session, &prepared, reason)?;
        prepared.plan = None;
    }
    Ok(prepared)
}

/// The variables of the container, and the one with the folder of its files.
fn variables(facts: &ContainerFacts, folder: &Path, book: Option<&AddressBook>) -> BTreeMap<String, String> {
    let own = book.map_or_else(|| facts.variables.clone(), |book| book.variables(&facts.variables));
    let files = (FILES_VARIABLE.to_owned(), folder.join("root").display().to_string());
    own.into_iter().chain([files]).collect()
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(Problem::new(format!("cannot create {}: {error}", path.display())))
}

/// Checks what can be known without the cluster. Returns the ports of the request.
fn check(session: &Session, request: &LocalRunRequest) -> Result<Vec<PortPair>, CommandError> {
    let environment = &session.environment;
    if !environment.is_local() {
        let cause = format!("cmdr dev is not supported in the environment '{}'", environment.name);
        return Err(CommandError::usage(Problem::new(cause).help("use it in the local environment")));
    }
    named_releases(session, std::slice::from_ref(&request.project))?;
    let (mut ports, mut problems) = (Vec::new(), Vec::new());
    for text in &request.ports {
        match PortPair::parse(text) {
            Some(port) => ports.push(port),
            None => problems.push(
                Problem::new(format!("'{text}' is not a valid port"))
                    .help("write CONTAINER or CONTAINER:LOCAL, such as --port 8080:18080"),
            ),
        }
    }
    let kind = session.projects.iter().find(|project| project.name.as_str() == request.project);
    let kind = kind.and_then(|project| project.values.get("kind")).and_then(|kind| kind.as_str());
    if let Some(kind) = kind.filter(|kind| TASKS.contains(kind)) {
        problems.push(task(&request.project, kind));
    }
    let program = &request.command[0];
    if !is_program(program, &session.settings.variables.path) {
        problems.push(Problem::new(format!("'{program}' is not installed, or not on PATH")));
    }
    if let Some(mark) = active_runs(session).get(&request.project) {
        let problem = Problem::new(format!("'{}' runs locally already: {}", request.project, mark.holder()));
        return Err(CommandError::new(ErrorKind::Locked, problem.help("end that process first")));
    }
    CommandError::require_none(ErrorKind::Usage, problems)?;
    Ok(ports)
}

fn task(project: &str, kind: &str) -> Problem {
    let cause = format!("'{project}' is a {kind}: it has no pods that a process could replace");
    Problem::new(cause).help(format!("cmdr run {project} starts it in the cluster"))
}

async fn observe(session: &Session, request: &LocalRunRequest) -> Result<ReplacedProject, CommandError> {
    let releases = named_releases(session, std::slice::from_ref(&request.project))?;
    let (access, cluster) = tokio::try_join!(session.local(), connect(session))?;
    let node = access.node.as_ref().ok_or_else(own_cluster::not_running)?;
    let selectors = pod_selectors(session, &cluster, &releases, true).await?;
    let namespace = selectors.first().map_or(&session.environment.namespace, |selector| &selector.key.namespace);
    let pods = cluster.replaced_pods(namespace);
    let (pods, names) = tokio::try_join!(pods, cluster.service_names())?;
    let own = pods.into_iter().find(|pod| selectors.iter().any(|it| it.matches(&pod.namespace, &pod.labels)));
    let pod = own.ok_or_else(|| no_pod(&request.project))?;
    refuse_pod(&request.project, &pod)?;
    let reached = match node.address {
        Some(address) => tcp::connect(&address.to_string(), API_PORT, REACH).await.is_ok(),
        None => false,
    };
    let facts = read_container(&access.docker, &node.name, &main_container(&pod).id).await?.ok_or_else(|| {
        CommandError::failed(Problem::new(format!("the node does not describe the container of {}", pod.name)))
    })?;
    let (docker, node) = (access.docker.clone(), node.name.clone());
    Ok(ReplacedProject { cluster, docker, node, selectors, pod, names, can_reach_node: reached, facts })
}

fn main_container(pod: &ReplacedPod) -> &ReplacedContainer {
    // A pod without containers is not listed.
    &pod.containers[0]
}

fn no_pod(project: &str) -> CommandError {
    let cause = format!("'{project}' has no running pod whose place the process could take");
    CommandError::failed(Problem::new(cause).help(format!("deploy it with cmdr up {project}")))
}

fn refuse_pod(project: &str, pod: &ReplacedPod) -> Result<(), CommandError> {
    if let Some(kind) = pod.owner_kind().filter(|kind| TASKS.contains(kind)) {
        return Err(CommandError::usage(task(project, kind)));
    }
    if pod.is_on_host_network {
        let cause = format!("'{project}' uses the network of its node (hostNetwork), whose traffic cannot be replaced");
        return Err(CommandError::usage(Problem::new(cause)));
    }
    Ok(())
}

/// The ports to which Services send traffic, and those of the request, which win.
fn ports(observed: &ReplacedProject, given: &[PortPair]) -> Vec<PortPair> {
    let of_services = observed.names.ports_of(&observed.pod);
    let others = of_services.into_iter().filter(|port| given.iter().all(|it| it.container != *port));
    let same = others.map(|port| PortPair { container: port, local: port });
    given.iter().copied().chain(same).collect()
}

/// Refuses ports on which another program of this machine listens.
async fn refuse_taken(ports: &[PortPair]) -> Result<(), CommandError> {
    let mut problems = Vec::new();
    for port in ports {
        if connect_locally(port.local).await.is_ok() {
            let other = port.local.checked_add(10_000).unwrap_or(port.local - 10_000);
            let help = format!("end it, or have the process listen on another port: --port {}:{other}", port.container);
            problems.push(
                Problem::new(format!("another program listens on port {} of this machine", port.local)).help(help),
            );
        }
    }
    CommandError::require_none(ErrorKind::Failed, problems)
}

/// Chooses addresses for the names of the cluster.
async fn address_book(
    session: &Session,
    request: &LocalRunRequest,
    observed: &ReplacedProject,
) -> Result<Option<AddressBook>, CommandError> {
    let network = observed.docker.network(NETWORK).await?.filter(|_| observed.can_reach_node);
    let taken = all_marks_folder(session).parent().map(taken_blocks).unwrap_or_default();
    let run = format!("{}/{}/{}", session.workspace(), session.environment.namespace, request.project);
    let block = network.and_then(|network| choose_block(network.subnet, &run, &taken));
    if block.is_none() {
        session.note(
            "this machine cannot reach the cluster's network: names of Services do not resolve (cmdr docs develop \
             has what to do)",
        );
    }
    Ok(block.map(|block| AddressBook::new(block, observed.names.destinations.clone())))
}

fn mark(
    session: &Session,
    request: &LocalRunRequest,
    book: Option<&AddressBook>,
) -> Result<(LocalRunMark, HeldMark), CommandError> {
    let variables = &session.settings.variables;
    let name = format!("{}-{}-{}", session.workspace(), session.environment.namespace, request.project);
    let mark = LocalRunMark {
        project: request.project.clone(),
        process: std::process::id(),
        user: session.settings.author(),
        since: Timestamp::now(),
        block: book.map(|book| book.block.to_string()).unwrap_or_default(),
        files: PrivateFolder::path_of(&name, variables.runtime_folder.as_deref(), &session.settings.folders.state),
    };
    let held = take(&marks_folder(session), &mark).map_err(|error| match error {
        MarkError::Held(holder) => {
            let problem = Problem::new(format!("'{}' runs locally already: {holder}", mark.project));
            CommandError::new(ErrorKind::Locked, problem.help("end that process first"))
        }
        MarkError::File(..) => {
            CommandError::failed(Problem::new(error.to_string()).help("set CMDR_STATE to a writable folder"))
        }
    })?;
    Ok((mark, held))
}

/// Copies the files of the container, and returns where the process sees them.
async fn binds(
    session: &Session,
    observed: &ReplacedProject,
    folder: &Path,
    book: Option<&AddressBook>,
) -> Result<Vec<Bind>, CommandError> {
    let mut binds = names(observed, folder, book).map_err(|error| unwritable(folder, &error))?;
    let root = folder.join("root");
    fs::create_dir_all(&root).map_err(|error| unwritable(&root, &error))?;
    let container = main_container(&observed.pod);
    let mut mounts = Vec::new();
    for volume in &container.mounts {
        let target = root.join(volume.path.trim_start_matches('/'));
        match (volume.content, observed.facts.mounts.get(&volume.path)) {
            (VolumeContent::Projected, Some(source)) => {
                mounts.push(ContainerMount { path: volume.path.clone(), source: source.clone() });
            }
            // This machine has a folder of its own, such as /tmp.
            (VolumeContent::Temporary, _) if Path::new(&volume.path).exists() => (),
            (VolumeContent::Temporary, _) => {
                fs::create_dir_all(&target).map_err(|error| unwritable(&target, &error))?;
                binds.push(Bind { source: target, target: volume.path.clone().into(), is_folder: true });
            }
            _ => session.note(&format!("the volume at {} is available only to the pod", volume.path)),
        }
    }
    let fetched = read_files(&observed.docker, &observed.node, &mounts, &root).await?;
    binds.extend(mounts.iter().zip(fetched).map(|(mount, fetched)| Bind {
        source: root.join(mount.path.trim_start_matches('/')),
        target: mount.path.clone().into(),
        is_folder: fetched == Fetched::Folder,
    }));
    Ok(binds)
}

/// The files with which the names of Services resolve.
fn names(observed: &ReplacedProject, folder: &Path, book: Option<&AddressBook>) -> std::io::Result<Vec<Bind>> {
    let Some(book) = book else { return Ok(Vec::new()) };
    let own = fs::read_to_string(HOSTS).unwrap_or_default();
    let hosts =
        format!("{own}\n# Services of the cluster, by cmdr dev --local\n{}", book.hosts(&observed.pod.namespace));
    let mut files = vec![(HOSTS, hosts)];
    if let Ok(configuration) = fs::read_to_string(NAME_SERVICE) {
        files.push((NAME_SERVICE, with_hosts_file_first(&configuration)));
    }
    let written = files.into_iter().map(|(target, text)| {
        let source = folder.join(Path::new(target).file_name().unwrap_or_default());
        fs::write(&source, text)?;
        Ok(Bind { source, target: target.into(), is_folder: false })
    });
    written.collect()
}

/// Without namespaces, names resolve only if this machine's own hosts file has them.
fn without_namespace(session: &Session, prepared: &PreparedRun, reason: String) -> Result<(), CommandError> {
    let lines = prepared.book.as_ref().map(|book| book.hosts(&prepared.pod.namespace)).unwrap_or_default();
    let hosts = fs::read_to_string(HOSTS).unwrap_or_default();
    let known: BTreeSet<&str> = hosts.lines().map(str::trim).collect();
    if lines.lines().all(|line| known.contains(line)) {
        session.note(&format!("the files of the container are in ${FILES_VARIABLE}: {reason}"));
        return Ok(());
    }
    let problem = Problem {
        details: vec![reason],
        ..Problem::new("this machine does not allow namespaces of a user, in which names of Services would resolve")
    };
    let help = format!("add these lines to {HOSTS}, and run the command again:\n{}", lines.trim_end());
    Err(CommandError::failed(problem.help(help)))
}
