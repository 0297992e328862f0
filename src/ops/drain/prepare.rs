//! What a drain works on, and whether it can: the projects, their queues and producers, as described and as observed.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::{
    adapters::{
        cluster::{Cluster, StoredRelease},
        queues::look,
    },
    domain::{
        Name, Problem, Project, ReleaseKey,
        drain_state::{DrainMark, STOPPABLE},
        maintenance::MaintenanceMark,
        queues::{Closure, NamedQueue},
    },
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        describe::timeout_seconds,
        maintenance::Gateway,
        remote::deploy_request::expand_enabled,
        session::{Session, external_here},
    },
    plan::drain::Consumer,
};

/// The named projects with queues, and those of the named bundles.
///
/// # Errors
/// All names that are unknown, and all projects without queues or with a broker that cmdr does not run here.
pub(crate) fn consumers(session: &Session, names: &[String]) -> Result<Vec<Consumer>, CommandError> {
    let (named, bundles) = expand_enabled(session, names).map_err(|error| of_queues(session, names, error))?;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for name in &named {
        let Some(project) = project(session, name.as_str()) else { continue };
        if !project.queues.is_empty() {
            problems.extend(foreign(session, &project));
            found.push(consumer(session, &project));
        } else if !bundles.contains_key(name) {
            let problem = Problem::new(format!("'{name}' has no queues that can be drained"));
            problems.push(problem.help(format!("describe them under `projects.{name}.queues`")));
        }
    }
    if found.is_empty() && problems.is_empty() {
        let problem = Problem::new(format!("no project of {} has queues that can be drained", names.join(", ")));
        problems.push(problem.help("describe them under `queues` of the project that consumes them"));
    }
    CommandError::require_none(ErrorKind::Usage, problems)?;
    Ok(found)
}

/// The name of a queue is easily written where its consumer is meant.
fn of_queues(session: &Session, names: &[String], mut error: CommandError) -> CommandError {
    let (projects, bundles) = (&session.loaded.workspace.projects, &session.loaded.workspace.bundles);
    let is_unknown = |name: &&String| !projects.contains_key(name.as_str()) && !bundles.contains_key(name.as_str());
    for (name, problem) in names.iter().filter(is_unknown).zip(&mut error.problems) {
        let mut consumers = projects.iter().filter(|(_, project)| project.queues.contains_key(name.as_str()));
        if let Some((consumer, _)) = consumers.next() {
            problem.help = Some(format!("'{name}' is a queue of '{consumer}': name the project"));
        }
    }
    error
}

fn project(session: &Session, name: &str) -> Option<Project> {
    session.loaded.workspace.projects.get(name).map(|project| project.overridden(&session.environment))
}

/// Brokers and producers that cmdr does not run in this environment.
fn foreign(session: &Session, consumer: &Project) -> Vec<Problem> {
    let used = consumer.queues.values().flat_map(|queue| queue.at.iter().chain(queue.producers.keys()));
    let is_external = |name: &&Name| project(session, name.as_str()).is_some_and(|it| it.external.is_some());
    let names: BTreeSet<&Name> = used.filter(is_external).collect();
    names.into_iter().flat_map(|name| external_here(name.as_str()).problems).collect()
}

fn consumer(session: &Session, project: &Project) -> Consumer {
    let namespace = &session.environment.namespace;
    let key = |name: &Name| ReleaseKey::new(namespace, name.as_str());
    let queues = project.queues.iter().map(|(name, queue)| NamedQueue {
        name: name.to_string(),
        queue: queue.clone(),
        broker: queue.at.as_ref().map(key),
    });
    let is_here = |name: &Name| session.projects.iter().any(|project| project.name == *name);
    let mut producers: BTreeMap<String, Closure> = BTreeMap::new();
    for (name, closure) in project.queues.values().flat_map(|queue| &queue.producers).filter(|(name, _)| is_here(name))
    {
        let all = producers.entry(name.to_string()).or_insert(*closure);
        if *closure == Closure::Stop {
            *all = Closure::Stop;
        }
    }
    Consumer {
        project: key(&project.name),
        queues: queues.collect(),
        producers,
        timeout_seconds: timeout_seconds(project.timeout),
    }
}

/// How long the rollout of each producer may take.
pub(super) fn producer_timeouts(session: &Session, consumers: &[Consumer]) -> BTreeMap<String, u64> {
    let names = consumers.iter().flat_map(|it| it.producers.keys());
    let timeout = |name: &String| project(session, name).map(|it| (name.clone(), timeout_seconds(it.timeout)));
    names.filter_map(timeout).collect()
}

/// Looks for what a drain could not do: before anything is changed.
///
/// # Errors
/// All workloads that cannot be stopped, producers that cannot be closed, and queues that cannot be asked.
pub(super) async fn observed_problems(
    session: &Session,
    cluster: &Cluster,
    consumers: &[Consumer],
    gateway: Option<&Gateway>,
) -> Result<(), CommandError> {
    let releases = cluster.releases().await?;
    let stopped = consumers.iter().flat_map(|it| {
        let producers = it.producers.iter().filter(|(_, closure)| **closure == Closure::Stop).map(|(name, _)| name);
        producers.chain([&it.project.name])
    });
    let stopped: BTreeSet<&String> = stopped.collect();
    let mut problems: Vec<Problem> =
        stopped.into_iter().filter_map(|name| not_stoppable(session, &releases, name)).collect();
    let closed = consumers.iter().flat_map(|it| {
        it.producers.iter().filter(|(_, closure)| **closure == Closure::Maintenance).map(|(name, _)| name)
    });
    let closed: BTreeSet<&String> = closed.collect();
    problems.extend(closed.into_iter().filter_map(|name| gateway?.refusal(session, name)));
    let folder = &session.loaded.workspace.root;
    let queues = consumers.iter().flat_map(|it| &it.queues);
    let looks = join_all(queues.map(|queue| look(cluster, queue, folder, &session.cancel))).await;
    problems.extend(looks.into_iter().filter_map(Result::err));
    CommandError::require_none(ErrorKind::Failed, problems)
}

fn not_stoppable(session: &Session, releases: &[StoredRelease], name: &str) -> Option<Problem> {
    let environment = &session.environment;
    let key = ReleaseKey::new(&environment.namespace, name);
    let Some(release) = releases.iter().find(|release| release.key == key && !release.rendered.is_empty()) else {
        let problem = Problem::new(format!("'{name}' is not deployed in '{}'", environment.name));
        return Some(problem.help(format!("deploy it with cmdr up {name}, or name another project")));
    };
    let kinds: BTreeSet<&str> = release.rendered.iter().map(|rendered| rendered.object.kind.as_str()).collect();
    let problem = if kinds.contains("DaemonSet") {
        Problem::new(format!("'{name}' has a DaemonSet, which cannot be stopped"))
    } else if !STOPPABLE.iter().any(|kind| kinds.contains(kind)) {
        Problem::new(format!("'{name}' has no {}", STOPPABLE.join(", no ")))
    } else {
        return None;
    };
    Some(problem.help("a project is stopped by scaling it to 0; close a producer with `maintenance`, or leave it out"))
}

/// What is closed and stopped of a drain.
#[derive(Debug, Default)]
struct DrainProgress {
    closed: BTreeMap<String, MaintenanceMark>,
    stopped: BTreeMap<String, DrainMark>,
}

impl DrainProgress {
    async fn observe(session: &Session, cluster: &Cluster, names: &BTreeSet<&str>) -> Result<Self, CommandError> {
        let (closed, releases) = tokio::try_join!(cluster.maintenances(), cluster.releases())?;
        let namespace = &session.environment.namespace;
        let is_meant = |key: &ReleaseKey| key.namespace == *namespace && names.contains(key.name.as_str());
        let mut found = Self::default();
        found.closed.extend(closed.into_iter().filter(|(key, _)| is_meant(key)).map(|(key, mark)| (key.name, mark)));
        for release in releases.into_iter().filter(|release| is_meant(&release.key)) {
            for rendered in release.rendered.iter().filter(|it| STOPPABLE.contains(&it.object.kind.as_str())) {
                let mark = DrainMark::of(&cluster.workload(&rendered.object).await?);
                found.stopped.extend(mark.map(|mark| (release.key.name.clone(), mark)));
            }
        }
        Ok(found)
    }
}

/// What an unfinished drain has closed and stopped, and how to go on; `None` if it cannot be read.
pub(super) async fn remaining_state(session: &Session, consumers: &[Consumer]) -> Option<String> {
    let cluster = connect(session).await.ok()?;
    let names = consumers.iter().flat_map(|it| it.producers.keys().chain([&it.project.name]).map(String::as_str));
    let names: BTreeSet<&str> = names.collect();
    let found = DrainProgress::observe(session, &cluster, &names).await.ok()?;
    let list = |names: Vec<&str>| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let closed = list(found.closed.keys().map(String::as_str).collect());
    let stopped = list(found.stopped.keys().map(String::as_str).collect());
    let projects: Vec<&str> = consumers.iter().map(|it| it.project.name.as_str()).collect();
    let projects = projects.join(" ");
    Some(format!(
        "not drained: {projects}; closed: {closed}; stopped: {stopped}; go on with cmdr drain {projects}, or go back with \
         cmdr fill {projects}"
    ))
}
