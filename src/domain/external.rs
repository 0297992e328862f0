//! External projects, managed by another tool: objects with the same names, so that dependents find the service.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Serialize;
use serde_json::{Value, json};

use super::{External, ResolvedProject, Values, digest::sha256};

/// The number of hexadecimal digits of a checksum: 80 bits, as in a record ID.
const CHECKSUM_LENGTH: usize = 20;
/// The workload kinds for which the universal chart creates a Service.
const SERVERS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];
/// The name of the port that is always first, and its Service port.
const HTTP: (&str, u16) = ("http", 80);
/// The port name of a Service if cmdr knows no port of the project.
const ONLY_PORT: &str = "external";

/// A service outside the cluster under the names of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalService {
    /// The name of the project, its Service and its `ConfigMap`.
    pub name: String,
    pub host: String,
    /// The target of the first of `ports`.
    pub port: u16,
    /// At least one; the first is the same as in the universal chart.
    pub ports: Vec<ExternalPort>,
    /// The content that the universal chart would render from `config`.
    pub config: BTreeMap<String, String>,
}

/// A port of the Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalPort {
    pub name: String,
    /// The port that clients use.
    pub service: u16,
    /// The port on the host.
    pub target: u16,
    pub protocol: String,
}

/// A setting of a project that is not valid where the project is external.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalMistake {
    /// The location of the setting, relative to the project or to its values.
    pub path: Vec<String>,
    pub message: String,
    pub expected: String,
}

impl ExternalService {
    /// Returns the service that replaces `project` in an environment where it is `external`.
    pub fn new(project: &ResolvedProject, external: &External) -> Self {
        let known = Some(&project.values).filter(|_| project.is_on_universal_chart());
        let mut ports = known.map(service_ports).unwrap_or_default();
        match ports.first_mut() {
            // A Service has the same port numbers as the host, except for the one that is set.
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

    /// Returns the host if it is an IP address.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.host.parse().ok()
    }

    /// `db.internal:5432`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether a TCP connection can be tested.
    pub fn speaks_tcp(&self) -> bool {
        self.ports.first().is_some_and(|port| port.protocol == "TCP")
    }

    /// Returns a checksum that identifies this content.
    pub fn checksum(&self) -> String {
        let mut checksum = sha256(json!(self).to_string().as_bytes());
        checksum.truncate(CHECKSUM_LENGTH);
        checksum
    }
}

/// Returns all invalid settings of a project that is external in `environment`.
pub fn mistakes(project: &ResolvedProject, external: &External, environment: &str) -> Vec<ExternalMistake> {
    let service = ExternalService::new(project, external);
    wrong_port(&service, environment).into_iter().chain(generated(project, environment)).collect()
}

/// A DNS name resolves to a host, and cannot change the port.
fn wrong_port(service: &ExternalService, environment: &str) -> Option<ExternalMistake> {
    let first = service.ports.first().filter(|first| first.service != service.port && service.address().is_none())?;
    let (name, host, port) = (&service.name, &service.host, service.port);
    Some(ExternalMistake {
        path: ["environments", environment, "external", "port"].map(str::to_owned).to_vec(),
        message: format!(
            "the Service of `{name}` uses port {}, and a DNS name (`{host}`) cannot redirect it to port {port}",
            first.service
        ),
        expected: format!(
            "expected an IP address instead of `{host}`, port {}, or `service: {port}` at the port `{}` in the \
             project's `values.ports`, so that the Service uses port {port} in all environments",
            first.service, first.name
        ),
    })
}

/// An external service cannot know a password that cmdr generates.
fn generated(project: &ResolvedProject, environment: &str) -> Vec<ExternalMistake> {
    let secrets = project.values.get("secrets").filter(|_| project.is_on_universal_chart());
    let secrets = secrets.and_then(Value::as_object).into_iter().flatten();
    let made_up = secrets.filter(|(_, secret)| secret.get("generate").is_some_and(|key| !key.is_null()));
    let mistake = |(short_name, _): (&String, &Value)| ExternalMistake {
        path: ["secrets", short_name, "generate"].map(str::to_owned).to_vec(),
        message: format!(
            "`{}` is external in `{environment}`, and does not know a password that cmdr generates",
            project.name
        ),
        expected: format!(
            "expected a different source under environments.{environment}.values.secrets: \
             `{short_name}: {{generate: null, existing: SECRET}}`, or `sops` or `external` instead of `existing`"
        ),
    };
    made_up.map(mistake).collect()
}

/// Returns the port of a project's Service that clients use first; `None` if it has no Service.
pub(super) fn first_service_port(project: &ResolvedProject) -> Option<u16> {
    let ports = match &project.external {
        Some(external) => ExternalService::new(project, external).ports,
        None if project.is_on_universal_chart() => service_ports(&project.values),
        None => Vec::new(),
    };
    ports.first().map(|port| port.service)
}

/// Returns the ports of the Service that the universal chart would create, with the main port first.
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

/// Formats a value as the chart does: strings unchanged, other values as JSON; a key with `null` is omitted.
fn config_value(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
