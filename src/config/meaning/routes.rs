//! Validates routes: duplicate hosts and paths, hosts without a domain, unknown ports.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::EnvironmentNames;
use crate::{
    config::{
        error::{ConfigError, did_you_mean, listed, quoted},
        read,
        source::Location,
        sources::Sources,
        tree::Cursor,
    },
    domain::{Name, Presence, Route, resolve::full_host, workspace::LOCAL},
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let mut reported = BTreeSet::new();
    for (environment, domain) in environments(sources) {
        let mut taken: BTreeMap<(String, String), Claim<'_>> = BTreeMap::new();
        for claim in claims(sources, &environment) {
            let Some(host) = full_host(&claim.host, domain.as_deref()) else {
                if reported.insert((environment.name.to_owned(), String::new())) {
                    found.push(no_domain(sources, environment.name, &claim));
                }
                continue;
            };
            let place = (host.to_ascii_lowercase(), trimmed(&claim.path).to_owned());
            if let Some(first) = taken.get(&place) {
                if reported.insert((first.id(), claim.id())) {
                    found.push(collision(&place, environment.name, first, &claim));
                }
            } else {
                taken.insert(place, claim);
            }
        }
    }
    for (_, project) in sources.entries("projects") {
        check_ports(sources, project, found);
        found.extend(of_another_chart(project));
    }
}

/// A route of a project.
struct Claim<'a> {
    project: &'a str,
    route: String,
    host: String,
    path: String,
    location: Location,
}

impl Claim<'_> {
    fn id(&self) -> String {
        format!("{}/{}", self.project, self.route)
    }
}

/// `/api/` and `/api` are the same path.
fn trimmed(path: &str) -> &str {
    let short = path.trim_end_matches('/');
    if short.is_empty() { "/" } else { short }
}

/// The environments with hosts of their own, each with its domain.
fn environments(sources: &Sources) -> Vec<(EnvironmentNames<'_>, Option<String>)> {
    let domain = |value: Cursor<'_>| value.get("domain").and_then(|domain| domain.text()).map(str::to_owned);
    let workspace = sources.find(&["name"]).and_then(|name| name.text()).unwrap_or_default();
    let entry = |name: &str| sources.find(&["environments", name]);
    // A review environment has hosts that are derived from those of the environment that it copies.
    let has_hosts = |name: &str| entry(name).is_none_or(|entry| entry.get("review").is_none());
    let own = EnvironmentNames::all(sources).into_iter().filter(|environment| has_hosts(environment.name));
    own.map(|environment| {
        let written = entry(environment.name).and_then(domain);
        let default = (environment.name == LOCAL).then(|| format!("{workspace}.localhost"));
        (environment, written.or(default))
    })
    .collect()
}

/// The routes in an environment. A project that is disabled or external there has none.
fn claims<'a>(sources: &'a Sources, environment: &EnvironmentNames<'_>) -> Vec<Claim<'a>> {
    let is_routed = |project: &Cursor<'_>| {
        let is_external = environment.holder(*project, &["external"]).get("external").is_some();
        !is_external && environment.presence(*project) != Presence::Disabled
    };
    let here = sources.entries("projects").map(|(_, project)| project).filter(is_routed);
    here.flat_map(|project| {
        let holder = environment.holder(project, &["host", "routes"]);
        let claims = move |(name, route): (Name, Route)| {
            let written = holder.at(&["routes", name.as_str()]);
            let further = written.into_iter().filter_map(|route| route.get("hosts")).flat_map(|hosts| hosts.items());
            let first = written.and_then(|route| route.get("host")).or_else(|| holder.get("host"));
            let places: Vec<_> = first.into_iter().chain(further).map(|host| host.location()).collect();
            let claim = move |(host, location): (String, Location)| Claim {
                project: project.key(),
                route: name.to_string(),
                host,
                path: route.path.clone(),
                location,
            };
            route.hosts.into_iter().zip(places).map(claim)
        };
        read::routes(holder).into_iter().flat_map(claims)
    })
    .collect()
}

fn collision(place: &(String, String), environment: &str, first: &Claim<'_>, second: &Claim<'_>) -> ConfigError {
    let url = format!("{}{}", place.0, place.1);
    let who = if first.project == second.project {
        format!("two routes of `{}`", first.project)
    } else {
        format!("`{}` and `{}`", first.project, second.project)
    };
    let help = if first.project == second.project {
        "change the host of one of them, or its path under `routes`".to_owned()
    } else {
        format!("set `host: {0}` under `projects.{0}`, or another path under its `routes`", second.project)
    };
    ConfigError::error(
        second.location.clone(),
        format!("{who} both use {url} in `{environment}`"),
        "expected a different host or path",
    )
    .with_other(first.location.clone(), "already used here")
    .with_help(help)
}

fn no_domain(sources: &Sources, environment: &str, claim: &Claim<'_>) -> ConfigError {
    let key = sources.locate_key(&["environments", environment]).unwrap_or_else(|| claim.location.clone());
    let message = format!(
        "environment `{environment}` has no `domain`, but `{}` has the host {}",
        claim.project,
        quoted(&claim.host)
    );
    ConfigError::error(key, message, "expected `domain`, which completes host names")
        .with_other(claim.location.clone(), "this host needs a domain")
}

/// The port of a route must be one of the universal chart's named ports, in any layer of values.
fn check_ports(sources: &Sources, project: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let holders = [Some(project), sources.find(&["defaults"])].into_iter().flatten();
    let environments = || project.get("environments").into_iter().flat_map(|map| map.entries());
    let maps = holders.chain(environments()).filter_map(|holder| holder.at(&["values", "ports"]));
    let ports: Vec<&str> = maps.flat_map(|map| map.entries().map(|entry| entry.key())).collect();
    if project.get("chart").is_some() || ports.is_empty() {
        return;
    }
    let routes = environments().chain([project]).filter_map(|holder| holder.get("routes"));
    for route in routes.flat_map(|routes| routes.entries()) {
        let Some((value, port)) = route.get("port").and_then(|value| Some((value, value.text()?))) else { continue };
        if !ports.contains(&port) {
            let message = format!("`{}` has no port {}", project.key(), quoted(port));
            let expected = format!("expected {}", listed(ports.iter().copied()));
            let help = did_you_mean(port, ports.iter().copied());
            found.push(ConfigError::error(value.location(), message, expected).with_help(help));
        }
    }
}

/// Settings of routes that only the universal chart has.
fn of_another_chart(project: Cursor<'_>) -> Vec<ConfigError> {
    if project.get("chart").is_none() {
        return Vec::new();
    }
    let environments = project.get("environments").into_iter().flat_map(|map| map.entries());
    let routes = environments.chain([project]).filter_map(|holder| holder.get("routes"));
    let settings = routes
        .flat_map(|routes| routes.entries())
        .flat_map(|route| read::ROUTE_SETTINGS.into_iter().filter_map(move |key| Some((key, route.get(key)?))));
    let error = |(key, value): (&str, Cursor<'_>)| {
        let message = format!("`{key}` is for the universal chart, and `{}` has a chart of its own", project.key());
        ConfigError::error(value.key_location(), message, "expected `host`, `hosts`, `path` or `check`")
    };
    settings.map(error).collect()
}
