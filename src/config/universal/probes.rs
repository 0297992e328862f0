//! Probes that check a port.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Mistake,
    containers::{ContainerValues, containers, entries},
    references::OpenPort,
};
use crate::{
    config::error::{choice, quoted},
    domain::ResolvedProject,
};

/// The keys of a probe that are a port: a number, or the name of one.
const PORT_KEYS: [&str; 3] = ["port", "tcp", "grpc"];

/// The keys that say what a probe checks.
const CHECK_KEYS: [&str; 5] = ["path", "port", "tcp", "grpc", "exec"];

/// Returns a mistake for each probe of a port that no container of the pod opens.
///
/// A pod without any `ports` is not checked for numbers: only its own probes need to know the port.
pub(super) fn unknown_ports(project: &ResolvedProject) -> Vec<Mistake> {
    let containers = containers(&project.values);
    let opened: BTreeMap<u64, &str> = containers
        .iter()
        .flat_map(|container| container.entries("ports"))
        .filter_map(|(name, port)| Some((port.as_u64().or_else(|| port.get("port")?.as_u64())?, name)))
        .collect();
    let mut found = Vec::new();
    for container in &containers {
        for (probe, settings) in container.entries("probes") {
            for (key, port) in PORT_KEYS.into_iter().filter_map(|key| Some((key, settings.get(key)?))) {
                let mistake = match port {
                    Value::String(name) => unknown_name(probe, name, &opened),
                    port => port.as_u64().and_then(|port| unknown_number(probe, port, &opened)),
                };
                found.extend(mistake.map(|mistake| mistake.at(container.path(&["probes", probe, key]))));
            }
        }
    }
    found
}

/// Returns a mistake for each probe that connects by TCP to a port of another protocol. So does the default readiness
/// probe, to the first port.
pub(super) fn of_other_protocols(project: &ResolvedProject) -> Vec<Mistake> {
    let containers = containers(&project.values);
    let ports = || containers.iter().flat_map(|container| container.entries("ports"));
    let opened: Vec<OpenPort> = ports().filter_map(|(name, port)| OpenPort::read(name, port)).collect();
    let is_other = |port: &Value| {
        let is_it =
            |known: &&OpenPort| port.as_u64() == Some(known.target) || port.as_str() == Some(known.name.as_str());
        let found: Vec<&OpenPort> = opened.iter().filter(is_it).collect();
        !found.is_empty() && !found.iter().any(|port| port.is_tcp)
    };
    let written = containers.iter().flat_map(|container| {
        container.entries("probes").flat_map(move |(probe, settings)| {
            let keys = PORT_KEYS.into_iter().filter_map(move |key| Some((key, settings.get(key)?)));
            keys.map(move |(key, port)| (container.path(&["probes", probe, key]), port))
        })
    });
    let mistake = |path: Vec<String>| {
        let expected = "expected a TCP port, `exec`, or `readiness: false`".to_owned();
        Mistake::new(path, "a probe opens a TCP connection, and this port is not TCP".to_owned(), expected)
    };
    let wrong = written.filter(|(_, port)| is_other(port)).map(|(path, _)| path);
    wrong.chain(default_of_other_protocol(project)).map(mistake).collect()
}

/// The path of the first port, if the default readiness probe checks it and it is not TCP.
fn default_of_other_protocol(project: &ResolvedProject) -> Option<Vec<String>> {
    let is_job = project.values.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("Job"));
    let readiness = project.values.get("probes").and_then(|probes| probes.get("readiness"));
    let is_checked =
        |probe: &Value| *probe == Value::Bool(false) || CHECK_KEYS.iter().any(|key| probe.get(key).is_some());
    if is_job || readiness.is_some_and(is_checked) {
        return None;
    }
    let ports = || entries(project.values.get("ports"));
    let (name, port) = ports().find(|(name, _)| *name == "http").or_else(|| ports().min_by_key(|(name, _)| *name))?;
    let is_other = OpenPort::read(name, port).is_some_and(|port| !port.is_tcp);
    is_other.then(|| ["ports", name].map(str::to_owned).to_vec())
}

/// Returns a mistake for each probe without a port in a container without `ports`.
pub(super) fn without_port(project: &ResolvedProject) -> Vec<Mistake> {
    let containers = containers(&project.values);
    let portless = containers.iter().filter(|container| container.entries("ports").next().is_none());
    let probes = portless.flat_map(|container| {
        let readiness = container.entries("probes").find(|(name, _)| *name == "readiness").map(|(_, probe)| probe);
        container.entries("probes").map(move |(name, probe)| (container, name, probe, readiness))
    });
    let mistake = |(container, name, probe, readiness): (&ContainerValues<'_>, &str, &Value, Option<&Value>)| {
        let has = |probe: &Value, keys: &[&str]| keys.iter().any(|key| probe.get(key).is_some());
        let check = if has(probe, &CHECK_KEYS) { probe } else { readiness.unwrap_or(probe) };
        if !probe.is_object() || has(check, &PORT_KEYS) || has(check, &["exec"]) {
            return None;
        }
        let message = format!("the probe {} has no port, and its container has no `ports`", quoted(name));
        let expected = "expected a `port` here, or `ports` of the container".to_owned();
        Some(Mistake::new(container.path(&["probes", name]), message, expected))
    };
    probes.filter_map(mistake).collect()
}

/// Returns a mistake for the probes of each init container: it must end before the next container starts.
pub(super) fn of_init_containers(project: &ResolvedProject) -> Vec<Mistake> {
    let named = entries(project.values.get("initContainers"));
    let probed = named.filter(|(_, container)| entries(container.get("probes")).next().is_some());
    let mistake = |(name, _): (&str, &Value)| {
        let message = format!("the init container {} has probes, which have no effect", quoted(name));
        let expected = "expected probes only in the project and in `sidecars`".to_owned();
        let path = ["initContainers", name, "probes"].map(str::to_owned).to_vec();
        Mistake::new(path, message, expected)
    };
    probed.map(mistake).collect()
}

fn unknown_number(probe: &str, port: u64, opened: &BTreeMap<u64, &str>) -> Option<Mistake> {
    if opened.is_empty() || opened.contains_key(&port) {
        return None;
    }
    let message = format!("the probe {} checks port {port}, which no container opens", quoted(probe));
    let to_open = format!("add `NAME: {port}` to `ports`");
    let only = opened.keys().next().filter(|_| opened.len() == 1);
    let help = match only {
        Some(only) => format!("did you mean `{only}`? To open another port, {to_open}"),
        None => format!("correct the port, or {to_open}"),
    };
    let listed: Vec<String> = opened.iter().map(|(port, name)| format!("{port} (`{name}`)")).collect();
    Some(Mistake::new(Vec::new(), message, format!("expected {}", listed.join(" or "))).with_help(Some(help)))
}

fn unknown_name(probe: &str, name: &str, opened: &BTreeMap<u64, &str>) -> Option<Mistake> {
    if opened.values().any(|known| *known == name) {
        return None;
    }
    let message = format!("the probe {} checks the port {}, which no container opens", quoted(probe), quoted(name));
    let known: Vec<&str> = opened.values().copied().collect();
    let expected = if known.is_empty() {
        "expected a name in `ports`".to_owned()
    } else {
        format!("expected {}", choice(name, known.iter().copied()))
    };
    Some(Mistake::new(Vec::new(), message, expected).with_nearest(name, known))
}
