//! Maintenance: closes the routes of projects with a page, opens them, and reports which are closed.

mod gateway;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    adapters::cluster::Cluster,
    config::parse_duration,
    domain::{
        Name, Problem, ReleaseKey,
        maintenance::{MaintenanceMark, parse_until},
    },
    error::{CommandError, ErrorKind},
    ops::{
        certificates::environment_client,
        connect,
        local::{refuse_change_options, run_planned},
        options::ChangeRequest,
        remote::{
            deploy_request::expand_enabled,
            operation::{OperationRequest, operate},
        },
        session::Session,
    },
    plan::{
        Plan,
        maintenance::{close, open},
    },
};

pub(crate) use gateway::Gateway;

/// What `cmdr maintenance on` or `off` is asked to do.
#[derive(Debug, Clone)]
pub struct MaintenanceRequest {
    /// Projects and bundles; empty: all that have a route, or that are closed.
    pub projects: Vec<String>,
    pub change: MaintenanceChange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaintenanceChange {
    On { until: Option<Timestamp>, message: Option<String> },
    Off,
}

impl MaintenanceChange {
    /// `until` is a time or a duration.
    ///
    /// # Errors
    /// When `until` is neither, or not in the future.
    pub fn on(until: Option<&str>, message: Option<String>) -> Result<Self, CommandError> {
        let read = |text: &str| {
            parse_until(text, parse_duration(text), Timestamp::now()).map_err(|why| {
                let problem = Problem::new(format!("--until: '{text}' {why}"));
                CommandError::usage(problem.help("for example 30m, 2h, or 2026-12-24T22:00Z"))
            })
        };
        Ok(Self::On { until: until.map(read).transpose()?, message })
    }
}

/// Closes or opens the routes of projects.
///
/// # Errors
/// When a name is unknown, a project has no route that can be closed, a gate refuses, or a request does not find what was
/// requested.
pub async fn maintain(
    session: &Session,
    request: &MaintenanceRequest,
    change: &ChangeRequest,
) -> Result<(), CommandError> {
    let is_local = session.environment.is_local();
    if is_local {
        refuse_change_options(change)?;
    }
    request.named(session)?;
    gateway::template(session)?;
    if !is_local {
        return operate(session, &OperationRequest::Maintenance(request.clone()), change).await;
    }
    run_planned(session, request.verb(), async |cluster| request.plan(session, cluster).await).await
}

impl MaintenanceRequest {
    pub(crate) fn verb(&self) -> &'static str {
        if self.is_on() { "maintenance on" } else { "maintenance off" }
    }

    pub(crate) fn is_on(&self) -> bool {
        matches!(self.change, MaintenanceChange::On { .. })
    }

    fn named(&self, session: &Session) -> Result<BTreeSet<Name>, CommandError> {
        Ok(expand_enabled(session, &self.projects)?.0)
    }

    /// Observes the routes and the closed projects, and plans the change.
    ///
    /// # Errors
    /// When a project cannot be closed or opened, or the cluster does not respond.
    pub(crate) async fn plan(&self, session: &Session, cluster: &Cluster) -> Result<Plan, CommandError> {
        let gateway = Gateway::observe(session, cluster).await?;
        match &self.change {
            MaintenanceChange::On { until, message } => {
                self.closing_plan(session, &gateway, (*until, message.as_deref()))
            }
            MaintenanceChange::Off => self.opening_plan(session, &gateway),
        }
    }

    fn closing_plan(
        &self,
        session: &Session,
        gateway: &Gateway,
        (until, message): (Option<Timestamp>, Option<&str>),
    ) -> Result<Plan, CommandError> {
        let (named, now) = (self.named(session)?, Timestamp::now());
        let mut projects: BTreeSet<String> = named.iter().map(Name::to_string).collect();
        if self.projects.is_empty() {
            projects = gateway.projects(session);
        }
        if projects.is_empty() {
            let problem = Problem::new("no project has a route that can be closed");
            return Err(CommandError::failed(problem.help("list the URLs with cmdr status")));
        }
        let marks = projects.iter().map(|project| {
            let before = gateway.mark(session, project);
            let mark = MaintenanceMark {
                since: before.map_or(now, |before| before.since),
                until,
                message: message.map(str::to_owned),
                by: session.settings.author(),
                requested: true,
                drains: before.map(|before| before.drains.clone()).unwrap_or_default(),
            };
            (project.clone(), mark)
        });
        let (closings, page) = gateway.closings(session, &marks.collect())?;
        Ok(close(closings, &page))
    }

    fn opening_plan(&self, session: &Session, gateway: &Gateway) -> Result<Plan, CommandError> {
        let (named, namespace) = (self.named(session)?, &session.environment.namespace);
        let closed: BTreeMap<&str, &MaintenanceMark> =
            gateway.marks.iter().map(|(key, mark)| (key.name.as_str(), mark)).collect();
        let is_chosen = |name: &str, mark: &MaintenanceMark| {
            if self.projects.is_empty() { mark.requested } else { named.contains(name) }
        };
        let chosen = closed.iter().filter(|(name, mark)| is_chosen(name, mark));
        let (kept, opened): (Vec<_>, Vec<_>) = chosen.partition(|(_, mark)| !mark.drains.is_empty());
        let problems = kept.into_iter().map(|(name, mark)| {
            let drains: Vec<&str> = mark.drains.iter().map(String::as_str).collect();
            let drains = drains.join(" ");
            Problem::new(format!("'{name}' is closed for the drain of {drains}"))
                .help(format!("open it with cmdr fill {drains}"))
        });
        CommandError::require_none(ErrorKind::Refused, problems.collect())?;
        for name in named.iter().filter(|name| !closed.contains_key(name.as_str())) {
            session.note(&format!("'{name}' is not in maintenance"));
        }
        let is_last = opened.len() == closed.len() && gateway.has_page;
        if opened.is_empty() && !is_last {
            return Ok(Plan::default());
        }
        let openings = opened.into_iter().map(|(name, _)| gateway.opening(session, name)).collect();
        Ok(open(namespace, openings, is_last))
    }
}

/// A closed project, as `cmdr maintenance` shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ClosedProject {
    pub project: String,
    #[serde(flatten)]
    pub mark: MaintenanceMark,
    /// Whether its end has passed.
    pub overdue: bool,
    /// What a request to each URL finds: `closed`, `open`, or why there was no response.
    pub urls: BTreeMap<String, String>,
}

/// Returns the closed projects of the environment, after a request to each of their URLs.
///
/// # Errors
/// When the cluster does not respond.
pub async fn closed_projects(session: &Session) -> Result<Vec<ClosedProject>, CommandError> {
    let cluster = connect(session).await?;
    let gateway = Gateway::observe(session, &cluster).await?;
    let http = environment_client(session, &cluster).await?;
    let mut closed = Vec::new();
    for (ReleaseKey { name, .. }, mark) in &gateway.marks {
        let mut urls = BTreeMap::new();
        for url in gateway.opening(session, name).urls {
            let found = match http.answer_of(&url, true).await {
                Ok(answer) if answer.is_in_maintenance => "closed".to_owned(),
                Ok(answer) => format!("open (HTTP {})", answer.status),
                Err(error) => format!("no response: {error}"),
            };
            urls.insert(url, found);
        }
        let overdue = mark.is_overdue(Timestamp::now());
        closed.push(ClosedProject { project: name.clone(), mark: mark.clone(), overdue, urls });
    }
    Ok(closed)
}
