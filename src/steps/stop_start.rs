//! Stops, pauses and starts the local cluster, and repairs what a restart of Docker or a changed network broke.

use std::{fs, path::Path, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{ClusterFolder, LOOK, LocalCluster, Runner};
use crate::{
    adapters::{
        cluster::{BalancedService, Cluster, ClusterError, PodView},
        docker::{NodeContainer, State, UploadFile},
        kind::configuration::API_PORT,
        kind::node_scripts::{CANCEL_STOP, QUERY_DNS, STOP_PODS, StoppedPods, is_dns_answer, start_files},
        wait::{Wait, every, pause},
    },
    domain::{Problem, pool::Pool},
    engine::{Reporter, StepFailure},
    plan::up::LOAD_BALANCER_NAMESPACE,
};

/// The seconds that pods with data have to stop: most databases need less, and a laptop should shut down soon.
const POD_STOP_SECONDS: &str = "10";
/// The seconds that Docker waits for a node whose pods could not be stopped gracefully.
const STOP_SECONDS: i32 = 10;
/// The API of a started node responds within seconds; a busy laptop needs more.
const API_TIMEOUT: Duration = Duration::from_secs(90);
/// The status of every pod is updated some seconds after the API responds.
const STATUS_TIMEOUT: Duration = Duration::from_secs(90);
/// The polling interval for updated status, longer than others because the node is busy.
const STATUS_INTERVAL: Duration = Duration::from_millis(400);
/// MetalLB assigns another address to a Service within seconds.
const ADDRESS_TIMEOUT: Duration = Duration::from_mins(1);
/// CoreDNS responds when its pod is running again.
const DNS_TIMEOUT: Duration = Duration::from_mins(1);
/// The polling interval for CoreDNS: each query starts a program in a busy node.
const DNS_INTERVAL: Duration = Duration::from_millis(500);

impl ClusterFolder {
    /// Returns whether the kubeconfig points to the API at this port of this machine.
    pub fn points_to(&self, port: u16) -> bool {
        fs::read_to_string(self.kubeconfig()).is_ok_and(|text| has_port(&text, port))
    }
}

/// Matches the line `server: https://127.0.0.1:6443`, with the whole port.
fn has_port(kubeconfig: &str, port: u16) -> bool {
    kubeconfig.lines().any(|line| line.trim().starts_with("server:") && line.trim_end().ends_with(&format!(":{port}")))
}

impl LocalCluster {
    /// Stops the pods and then the node, or pauses the node.
    pub(super) async fn stop(
        &self,
        warm: bool,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let node = self.node_container().await?;
        match (node.state, warm) {
            (State::Running, true) => {
                self.docker.pause(&node.name).await?;
                self.stop_ports().await?;
                return Ok(Some("paused in memory".to_owned()));
            }
            (State::Paused, true) | (State::Stopped | State::Created, _) => return Ok(None),
            // A paused node cannot be stopped.
            (State::Paused, false) => self.docker.unpause(&node.name).await?,
            (State::Running, false) => (),
        }
        let stopped = self.stop_pods(&node.name, reporter, cancel).await?;
        reporter.progress("stopping the node");
        self.docker.stop(&node.name, if stopped.is_some() { 0 } else { STOP_SECONDS }).await?;
        if cancel.is_cancelled() {
            reporter.progress("interrupted after its pods stopped: restarting the node");
            self.restart(&node.name).await?;
            return Err(StepFailure::Interrupted);
        }
        self.stop_ports().await?;
        let ended = stopped.map(|stopped| stopped.ended).filter(|ended| !ended.is_empty());
        Ok(ended.map(|ended| format!("{} shut down cleanly", ended.join(", "))))
    }

    /// Stops the pods with their own stop signals. Returns `None` if the script failed in the node.
    async fn stop_pods(
        &self,
        node: &str,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<StoppedPods>, StepFailure> {
        reporter.progress("stopping its pods, and waiting for those that store data");
        let command = ["bash", "-c", STOP_PODS, "stop-pods", POD_STOP_SECONDS];
        let mut stopping = std::pin::pin!(self.docker.exec(node, &command));
        let output = tokio::select! {
            output = &mut stopping => output?,
            () = cancel.cancelled() => {
                if self.docker.exec(node, &["sh", "-c", CANCEL_STOP]).await?.exit_code != 0 {
                    reporter.progress("interrupted while its pods were stopping: restarting the node");
                    stopping.await?;
                    self.restart(node).await?;
                }
                return Err(StepFailure::Interrupted);
            }
        };
        if output.exit_code != 0 {
            reporter.warn(
                Problem::new("cannot stop the pods gracefully: stopping the node directly")
                    .detail(output.stderr.trim()),
            );
            return Ok(None);
        }
        let stopped = StoppedPods::read(&output.stdout);
        if !stopped.late.is_empty() {
            let late = stopped.late.join(", ");
            let cause = format!("{late} did not stop within {POD_STOP_SECONDS} s and will recover at the next start");
            reporter.warn(Problem::new(cause));
        }
        Ok(Some(stopped))
    }

    /// Starts the node, and waits until the status in its API is from after the start.
    pub(super) async fn start(
        &self,
        kubeconfig: &Path,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let node = self.node_container().await?;
        match node.state {
            State::Paused => self.docker.unpause(&node.name).await?,
            State::Stopped | State::Created => {
                self.upload_start_files(&node.name).await?;
                self.docker.start(&node.name).await?;
            }
            State::Running => self.restart_half_stopped(&node.name, reporter, cancel).await?,
        }
        self.start_ports(reporter).await?;
        reporter.progress("waiting for the Kubernetes API");
        self.repair_kubeconfig(kubeconfig, reporter, cancel).await?;
        self.prepare_node(kubeconfig, cancel).await?;
        let cluster = wait_for_api(kubeconfig, API_TIMEOUT, cancel).await?;
        if node.state == State::Paused {
            return Ok(Some("resumed from memory".to_owned()));
        }
        let node_start = self.docker.started_at(&node.name).await?.unwrap_or_default();
        let pods = wait_for_status(&cluster, &node.name, node_start, reporter, cancel).await?;
        Ok(Some(format!("{pods} pods have reported their status")))
    }

    /// Handles a node whose API does not respond. If an interrupted stop has ended its kubelet, the whole node is
    /// restarted. That is faster than waiting for pods whose dependencies are missing.
    async fn restart_half_stopped(
        &self,
        node: &str,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let kubelet = self.docker.exec(node, &["systemctl", "is-active", "kubelet"]).await?;
        if kubelet.stdout.trim() != "inactive" {
            return Ok(());
        }
        reporter.warn(Problem::new("an earlier stop was interrupted: restarting the node"));
        self.stop_pods(node, reporter, cancel).await?;
        self.restart(node).await
    }

    /// Restarts a node whose pods have stopped. Starting only kubelet is not sufficient: it would wait for the API,
    /// which it must start itself, as long as volumes of the previous pods are mounted.
    async fn restart(&self, node: &str) -> Result<(), StepFailure> {
        self.docker.stop(node, 0).await?;
        self.upload_start_files(node).await?;
        Ok(self.docker.start(node).await?)
    }

    pub(super) async fn node_container(&self) -> Result<NodeContainer, StepFailure> {
        let nodes = self.docker.node_containers().await?;
        let own = nodes.into_iter().find(|node| node.name == self.node());
        own.ok_or_else(|| {
            Problem::new(format!("container {} not found", self.node())).help("run cmdr up to create it").into()
        })
    }

    pub(super) async fn upload_start_files(&self, node: &str) -> Result<(), StepFailure> {
        let files = start_files().map(|(path, content)| UploadFile { path, content: content.as_bytes(), mode: 0o644 });
        Ok(self.docker.upload(node, "/", &files).await?)
    }

    /// Writes the kubeconfig if it is missing, or points to the API's port from before a restart of Docker.
    async fn repair_kubeconfig(
        &self,
        kubeconfig: &Path,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        let node = self.node_container().await?;
        let Some(port) = node.published.get(&API_PORT).map(|published| published.port) else { return Ok(()) };
        if self.folder.points_to(port) {
            return Ok(());
        }
        // A restored cluster has an empty kubeconfig, which is expected.
        if !fs::read(kubeconfig).is_ok_and(|content| content.is_empty()) {
            let cause = format!("the kubeconfig did not point to the cluster's API at port {port}: updating it");
            reporter.warn(Problem::new(cause));
        }
        let folder = kubeconfig.parent().unwrap_or(kubeconfig);
        fs::create_dir_all(folder).map_err(|error| self.cannot_write(&error))?;
        Ok(self.kind.export_kubeconfig(&self.name, kubeconfig, cancel).await?)
    }

    /// Returns whether the cluster's DNS server resolves the cluster's own names.
    async fn resolves_names(&self, server: &str) -> bool {
        let output =
            self.docker.exec(&self.node(), &["timeout", "2", "bash", "-c", QUERY_DNS, "query-dns", server]).await;
        output.is_ok_and(|output| is_dns_answer(&output.stdout))
    }
}

/// Waits until the API responds and knows its node.
pub(super) async fn wait_for_api(
    kubeconfig: &Path,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Cluster, StepFailure> {
    let mut wait = Wait::new(every(LOOK), timeout);
    loop {
        let answers = match Cluster::open(kubeconfig, None).await {
            Ok(cluster) => cluster.has_node().await.map(|there| (cluster, there)),
            Err(error) => Err(error),
        };
        match answers {
            Ok((cluster, true)) => return Ok(cluster),
            // The API responds: its node registers itself.
            Ok((_, false)) => pause(LOOK, cancel).await?,
            Err(error) => wait.pause_or(error, cancel).await?,
        }
    }
}

/// Waits until the node has updated the status of every pod since `node_start`; returns their number.
async fn wait_for_status(
    cluster: &Cluster,
    node: &str,
    node_start: Timestamp,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<usize, StepFailure> {
    let (view, mut wait) = (PodView::start(cluster), Wait::new(every(STATUS_INTERVAL), STATUS_TIMEOUT));
    let mut shown = String::new();
    loop {
        let (message, failure) = match cluster.status_since(&view, node, node_start).await {
            Ok(None) => ("waiting for the Kubernetes API".to_owned(), outdated_status(node, &[])),
            Ok(Some(status)) if status.node && status.stale.is_empty() => return Ok(status.pods),
            Ok(Some(status)) if !status.node => {
                ("waiting for kubelet".to_owned(), outdated_status(node, &status.stale))
            }
            Ok(Some(status)) => {
                let all = status.pods + status.stale.len();
                (
                    format!("{} of {all} pods have reported their status", status.pods),
                    outdated_status(node, &status.stale),
                )
            }
            Err(error) => ("waiting for the Kubernetes API".to_owned(), error.into()),
        };
        if message != shown {
            reporter.progress(message.clone());
            shown = message;
        }
        wait.pause_or(failure, cancel).await?;
    }
}

fn outdated_status(node: &str, stale: &[String]) -> StepFailure {
    let cause = match stale {
        [] => "the node was started, but kubelet has not reported its status".to_owned(),
        stale => format!("the node was started, but there is no current status of {}", stale.join(", ")),
    };
    Problem::new(cause).help(format!("check its log: docker exec {node} journalctl -u kubelet --lines 50")).into()
}

impl Runner {
    /// Updates MetalLB's address pool to Docker's current network, and waits until every LoadBalancer Service has an
    /// address in it.
    pub(super) async fn check_addresses(
        &self,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        let range = self.local()?.pool_range().await?;
        let Some(pool) = Pool::parse(&range) else { return Ok(None) };
        let found = cluster.address_pools().await?;
        if !found.contains(&range) {
            let cause = format!(
                "Docker's network has changed: services get addresses from {range} instead of {}",
                found.join(", ")
            );
            reporter.warn(Problem::new(cause));
            reporter.progress(range.clone());
            self.apply_pool(&range, cancel).await?;
        }
        let mut wait = Wait::new(every(LOOK), ADDRESS_TIMEOUT);
        let mut repaired = false;
        loop {
            let services = match cluster.balanced_services().await {
                Ok(services) => services,
                // A node that was just started sometimes drops a connection.
                Err(error) if error.is_unreachable() => {
                    wait.pause_or(error, cancel).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let wrong: Vec<&BalancedService> = services.iter().filter(|service| !is_within(service, pool)).collect();
            let Some(first) = wrong.first() else { return Ok(Some(render_addresses(&services))) };
            if !repaired {
                self.repair_addresses(&wrong, reporter).await?;
                repaired = true;
            }
            let cause = format!("service {} has no address in {range}", first.name);
            let help = format!("check MetalLB's pods: kubectl --namespace {LOAD_BALANCER_NAMESPACE} get pods");
            wait.pause_or(Problem::new(cause).help(help), cancel).await?;
        }
    }

    /// Removes addresses that cannot be reached; MetalLB assigns new ones.
    async fn repair_addresses(&self, wrong: &[&BalancedService], reporter: &Reporter) -> Result<(), ClusterError> {
        for service in wrong.iter().filter(|service| !service.addresses.is_empty()) {
            reporter.warn(Problem::new(format!(
                "the address of {} is not in the network any more: assigning a new one",
                service.name
            )));
            if let Some(connection) = self.connection.get() {
                connection.cluster.forget_addresses(service).await?;
            }
        }
        Ok(())
    }

    /// Resolves the cluster's own names in the same way as its pods.
    pub(super) async fn check_names(
        &self,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let mut wait = Wait::new(every(DNS_INTERVAL), DNS_TIMEOUT);
        reporter.progress("querying CoreDNS");
        loop {
            match self.connected()?.cluster.name_server().await {
                Ok(None) => return Ok(Some("this cluster has no CoreDNS".to_owned())),
                Ok(Some(server)) if self.local()?.resolves_names(&server).await => {
                    return Ok(Some(format!("{server} responds")));
                }
                Ok(Some(server)) => {
                    let cause = format!("no response from the cluster's DNS server {server}");
                    let help = "check its log: kubectl --namespace kube-system logs deployment/coredns";
                    wait.pause_or(Problem::new(cause).help(help), cancel).await?;
                }
                Err(error) if error.is_unreachable() => wait.pause_or(error, cancel).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_within(service: &BalancedService, pool: Pool) -> bool {
    !service.addresses.is_empty() && service.addresses.iter().all(|address| pool.contains(*address))
}

/// Formats addresses: `172.18.200.1 for traefik`.
fn render_addresses(services: &[BalancedService]) -> String {
    let one = |service: &BalancedService| {
        let addresses: Vec<String> = service.addresses.iter().map(ToString::to_string).collect();
        format!("{} for {}", addresses.join(", "), service.name)
    };
    services.iter().map(one).collect::<Vec<String>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_names_its_port_in_full() {
        let text = "clusters:\n- cluster:\n    server: https://127.0.0.1:44449\n";
        assert!(has_port(text, 44449));
        assert!(!has_port(text, 4449) && !has_port(text, 44448));
    }

    #[test]
    fn an_address_outside_of_the_pool_is_none() {
        let pool = Pool::parse("172.18.200.0-172.18.200.31").unwrap();
        let service = |address: &str| BalancedService {
            namespace: "traefik".to_owned(),
            name: "traefik".to_owned(),
            addresses: address.parse().into_iter().collect(),
        };
        assert!(is_within(&service("172.18.200.31"), pool));
        assert!(!is_within(&service("172.18.200.32"), pool) && !is_within(&service(""), pool));
        assert_eq!(render_addresses(&[service("172.18.200.1")]), "172.18.200.1 for traefik");
    }
}
