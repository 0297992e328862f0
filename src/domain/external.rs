//! A project that somebody else runs: what stands in its place, so that those who need it find the same names.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Serialize;
use serde_json::{Value, json};

use super::{External, ResolvedProject, Values, digest::sha256};

/// Hexadecimal digits of a checksum: 80 bits, as a record has.
const CHECKSUM_LENGTH: usize = 20;
/// The workloads that the universal chart gives a Service.
const SERVERS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];
/// The port that comes first, whatever the others are called, and the number that its Service answers on.
const HTTP: (&str, u16) = ("http", 80);
/// The port of a Service whose project names none that cmdr knows.
const ONLY_PORT: &str = "external";

/// A service outside of the cluster under a project's own names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalService {
    /// Of the project, its Service and its `ConfigMap`.
    pub name: String,
    pub host: String,
    /// Where the first of `ports` leads.
    pub port: u16,
    /// At least one; the first is the one that the universal chart holds for the first.
    pub ports: Vec<ExternalPort>,
    /// What the universal chart would make of `config`.
    pub config: BTreeMap<String, String>,
}

/// A port of the Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalPort {
    pub name: String,
    /// What consumers ask for.
    pub service: u16,
    /// Where it leads at the host.
    pub target: u16,
    pub protocol: String,
}

/// Something that is written of a project and cannot be where somebody else runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalMistake {
    /// Where it is written, below the project or below its values.
    pub path: Vec<String>,
    pub message: String,
    pub expected: String,
}

impl ExternalService {
    /// What stands in the place of `project` in an environment where `external` runs it.
    pub fn new(project: &ResolvedProject, external: &External) -> Self {
        let known = Some(&project.values).filter(|_| project.is_on_universal_chart());
        let mut ports = known.map(service_ports).unwrap_or_default();
        match ports.first_mut() {
            // A Service answers on the same numbers as a host does, but for the one that is written.
            Some(first) => first.target = external.port,
            None => ports.push(ExternalPort {
                name: ONLY_PORT.to_owned(),
                service: external.port,
                target: external.port,
                protocol: "TCP".to_owned(),
            }),
        }
        Self {
            name: project.name.to_string(),
            host: external.host.clone(),
            port: external.port,
            ports,
            config: known.map(config).unwrap_or_default(),
        }
    }

    /// The host, where it is an address and no name.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.host.parse().ok()
    }

    /// `db.internal:5432`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether a TCP connection proves anything.
    pub fn speaks_tcp(&self) -> bool {
        self.ports.first().is_some_and(|port| port.protocol == "TCP")
    }

    /// Tells this content from any other.
    pub fn checksum(&self) -> String {
        let mut checksum = sha256(json!(self).to_string().as_bytes());
        checksum.truncate(CHECKSUM_LENGTH);
        checksum
    }
}

/// What cannot be meant of a project that somebody else runs in `environment`.
pub fn mistakes(project: &ResolvedProject, external: &External, environment: &str) -> Vec<ExternalMistake> {
    let service = ExternalService::new(project, external);
    wrong_port(&service, environment).into_iter().chain(generated(project, environment)).collect()
}

/// A name in DNS leads to a host and never to another port.
fn wrong_port(service: &ExternalService, environment: &str) -> Option<ExternalMistake> {
    let first = service.ports.first().filter(|first| first.service != service.port && service.address().is_none())?;
    let (name, host, port) = (&service.name, &service.host, service.port);
    Some(ExternalMistake {
        path: ["environments", environment, "external", "port"].map(str::to_owned).to_vec(),
        message: format!(
            "`{name}` answers on {} under its own name, and a DNS name (`{host}`) cannot lead to port {port}",
            first.service
        ),
        expected: format!(
            "expected an address in place of `{host}`, the port {}, or `service: {port}` at the port `{}` under the \
             project's `values.ports`, so that it answers on {port} everywhere",
            first.service, first.name
        ),
    })
}

/// Nobody else's service knows a password that cmdr makes up.
fn generated(project: &ResolvedProject, environment: &str) -> Vec<ExternalMistake> {
    let secrets = project.values.get("secrets").filter(|_| project.is_on_universal_chart());
    let secrets = secrets.and_then(Value::as_object).into_iter().flatten();
    let made_up = secrets.filter(|(_, secret)| secret.get("generate").is_some_and(|key| !key.is_null()));
    let mistake = |(short_name, _): (&String, &Value)| ExternalMistake {
        path: ["secrets", short_name, "generate"].map(str::to_owned).to_vec(),
        message: format!(
            "somebody else runs `{}` in `{environment}`, and does not know a password that cmdr generates",
            project.name
        ),
        expected: format!(
            "expected another source under environments.{environment}.values.secrets: \
             `{short_name}: {{generate: null, existing: SECRET}}`, or `sops` or `external` in place of `existing`"
        ),
    };
    made_up.map(mistake).collect()
}

/// The ports of the Service that the universal chart would make, the first one first.
fn service_ports(values: &Values) -> Vec<ExternalPort> {
    let kind = values.get("kind").and_then(Value::as_str).unwrap_or(SERVERS[0]);
    let ports = values.get("ports").and_then(Value::as_object).filter(|_| SERVERS.contains(&kind));
    let mut ports: Vec<ExternalPort> =
        ports.into_iter().flatten().filter_map(|(name, port)| service_port(name, port)).collect();
    ports.sort_by_key(|port| (port.name != HTTP.0, port.name.clone()));
    ports
}

fn service_port(name: &str, port: &Value) -> Option<ExternalPort> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let own = number(port).or_else(|| number(port.get("port")?))?;
    let written = port.get("service").and_then(number);
    let service = written.unwrap_or(if name == HTTP.0 { HTTP.1 } else { own });
    let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
    Some(ExternalPort { name: name.to_owned(), service, target: service, protocol })
}

fn config(values: &Values) -> BTreeMap<String, String> {
    let written = values.get("config").and_then(Value::as_object).into_iter().flatten();
    written.filter_map(|(key, value)| Some((key.clone(), config_value(value)?))).collect()
}

/// As the chart writes it: text as it stands, anything else as JSON; `null` leaves a key out.
fn config_value(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
