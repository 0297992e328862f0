//! The containers whose logs are read, each run of a container once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{LogRuns, LogsRequest};
use crate::{
    adapters::cluster::{
        Cluster, ClusterError,
        logs::{ContainerInstance, LogMessage, LogPipe, LogPosition, LogRequest, LoggedContainer, LoggedPod},
    },
    domain::{log_level::LogLevel, log_line::LogOrigin, log_merge::StreamId},
    ops::project_pods::PodSelector,
};

/// The delay before a log that has ended early is read again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the end of a container may be reported after the end of its log.
const END_REPORTED: Duration = Duration::from_secs(1);
/// How often a log is read again that ends early although it is not followed.
const ATTEMPTS: usize = 3;

/// A log that is read.
#[derive(Debug)]
pub(super) struct LogStream {
    pub origin: LogOrigin,
    /// The number of its project, which decides its color.
    pub project: usize,
    /// Whether its container is the main one of its pod.
    pub is_main: bool,
    /// The level of the last line.
    pub level: Option<LogLevel>,
    is_running: watch::Sender<bool>,
}

/// What became known about a container that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamChange {
    Started(StreamId),
    Ended { stream: StreamId, exit_code: i32 },
}

/// All logs that are read, by their numbers.
#[derive(Debug)]
pub(super) struct LogStreams {
    cluster: Cluster,
    selectors: Vec<PodSelector>,
    request: LogsRequest,
    messages: mpsc::Sender<LogMessage>,
    pub streams: Vec<LogStream>,
    /// The stream of each run of a container.
    known: BTreeMap<(String, String), StreamId>,
    /// The runs that had ended before the start.
    earlier: BTreeSet<String>,
    /// Whether the pods that existed at the start have been added: all later lines are new.
    pub is_listed: bool,
    readers: JoinSet<()>,
}

impl LogStreams {
    pub(super) fn new(
        cluster: &Cluster,
        selectors: Vec<PodSelector>,
        request: &LogsRequest,
        messages: mpsc::Sender<LogMessage>,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            selectors,
            request: request.clone(),
            messages,
            streams: Vec::new(),
            known: BTreeMap::new(),
            earlier: BTreeSet::new(),
            is_listed: false,
            readers: JoinSet::new(),
        }
    }

    /// Starts to read the containers of a pod that are not read yet, and notes those that have ended.
    pub(super) fn update(&mut self, pod: &LoggedPod) -> Vec<StreamChange> {
        let project = self.selectors.iter().position(|selector| selector.matches(&pod.namespace, &pod.labels));
        let Some(project) = project else { return Vec::new() };
        let mut changes = Vec::new();
        for container in &pod.containers {
            if self.request.container.as_ref().is_some_and(|wanted| *wanted != container.name) {
                continue;
            }
            if let Some(previous) = container.previous.as_ref().filter(|_| !self.is_listed) {
                self.earlier.insert(previous.id.clone());
            }
            for (instance, is_previous) in self.instances(container) {
                let key = (pod.name.clone(), instance.id.clone());
                match self.known.get(&key) {
                    Some(stream) => changes.extend(self.note_end(*stream, instance)),
                    None => changes.push(self.start(project, pod, container, (instance, is_previous))),
                }
            }
        }
        changes
    }

    /// The runs of a container to read, and whether each is the one before the current one.
    fn instances<'a>(&self, container: &'a LoggedContainer) -> Vec<(&'a ContainerInstance, bool)> {
        let (current, previous) = (container.current.as_ref(), container.previous.as_ref());
        let is_same = current.map(|current| &current.id) == previous.map(|previous| &previous.id);
        match self.request.runs {
            LogRuns::Previous => previous.map(|it| (it, true)).into_iter().collect(),
            // A container that restarts at once may have ended before its run was seen.
            LogRuns::Follow if self.is_listed && !is_same => {
                let previous = previous.filter(|previous| !self.earlier.contains(&previous.id));
                previous.map(|it| (it, true)).into_iter().chain(current.map(|it| (it, false))).collect()
            }
            _ => current.map(|it| (it, false)).into_iter().collect(),
        }
    }

    fn note_end(&self, stream: StreamId, instance: &ContainerInstance) -> Option<StreamChange> {
        let exit_code = instance.exit_code?;
        let was_running = self.streams[stream].is_running.send_replace(false);
        was_running.then_some(StreamChange::Ended { stream, exit_code })
    }

    fn start(
        &mut self,
        project: usize,
        pod: &LoggedPod,
        container: &LoggedContainer,
        (instance, is_previous): (&ContainerInstance, bool),
    ) -> StreamChange {
        let (stream, is_new) = (self.streams.len(), self.is_listed);
        let origin = LogOrigin {
            project: self.selectors[project].key.name.clone(),
            pod: pod.name.clone(),
            container: container.name.clone(),
        };
        let log = LogRequest {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            container: container.name.clone(),
            is_previous,
            follow: self.request.runs == LogRuns::Follow,
            since: self.request.since.filter(|_| !is_new),
            tail: self.request.tail.filter(|_| !is_new),
        };
        let (is_running, seen) = watch::channel(instance.exit_code.is_none());
        let reader = LogReader { cluster: self.cluster.clone(), log, is_running: seen };
        self.readers.spawn(reader.read(LogPipe::new(stream, self.messages.clone())));
        self.known.insert((pod.name.clone(), instance.id.clone()), stream);
        self.streams.push(LogStream { origin, project, is_main: container.is_main, level: None, is_running });
        StreamChange::Started(stream)
    }

    /// A pod that no longer exists writes no more lines.
    pub(super) fn remove(&self, pod: &str) {
        for stream in self.streams.iter().filter(|stream| stream.origin.pod == pod) {
            stream.is_running.send_replace(false);
        }
    }

    /// The label of a stream: `shop`, `shop/x2k4` if the project has several pods, `shop:proxy` for a sidecar.
    pub(super) fn label(&self, stream: StreamId) -> String {
        let LogStream { origin, is_main, .. } = &self.streams[stream];
        let is_sibling = |other: &LogStream| other.origin.project == origin.project && other.origin.pod != origin.pod;
        let mut label = origin.project.clone();
        if self.streams.iter().any(is_sibling) {
            label.push('/');
            label.push_str(origin.pod.rsplit('-').next().unwrap_or_default());
        }
        if !is_main {
            label.push(':');
            label.push_str(&origin.container);
        }
        label
    }
}

/// Reads one run of a container.
struct LogReader {
    cluster: Cluster,
    log: LogRequest,
    is_running: watch::Receiver<bool>,
}

impl LogReader {
    /// Reads until the container has ended. A log that ends before, such as one whose file was rotated or whose connection
    /// was closed, is read on from its last line.
    async fn read(mut self, pipe: LogPipe) {
        let (mut position, mut pause, mut failures) = (LogPosition::default(), FIRST_PAUSE, 0);
        let error = loop {
            let (before, was_running) = (position, *self.is_running.borrow());
            let read = self.cluster.read_log(&self.log, &mut position, &pipe).await;
            match read {
                Ok(()) if !self.log.follow || !was_running || self.has_ended().await => break None,
                Ok(()) => (),
                Err(error) if is_gone(&error) && self.log.follow => break None,
                Err(error) if !error.is_unreachable() && !self.log.follow => break Some(error),
                Err(error) => {
                    failures += 1;
                    if !self.log.follow && failures == ATTEMPTS {
                        break Some(error);
                    }
                }
            }
            pause = if position == before { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            tokio::time::sleep(pause).await;
        };
        pipe.end(error).await;
    }

    /// Whether the container ends at about the same time as its log.
    async fn has_ended(&mut self) -> bool {
        let ended = self.is_running.wait_for(|is_running| !is_running);
        tokio::time::timeout(END_REPORTED, ended).await.is_ok()
    }
}

/// Whether the container no longer exists, or cannot be read any more.
fn is_gone(error: &ClusterError) -> bool {
    [400, 403, 404].iter().any(|status| error.is_status(*status))
}
