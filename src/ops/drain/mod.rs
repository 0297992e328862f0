//! Drains projects: closes the producers of their queues, waits until these are empty, and stops the projects; and fills
//! them again.

mod prepare;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    adapters::cluster::Cluster,
    config::parse_duration,
    domain::{Problem, maintenance::MaintenanceMark, queues::Closure},
    error::{CommandError, ErrorKind},
    ops::{
        local::{refuse_change_options, run_planned},
        maintenance::Gateway,
        options::ChangeRequest,
        remote::operation::{OperationRequest, operate},
        session::Session,
    },
    plan::{
        Plan,
        drain::{Consumer, DrainTerms, OpenedProducers, drain as plan_drain, fill as plan_fill},
        maintenance::ProjectOpening,
    },
};
pub(crate) use prepare::consumers;
use prepare::{observed_problems, producer_timeouts, remaining_state};

/// What happens at the deadline of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtDeadline {
    /// Producers stay closed, and consumers run on.
    #[default]
    Keep,
    /// Everything is opened again.
    Resume,
    /// The consumers are stopped.
    Stop,
}

/// What `cmdr drain` is asked to do.
#[derive(Debug, Clone)]
pub struct DrainRequest {
    /// Projects and bundles.
    pub projects: Vec<String>,
    /// How long the queues of a project may take.
    pub timeout: Duration,
    pub then: AtDeadline,
}

impl DrainRequest {
    /// `timeout` is a duration such as `10m`.
    ///
    /// # Errors
    /// When `timeout` is not a duration.
    pub fn new(projects: Vec<String>, timeout: &str, then: AtDeadline) -> Result<Self, CommandError> {
        let read = parse_duration(timeout).filter(|timeout| timeout.as_secs() > 0).ok_or_else(|| {
            let problem = Problem::new(format!("--timeout: '{timeout}' is not a valid value"));
            CommandError::usage(problem.help("for example 90s, 30m or 2h"))
        });
        Ok(Self { projects, timeout: read?, then })
    }

    /// Observes the environment, looks at each queue once, and plans the drain.
    ///
    /// # Errors
    /// When something could not be closed, stopped or asked: all problems at once.
    pub(crate) async fn plan(&self, session: &Session, cluster: &Cluster) -> Result<Plan, CommandError> {
        let consumers = consumers(session, &self.projects)?;
        let gateway = gateway(session, cluster, &consumers).await?;
        observed_problems(session, cluster, &consumers, gateway.as_ref()).await?;
        let terms = DrainTerms {
            by: session.settings.author(),
            timeout_seconds: self.timeout.as_secs(),
            then_stop: self.then == AtDeadline::Stop,
        };
        let marks = gateway.as_ref().map(|gateway| closed_marks(session, &consumers, gateway)).unwrap_or_default();
        let (closings, page) = Gateway::closings_of(gateway.as_ref(), session, &marks)?;
        Ok(plan_drain(&consumers, &terms, (closings, &page)))
    }
}

/// Drains projects.
///
/// # Errors
/// When something is invalid, a gate refuses, or the queues are not empty at the deadline. Before anything is changed, or
/// with a note of what remains.
pub async fn drain(session: &Session, request: &DrainRequest, change: &ChangeRequest) -> Result<(), CommandError> {
    let is_local = session.environment.is_local();
    if is_local {
        refuse_change_options(change)?;
    }
    let all = consumers(session, &request.projects)?;
    let start = Instant::now();
    let ran = if is_local {
        run_planned(session, "drain", async |cluster| request.plan(session, cluster).await).await
    } else {
        operate(session, &OperationRequest::Drain(request.clone()), change).await
    };
    let Err(error) = ran else { return Ok(()) };
    // An error with a message has changed nothing yet.
    if session.settings.dry_run || !error.problems.is_empty() {
        return Err(error);
    }
    if request.then == AtDeadline::Resume && error.kind == ErrorKind::Failed && start.elapsed() >= request.timeout {
        session.note("opening again, as --then resume says");
        fill(session, &request.projects, &change.without_overrides()).await?;
        return Err(error);
    }
    if let Some(note) = remaining_state(session, &all).await {
        session.note(&note);
    }
    Err(error)
}

/// Starts drained projects, then opens their producers.
///
/// # Errors
/// When a name is unknown, or something does not become ready.
pub async fn fill(session: &Session, projects: &[String], change: &ChangeRequest) -> Result<(), CommandError> {
    let is_local = session.environment.is_local();
    if is_local {
        refuse_change_options(change)?;
    }
    consumers(session, projects)?;
    if !is_local {
        return operate(session, &OperationRequest::Fill(projects.to_vec()), change).await;
    }
    run_planned(session, "fill", async |cluster| fill_plan(session, cluster, projects).await).await
}

/// Observes what is closed, and plans how it is opened.
///
/// # Errors
/// When a name is unknown, or the cluster does not respond.
pub(crate) async fn fill_plan(session: &Session, cluster: &Cluster, projects: &[String]) -> Result<Plan, CommandError> {
    let consumers = consumers(session, projects)?;
    let gateway = gateway(session, cluster, &consumers).await?;
    let opened = opened(session, &consumers, gateway.as_ref())?;
    Ok(plan_fill(&consumers, opened))
}

/// The names of all projects that a drain or fill changes.
pub(crate) fn changed_projects(session: &Session, projects: &[String]) -> Vec<String> {
    let consumers = consumers(session, projects).unwrap_or_default();
    let all = consumers.into_iter().flat_map(|it| it.producers.into_keys().chain([it.project.name]));
    all.collect()
}

/// The gateway, if a producer is closed there.
async fn gateway(
    session: &Session,
    cluster: &Cluster,
    consumers: &[Consumer],
) -> Result<Option<Gateway>, CommandError> {
    let is_needed = consumers.iter().any(|it| it.producers.values().any(|it| *it == Closure::Maintenance));
    if is_needed { Gateway::observe(session, cluster).await.map(Some) } else { Ok(None) }
}

/// The producers that are closed at the gateway, each with its drained consumers.
fn by_producer(consumers: &[Consumer]) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for consumer in consumers {
        let closed = consumer.producers.iter().filter(|(_, closure)| **closure == Closure::Maintenance);
        for (producer, _) in closed {
            found.entry(producer).or_default().push(&consumer.project.name);
        }
    }
    found
}

/// What closes the producers: a maintenance from before stays as it is.
fn closed_marks(session: &Session, consumers: &[Consumer], gateway: &Gateway) -> BTreeMap<String, MaintenanceMark> {
    let mark = |producer: &str, drains: Vec<&str>| {
        let mut mark = gateway.mark(session, producer).cloned().unwrap_or_else(|| MaintenanceMark {
            since: Timestamp::now(),
            until: None,
            message: None,
            by: session.settings.author(),
            requested: false,
            drains: std::collections::BTreeSet::new(),
        });
        mark.drains.extend(drains.into_iter().map(str::to_owned));
        mark
    };
    let all = by_producer(consumers).into_iter();
    all.map(|(producer, drains)| (producer.to_owned(), mark(producer, drains))).collect()
}

/// What a fill opens at the gateway, and what stays closed for another reason.
fn opened(
    session: &Session,
    consumers: &[Consumer],
    gateway: Option<&Gateway>,
) -> Result<OpenedProducers, CommandError> {
    let (mut openings, mut kept): (Vec<ProjectOpening>, BTreeMap<String, MaintenanceMark>) = Default::default();
    for (producer, drains) in by_producer(consumers) {
        let Some((gateway, before)) = gateway.and_then(|it| Some((it, it.mark(session, producer)?))) else { continue };
        let mut mark = before.clone();
        mark.drains.retain(|drain| !drains.contains(&drain.as_str()));
        if mark.requested || !mark.drains.is_empty() {
            kept.insert(producer.to_owned(), mark);
        } else {
            openings.push(gateway.opening(session, producer));
        }
    }
    let is_last = gateway.is_some_and(|gateway| gateway.marks.len() == openings.len());
    let (closings, page) = Gateway::closings_of(gateway, session, &kept)?;
    Ok(OpenedProducers { openings, closings, page, is_last, timeouts: producer_timeouts(session, consumers) })
}
