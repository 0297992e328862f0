//! The ports of projects that are published on this machine.

use crate::{
    adapters::{docker::Docker, host::published_port_state},
    domain::{
        Problem,
        exposed::{Forward, Forwarder, Protocol, PublishedPort, forwards, ports_of_copy},
        ports::{PortState, because},
        resolve,
    },
    error::{CommandError, ErrorKind},
    ops::{
        prepared::{LocalTarget, Prepared},
        session::Session,
    },
    plan::ports::difference,
};

/// Returns what publishes the exposed ports of the environment.
pub(crate) fn forwarder(session: &Session) -> Forwarder {
    let projects = resolve(&session.loaded.workspace, &session.environment);
    let mut forwards = forwards(&projects, &session.environment);
    if let Ok(chosen) = session.copy_ports.lock() {
        for forward in &mut forwards {
            forward.published = chosen.get(&forward.written).copied().unwrap_or(forward.published);
        }
    }
    Forwarder { networks: session.environment.networks, forwards }
}

/// Chooses the ports of a copy: those that it has, and for others the next free ones. Those of the original stay with it.
///
/// # Errors
/// When Docker does not respond.
pub(super) async fn choose_ports(session: &Session, docker: &Docker) -> Result<(), CommandError> {
    let environment = &session.environment;
    let Some(copy) = environment.copy_name() else { return Ok(()) };
    if environment.exposed.is_empty() {
        return Ok(());
    }
    let found = docker.forwarders(Some(session.workspace().as_str())).await?;
    let own = found.into_iter().find(|found| found.copy.as_deref() == Some(copy));
    let kept = own.map(|own| own.replaced.into_iter().zip(own.ports).collect()).unwrap_or_default();
    let (holders, rootless) = (docker.published_ports().await?, docker.info().await?.rootless);
    let is_free = |port: PublishedPort| {
        !holders.contains_key(&port)
            && !environment.exposes(port.number)
            && published_port_state(port, rootless) == PortState::Free
    };
    let chosen = ports_of_copy(environment.exposed.keys(), &kept, is_free);
    if let Ok(mut known) = session.copy_ports.lock() {
        *known = chosen;
    }
    Ok(())
}

/// Returns the lines that are shown beside URLs after a run: `127.0.0.1:5432 postgres`.
///
/// # Errors
/// When Docker does not respond.
pub(crate) async fn shown(session: &Session, docker: &Docker) -> Result<Vec<String>, CommandError> {
    // Another copy may have taken a port since it was chosen.
    choose_ports(session, docker).await?;
    Ok(forwarder(session).forwards.iter().map(Forward::to_string).collect())
}

/// Refuses ports that something else uses. The ports of a copy are chosen again when they are published, because another
/// copy may take one at any time until then.
///
/// # Errors
/// All ports that are taken, or that Docker does not respond.
pub(crate) async fn refuse_taken(session: &Session, prepared: &Prepared<LocalTarget>) -> Result<(), CommandError> {
    let (wanted, observed) = (&prepared.described.forwarder, &prepared.observation.observed);
    let found = observed.forwarder.as_ref();
    let is_chosen = session.environment.copy_name().is_some();
    if is_chosen || wanted.forwards.is_empty() || difference(wanted, found, observed.cluster).is_none() {
        return Ok(());
    }
    let LocalTarget { access, cluster, .. } = &prepared.target;
    let rootless = access.docker.info().await?.rootless;
    let holders = access.docker.published_ports().await?;
    let own = found.map(|found| found.ports.as_slice()).unwrap_or_default();
    let state = |port: PublishedPort| {
        let is_cluster = [cluster.http_port, cluster.https_port].contains(&port.number);
        match holders.get(&port) {
            _ if port.protocol == Protocol::Tcp && is_cluster => PortState::Own,
            _ if own.contains(&port) => PortState::Free,
            Some(holder) => PortState::Taken { by: Some(holder.clone()) },
            None => published_port_state(port, rootless),
        }
    };
    let ports = wanted.forwards.iter().map(|forward| (forward, state(forward.published)));
    let taken = ports.filter(|(_, state)| !state.is_free()).map(|(forward, state)| refused(session, forward, &state));
    CommandError::require_none(ErrorKind::Failed, taken.collect())
}

fn refused(session: &Session, forward: &Forward, state: &PortState) -> Problem {
    let Forward { published, project, .. } = forward;
    let name = &session.environment.name;
    let what = format!("port {published} on 127.0.0.1, which `expose` forwards to '{project}', is {}", because(state));
    let help = match state {
        PortState::Own => format!("choose another port in environments.{name}.expose or environments.{name}.ports"),
        _ => format!("free the port, or choose another one in environments.{name}.expose in projects.yaml"),
    };
    Problem::new(what).help(help)
}
