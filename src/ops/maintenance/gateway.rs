//! What the gateway routes to the projects of an environment, and which of them are closed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::Timestamp;
use minijinja::{UndefinedBehavior, context};
use serde_json::json;

use crate::{
    adapters::cluster::Cluster,
    domain::{
        Problem, ReleaseKey,
        gateway_routes::{FoundRoutes, GatewayRoute},
        maintenance::{MaintenanceMark, MaintenanceSettings, PAGE_IMAGE, seconds},
        ports::{Pair, STANDARD},
        resolve::url,
    },
    error::{CommandError, ErrorKind},
    ops::session::Session,
    plan::maintenance::{ClosedRoute, MaintenancePage, MaintenanceTexts, PURPOSE, ProjectClosing, ProjectOpening},
};

/// The page that is part of cmdr.
const PAGE: &str = include_str!("../../../templates/maintenance.html");

/// The routes of an environment's namespace.
#[derive(Debug)]
pub(crate) struct Gateway {
    found: FoundRoutes,
    /// The closed projects.
    pub(crate) marks: BTreeMap<ReleaseKey, MaintenanceMark>,
    ports: Pair,
    /// Whether there is a page, also one that a killed run has left behind.
    pub(super) has_page: bool,
}

impl Gateway {
    /// # Errors
    /// When the cluster does not respond, or has no Traefik.
    pub(crate) async fn observe(session: &Session, cluster: &Cluster) -> Result<Self, CommandError> {
        let namespace = &session.environment.namespace;
        let published = if session.environment.is_local() { session.local().await?.published_ports() } else { None };
        let page = cluster.has_own(("apps/v1", "Deployment"), PURPOSE, namespace);
        let (objects, marks, has_page) = tokio::join!(cluster.routes(namespace), cluster.maintenances(), page);
        let objects = objects.map_err(|error| if error.is_status(404) { no_traefik() } else { error.into() })?;
        let mut marks = marks?;
        marks.retain(|key, _| key.namespace == *namespace);
        let ports = published.map_or(STANDARD, |(http, https)| Pair { http, https });
        Ok(Self { found: FoundRoutes::read(&objects), marks, ports, has_page: has_page? })
    }

    /// The projects of the workspace that have a route.
    pub(super) fn projects(&self, session: &Session) -> BTreeSet<String> {
        let routed: BTreeSet<&str> = self.found.routes.iter().map(|route| route.project.as_str()).collect();
        let own = session.projects.iter().map(|project| project.name.to_string());
        own.filter(|name| routed.contains(name.as_str())).collect()
    }

    pub(crate) fn mark(&self, session: &Session, project: &str) -> Option<&MaintenanceMark> {
        self.marks.get(&ReleaseKey::new(&session.environment.namespace, project))
    }

    fn routes<'a>(&'a self, project: &'a str) -> impl Iterator<Item = &'a GatewayRoute> {
        self.found.routes.iter().filter(move |route| route.project == project)
    }

    /// Why a project cannot be closed.
    pub(crate) fn refusal(&self, session: &Session, project: &str) -> Option<Problem> {
        let environment = &session.environment.name;
        if let Some(route) = self.routes(project).find(|route| route.is_open_to_all_hosts()) {
            let cause = format!("'{project}' has a route without a host: {}", route.object);
            return Some(Problem::new(cause).help("give it a host: closing it would close every host of the gateway"));
        }
        if self.routes(project).next().is_some() {
            return None;
        }
        let problem = match self.found.tcp.iter().find(|(name, _)| name == project) {
            Some((_, object)) => Problem::new(format!("'{project}' has only a TCP route: {object}"))
                .help("TCP has no answer that means \"later\": stop the project instead"),
            None => Problem::new(format!("'{project}' has no route in '{environment}'"))
                .help("only routes are closed; deploy the project first if it has some in projects.yaml"),
        };
        Some(problem)
    }

    /// What closes these projects, with the page of all projects that are closed then.
    ///
    /// # Errors
    /// When one of them cannot be closed, or the page cannot be rendered.
    pub(crate) fn closings(
        &self,
        session: &Session,
        marks: &BTreeMap<String, MaintenanceMark>,
    ) -> Result<(Vec<ProjectClosing>, MaintenancePage), CommandError> {
        let problems: Vec<Problem> = marks.keys().filter_map(|project| self.refusal(session, project)).collect();
        CommandError::require_none(ErrorKind::Failed, problems)?;
        for (project, object) in self.found.tcp.iter().filter(|(project, _)| marks.contains_key(project)) {
            session.note(&format!("'{project}' stays open for TCP: {object}"));
        }
        let closings = marks.iter().map(|(project, mark)| self.closing(session, project, mark)).collect();
        let mut all: BTreeMap<&str, &MaintenanceMark> =
            self.marks.iter().map(|(key, mark)| (key.name.as_str(), mark)).collect();
        all.extend(marks.iter().map(|(project, mark)| (project.as_str(), mark)));
        let template = template(session)?;
        let texts = all.into_iter().map(|(project, mark)| Ok((project.to_owned(), texts(&template, project, mark)?)));
        let page = MaintenancePage {
            namespace: session.environment.namespace.clone(),
            image: settings(session).image.unwrap_or_else(|| PAGE_IMAGE.to_owned()),
            texts: texts.collect::<Result<_, CommandError>>()?,
        };
        Ok((closings, page))
    }

    /// The same, where there may be nothing to close.
    ///
    /// # Errors
    /// As [`Self::closings`].
    pub(crate) fn closings_of(
        gateway: Option<&Self>,
        session: &Session,
        marks: &BTreeMap<String, MaintenanceMark>,
    ) -> Result<(Vec<ProjectClosing>, MaintenancePage), CommandError> {
        let namespace = session.environment.namespace.clone();
        let empty = MaintenancePage { namespace, image: String::new(), texts: BTreeMap::new() };
        gateway.map_or_else(|| Ok((Vec::new(), empty)), |gateway| gateway.closings(session, marks))
    }

    fn closing(&self, session: &Session, project: &str, mark: &MaintenanceMark) -> ProjectClosing {
        let settings = settings(session);
        let checked = session.loaded.workspace.projects.get(project);
        let checked = checked.and_then(|project| project.overridden(&session.environment).check);
        let checked = checked.map(|check| check.path).filter(|path| path != "/");
        let closed = |route: &GatewayRoute| {
            let base = route.path.as_deref().unwrap_or_default().trim_end_matches('/');
            let health = checked.iter().map(|path| format!("{base}{path}"));
            let health = health.chain(settings.health.iter().cloned()).collect();
            ClosedRoute::new(&self.found, route, &settings.allow, &health)
        };
        ProjectClosing {
            project: ReleaseKey::new(&session.environment.namespace, project),
            mark: mark.clone(),
            routes: self.routes(project).map(closed).collect(),
            urls: self.urls(session, project),
        }
    }

    pub(crate) fn opening(&self, session: &Session, project: &str) -> ProjectOpening {
        let key = ReleaseKey::new(&session.environment.namespace, project);
        ProjectOpening { project: key, urls: self.urls(session, project) }
    }

    /// The URLs that a request can have; a rule that is more than hosts and a path has none.
    fn urls(&self, session: &Session, project: &str) -> Vec<String> {
        let scheme = (session.environment.tls.is_some(), self.ports);
        let of_route = |route: &GatewayRoute| {
            let path = route.path.clone()?;
            Some(route.hosts.iter().map(|host| url(host, scheme, &path)).collect::<Vec<_>>())
        };
        let all: BTreeSet<String> = self.routes(project).filter_map(of_route).flatten().collect();
        all.into_iter().collect()
    }
}

/// `maintenance` of the workspace and of the environment.
fn settings(session: &Session) -> MaintenanceSettings {
    session.loaded.workspace.maintenance.with(&session.environment.maintenance)
}

/// The name and the text of the page's template.
///
/// # Errors
/// When its file cannot be read.
pub(super) fn template(session: &Session) -> Result<(String, String), CommandError> {
    let Some(path) = settings(session).page else { return Ok(("maintenance.html".to_owned(), PAGE.to_owned())) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let problem = Problem::new(format!("cannot read the page of the maintenance: {}", path.display()));
        CommandError::usage(problem.detail(error.to_string()))
    })?;
    let name = path.file_name().map(Path::new).map_or_else(String::new, |name| name.display().to_string());
    Ok((format!("{}.html", name.trim_end_matches(".html")), text))
}

/// Renders the texts of a project. What the template inserts is escaped for HTML.
fn texts(
    (name, template): &(String, String),
    project: &str,
    mark: &MaintenanceMark,
) -> Result<MaintenanceTexts, CommandError> {
    let mut environment = minijinja::Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    let time = |time: Option<Timestamp>| time.map(seconds).unwrap_or_default();
    let (message, until) = (mark.message.clone().unwrap_or_default(), time(mark.until));
    let variables = context! { project, message, until, since => seconds(mark.since) };
    let html = environment.render_named_str(name, template, variables).map_err(|error| {
        let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
        let problem = Problem::new(format!("{name}{line}: {}", error.kind()));
        let problem = error.detail().into_iter().fold(problem, Problem::detail);
        CommandError::usage(problem.help("the variables are project, message, since and until"))
    })?;
    let json = json!({"project": project, "message": mark.message, "since": mark.since, "until": mark.until});
    Ok(MaintenanceTexts { html, json: format!("{json}\n") })
}

fn no_traefik() -> CommandError {
    let problem = Problem::new("the cluster has no IngressRoute: Traefik or its kinds are not installed");
    CommandError::failed(problem.help("install Traefik with its CustomResourceDefinitions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(message: &str) -> MaintenanceMark {
        let mark = json!({"since": "2026-11-27T03:00:00Z", "by": "ann", "message": message});
        serde_json::from_value(mark).unwrap()
    }

    #[test]
    fn the_page_escapes_the_message_and_refuses_unknown_variables() {
        let own = ("maintenance.html".to_owned(), PAGE.to_owned());
        let shown = texts(&own, "shop", &mark("<b>back</b> soon")).unwrap();
        assert!(
            shown.html.contains("shop is under maintenance") && shown.html.contains("&lt;b&gt;back"),
            "{}",
            shown.html
        );
        assert!(shown.json.contains("\"until\":null"), "{}", shown.json);
        let wrong = ("page.html".to_owned(), "<p>\n{{ mesage }}".to_owned());
        let error = texts(&wrong, "shop", &mark("")).unwrap_err();
        assert!(error.problems[0].message.starts_with("page.html:2: "), "{:?}", error.problems);
    }
}
