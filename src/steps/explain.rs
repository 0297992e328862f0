//! Explains the problem of a rollout, also by what only the node shows.

use super::{
    Runner,
    file_owner::{FileOwner, owner_of},
};
use crate::{
    adapters::cluster::rollout::RolloutProblem,
    domain::{
        Problem,
        causes::{find_in_log, logs::PERMISSION_DENIED},
        sockets::ListeningPorts,
    },
    engine::StepFailure,
};

/// Prints the sockets in the network of a container, whose ID is the argument: its image may have no `cat`.
const SOCKETS: &str =
    "cd /proc/$(cat /run/containerd/io.containerd.runtime.v2.task/k8s.io/$1/init.pid)/net && cat tcp tcp6";

impl Runner {
    /// Returns the cause of a problem with its log, warnings and remedy.
    pub(super) async fn explain(&self, found: &RolloutProblem) -> Result<Problem, StepFailure> {
        let ports = if found.is_about_probe() { self.listening_ports(found).await } else { None };
        let problem = self.connected()?.cluster.explain(found, ports.as_ref()).await;
        Ok(self.with_owner(problem, found).await)
    }

    /// Names the owner of a file that a container of the local node may not open.
    async fn with_owner(&self, mut problem: Problem, found: &RolloutProblem) -> Problem {
        if problem.code.as_deref() == Some(PERMISSION_DENIED.code)
            && let Some(owner) = self.file_owner(&problem, found).await
        {
            problem.message = format!("{}; {}", problem.message, owner.describe());
            problem.help = Some(owner.help());
        }
        problem
    }

    async fn file_owner(&self, problem: &Problem, found: &RolloutProblem) -> Option<FileOwner> {
        let (cluster, local) = (&self.connected().ok()?.cluster, self.local.as_ref()?);
        let path = find_in_log(problem.logs.iter().map(String::as_str))?.path?;
        let container = cluster.container_id(found.pod.as_ref()?, found.container.as_deref()).await?;
        owner_of(&local.docker, &local.node(), &container, &path).await
    }

    /// Returns the ports that the pod listens on; in a local cluster, the node is asked if the container cannot be.
    async fn listening_ports(&self, found: &RolloutProblem) -> Option<ListeningPorts> {
        let (cluster, pod) = (&self.connected().ok()?.cluster, found.pod.as_ref()?);
        if let Some(ports) = cluster.listening_ports(pod, found.container.as_deref()).await {
            return Some(ports);
        }
        let local = self.local.as_ref()?;
        let id = cluster.container_id(pod, found.container.as_deref()).await?;
        let output = local.docker.exec(&local.node(), &["sh", "-c", SOCKETS, "sockets", &id]).await.ok()?;
        (output.exit_code == 0).then(|| ListeningPorts::parse(&output.stdout))
    }
}
