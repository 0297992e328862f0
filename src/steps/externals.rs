//! Projects that somebody else runs: their names lead there, and the place is asked whether it answers.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Runner, pause};
use crate::{
    adapters::{
        cluster::{Cluster, ClusterError, ProbeState},
        tcp,
    },
    domain::Diagnosis,
    engine::{Reporter, StepFailure},
    plan::{AnswerSpec, ExternalSpec},
};

/// How long a place may not accept connections: something in between may have restarted.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one connection may take.
const CONNECT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(500);

impl Runner {
    pub(super) async fn point(&self, spec: &ExternalSpec) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        cluster.apply_external(&spec.namespace, &self.release.workspace, &spec.service, &spec.checksum).await?;
        Ok(Some(format!("leads to {}", spec.service.place())))
    }

    pub(super) async fn give_way(&self, namespace: &str, name: &str) -> Result<Option<String>, StepFailure> {
        self.connected()?.cluster.remove_external(namespace, name).await?;
        Ok(None)
    }

    /// Asks from here first, which takes no time; then from inside the cluster, too, since this machine may be
    /// elsewhere.
    pub(super) async fn answer(
        &self,
        spec: &AnswerSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let start = Instant::now();
        let AnswerSpec { host, port, .. } = spec;
        reporter.progress(format!("asking {host}:{port}"));
        let Err(mut said_here) = tcp::connect(host, *port, CONNECT).await else {
            return Ok(Some(format!("{host}:{port} accepts connections")));
        };
        let mut probe = Probe::start(&self.connected()?.cluster, spec).await;
        let outcome = loop {
            if probe.has_answered().await {
                break Ok(Some(format!("{host}:{port} accepts connections from the cluster")));
            }
            if start.elapsed() >= PATIENCE {
                break Err(silent(spec, &said_here, &probe.said).into());
            }
            match tcp::connect(host, *port, CONNECT).await {
                Ok(()) => break Ok(Some(format!("{host}:{port} accepts connections"))),
                Err(said) => said_here = said,
            }
            if let Err(interrupted) = pause(LOOK, cancel).await {
                break Err(interrupted);
            }
        };
        probe.end().await;
        outcome
    }
}

/// A pod of cmdr's own that asks from inside the cluster.
struct Probe<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    /// `None` where the cluster refuses it.
    pod: Option<String>,
    /// What is known of it, for whom it may concern.
    said: String,
}

impl<'a> Probe<'a> {
    async fn start(cluster: &'a Cluster, spec: &'a AnswerSpec) -> Self {
        let started = cluster.start_probe(&spec.namespace, &spec.project, &spec.host, spec.port).await;
        let (pod, said) = match started {
            Ok(pod) => (Some(pod), "no answer".to_owned()),
            Err(error) => (None, error.diagnosis().cause),
        };
        Self { cluster, namespace: &spec.namespace, pod, said }
    }

    async fn has_answered(&mut self) -> bool {
        let Some(pod) = &self.pod else { return false };
        match self.cluster.probe_state(self.namespace, pod).await {
            Ok(ProbeState::Answered) => return true,
            Ok(ProbeState::Waiting(Some(said))) => self.said = said,
            Ok(ProbeState::Waiting(None)) => (),
            Err(error) => self.said = error.diagnosis().cause,
        }
        false
    }

    /// What cannot be deleted ends by its own deadline.
    async fn end(self) {
        if let Some(pod) = &self.pod {
            let _: Result<(), ClusterError> = self.cluster.end_probe(self.namespace, pod).await;
        }
    }
}

fn silent(spec: &AnswerSpec, said_here: &str, said_there: &str) -> Diagnosis {
    let AnswerSpec { project, host, port, .. } = spec;
    Diagnosis::new(format!("nobody answers at {host}:{port}, where somebody else is to run '{project}'"))
        .detail(format!("from this machine: {said_here}"))
        .detail(format!("from a pod in the cluster: {said_there}"))
        .remedy(
            "correct 'external' in projects.yaml, or let the cluster's nodes reach it; a project whose 'needs' do not \
             name it does not wait for it",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_told() {
        let spec = AnswerSpec {
            project: "database".to_owned(),
            namespace: "tunes".to_owned(),
            host: "10.0.0.1".to_owned(),
            port: 5433,
        };
        let told = silent(&spec, "refused", "violates PodSecurity");
        assert!(told.cause.contains("10.0.0.1:5433") && told.cause.contains("'database'"));
        assert_eq!(told.details.len(), 2);
    }
}
