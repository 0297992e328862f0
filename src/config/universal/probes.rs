//! Probes that check a port.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Mistake, containers::containers};
use crate::{config::error::quoted, domain::ResolvedProject};

/// The keys of a probe that are a port.
const PORT_KEYS: [&str; 2] = ["port", "tcp"];

/// Returns a mistake for each probe of a port that no container of the pod opens.
///
/// A pod without any `ports` is not checked: only its own probes need to know the port.
pub(super) fn unknown_ports(project: &ResolvedProject) -> Vec<Mistake> {
    let containers = containers(&project.values);
    let opened: BTreeMap<u64, &str> = containers
        .iter()
        .flat_map(|container| container.entries("ports"))
        .filter_map(|(name, port)| Some((port.as_u64().or_else(|| port.get("port")?.as_u64())?, name)))
        .collect();
    if opened.is_empty() {
        return Vec::new();
    }
    let listed: Vec<String> = opened.iter().map(|(port, name)| format!("{port} (`{name}`)")).collect();
    let mut found = Vec::new();
    for container in &containers {
        for (probe, settings) in container.entries("probes") {
            for key in PORT_KEYS {
                let port = settings.get(key).and_then(Value::as_u64);
                let Some(port) = port.filter(|port| !opened.contains_key(port)) else { continue };
                let message = format!("the probe {} checks port {port}, which no container opens", quoted(probe));
                let expected = format!("expected {}", listed.join(" or "));
                let help = format!("correct the port, or add it to `ports`: `NAME: {port}`");
                let path = container.path(&["probes", probe, key]);
                found.push(Mistake::new(path, message, expected).with_help(Some(help)));
            }
        }
    }
    found
}
