//! Ports of projects on this machine, across restarts of their pods.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::{first_pod, not_running};
use crate::{
    adapters::cluster::{Cluster, exec::ReachablePod},
    domain::{Problem, nearest::nearest},
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        project_pods::{PodSelector, named_releases, pod_selectors},
        session::Session,
    },
    settings::OutputFormat,
    ui,
};

/// How long a connection waits for a pod that is ready, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(300);

/// A port of a project: `db`, `db:5432`, `shop:http`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RemotePort {
    project: String,
    /// A number or a name; the first port by default.
    port: Option<String>,
}

/// A port that is open on this machine.
struct PortForward {
    cluster: Cluster,
    selectors: Vec<PodSelector>,
    project: String,
    port: u16,
}

/// Opens ports on 127.0.0.1 until the user interrupts.
///
/// # Errors
/// When a project or port is unknown, a local port is taken, or the cluster does not respond.
pub async fn forward(session: &Session, ports: &[String], local: Option<u16>) -> Result<(), CommandError> {
    let ports: Vec<RemotePort> = ports.iter().map(|text| read_port(text)).collect();
    if local.is_some() && ports.len() > 1 {
        let cause = "--port has no effect on several projects";
        return Err(CommandError::usage(Problem::new(cause).help("forward one project, or leave out --port")));
    }
    let mut repeated = ports.iter().enumerate().filter(|(number, port)| ports[..*number].contains(port));
    if let Some((_, port)) = repeated.next() {
        let cause = format!("'{}' is named twice", port.project);
        return Err(CommandError::usage(Problem::new(cause).help("leave it out once")));
    }
    let names: Vec<String> = ports.iter().map(|port| port.project.clone()).collect();
    let releases = named_releases(session, &names)?;
    let cluster = connect(session).await?;
    let selectors = pod_selectors(session, &cluster, &releases, true).await?;
    let (mut forwards, mut problems) = (Vec::new(), Vec::new());
    for remote in ports {
        let own = selectors.iter().filter(|selector| selector.key.name == remote.project).cloned().collect();
        match open(session, &cluster, own, &remote, local).await {
            Ok(forward) => forwards.push(forward),
            Err(error) => problems.extend(error.problems),
        }
    }
    CommandError::require_none(ErrorKind::Failed, problems)?;
    let served = forwards.into_iter().map(|(forward, listener)| {
        show(session, &forward, &listener);
        Arc::new(forward).serve(listener)
    });
    tokio::select! {
        _ = futures::future::join_all(served) => Ok(()),
        () = session.cancel.cancelled() => Err(CommandError::reported(ErrorKind::Interrupted)),
    }
}

async fn open(
    session: &Session,
    cluster: &Cluster,
    selectors: Vec<PodSelector>,
    remote: &RemotePort,
    local: Option<u16>,
) -> Result<(PortForward, TcpListener), CommandError> {
    let pod = first_pod(cluster, &selectors).await?.ok_or_else(|| not_running(session, &remote.project))?;
    let port = chosen_port(&pod, remote)?;
    if let Some(warning) = unlisted(&pod, &remote.project, port) {
        ui::print_message(&warning);
    }
    let wanted = local.unwrap_or(port);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await.map_err(|error| {
        let problem = Problem {
            details: vec![error.to_string()],
            ..Problem::new(format!("cannot open port {wanted} on 127.0.0.1"))
        };
        CommandError::failed(problem.help("choose another one with --port; --port 0 takes any that is free"))
    })?;
    Ok((PortForward { cluster: cluster.clone(), selectors, project: remote.project.clone(), port }, listener))
}

fn show(session: &Session, forward: &PortForward, listener: &TcpListener) {
    let local = listener.local_addr().map(|address| address.port()).unwrap_or_default();
    let (project, port) = (&forward.project, forward.port);
    match session.settings.output {
        OutputFormat::Json => {
            let line = json!({"project": project, "port": port, "address": "127.0.0.1", "local_port": local});
            ui::print(&format!("{line}\n"));
        }
        OutputFormat::Text => ui::print(&format!("127.0.0.1:{local} -> {project}:{port}\n")),
    }
}

impl PortForward {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((connection, _)) = listener.accept().await else { continue };
            let forward = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(reason) = forward.connect(connection).await {
                    ui::print_message(&format!("{}:{}: {reason}", forward.project, forward.port));
                }
            });
        }
    }

    /// Connects to the pod that is ready now: after a restart or a rollout that is another one.
    async fn connect(&self, local: TcpStream) -> Result<(), String> {
        let pod = tokio::time::timeout(PATIENCE, async {
            loop {
                let found = first_pod(&self.cluster, &self.selectors).await;
                if let Some(pod) = found.ok().flatten().filter(|pod| pod.is_ready) {
                    return pod;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        let pod = pod.await.map_err(|_| format!("no pod has become ready within {} s", PATIENCE.as_secs()))?;
        let forwarded = self.cluster.forward_connection((&pod.namespace, &pod.name), self.port, local).await;
        match forwarded {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(reason.trim().to_owned()),
            Err(error) => Err(error.problem().message),
        }
    }
}

fn read_port(text: &str) -> RemotePort {
    match text.split_once(':') {
        Some((project, port)) => RemotePort { project: project.to_owned(), port: Some(port.to_owned()) },
        None => RemotePort { project: text.to_owned(), port: None },
    }
}

/// The number of a port. A number needs no name: a program may listen on ports that its chart does not list.
fn chosen_port(pod: &ReachablePod, remote: &RemotePort) -> Result<u16, CommandError> {
    let names = || pod.ports.iter().filter_map(|(name, _)| name.as_deref());
    match &remote.port {
        None => pod.ports.first().map(|(_, port)| *port).ok_or_else(|| {
            let cause = format!("'{}' lists no ports", remote.project);
            CommandError::usage(Problem::new(cause).help(format!("name one: cmdr forward {}:8080", remote.project)))
        }),
        Some(text) => {
            let named =
                pod.ports.iter().find(|(name, _)| name.as_deref() == Some(text.as_str())).map(|(_, port)| *port);
            let number = || text.parse::<u16>().ok().filter(|port| *port > 0);
            named.or_else(number).ok_or_else(|| {
                let help = match nearest(text, names()) {
                    Some(name) => format!("did you mean '{name}'?"),
                    None => format!("a number, or one of its ports: {}", names().collect::<Vec<_>>().join(", ")),
                };
                let cause = format!("'{}' has no port '{text}'", remote.project);
                CommandError::usage(Problem::new(cause).help(help))
            })
        }
    }
}

/// A warning about a port that the containers do not list: it may be a mistake.
fn unlisted(pod: &ReachablePod, project: &str, port: u16) -> Option<String> {
    if pod.ports.iter().any(|(_, listed)| *listed == port) {
        return None;
    }
    let listed: Vec<String> = pod.ports.iter().map(|(_, listed)| listed.to_string()).collect();
    let listed = if listed.is_empty() { "no ports".to_owned() } else { listed.join(", ") };
    Some(format!("warning: '{project}' does not list port {port} (it lists {listed})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> ReachablePod {
        ReachablePod {
            name: "shop-1".to_owned(),
            namespace: "tunes".to_owned(),
            labels: std::collections::BTreeMap::new(),
            is_ready: true,
            created: None,
            containers: vec!["shop".to_owned()],
            ports: vec![(Some("http".to_owned()), 8080), (Some("grpc".to_owned()), 9090)],
        }
    }

    fn port(text: &str) -> Result<u16, String> {
        chosen_port(&shop(), &read_port(text)).map_err(|error| error.problems[0].help.clone().unwrap())
    }

    #[test]
    fn a_port_is_the_first_one_or_a_name_or_a_number() {
        assert_eq!(port("shop"), Ok(8080));
        assert_eq!(port("shop:grpc"), Ok(9090));
        assert_eq!(port("shop:7000"), Ok(7000));
        assert_eq!(port("shop:htp"), Err("did you mean 'http'?".to_owned()));
        assert!(port("shop:0").is_err() && port("shop:70000").is_err());
    }

    #[test]
    fn a_port_that_the_containers_do_not_list_is_a_warning() {
        assert_eq!(unlisted(&shop(), "shop", 9090), None);
        let warning = "warning: 'shop' does not list port 9999 (it lists 8080, 9090)";
        assert_eq!(unlisted(&shop(), "shop", 9999), Some(warning.to_owned()));
    }
}
