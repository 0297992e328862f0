//! Copies of the local environment: which one a command works on, who owns it, and whether it is still in use.

use crate::{
    adapters::{cluster::Cluster, docker::Docker, git},
    config::Loaded,
    domain::{
        Environment, Problem,
        local_copy::{
            CopyMark, CopyOwner, LONGEST_HOST, LONGEST_NAMESPACE, ORIGINAL, ObservedCopy, leave_ports_of_node,
            overlong_hosts,
        },
        nearest::nearest,
        resolve::resolve,
        slug::Slug,
    },
    error::{CommandError, ErrorKind},
    ops::{options::UpRequest, session::Session, snapshots},
    plan::{
        CopyStep, DataPlace, DataSource, Plan, Step,
        up::{Described, Observed, ObservedCluster},
    },
    settings::Settings,
};

/// The prefix of the name of a snapshot after `--data-from`. Names of copies have no `:`.
const SNAPSHOT: &str = "snapshot:";

/// Returns the environment, or the copy of it that `--copy` or `CMDR_COPY` names.
///
/// # Errors
/// When it is not the local environment, or the name cannot be that of a copy.
pub(super) fn chosen(
    loaded: &Loaded,
    environment: Environment,
    settings: &Settings,
) -> Result<Environment, CommandError> {
    let Some(written) = &settings.copy else { return Ok(environment) };
    if !environment.is_local() {
        // The variable chooses among the copies of `local`, and is set for a whole worktree.
        return if settings.requires_copy { Err(no_copies(&environment)) } else { Ok(environment) };
    }
    if written == ORIGINAL {
        return Ok(environment);
    }
    if settings.requires_copy && loaded.workspace.projects.contains_key(written.as_str()) {
        let cause = format!("--copy: '{written}' is a project, so it is not accepted as the name of a copy");
        let help = format!("write the project first: cmdr up {written} --copy; or choose another name");
        return Err(CommandError::usage(Problem::new(cause).help(help)));
    }
    let branch = git::branch(&loaded.workspace.root).filter(|_| written.is_empty());
    let name = branch.as_ref().unwrap_or(written);
    let slug = Slug::of_branch(name).ok_or_else(|| no_name(name))?;
    if slug.as_str() == ORIGINAL {
        return Err(no_name(ORIGINAL));
    }
    environment.local_copy_of(slug).map_err(|namespace| too_long(("namespace", LONGEST_NAMESPACE), &namespace))
}

/// Refuses hosts that the name of a copy makes too long.
///
/// # Errors
/// All of them.
pub(super) fn check_hosts(session: &Session) -> Result<(), CommandError> {
    let overlong =
        if session.environment.local_copy.is_some() { overlong_hosts(&session.projects) } else { Vec::new() };
    CommandError::require_none(
        ErrorKind::Usage,
        overlong.iter().flat_map(|host| too_long(("host", LONGEST_HOST), host).problems).collect(),
    )
}

fn no_copies(environment: &Environment) -> CommandError {
    let cause = format!("--copy: '{}' is not the local environment, and only that one has copies", environment.name);
    CommandError::usage(Problem::new(cause).help("leave out --copy or --env"))
}

fn no_name(written: &str) -> CommandError {
    let problem = match written {
        "" => Problem::new("--copy: no branch is checked out here, whose name the copy would have"),
        ORIGINAL => Problem::new("--copy: 'original' is the environment itself, so no copy has this name"),
        _ => {
            Problem::new(format!("--copy: '{written}' has no letter and no digit, so it cannot be part of a host name"))
        }
    };
    CommandError::usage(problem.help("name the copy: --copy fix-42"))
}

fn too_long((what, most): (&str, usize), name: &str) -> CommandError {
    let length = name.len();
    let cause = format!("--copy: the {what} '{name}' would have {length} characters, more than {most}");
    let help = format!("choose a name that is {} characters shorter: --copy NAME", length - most);
    CommandError::usage(Problem::new(cause).help(help))
}

/// Who brings up a copy from this folder.
pub(crate) fn owner(session: &Session) -> CopyOwner {
    let root = &session.loaded.workspace.root;
    CopyOwner {
        worktree: git::worktree(root).unwrap_or_else(|| root.canonicalize().unwrap_or_else(|_| root.clone())),
        branch: git::branch(root),
    }
}

/// How the namespace of the session's copy is marked.
pub(super) fn mark(session: &Session) -> Option<CopyMark> {
    let name = session.environment.copy_name()?.to_owned();
    Some(CopyMark { name, owner: owner(session) })
}

/// Refuses a copy that another worktree owns, and a namespace that is not one of a copy. A copy whose worktree no longer
/// exists is taken over.
///
/// # Errors
/// The folder of the worktree, or the namespace.
fn refuse_foreign(session: &Session, observed: &Observed) -> Result<(), CommandError> {
    let Some(mark) = mark(session) else { return Ok(()) };
    let namespace = &session.environment.namespace;
    let Some(found) = observed.copies.iter().find(|copy| copy.namespace == *namespace) else {
        if !observed.namespaces.contains_key(namespace) {
            return Ok(());
        }
        let cause = format!("the namespace {namespace} exists, but is not a copy of this workspace");
        let problem = Problem::new(cause).help("choose another name: --copy NAME");
        return Err(CommandError::new(ErrorKind::WrongCluster, problem));
    };
    let folder = &found.owner.worktree;
    if *folder == mark.owner.worktree {
        return Ok(());
    }
    if folder.is_dir() {
        let cause = format!("the copy '{}' belongs to another worktree: {}", mark.name, folder.display());
        let help = "choose another name: --copy NAME; or delete that copy first: cmdr down --copy NAME";
        return Err(CommandError::new(ErrorKind::Refused, Problem::new(cause).help(help)));
    }
    session.note(&format!(
        "the copy '{}' is taken over: its worktree {} no longer exists",
        mark.name,
        folder.display()
    ));
    Ok(())
}

/// Refuses to read a copy that does not exist.
///
/// # Errors
/// With the closest name, if one is close.
pub(super) fn require(session: &Session, copies: &[ObservedCopy]) -> Result<(), CommandError> {
    match session.environment.copy_name() {
        Some(name) if copies.iter().all(|copy| copy.name != name) => Err(unknown_copy(name, copies)),
        _ => Ok(()),
    }
}

/// The same for a cluster that has not been observed.
///
/// # Errors
/// As [`require`], or when the API does not respond.
pub(super) async fn require_in(session: &Session, cluster: &Cluster) -> Result<(), CommandError> {
    if session.environment.local_copy.is_none() {
        return Ok(());
    }
    require(session, &cluster.copies(session.workspace().as_str()).await?)
}

pub(crate) fn unknown_copy(name: &str, copies: &[ObservedCopy]) -> CommandError {
    let known: Vec<&str> = copies.iter().map(|copy| copy.name.as_str()).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None if known.is_empty() => format!("there are no copies; create it with cmdr up --copy {name}"),
        None => format!("existing copies: {}", known.join(", ")),
    };
    CommandError::usage(Problem::new(format!("copy '{name}' not found")).help(help))
}

fn no_source(name: &str, copies: &[ObservedCopy]) -> CommandError {
    let known: Vec<&str> = copies.iter().map(|copy| copy.name.as_str()).chain([ORIGINAL]).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => format!("name one of these: {}; for a snapshot: {SNAPSHOT}NAME", known.join(", ")),
    };
    CommandError::usage(Problem::new(format!("--data-from: copy '{name}' not found")).help(help))
}

/// Returns the snapshot whose data `--data-from` gives to a copy.
///
/// # Errors
/// When the engine returns an error, or there is no such snapshot.
pub(super) async fn snapshot_source(
    session: &Session,
    docker: &Docker,
    request: &UpRequest,
) -> Result<Option<DataSource>, CommandError> {
    let name = request.data_from.as_ref().and_then(|source| source.strip_prefix(SNAPSHOT));
    let Some((name, copy)) = name.zip(session.environment.local_copy.as_ref()) else { return Ok(None) };
    let found = snapshots::find(session, docker, name).await?;
    Ok(Some(DataSource { place: DataPlace::Snapshot(Box::new(found)), namespace: copy.namespace.clone() }))
}

/// Refuses options of `up` that a copy does not have, or that only a copy has.
///
/// # Errors
/// All of them.
pub(super) fn refuse_options(session: &Session, request: &UpRequest) -> Result<(), CommandError> {
    let mut problems = Vec::new();
    match (session.environment.copy_name(), &request.data_from) {
        (None, Some(_)) => {
            let problem = Problem::new("--data-from gives data to a copy, and this is the original");
            problems.push(problem.help("name the copy: --copy NAME"));
        }
        (Some(copy), Some(source)) if copy == source => {
            let problem = Problem::new(format!("--data-from: the copy '{copy}' cannot get its own data"));
            problems.push(problem.help("name another copy, or `original`"));
        }
        _ => (),
    }
    if let Some(copy) = session.environment.copy_name() {
        if request.recreate {
            let problem = Problem::new("--recreate deletes the cluster with all copies, so a copy does not have it");
            problems.push(problem.help(format!("delete only the copy: cmdr down --copy {copy}")));
        }
        if request.adopt {
            let problem = Problem::new("--adopt would take objects of the original away from it");
            problems.push(problem.help("leave out --adopt"));
        }
    }
    CommandError::require_none(ErrorKind::Usage, problems)
}

/// Checks that the session's copy may be brought up, and adds the copy, or the original, whose data its new volumes get.
///
/// # Errors
/// As [`refuse_foreign`], or when the source does not exist.
pub(super) fn prepare(
    session: &Session,
    request: &UpRequest,
    (described, observed): (&mut Described, &Observed),
) -> Result<(), CommandError> {
    refuse_foreign(session, observed)?;
    // The data of a snapshot does not depend on what was observed.
    if described.data_from.is_none() {
        described.data_from = source_in_cluster(session, request, observed)?;
    }
    if let Some(source) = &described.data_from {
        for own in described.namespaces.iter_mut().filter(|it| it.copy.is_some()) {
            own.secrets_from = Some(source.clone());
        }
    }
    Ok(())
}

fn source_in_cluster(
    session: &Session,
    request: &UpRequest,
    observed: &Observed,
) -> Result<Option<DataSource>, CommandError> {
    let Some((name, copy)) = request.data_from.as_ref().zip(session.environment.local_copy.as_ref()) else {
        return Ok(None);
    };
    // The copies of a stopped cluster are known when it runs.
    if observed.cluster == ObservedCluster::Stopped {
        return Ok(None);
    }
    if observed.cluster != ObservedCluster::Running {
        let problem = Problem::new(format!("--data-from: there is no cluster with the data of '{name}'"));
        return Err(CommandError::usage(problem.help("leave out --data-from")));
    }
    let copies = &observed.copies;
    let namespace = match copies.iter().find(|copy| copy.name == *name) {
        _ if name == ORIGINAL => copy.namespace.clone(),
        Some(found) => found.namespace.clone(),
        None => return Err(no_source(name, copies)),
    };
    Ok(Some(DataSource { place: DataPlace::Cluster { name: name.clone() }, namespace }))
}

/// Says that nothing is copied, because the volumes of the copy exist already.
pub(super) fn note_unused_data(session: &Session, request: &UpRequest, plan: &Plan) {
    let is_copied = plan.steps.iter().any(|planned| matches!(planned.step, Step::Copy(CopyStep::Volumes(_))));
    if let Some((source, copy)) = request.data_from.as_ref().zip(session.environment.copy_name())
        && !is_copied
    {
        session.note(&format!(
            "no data of '{source}' is copied: the copy has no new volumes; for new ones: cmdr down --copy {copy}"
        ));
    }
}

/// Says which ports of the node a copy does not have, because a cluster has them only once.
pub(super) fn note_ports_of_node(session: &Session) {
    let original = session.loaded.workspace.environments.values().find(|environment| environment.is_local());
    let Some(original) = original.filter(|_| session.environment.local_copy.is_some()) else { return };
    for mut project in resolve(&session.loaded.workspace, original) {
        let left = if project.is_on_universal_chart() { leave_ports_of_node(&mut project.values) } else { Vec::new() };
        if !left.is_empty() {
            session.note(&format!("{} of the copy does not have: {}", project.name, left.join(", ")));
        }
    }
}

/// Why a copy is no longer in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Abandoned {
    /// The folder of its worktree does not exist.
    WorktreeDeleted,
    /// The branch that it was brought up from does not exist.
    BranchDeleted,
}

impl Abandoned {
    /// In words.
    pub fn shown(self) -> &'static str {
        match self {
            Self::WorktreeDeleted => "worktree deleted",
            Self::BranchDeleted => "branch deleted",
        }
    }
}

/// Why a copy is no longer in use; `None` if it is, as far as this machine shows.
pub(crate) async fn abandoned(copy: &ObservedCopy) -> Option<Abandoned> {
    let CopyOwner { worktree, branch } = &copy.owner;
    if !worktree.is_dir() {
        return Some(Abandoned::WorktreeDeleted);
    }
    match branch {
        Some(branch) if git::lacks_branch(worktree, branch).await => Some(Abandoned::BranchDeleted),
        _ => None,
    }
}

/// Says which copies are no longer in use.
pub(super) async fn note_abandoned(session: &Session, copies: &[ObservedCopy]) {
    let mut names = Vec::new();
    for copy in copies {
        if abandoned(copy).await.is_some() {
            names.push(copy.name.as_str());
        }
    }
    if !names.is_empty() {
        let list = names.join(", ");
        session.note(&format!("copies without a worktree or branch: {list}; cmdr copies --prune deletes them"));
    }
}
