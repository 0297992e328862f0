//! Projects that `waitFor` names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Mistake, containers::entries, references::Provided};
use crate::{
    config::error::quoted,
    domain::{ResolvedProject, waits},
};

/// Returns a mistake for each name that is not a project with ports in this environment, for each project whose port does
/// not accept TCP connections, and for a project that waits for itself, also through others.
pub(super) fn check(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let unknown = waits::unknown(&project.values).map(|name| unknown(name, provided));
    unknown.chain(without_tcp(project, provided)).chain(cycle(project, provided)).collect()
}

fn unknown(name: &str, provided: &Provided) -> Mistake {
    let is_project = provided.projects().any(|known| known == name);
    let what = if is_project { "has no `ports`" } else { "is not a project of this environment" };
    let message = format!("{} {what}", quoted(name));
    let expected = "expected a project with `ports`, or `{tcp: HOST:PORT}` or `{http: URL}`".to_owned();
    let mistake = Mistake::new(path(name), message, expected);
    if is_project { mistake } else { mistake.with_nearest(name, provided.projects()) }
}

fn path(name: &str) -> Vec<String> {
    [waits::KEY, name].map(str::to_owned).to_vec()
}

/// The entries of `waitFor`, each with the host that it waits for: a project, or the host of its address.
pub(super) fn waited(project: &ResolvedProject) -> impl Iterator<Item = (&str, &str)> {
    entries(project.values.get(waits::KEY)).filter_map(|(name, wait)| match wait {
        Value::Bool(true) => Some((name, name)),
        wait => Some((name, host_of(wait.get("tcp").or_else(|| wait.get("http"))?)?)),
    })
}

fn host_of(address: &Value) -> Option<&str> {
    address.as_str()?.rsplit("://").next()?.split([':', '/', '.']).next()
}

/// The container that waits opens a TCP connection.
fn without_tcp(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let mistake = |(name, host): (&str, &str)| {
        let address = project.values.get(waits::KEY)?.get(name)?.get("tcp")?.as_str()?;
        let number: u64 = address.rsplit_once(':')?.1.parse().ok()?;
        let port = provided.ports(host).find(|port| port.service == number && !port.is_tcp)?;
        let message =
            format!("the port {} of {} is UDP, and `waitFor` opens a TCP connection", quoted(&port.name), quoted(host));
        Some(Mistake::new(
            path(name),
            message,
            "expected `{tcp: HOST:PORT}` with a TCP port, or `{http: URL}`".to_owned(),
        ))
    };
    waited(project).filter_map(mistake).collect()
}

/// A project that waits for one that needs it, or waits for it, never starts. A cycle of `needs` only is another mistake.
fn cycle(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let own = project.name.as_str();
    let mistake = |(name, first): (&str, &str)| {
        let way = way(first, own, provided)?;
        // One of the projects that wait reports the cycle.
        if way.windows(2).any(|pair| pair[0].as_str() < own && provided.waits(&pair[0], &pair[1])) {
            return None;
        }
        let message = match way.as_slice() {
            [_] => format!("{} waits for itself", quoted(own)),
            way => format!("no project of this cycle can start: {own} -> {}", way.join(" -> ")),
        };
        Some(Mistake::new(path(name), message, "expected `waitFor` and `needs` without a cycle".to_owned()))
    };
    waited(project).filter_map(mistake).collect()
}

/// The shortest way from one project to another.
fn way(from: &str, to: &str, provided: &Provided) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, Option<&str>> = BTreeMap::from([(from, None)]);
    let mut open = std::collections::VecDeque::from([from]);
    while let Some(name) = open.pop_front() {
        if name == to {
            let way = std::iter::successors(Some(name), |name| before.get(name).copied().flatten());
            let mut way: Vec<String> = way.map(str::to_owned).collect();
            way.reverse();
            return Some(way);
        }
        for next in provided.precedents(name) {
            if !before.contains_key(next) {
                before.insert(next, Some(name));
                open.push_back(next);
            }
        }
    }
    None
}
