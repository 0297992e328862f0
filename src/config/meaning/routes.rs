//! Validates routes: duplicate hosts and paths, hosts without a domain, unknown ports.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{
        error::{ConfigError, did_you_mean, listed, quoted},
        read,
        source::Location,
        sources::Sources,
        tree::Cursor,
    },
    domain::{resolve::full_host, workspace::LOCAL},
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    let mut reported = BTreeSet::new();
    for (environment, domain) in environments(sources) {
        let mut taken: BTreeMap<(String, String), Claim<'_>> = BTreeMap::new();
        for claim in claims(sources, environment) {
            let Some(host) = full_host(&claim.host, domain.as_deref()) else {
                if reported.insert((environment.to_owned(), String::new())) {
                    found.push(no_domain(sources, environment, &claim));
                }
                continue;
            };
            let place = (host.to_ascii_lowercase(), trimmed(&claim.path).to_owned());
            if let Some(first) = taken.get(&place) {
                if reported.insert((first.id(), claim.id())) {
                    found.push(collision(&place, first, &claim));
                }
            } else {
                taken.insert(place, claim);
            }
        }
    }
    for (_, project) in sources.entries("projects") {
        check_ports(sources, project, found);
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

fn environments(sources: &Sources) -> Vec<(&str, Option<String>)> {
    let domain = |value: Cursor<'_>| value.get("domain").and_then(|domain| domain.text()).map(str::to_owned);
    let workspace = sources.find(&["name"]).and_then(|name| name.text()).unwrap_or_default();
    let local =
        sources.find(&["environments", LOCAL]).and_then(domain).unwrap_or_else(|| format!("{workspace}.localhost"));
    // A review environment has its own hosts, derived from those of the environment that it copies.
    let has_hosts = |entry: &Cursor<'_>| entry.key() != LOCAL && entry.get("review").is_none();
    let others = sources.entries("environments").filter(|(_, entry)| has_hosts(entry));
    let others = others.map(|(_, entry)| (entry.key(), domain(entry)));
    std::iter::once((LOCAL, Some(local))).chain(others).collect()
}

/// The routes in an environment; a project that is external there has none.
fn claims<'a>(sources: &'a Sources, environment: &str) -> Vec<Claim<'a>> {
    let here = sources.entries("projects").map(|(_, project)| project);
    let here = here.filter(|project| project.at(&["environments", environment, "external"]).is_none());
    here.flat_map(|project| {
        let claim = move |(name, route): (crate::domain::Name, crate::domain::Route)| {
            let value = project.at(&["routes", name.as_str(), "host"]).or_else(|| project.get("host"))?;
            let location = value.location();
            Some(Claim {
                project: project.key(),
                route: name.to_string(),
                host: route.host,
                path: route.path,
                location,
            })
        };
        read::routes(project).into_iter().filter_map(claim)
    })
    .collect()
}

fn collision(place: &(String, String), first: &Claim<'_>, second: &Claim<'_>) -> ConfigError {
    let url = format!("{}{}", place.0, place.1);
    let who = if first.project == second.project {
        format!("two routes of `{}`", first.project)
    } else {
        format!("`{}` and `{}`", first.project, second.project)
    };
    ConfigError::error(second.location.clone(), format!("{who} both use {url}"), "expected a different host or path")
        .with_other(first.location.clone(), "already used here")
        .with_help("change the host of one of them, or its path under `routes`".to_owned())
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
    let environments = project.get("environments").into_iter().flat_map(|map| map.entries());
    let maps = holders.chain(environments).filter_map(|holder| holder.at(&["values", "ports"]));
    let ports: Vec<&str> = maps.flat_map(|map| map.entries().map(|entry| entry.key())).collect();
    if project.get("chart").is_some() || ports.is_empty() {
        return;
    }
    for route in project.get("routes").into_iter().flat_map(|routes| routes.entries()) {
        let Some((value, port)) = route.get("port").and_then(|value| Some((value, value.text()?))) else { continue };
        if !ports.contains(&port) {
            let message = format!("`{}` has no port {}", project.key(), quoted(port));
            let expected = format!("expected {}", listed(ports.iter().copied()));
            let help = did_you_mean(port, ports.iter().copied());
            found.push(ConfigError::error(value.location(), message, expected).with_help(help));
        }
    }
}
