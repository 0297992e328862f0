//! Logs of containers: which containers have one, and their lines from a given moment on.

use std::{collections::BTreeMap, sync::Arc};

use futures::{AsyncBufReadExt, Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::adapters::cluster::{Cluster, ClusterError};
use crate::domain::{Problem, log_merge::StreamId};

/// What is kept of one line. More is rarely read, and would have to be kept for each container.
const LONGEST_LINE: usize = 128 * 1024;
/// How many bytes of a log may be read ahead of what is printed.
const READ_AHEAD: u32 = 256 * 1024;

/// A pod with the containers whose logs can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedPod {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// In the order of the pod, init containers first.
    pub containers: Vec<LoggedContainer>,
}

/// A container that has been started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedContainer {
    pub name: String,
    /// Whether it is neither an init container nor a sidecar.
    pub is_main: bool,
    /// What runs, or what ended and was not restarted yet.
    pub current: Option<ContainerInstance>,
    /// What ran before it.
    pub previous: Option<ContainerInstance>,
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInstance {
    /// As the container runtime knows it.
    pub id: String,
    /// `None` while it runs.
    pub exit_code: Option<i32>,
}

/// What happened to a pod.
#[derive(Debug)]
pub enum PodChange {
    /// It existed when the watch started, or changed since.
    Changed(LoggedPod),
    /// All pods that existed when the watch started have been reported.
    Listed,
    Deleted {
        name: String,
    },
    /// The watch failed, and is started again.
    Failed(Problem),
}

/// The log of one container to read.
#[derive(Debug, Clone)]
pub struct LogRequest {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub is_previous: bool,
    pub follow: bool,
    pub since: Option<Timestamp>,
    /// Only the last lines.
    pub tail: Option<i64>,
}

/// A line as the node recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    pub time: Timestamp,
    pub text: String,
    /// How many bytes at its end were left out.
    pub omitted_bytes: u64,
}

/// What a reader passes on.
#[derive(Debug)]
pub enum LogMessage {
    /// The permit is for the next lines: it is dropped when these have been printed.
    Lines { stream: StreamId, lines: Vec<RawLine>, permit: OwnedSemaphorePermit },
    /// The stream has ended; with the reason if it was not read to its end.
    End { stream: StreamId, error: Option<ClusterError> },
}

/// Passes on the lines of one stream, as fast as they are printed.
#[derive(Debug)]
pub struct LogPipe {
    pub stream: StreamId,
    messages: mpsc::Sender<LogMessage>,
    read_ahead: Arc<Semaphore>,
}

/// Up to where a log has been read, so that the rest can be read without a gap and without repetition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogPosition {
    last: Option<Timestamp>,
    /// How many lines have the last time.
    count: usize,
}

impl Cluster {
    /// Lists the pods of a namespace.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn logged_pods(&self, namespace: &str) -> Result<Vec<LoggedPod>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let listed = pods.list(&ListParams::default()).await;
        let listed = listed.map_err(ClusterError::asking(format!("list the pods of {namespace}")))?;
        Ok(listed.iter().map(logged_pod).collect())
    }

    /// Watches the pods of a namespace, across broken connections.
    pub fn watch_logged_pods(&self, namespace: &str) -> impl Stream<Item = PodChange> + Send + use<> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let events = watcher(pods, watcher::Config::default()).default_backoff();
        events.filter_map(async |event| match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                Some(PodChange::Changed(logged_pod(&pod)))
            }
            Ok(watcher::Event::Delete(pod)) => Some(PodChange::Deleted { name: pod.name_any() }),
            Ok(watcher::Event::InitDone) => Some(PodChange::Listed),
            Ok(watcher::Event::Init) => None,
            Err(error) => Some(PodChange::Failed(Problem::new("cannot watch the pods").causes(Some(&error)))),
        })
    }

    /// Reads a log from `position` on, and passes its lines to `pipe`. Returns at the end of the log, with `follow` when
    /// the container has ended or the connection was closed.
    ///
    /// # Errors
    /// If the API returns an error, or the connection breaks.
    pub async fn read_log(
        &self,
        request: &LogRequest,
        position: &mut LogPosition,
        pipe: &LogPipe,
    ) -> Result<(), ClusterError> {
        let pods: Api<Pod> = self.namespaced(&request.namespace);
        let asking = || ClusterError::asking(format!("read the log of {}", request.pod));
        let start = *position;
        let mut log = pods.log_stream(&request.pod, &parameters(request, start)).await.map_err(asking())?;
        let (mut splitter, mut skip) = (LineSplitter::default(), Skip::new(start, request.since));
        loop {
            let chunk = log.fill_buf().await.map_err(|error| asking()(kube::Error::ReadEvents(error)))?;
            let (length, is_end) = (chunk.len(), chunk.is_empty());
            let mut lines = if is_end { splitter.finish() } else { splitter.feed(chunk) };
            log.consume_unpin(length);
            // The kubelet's text has no time.
            if lines.iter().any(|line| line.time == Timestamp::UNIX_EPOCH && is_removed(&line.text)) {
                return Err(ClusterError::LogRemoved { pod: request.pod.clone() });
            }
            lines.retain(|line| skip.keeps(line.time));
            for line in &lines {
                position.advance(line.time);
            }
            if !pipe.send(lines).await || is_end {
                return Ok(());
            }
        }
    }
}

/// The kubelet's texts in place of the log of a container that it has removed, or whose file is being removed.
const REMOVED: [&str; 2] = ["unable to retrieve container logs", "failed to try resolving symlinks in path"];

/// Returns whether this is the text of kubelet in place of a log.
pub(super) fn is_removed(text: &str) -> bool {
    REMOVED.iter().any(|start| text.starts_with(start))
}

/// The start of a second: the API knows only whole seconds, and must not skip the rest of the last one.
pub(super) fn whole_second(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(time.as_second()).ok()
}

fn parameters(request: &LogRequest, position: LogPosition) -> LogParams {
    LogParams {
        container: Some(request.container.clone()),
        follow: request.follow,
        previous: request.is_previous,
        timestamps: true,
        since_time: position.last.or(request.since).and_then(whole_second),
        tail_lines: request.tail.filter(|_| position.last.is_none()),
        ..LogParams::default()
    }
}

impl LogPipe {
    pub fn new(stream: StreamId, messages: mpsc::Sender<LogMessage>) -> Self {
        Self { stream, messages, read_ahead: Arc::new(Semaphore::new(READ_AHEAD as usize)) }
    }

    /// Passes on lines once enough of the earlier ones have been printed. Returns `false` if they are no longer read.
    async fn send(&self, lines: Vec<RawLine>) -> bool {
        if lines.is_empty() {
            return !self.messages.is_closed();
        }
        let bytes: usize = lines.iter().map(|line| line.text.len() + size_of::<RawLine>()).sum();
        let wanted = u32::try_from(bytes).unwrap_or(READ_AHEAD).clamp(1, READ_AHEAD);
        let Ok(permit) = Arc::clone(&self.read_ahead).acquire_many_owned(wanted).await else { return false };
        self.messages.send(LogMessage::Lines { stream: self.stream, lines, permit }).await.is_ok()
    }

    /// Reports the end of the stream.
    pub async fn end(self, error: Option<ClusterError>) {
        // It is no longer read after an interrupt.
        let _ = self.messages.send(LogMessage::End { stream: self.stream, error }).await;
    }
}

impl LogPosition {
    fn advance(&mut self, time: Timestamp) {
        match self.last {
            Some(last) if time < last => (),
            Some(last) if time == last => self.count += 1,
            _ => *self = Self { last: Some(time), count: 1 },
        }
    }
}

/// Skips the lines that were read before.
#[derive(Debug)]
struct Skip {
    from: Option<Timestamp>,
    /// How many lines of exactly this time are skipped.
    left: usize,
}

impl Skip {
    fn new(position: LogPosition, since: Option<Timestamp>) -> Self {
        Self { from: position.last.or(since), left: position.count }
    }

    fn keeps(&mut self, time: Timestamp) -> bool {
        match self.from {
            Some(from) if time < from => false,
            Some(from) if time == from && self.left > 0 => {
                self.left -= 1;
                false
            }
            _ => true,
        }
    }
}

/// Splits a log into lines, each with a time in front.
#[derive(Debug, Default)]
struct LineSplitter {
    pending: Vec<u8>,
    omitted_bytes: u64,
    last: Timestamp,
}

impl LineSplitter {
    fn feed(&mut self, mut bytes: &[u8]) -> Vec<RawLine> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.pending.is_empty() && line.len() <= LONGEST_LINE {
                lines.push(self.line(line, 0));
                continue;
            }
            self.keep(line);
            lines.extend(self.finish());
        }
        self.keep(bytes);
        lines
    }

    /// The last line, which may have no line break.
    fn finish(&mut self) -> Vec<RawLine> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let (pending, omitted) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.omitted_bytes));
        vec![self.line(&pending, omitted)]
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(LONGEST_LINE.saturating_sub(self.pending.len()));
        self.pending.extend_from_slice(&bytes[..kept]);
        self.omitted_bytes += u64::try_from(bytes.len() - kept).unwrap_or_default();
    }

    /// Reads the time. A message of the kubelet has none, and gets that of the line before it.
    fn line(&mut self, bytes: &[u8], omitted_bytes: u64) -> RawLine {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\r');
        let (time, text) = match text.split_once(' ').map(|(time, text)| (time.parse::<Timestamp>(), text)) {
            Some((Ok(time), line)) => (time, line),
            _ => (self.last, text.parse::<Timestamp>().map_or(text, |_| "")),
        };
        self.last = time;
        RawLine { time, text: text.to_owned(), omitted_bytes }
    }
}

fn logged_pod(pod: &Pod) -> LoggedPod {
    let status = pod.status.clone().unwrap_or_default();
    let spec_of_inits = pod.spec.as_ref().and_then(|spec| spec.init_containers.clone()).unwrap_or_default();
    let inits = status.init_container_statuses.unwrap_or_default();
    let main = pod.spec.as_ref().and_then(|spec| {
        let own = spec.containers.iter().find(|container| pod.labels().values().any(|label| *label == container.name));
        own.or(spec.containers.first()).map(|container| container.name.clone())
    });
    let in_order = spec_of_inits.iter().filter_map(|spec| inits.iter().find(|status| status.name == spec.name));
    let all = in_order.chain(status.container_statuses.iter().flatten());
    LoggedPod {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        labels: pod.labels().clone(),
        containers: all.map(|status| logged_container(status, main.as_deref() == Some(&status.name))).collect(),
    }
}

fn logged_container(status: &ContainerStatus, is_main: bool) -> LoggedContainer {
    let ended = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        let ended = state?.terminated.as_ref()?;
        let id = ended.container_id.clone().filter(|id| !id.is_empty())?;
        Some(ContainerInstance { id, exit_code: Some(ended.exit_code) })
    };
    let running = status.state.as_ref().and_then(|state| state.running.as_ref()).and(status.container_id.clone());
    let running = running.map(|id| ContainerInstance { id, exit_code: None });
    let current = running.or_else(|| ended(status.state.as_ref()));
    let last = ended(status.last_state.as_ref());
    // While it waits for its next start, the log of the last run is the current one.
    let (current, previous) = if current.is_some() { (current, last) } else { (last.clone(), last) };
    LoggedContainer { name: status.name.clone(), is_main, current, previous }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn pod(state: &serde_json::Value, last: &serde_json::Value) -> LoggedContainer {
        let pod = json!({
            "metadata": {"name": "shop-1", "namespace": "tunes", "labels": {"app.kubernetes.io/name": "shop"}},
            "spec": {"containers": [{"name": "proxy"}, {"name": "shop"}]},
            "status": {"containerStatuses": [{"name": "shop", "image": "i", "imageID": "", "ready": false,
                "restartCount": 1, "containerID": "containerd://2", "state": state, "lastState": last}]},
        });
        logged_pod(&serde_json::from_value(pod).unwrap()).containers.remove(0)
    }

    #[test]
    fn the_runs_of_a_container_are_known_by_their_ids() {
        let ended = json!({"terminated": {"exitCode": 3, "containerID": "containerd://1"}});
        let running = pod(&json!({"running": {}}), &ended);
        assert_eq!(running.current, Some(ContainerInstance { id: "containerd://2".to_owned(), exit_code: None }));
        assert_eq!(running.previous.unwrap().exit_code, Some(3));
        assert!(running.is_main);
        let waiting = pod(&json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended);
        assert_eq!(waiting.current.unwrap().id, "containerd://1");
        assert_eq!(pod(&json!({"waiting": {}}), &json!({})).current, None);
    }

    #[test]
    fn a_log_is_split_into_lines_wherever_its_parts_end() {
        let text = "2026-01-02T03:04:05.1Z one\n2026-01-02T03:04:05.2Z \n2026-01-02T03:04:05.3Z caf\u{e9}\r\n";
        for size in 1..text.len() {
            let mut splitter = LineSplitter::default();
            let mut lines: Vec<RawLine> = text.as_bytes().chunks(size).flat_map(|chunk| splitter.feed(chunk)).collect();
            lines.extend(splitter.finish());
            let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, ["one", "", "caf\u{e9}"]);
            assert_eq!(lines[2].time, time("2026-01-02T03:04:05.3Z"));
        }
    }

    #[test]
    fn long_lines_are_cut_and_bytes_that_are_not_text_are_replaced() {
        let mut splitter = LineSplitter::default();
        let mut text = b"2026-01-02T03:04:05Z ".to_vec();
        text.extend(vec![b'x'; LONGEST_LINE]);
        text.extend(b"\n2026-01-02T03:04:06Z a\xff\xfeb\nno time");
        let mut lines = splitter.feed(&text);
        lines.extend(splitter.finish());
        assert_eq!((lines[0].text.len(), lines[0].omitted_bytes), (LONGEST_LINE - 21, 21));
        assert_eq!(lines[1].text, "a\u{fffd}\u{fffd}b");
        assert_eq!((lines[2].text.as_str(), lines[2].time), ("no time", lines[1].time));
    }

    #[test]
    fn the_texts_in_place_of_a_removed_log_are_known() {
        assert!(is_removed("unable to retrieve container logs for containerd://0123"));
        assert!(is_removed("failed to try resolving symlinks in path \"/var/log/pods/a/b/5.log\": lstat /var/log"));
        assert!(!is_removed("INFO started"));
    }

    #[test]
    fn reading_continues_without_a_gap_and_without_repetition() {
        let mut position = LogPosition::default();
        let (one, two) = (time("2026-01-02T03:04:05.6Z"), time("2026-01-02T03:04:05.7Z"));
        for time in [one, two, two] {
            position.advance(time);
        }
        // The API repeats the second. A third line of the same time is new.
        let mut skip = Skip::new(position, None);
        let kept: Vec<bool> = [one, two, two, two, time("2026-01-02T03:04:06Z")].map(|time| skip.keeps(time)).into();
        assert_eq!(kept, [false, false, false, true, true]);
        let request = LogRequest {
            namespace: String::new(),
            pod: String::new(),
            container: String::new(),
            is_previous: false,
            follow: true,
            since: None,
            tail: Some(9),
        };
        let next = parameters(&request, position);
        assert_eq!((next.since_time, next.tail_lines), (Some(time("2026-01-02T03:04:05Z")), None));
        assert_eq!(parameters(&request, LogPosition::default()).tail_lines, Some(9));
    }
}
