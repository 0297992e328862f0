//! Which port of which Service an exposed port refers to.

use serde_json::Value;

use super::{Forward, Protocol, PublishedPort};
use crate::domain::{Environment, Name, ResolvedProject, Values};

/// The value of an entry of `expose`: `postgres`, `postgres:metrics` or `postgres:9187`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedTarget {
    pub project: Name,
    /// The name or the number of a port; `None`: the first port.
    pub port: Option<String>,
}

impl ExposedTarget {
    /// Reads `PROJECT` or `PROJECT:PORT`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (project, port) = match text.split_once(':') {
            Some((project, port)) => (project, Some(port)),
            None => (text, None),
        };
        let is_port = |port: &str| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=15).contains(&port.len()) && port.bytes().all(allowed)
        };
        if !port.is_none_or(is_port) {
            return None;
        }
        Some(Self { project: Name::new(project).ok()?, port: port.map(str::to_owned) })
    }
}

/// Why a target does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    /// The project has no Service.
    NoPorts,
    /// The project has only these ports.
    Unknown(Vec<String>),
    /// The port of this name has this other protocol.
    OtherProtocol(String, String),
    /// The project has a chart of its own, so the file does not say which ports there are.
    NumberNeeded,
}

/// A port of the project's Service.
struct ServicePort<'a> {
    name: &'a str,
    /// The port of the Service, and the port of the container.
    numbers: (u16, u16),
    protocol: &'a str,
}

/// Returns the forwards of an environment whose targets exist.
pub fn forwards(projects: &[ResolvedProject], environment: &Environment) -> Vec<Forward> {
    let forward = |(published, target): (&PublishedPort, &ExposedTarget)| {
        let project = projects.iter().find(|project| project.name == target.project)?;
        let port = target_port(project, target.port.as_deref(), published.protocol).ok()?;
        let host = format!("{}.{}.svc.cluster.local", project.name, environment.namespace);
        Some(Forward { published: *published, written: *published, project: project.name.clone(), host, port })
    };
    environment.exposed.iter().filter_map(forward).collect()
}

/// Returns the number of a project's port in its Service, or in its pods if it has no address of its own.
///
/// # Errors
/// If the project does not have the port.
pub fn target_port(project: &ResolvedProject, port: Option<&str>, protocol: Protocol) -> Result<u16, TargetError> {
    let number = port.and_then(|port| port.parse::<u16>().ok());
    if let Some(external) = &project.external {
        let is_it = port.is_none() || number == Some(external.port);
        return if is_it { Ok(external.port) } else { Err(TargetError::Unknown(vec![external.port.to_string()])) };
    }
    if !project.is_on_universal_chart() {
        return number.ok_or(TargetError::NumberNeeded);
    }
    let known = service_ports(&project.values);
    if known.is_empty() {
        return Err(TargetError::NoPorts);
    }
    let is_it = |it: &&ServicePort<'_>| match (port, number) {
        (None, _) => true,
        (Some(_), Some(number)) => it.numbers.0 == number || it.numbers.1 == number,
        (Some(name), None) => it.name == name,
    };
    let named: Vec<&ServicePort<'_>> = known.iter().filter(is_it).collect();
    let is_headless = project.values.get("service").and_then(|service| service.get("headless")) == Some(&true.into());
    match (named.iter().find(|it| it.protocol.eq_ignore_ascii_case(protocol.name())), named.first()) {
        (Some(found), _) => Ok(if is_headless { found.numbers.1 } else { found.numbers.0 }),
        (None, Some(other)) => Err(TargetError::OtherProtocol(other.name.to_owned(), other.protocol.to_owned())),
        (None, None) => Err(TargetError::Unknown(known.iter().map(|it| it.name.to_owned()).collect())),
    }
}

/// The ports of the universal chart's Service: `http` first, then by name, as in the chart.
fn service_ports(values: &Values) -> Vec<ServicePort<'_>> {
    let entries = values.get("ports").and_then(Value::as_object).into_iter().flatten();
    let mut ports: Vec<ServicePort<'_>> = entries.filter_map(|(name, port)| service_port(name, port)).collect();
    ports.sort_by_key(|port| (port.name != "http", port.name));
    ports
}

fn service_port<'a>(name: &'a str, port: &'a Value) -> Option<ServicePort<'a>> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let container = number(port).or_else(|| number(port.get("port")?))?;
    let default = if name == "http" { 80 } else { container };
    let service = port.get("service").and_then(number).unwrap_or(default);
    let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
    Some(ServicePort { name, numbers: (service, container), protocol })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Chart, ChartSource};

    fn project(source: ChartSource, values: &Value) -> ResolvedProject {
        let values = values.as_object().cloned().unwrap_or_default();
        ResolvedProject::bare(Name::new("pg").unwrap(), Chart { source, version: None }, values)
    }

    fn port(values: &Value, port: Option<&str>, protocol: Protocol) -> Result<u16, TargetError> {
        target_port(&project(ChartSource::Universal, values), port, protocol)
    }

    #[test]
    fn a_target_is_a_project_and_perhaps_a_port() {
        let parsed = |text: &str| ExposedTarget::parse(text).map(|target| (target.project.to_string(), target.port));
        assert_eq!(parsed("pg"), Some(("pg".into(), None)));
        assert_eq!(parsed("pg:metrics"), Some(("pg".into(), Some("metrics".into()))));
        for wrong in ["", "pg:", ":5432", "PG", "pg:a_b", "5432:pg"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_port_is_found_as_the_service_has_it() {
        let ports =
            json!({"ports": {"admin": 9000, "http": 8080, "dns": {"port": 5353, "service": 53, "protocol": "UDP"}}});
        assert_eq!(port(&ports, None, Protocol::Tcp), Ok(80));
        assert_eq!(port(&ports, None, Protocol::Udp), Ok(53));
        assert_eq!(port(&ports, Some("admin"), Protocol::Tcp), Ok(9000));
        assert_eq!(port(&ports, Some("8080"), Protocol::Tcp), Ok(80));
        let unknown = vec!["http".to_owned(), "admin".to_owned(), "dns".to_owned()];
        assert_eq!(port(&ports, Some("x"), Protocol::Tcp), Err(TargetError::Unknown(unknown)));
        let other = TargetError::OtherProtocol("dns".to_owned(), "UDP".to_owned());
        assert_eq!(port(&ports, Some("dns"), Protocol::Tcp), Err(other));
        assert_eq!(port(&json!({}), None, Protocol::Tcp), Err(TargetError::NoPorts));
    }

    #[test]
    fn a_headless_service_leads_to_the_port_of_the_pod() {
        let values = json!({"ports": {"http": 8080}, "service": {"headless": true}});
        assert_eq!(port(&values, None, Protocol::Tcp), Ok(8080));
    }

    #[test]
    fn other_charts_need_a_number() {
        let own = project(ChartSource::Path("/chart".into()), &json!({}));
        assert_eq!(target_port(&own, None, Protocol::Tcp), Err(TargetError::NumberNeeded));
        assert_eq!(target_port(&own, Some("9898"), Protocol::Tcp), Ok(9898));
    }
}
