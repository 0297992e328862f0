//! Values that name other projects of the environment.

use serde_json::Value;

use super::{Mistake, containers::entries, references::Provided};
use crate::{
    config::error::{choice, quoted},
    domain::ResolvedProject,
};

/// A value that names a project, and its path from the values on.
type NamedProject<'a> = (Vec<String>, &'a str);

/// Returns a mistake for each name of a project that the environment does not have.
pub(super) fn unknown(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let all = peers(project).into_iter().chain(weighted(project)).chain(shared(project));
    let wrong = all.filter(|(_, name)| provided.project_names().all(|known| known != *name));
    wrong.map(|(path, name)| unknown_name(path, name, provided)).collect()
}

fn unknown_name(path: Vec<String>, name: &str, provided: &Provided) -> Mistake {
    let message = format!("there is no project {} in this environment", quoted(name));
    let expected = format!("expected {}", choice(name, provided.project_names()));
    Mistake::new(path, message, expected).with_nearest(name, provided.project_names())
}

/// The projects that share the requests of a route.
fn weighted(project: &ResolvedProject) -> Vec<NamedProject<'_>> {
    let routes = entries(project.values.get("routes"));
    let named = routes.flat_map(|(route, settings)| {
        let path = move |name: &str| ["routes", route, "weights", name].map(str::to_owned).to_vec();
        entries(settings.get("weights")).map(move |(name, _)| (path(name), name))
    });
    named.collect()
}

/// The project behind whose Service this one is.
fn shared(project: &ResolvedProject) -> Option<NamedProject<'_>> {
    let owner = project.values.get("service")?.get("of")?.as_str()?;
    Some((["service", "of"].map(str::to_owned).to_vec(), owner))
}

/// Returns a mistake if a project cannot be behind the Service of another one.
pub(super) fn unfit_to_share(project: &ResolvedProject, provided: &Provided) -> Option<Mistake> {
    let (path, owner) = shared(project)?;
    let own = project.name.as_str();
    if owner == own || provided.is_shared(owner) {
        let message = format!("{} has no Service of its own to share", quoted(owner));
        return Some(Mistake::new(path, message, "expected another project, without `service.of`".to_owned()));
    }
    if provided.project_names().any(|known| known == owner) && provided.ports(owner).next().is_none() {
        let message = format!("{} has no Service to share: it has no `ports`", quoted(owner));
        return Some(Mistake::new(path, message, "expected a project with `ports`".to_owned()));
    }
    let is_open = |target: u64| provided.ports(own).any(|port| port.target == target);
    let lacking = provided.ports(owner).find(|port| !is_open(port.target))?;
    let message =
        format!("{} does not open port {}, to which {} sends requests", quoted(own), lacking.target, quoted(owner));
    Some(Mistake::new(path, message, format!("expected `{}: {}` in `ports`", lacking.name, lacking.target)))
}

/// Returns a mistake for each project with a weight whose Service does not have the port of the route.
pub(super) fn unfit_to_weigh(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let own = || provided.ports(project.name.as_str());
    let of_route = |route: &str| {
        let written = project.values.get("routes")?.get(route)?.get("port").and_then(Value::as_str);
        own().find(|port| written.map_or(port.name == "http", |name| name == port.name)).or_else(|| own().next())
    };
    let weighted = weighted(project).into_iter().filter(|(_, name)| provided.ports(name).next().is_some());
    let wrong = weighted.filter_map(|(path, name)| {
        let port = of_route(path.get(1)?)?;
        if provided.ports(name).any(|other| other.service == port.service) {
            return None;
        }
        let message = format!("the Service of {} has no port {}", quoted(name), port.service);
        let expected = format!("expected a project whose Service has the port of this route, `{}`", port.name);
        Some(Mistake::new(path, message, expected))
    });
    wrong.collect()
}

/// The projects of `networkPolicy`.
fn peers(project: &ResolvedProject) -> Vec<NamedProject<'_>> {
    let named = all_peers(project).into_iter().filter_map(|(side, name, peer)| {
        let path = ["networkPolicy", side, name, "project"].map(str::to_owned).to_vec();
        Some((path, peer.get("project").and_then(Value::as_str)?))
    });
    named.collect()
}

/// The peers of `networkPolicy`: the side, the name and the peer.
fn all_peers(project: &ResolvedProject) -> Vec<(&str, &str, &Value)> {
    let policy = project.values.get("networkPolicy");
    let sides = ["from", "to"].into_iter().filter_map(|side| Some((side, policy?.get(side)?)));
    sides.flat_map(|(side, peers)| entries(Some(peers)).map(move |(name, peer)| (side, name, peer))).collect()
}

/// Returns a mistake for each peer of `networkPolicy` that is two things.
pub(super) fn ambiguous_peers(project: &ResolvedProject) -> Vec<Mistake> {
    let is_ambiguous = |peer: &Value| {
        let has = |key: &str| peer.get(key).is_some_and(|value| !value.is_null());
        [has("project"), has("network"), has("labels") || has("namespace")].into_iter().filter(|is| *is).count() > 1
    };
    let wrong = all_peers(project).into_iter().filter(|(_, _, peer)| is_ambiguous(peer));
    let mistake = |(side, name, _): (&str, &str, &Value)| {
        let path = ["networkPolicy", side, name].map(str::to_owned).to_vec();
        let expected = "expected a `project`, a `network`, or `namespace` and `labels`".to_owned();
        Mistake::new(path, format!("the peer {} is several things", quoted(name)), expected)
    };
    wrong.map(mistake).collect()
}
