//! The ports of projects that are published on this machine.

use crate::{
    adapters::host::published_port_state,
    domain::{
        Problem,
        exposed::{Forward, Forwarder, Protocol, PublishedPort, forwards},
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
    Forwarder { networks: session.environment.networks, forwards: forwards(&projects, &session.environment) }
}

/// Returns the lines that are shown beside URLs: `127.0.0.1:5432 postgres`.
pub(crate) fn shown(session: &Session) -> Vec<String> {
    forwarder(session).forwards.iter().map(Forward::to_string).collect()
}

/// Refuses ports that something else uses.
///
/// # Errors
/// All ports that are taken, or that Docker does not respond.
pub(crate) async fn refuse_taken(session: &Session, prepared: &Prepared<LocalTarget>) -> Result<(), CommandError> {
    let (wanted, observed) = (&prepared.described.forwarder, &prepared.observation.observed);
    let found = observed.forwarder.as_ref();
    if wanted.forwards.is_empty() || difference(wanted, found, observed.cluster).is_none() {
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
