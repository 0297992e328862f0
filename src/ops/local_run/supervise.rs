//! A local run from its start to its end: which pods it replaces, and when their traffic goes where.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::{process::Child, time::interval};

use super::prepare::PreparedRun;
use crate::{
    adapters::{
        cluster::local_run::ReplacedPod,
        local_run::{PodRelay, RelayError, RelayedPod, connect, terminate},
    },
    domain::Problem,
    error::CommandError,
    ops::session::Session,
};

/// How often the ports of the process are tried, until it listens.
const LOOK: Duration = Duration::from_millis(100);
/// How often the pods are listed.
const PODS: Duration = Duration::from_secs(2);
/// After this time without a listener, a note is printed.
const LATE: Duration = Duration::from_secs(30);
/// After an interrupt, which a terminal also sends to the process: when it is asked to end, and when it is killed.
const ASK: Duration = Duration::from_secs(1);
const KILL: Duration = Duration::from_secs(10);

/// A run with its pods.
struct Supervision<'a> {
    session: &'a Session,
    run: &'a PreparedRun,
    relays: BTreeMap<String, PodRelay>,
    /// The pod through which the process reaches the cluster.
    gateway: Option<String>,
    /// The ports of the container on whose local ports the process listens.
    accepting: BTreeSet<u16>,
    began: Instant,
    listed: Instant,
}

/// Starts the process, and restores the cluster when it has ended.
///
/// # Errors
/// If the pods cannot be replaced, or the process does not start.
pub(super) async fn supervise(session: &Session, run: PreparedRun) -> Result<ExitStatus, CommandError> {
    let now = Instant::now();
    let mut supervision = Supervision {
        session,
        run: &run,
        relays: BTreeMap::new(),
        gateway: None,
        accepting: BTreeSet::new(),
        began: now,
        listed: now,
    };
    run.cluster.annotate_workload(&run.pod, Some(&run.mark.holder())).await?;
    let ended = supervision.run_to_end().await;
    let restored = supervision.restore().await;
    run.cluster.annotate_workload(&run.pod, None).await?;
    let ended = ended?;
    restored?;
    Ok(ended)
}

impl Supervision<'_> {
    async fn run_to_end(&mut self) -> Result<ExitStatus, CommandError> {
        self.replace_pods().await?;
        let mut child = self.run.local_command().start().map_err(|error| {
            CommandError::failed(Problem::new(format!("cannot start '{}': {error}", self.run.command[0])))
        })?;
        self.note_start();
        let mut ticks = interval(LOOK);
        loop {
            tokio::select! {
                status = child.wait() => return status.map_err(|error| lost(&error)),
                () = self.session.cancel.cancelled() => return end(&mut child).await,
                _ = ticks.tick() => self.keep().await,
            }
        }
    }

    fn note_start(&self) {
        let project = &self.run.project;
        if self.run.ports.is_empty() {
            self.session.note(&format!(
                "no Service sends traffic to '{project}': its pods keep running beside the process, and a consumer of a \
                 queue shares its messages with them"
            ));
        }
    }

    /// Follows the process and the pods. What fails is tried again.
    async fn keep(&mut self) {
        if let Err(error) = self.switch().await {
            self.session.note(&error.to_string());
        }
        if self.listed.elapsed() >= PODS {
            self.listed = Instant::now();
            if let Err(error) = self.replace_pods().await {
                let text = error.problems.first().map(|problem| problem.message.clone());
                self.session.note(&text.unwrap_or_default());
            }
        }
    }

    /// Switches the traffic of the ports on which the process now listens.
    async fn switch(&mut self) -> Result<(), RelayError> {
        let waiting = self.run.ports.iter().filter(|port| !self.accepting.contains(&port.container));
        let mut ready = Vec::new();
        for port in waiting {
            if connect(port.local).await.is_ok() {
                ready.push(*port);
            } else if self.began.elapsed() > LATE {
                self.session.note(&format!(
                    "the process does not listen on port {} yet: the pods of '{}' receive its traffic",
                    port.local, self.run.project
                ));
            }
        }
        for port in ready {
            for relay in self.relays.values() {
                relay.receive([port.container].into_iter()).await?;
            }
            self.accepting.insert(port.container);
            self.session.note(&format!(
                "port {} of this machine receives the traffic of '{}' for port {}",
                port.local, self.run.project, port.container
            ));
        }
        Ok(())
    }

    /// Attaches to new pods, and lets go of those that have ended.
    async fn replace_pods(&mut self) -> Result<(), CommandError> {
        self.relays.retain(|_, relay| !relay.is_ended());
        let pods = self.run.cluster.replaced_pods(&self.run.pod.namespace).await?;
        let is_own = |pod: &&ReplacedPod| self.run.selectors.iter().any(|it| it.matches(&pod.namespace, &pod.labels));
        let own: Vec<RelayedPod> = pods.iter().filter(is_own).map(relayed).collect();
        for pod in own.iter().filter(|pod| !self.relays.contains_key(&pod.name)).collect::<Vec<_>>() {
            let relay = PodRelay::attach(&self.run.docker, &self.run.node, pod, &self.run.ports).await;
            let relay = relay.map_err(|error| relay_error(&error))?;
            relay.receive(self.accepting.iter().copied()).await.map_err(|error| relay_error(&error))?;
            self.relays.insert(pod.name.clone(), relay);
        }
        let has_gateway = self.gateway.as_ref().is_some_and(|gateway| self.relays.contains_key(gateway));
        if let Some(book) = self.run.book.as_ref().filter(|_| !has_gateway)
            && let Some(pod) = own.first()
            && let Some(relay) = self.relays.get(&pod.name)
        {
            relay.route(book, pod).await.map_err(|error| relay_error(&error))?;
            self.gateway = Some(pod.name.clone());
        }
        Ok(())
    }

    /// Gives the traffic back to the pods, and waits until this is so.
    async fn restore(&mut self) -> Result<(), CommandError> {
        for (pod, relay) in std::mem::take(&mut self.relays) {
            let is_restored = relay.end().await.map_err(|error| relay_error(&error))?;
            if !is_restored {
                let cause = format!("the network of the pod {pod} still passes traffic to this machine");
                let help = format!("replace its pods with cmdr restart {}", self.run.project);
                return Err(CommandError::failed(Problem::new(cause).help(help)));
            }
        }
        if !self.accepting.is_empty() {
            self.session.note(&format!("the pods of '{}' receive its traffic again", self.run.project));
        }
        Ok(())
    }
}

fn relayed(pod: &ReplacedPod) -> RelayedPod {
    RelayedPod { namespace: pod.namespace.clone(), name: pod.name.clone(), address: pod.address }
}

fn relay_error(error: &RelayError) -> CommandError {
    match error {
        RelayError::Docker(error) => CommandError::failed(error.problem()),
        RelayError::Start { .. } => CommandError::failed(Problem::of(error)),
    }
}

fn lost(error: &std::io::Error) -> CommandError {
    CommandError::failed(Problem::new(format!("cannot wait for the process: {error}")))
}

/// Ends the process after an interrupt.
async fn end(child: &mut Child) -> Result<ExitStatus, CommandError> {
    if let Ok(status) = tokio::time::timeout(ASK, child.wait()).await {
        return status.map_err(|error| lost(&error));
    }
    terminate(child);
    if let Ok(status) = tokio::time::timeout(KILL, child.wait()).await {
        return status.map_err(|error| lost(&error));
    }
    // It has had its time.
    let _ = child.start_kill();
    child.wait().await.map_err(|error| lost(&error))
}
