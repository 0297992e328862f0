//! Validates `environments.local.expose`: each port is used once and refers to a port of a project.

use super::{
    error::{ConfigError, did_you_mean, listed, quoted},
    sources::Sources,
    tree::Cursor,
};
use crate::domain::{
    Name, ResolvedProject, Workspace,
    exposed::{ExposedTarget, Protocol, PublishedPort, TargetError, target_port},
    resolve,
    workspace::LOCAL,
};

pub(super) fn check(sources: &Sources, workspace: &Workspace, found: &mut Vec<ConfigError>) {
    let local = sources.find(&["environments", LOCAL]);
    let Some((environment, local)) = workspace.environments.get(LOCAL).zip(local) else { return };
    let projects = resolve(workspace, environment);
    for entry in local.get("expose").into_iter().flat_map(|map| map.entries()) {
        let target = entry.text().and_then(ExposedTarget::parse);
        let Some((port, target)) = PublishedPort::parse(entry.key()).zip(target) else { continue };
        found.extend(taken(local, entry, port));
        found.extend(match projects.iter().find(|project| project.name == target.project) {
            Some(project) => wrong_port(entry, project, &target, port),
            None => Some(unknown_project(workspace, entry, &target)),
        });
    }
}

/// The port is one of the cluster's own.
fn taken(local: Cursor<'_>, entry: Cursor<'_>, port: PublishedPort) -> Option<ConfigError> {
    let is_it = |own: &Cursor<'_>| port.protocol == Protocol::Tcp && own.integer() == Some(port.number.into());
    let own = local.get("ports")?.entries().find(is_it)?;
    let message = format!("port {port} is exposed, and is the {} port of the cluster", own.key().to_uppercase());
    Some(
        ConfigError::error(entry.key_location(), message, "expected another port")
            .with_other(own.location(), "already used here"),
    )
}

fn unknown_project(workspace: &Workspace, entry: Cursor<'_>, target: &ExposedTarget) -> ConfigError {
    let name = target.project.as_str();
    if workspace.projects.contains_key(name) {
        let message = format!("{} is disabled in the environment `{LOCAL}`", quoted(name));
        return ConfigError::error(entry.location(), message, "expected a project that runs there");
    }
    let help = did_you_mean(name, workspace.projects.keys().map(Name::as_str));
    let message = format!("unknown project {}", quoted(name));
    ConfigError::error(entry.location(), message, "expected the name of a project").with_help(help)
}

fn wrong_port(
    entry: Cursor<'_>,
    project: &ResolvedProject,
    target: &ExposedTarget,
    port: PublishedPort,
) -> Option<ConfigError> {
    let name = project.name.as_str();
    let error = target_port(project, target.port.as_deref(), port.protocol).err()?;
    let wrong = |message, expected: String| ConfigError::error(entry.location(), message, expected);
    Some(match error {
        TargetError::NoPorts => {
            let expected = "expected a project with `ports` under `values`".to_owned();
            wrong(format!("{} has no ports", quoted(name)), expected)
        }
        TargetError::NumberNeeded => {
            let message = format!("{} has its own chart, so its ports are not known", quoted(name));
            wrong(message, format!("expected the number of its Service's port, such as `{name}:8080`"))
        }
        TargetError::Unknown(known) => {
            let port = target.port.as_deref().unwrap_or_default();
            let help = did_you_mean(port, known.iter().map(String::as_str));
            let expected = format!("expected {}", listed(known.iter().map(String::as_str)));
            wrong(format!("{} has no port {}", quoted(name), quoted(port)), expected).with_help(help)
        }
        TargetError::OtherProtocol(other, protocol) => {
            let message = format!("the port {} of {} is {protocol}", quoted(&other), quoted(name));
            let expected = match protocol.as_str() {
                "UDP" => format!("expected `{}/udp`", port.number),
                "TCP" => format!("expected `{}`", port.number),
                _ => "expected a TCP or UDP port".to_owned(),
            };
            ConfigError::error(entry.key_location(), message, expected)
        }
    })
}
