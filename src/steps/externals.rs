//! External projects: points their Services to the external host, and tests whether it accepts connections.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::{
    adapters::{
        cluster::{Cluster, ClusterError, ProbeState},
        tcp,
        wait::{Wait, every},
    },
    domain::{Problem, ReleaseKey},
    engine::{Reporter, StepFailure},
    plan::{AnswerSpec, ExternalSpec, Removal},
};

/// The timeout for a connection: a component in between may have been restarted.
const PATIENCE: Duration = Duration::from_secs(30);
/// The timeout of one connection attempt.
const CONNECT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(500);

impl Runner {
    pub(super) async fn point(&self, spec: &ExternalSpec) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        cluster.apply_external(&spec.namespace, &self.release.origin.workspace, &spec.service, &spec.checksum).await?;
        Ok(Some(format!("points to {}", spec.service.place())))
    }

    pub(super) async fn remove_redirect(&self, removal: &Removal) -> Result<Option<String>, StepFailure> {
        let ReleaseKey { namespace, name } = &removal.release;
        self.connected()?.cluster.remove_external(namespace, name).await?;
        Ok(None)
    }

    /// Connects from this machine first, which is fast; then also from inside the cluster, because this machine may be
    /// in another network.
    pub(super) async fn answer(
        &self,
        spec: &AnswerSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let AnswerSpec { host, port, .. } = spec;
        reporter.progress(format!("connecting to {host}:{port}"));
        if tcp::connect(host, *port, CONNECT).await.is_ok() {
            return Ok(Some(format!("{host}:{port} accepts connections")));
        }
        let mut probe = Probe::start(&self.connected()?.cluster, spec).await;
        let mut wait = Wait::new(every(LOOK), PATIENCE);
        let outcome = loop {
            if probe.has_answered().await {
                break Ok(Some(format!("{host}:{port} accepts connections from the cluster")));
            }
            let Err(detail_here) = tcp::connect(host, *port, CONNECT).await else {
                break Ok(Some(format!("{host}:{port} accepts connections")));
            };
            if let Err(failure) = wait.pause_or(silent(spec, &detail_here, &probe.detail), cancel).await {
                break Err(failure.into());
            }
        };
        probe.end().await;
        outcome
    }
}

/// A temporary pod that connects from inside the cluster.
struct Probe<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    /// `None` if the cluster rejected the pod.
    pod: Option<String>,
    /// The last status, for the error message.
    detail: String,
}

impl<'a> Probe<'a> {
    async fn start(cluster: &'a Cluster, spec: &'a AnswerSpec) -> Self {
        let started = cluster.start_probe(&spec.namespace, &spec.project, &spec.host, spec.port).await;
        let (pod, detail) = match started {
            Ok(pod) => (Some(pod), "no response".to_owned()),
            Err(error) => (None, error.problem().message),
        };
        Self { cluster, namespace: &spec.namespace, pod, detail }
    }

    async fn has_answered(&mut self) -> bool {
        let Some(pod) = &self.pod else { return false };
        match self.cluster.probe_state(self.namespace, pod).await {
            Ok(ProbeState::Answered) => return true,
            Ok(ProbeState::Waiting(Some(detail))) => self.detail = detail,
            Ok(ProbeState::Waiting(None)) => (),
            Err(error) => self.detail = error.problem().message,
        }
        false
    }

    /// A pod that cannot be deleted ends at its own deadline.
    async fn end(self) {
        if let Some(pod) = &self.pod {
            let _: Result<(), ClusterError> = self.cluster.end_probe(self.namespace, pod).await;
        }
    }
}

fn silent(spec: &AnswerSpec, detail_here: &str, said_there: &str) -> Problem {
    let AnswerSpec { project, host, port, .. } = spec;
    Problem::new(format!("no response from {host}:{port}, the external address of '{project}'"))
        .detail(format!("from this machine: {detail_here}"))
        .detail(format!("from a pod in the cluster: {said_there}"))
        .help(
            "correct 'external' in projects.yaml, or make the address reachable from the cluster's nodes; a project \
             that does not list it under 'needs' does not wait for it",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_reported() {
        let spec = AnswerSpec {
            project: "database".to_owned(),
            namespace: "tunes".to_owned(),
            host: "10.0.0.1".to_owned(),
            port: 5433,
        };
        let shown = silent(&spec, "refused", "violates PodSecurity");
        assert!(shown.message.contains("10.0.0.1:5433") && shown.message.contains("'database'"));
        assert_eq!(shown.details.len(), 2);
    }
}
