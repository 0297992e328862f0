//! Ports and containers that values name, besides those of probes and routes.

use serde_json::Value;

use super::{
    Mistake,
    containers::{containers, entries},
    references::Provided,
};
use crate::{
    config::error::{choice, quoted},
    domain::ResolvedProject,
};

/// A part that a value names, and the names of those that there are.
struct NamedPart<'a> {
    path: Vec<String>,
    kind: &'static str,
    /// The project that has no such part.
    owner: &'a str,
    name: &'a str,
    known: Vec<&'a str>,
}

/// Returns a mistake for each name that refers to nothing. Where there are no parts at all, that is another mistake.
pub(super) fn unknown(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let named = monitor(project).into_iter().chain(peers(project, provided)).chain(failures(project));
    let wrong = named.filter(|part| !part.known.is_empty() && !part.known.contains(&part.name));
    let mistake = |part: NamedPart<'_>| {
        let NamedPart { path, kind, owner, name, known } = part;
        let message = format!("{} has no {kind} {}", quoted(owner), quoted(name));
        let expected = format!("expected {}", choice(name, known.iter().copied()));
        Mistake::new(path, message, expected).with_nearest(name, known)
    };
    wrong.map(mistake).collect()
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}

/// The port from which Prometheus reads.
fn monitor(project: &ResolvedProject) -> Option<NamedPart<'_>> {
    let name = project.values.get("monitor")?.get("port")?.as_str()?;
    let known = entries(project.values.get("ports")).map(|(name, _)| name).collect();
    Some(NamedPart { path: owned(&["monitor", "port"]), kind: "port", owner: project.name.as_str(), name, known })
}

/// The ports of peers of `networkPolicy`: those of the project's own pods, and those of other projects.
fn peers<'a>(project: &'a ResolvedProject, provided: &'a Provided) -> Vec<NamedPart<'a>> {
    let policy = project.values.get("networkPolicy");
    let of_side = |side: &'static str| {
        let peers = entries(policy.and_then(|policy| policy.get(side)));
        peers.filter_map(move |(peer, settings)| {
            let name = settings.get("port")?.as_str()?;
            let (owner, known) = if side == "from" {
                (project.name.as_str(), ports_of_pod(project))
            } else {
                let other = settings.get("project")?.as_str()?;
                (other, provided.ports(other).map(|port| port.name.as_str()).collect())
            };
            Some(NamedPart { path: owned(&["networkPolicy", side, peer, "port"]), kind: "port", owner, name, known })
        })
    };
    of_side("from").chain(of_side("to")).collect()
}

fn ports_of_pod(project: &ResolvedProject) -> Vec<&str> {
    let containers = containers(&project.values);
    containers.iter().flat_map(|container| container.entries("ports")).map(|(name, _)| name).collect()
}

/// The containers of `podFailurePolicy`.
fn failures(project: &ResolvedProject) -> Vec<NamedPart<'_>> {
    let rules = entries(project.values.get("podFailurePolicy"));
    let named = rules.filter_map(|(rule, settings)| {
        let name = settings.get("onExitCodes")?.get("containerName").and_then(Value::as_str)?;
        let known = containers(&project.values).iter().map(|container| container.name(project)).collect();
        let path = owned(&["podFailurePolicy", rule, "onExitCodes", "containerName"]);
        Some(NamedPart { path, kind: "container", owner: project.name.as_str(), name, known })
    });
    named.collect()
}
