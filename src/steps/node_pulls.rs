//! How far the pulls of the local node are: read by one request for all steps, in the background, while one of them
//! waits for an image.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{LocalCluster, Runner};
use crate::{
    adapters::{
        cluster::rollout::Progress,
        docker::Docker,
        kind::node_pulls::{NodePulls, PULL_PROGRESS},
    },
    domain::{ImageReference, wait_reason::WaitReason},
};

/// The first request follows the start of a pull by this time, and the next one the end of the last: most pulls are
/// shorter.
const PAUSE: Duration = Duration::from_secs(2);
/// After this time without a question, what was read is old.
const OLD: Duration = Duration::from_secs(6);
/// The limit of a request, which a busy node may answer late.
const LIMIT: Duration = Duration::from_secs(20);

/// What is known about the pulls of the local node.
#[derive(Debug, Clone, Default)]
pub struct NodePullWatch(Arc<Mutex<PullsSeen>>);

#[derive(Debug, Default)]
struct PullsSeen {
    asked: Option<Instant>,
    /// When the node is asked next; `None` while it is being asked.
    due: Option<Instant>,
    pulls: NodePulls,
}

impl PullsSeen {
    /// Notes a question. Returns whether the node is to be asked now.
    fn ask(&mut self, now: Instant) -> bool {
        let is_first = self.asked.replace(now).is_none_or(|asked| now - asked > OLD);
        if is_first {
            *self = Self { asked: Some(now), due: Some(now + PAUSE), pulls: NodePulls::default() };
        }
        self.due.take_if(|due| *due <= now).is_some()
    }

    fn answer(&mut self, pulls: NodePulls, now: Instant) {
        (self.pulls, self.due) = (pulls, Some(now + PAUSE));
    }
}

impl NodePullWatch {
    /// Adds how much of an image the node has to a reason that waits for it, as far as it is known.
    pub(super) fn with_bytes(&self, local: &LocalCluster, reason: WaitReason) -> WaitReason {
        let WaitReason::Image { image, .. } = reason else { return reason };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.ask(Instant::now()) {
            tokio::spawn(self.clone().read(local.docker.clone(), local.node()));
        }
        let bytes = ImageReference::parse(&image).ok().and_then(|image| seen.pulls.of(&image));
        WaitReason::Image { image, bytes_done: bytes.map(|it| it.done), bytes_total: bytes.map(|it| it.total) }
    }

    async fn read(self, docker: Docker, node: String) {
        let command = ["nice", "sh", "-c", PULL_PROGRESS];
        let output = tokio::time::timeout(LIMIT, docker.exec(&node, &command)).await;
        // Without an answer, the picture has no bytes.
        let text = output.ok().and_then(Result::ok).map(|output| output.stdout).unwrap_or_default();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.answer(NodePulls::parse(&text), Instant::now());
    }
}

impl Runner {
    /// Adds how far the pulls are that workloads wait for. Only the node of a local cluster is asked.
    pub(super) fn add_pulled_bytes(&self, progress: &mut [Option<Progress>]) {
        let Some(local) = &self.local else { return };
        for one in progress.iter_mut().flatten() {
            one.waits_for = one.waits_for.take().map(|reason| self.pulls.with_bytes(local, reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_asked_only_while_a_step_waits_and_once_for_all() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut seen = PullsSeen::default();
        assert!(!seen.ask(at(0)), "most pulls are short");
        assert!(seen.ask(at(2000)));
        assert!(!seen.ask(at(2500)), "the node has not answered yet");
        seen.answer(NodePulls::default(), at(3000));
        assert!(!seen.ask(at(4900)));
        assert!(seen.ask(at(5000)));
        seen.answer(NodePulls::default(), at(5100));
        assert!(!seen.ask(at(60_000)), "another pull");
    }
}
