//! Names, ports and paths that a pod or a Service can have only once, and names that lead to nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Mistake,
    containers::{ContainerValues, containers, entries},
};
use crate::{
    config::error::{choice, quoted},
    domain::{ResolvedProject, waits},
};

/// Labels of pods that the selectors of their workload and Service contain.
const OF_SELECTORS: [&str; 3] = ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/part-of"];
/// Labels by which cmdr and Helm find objects.
const OF_OBJECTS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by"];

/// Returns all mistakes of these kinds in a project.
pub(super) fn check(project: &ResolvedProject) -> Vec<Mistake> {
    let containers = containers(&project.values);
    let listening = containers.iter().filter(|container| !container.is_init());
    let mounts = |container| unknown_mounts(project, container).into_iter().chain(mounted_twice(project, container));
    let own_ports = containers.iter().filter(|container| container.is_main).flat_map(service_ports);
    let found = [
        same_names(project, &containers),
        twice(listening.flat_map(container_ports), "listens on the same port as"),
        twice(own_ports, "has the same port of the Service as"),
        reserved_labels(project),
    ];
    found.into_iter().flatten().chain(containers.iter().flat_map(mounts)).collect()
}

/// What must be unique, the path of the key that uses it, and the name of the key in messages.
type UniqueClaim = (String, Vec<String>, String);

/// Returns a mistake for each claim that an earlier one has made.
fn twice(claims: impl Iterator<Item = UniqueClaim>, what: &str) -> Vec<Mistake> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for (claim, path, name) in claims {
        match taken.get(&claim) {
            Some(first) => {
                let message = format!("{} {what} {}: {claim}", quoted(&name), quoted(first));
                found.push(Mistake::new(path, message, format!("expected another one than that of {}", quoted(first))));
            }
            None => _ = taken.insert(claim, name),
        }
    }
    found
}

/// The number and protocol of each port, by what `number` reads from it.
fn ports(container: &ContainerValues<'_>, number: impl Fn(&str, &Value) -> Option<u64>) -> Vec<UniqueClaim> {
    let claim = |(name, port): (&str, &Value)| {
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        let path = container.path(&["ports", name]);
        Some((format!("{} {protocol}", number(name, port)?), path.clone(), path.join(".")))
    };
    container.entries("ports").filter_map(claim).collect()
}

fn target(port: &Value) -> Option<u64> {
    port.as_u64().or_else(|| port.get("port")?.as_u64())
}

/// The containers of a pod share their network.
fn container_ports(container: &ContainerValues<'_>) -> Vec<UniqueClaim> {
    let mut claims = ports(container, |_, port| target(port));
    // Two names of one port in the same container are fine.
    claims.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    claims.dedup_by(|(one, ..), (other, ..)| one == other);
    claims
}

fn service_ports(container: &ContainerValues<'_>) -> Vec<UniqueClaim> {
    ports(container, |name, port| {
        let written = port.get("service").and_then(Value::as_u64);
        written.or_else(|| if name == "http" { Some(80) } else { target(port) })
    })
}

/// The main container has the name of the project, and `waitFor` adds containers.
fn same_names(project: &ResolvedProject, containers: &[ContainerValues<'_>]) -> Vec<Mistake> {
    let waits = entries(project.values.get(waits::KEY)).filter(|(_, wait)| **wait != Value::Bool(false));
    let waits = waits.map(|(name, _)| (format!("wait-for-{name}"), vec![waits::KEY.to_owned(), name.to_owned()]));
    let named = containers.iter().map(|container| (container.name(project).to_owned(), container.path(&[])));
    let claims = named.chain(waits).map(|(name, path)| {
        let shown = if path.is_empty() { project.name.to_string() } else { path.join(".") };
        (name, path, shown)
    });
    twice(claims, "has the same name of a container as")
}

/// The volumes that a container can mount.
fn volumes(project: &ResolvedProject) -> BTreeSet<String> {
    let of = |key: &str| entries(project.values.get(key)).map(|(name, _)| name).collect::<Vec<_>>();
    let files = of("files").first().map(|_| "files".to_owned());
    let tokens = of("tokens").into_iter().map(|name| format!("{name}-token"));
    let own = of("volumes").into_iter().map(str::to_owned);
    own.chain(tokens).chain(files).chain(["tmp".to_owned(), "aws-iam-token".to_owned()]).collect()
}

fn unknown_mounts(project: &ResolvedProject, container: &ContainerValues<'_>) -> Vec<Mistake> {
    let known = volumes(project);
    let written: Vec<&str> = entries(project.values.get("volumes")).map(|(name, _)| name).collect();
    let unknown = container.entries("mounts").map(|(name, _)| name).filter(|name| !known.contains(*name));
    let mistake = |name: &str| {
        let expected = match written.as_slice() {
            [] => "expected a name from `volumes`, which has none".to_owned(),
            written => format!("expected {}", choice(name, written.iter().copied())),
        };
        let message = format!("there is no volume {} in `volumes`", quoted(name));
        Mistake::new(container.path(&["mounts", name]), message, expected).with_nearest(name, written.iter().copied())
    };
    unknown.map(mistake).collect()
}

/// Kubernetes refuses two mounts at the same path.
fn mounted_twice(project: &ResolvedProject, container: &ContainerValues<'_>) -> Vec<Mistake> {
    let values = &project.values;
    let mut claims: Vec<UniqueClaim> = Vec::new();
    let mut add = |mounted: &str, path: Vec<String>| {
        let place = mounted.trim_end_matches('/').to_owned();
        claims.push((place, path.clone(), path.join(".")));
    };
    if container.is_main {
        for (name, volume) in entries(values.get("volumes")) {
            if let Some(path) = volume.get("path").and_then(Value::as_str) {
                add(path, ["volumes", name, "path"].map(str::to_owned).to_vec());
            }
        }
        for (path, _) in entries(values.get("secretFiles")) {
            add(path, ["secretFiles", path].map(str::to_owned).to_vec());
        }
    }
    container.entries("files").for_each(|(path, _)| add(path, container.path(&["files", path])));
    for (name, path) in container.entries("mounts") {
        add(path.as_str().unwrap_or(name), container.path(&["mounts", name]));
    }
    twice(claims.into_iter(), "has the same path as")
}

fn reserved_labels(project: &ResolvedProject) -> Vec<Mistake> {
    let of = |key: &'static str, reserved: &'static [&'static str]| {
        let labels = entries(project.values.get(key)).map(|(label, _)| label);
        labels.filter(|label| reserved.contains(label)).map(move |label| (key, label))
    };
    let found = of("podLabels", &OF_SELECTORS).chain(of("labels", &OF_OBJECTS));
    let mistake = |(key, label): (&str, &str)| {
        let message = format!("cmdr sets the label {}, by which objects of this project are found", quoted(label));
        Mistake::new([key, label].map(str::to_owned).to_vec(), message, "expected another label".to_owned())
    };
    found.map(mistake).collect()
}
