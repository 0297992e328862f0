//! Reads logs and prints them until they end, or until the user interrupts.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream::select_all};
use tokio::{
    sync::mpsc::{self, Receiver},
    time::Instant,
};

use super::{
    LogForm, LogRuns, LogsRequest,
    newest::NewestLines,
    streams::{LogStreams, StreamChange},
};
use crate::{
    adapters::cluster::{
        Cluster,
        logs::{LogMessage, PodChange, RawLine},
    },
    domain::{
        Problem,
        log_line::{LogEntry, LogLine},
        log_merge::LogMerge,
    },
    error::{CommandError, ErrorKind},
    ops::{
        connect,
        project_pods::{NamedRelease, PodSelector, named_releases, pod_selectors},
        session::Session,
    },
    settings::OutputFormat,
    ui::log_lines::{LineForm, LogPrinter, PrintedLine},
};

/// How long a line waits for earlier lines of other containers.
const WINDOW: Duration = Duration::from_millis(200);
/// Messages of readers that have not been handled yet.
const MESSAGES: usize = 256;

/// A line, and the permit to read on once it has been printed.
type Waiting = (RawLine, Option<tokio::sync::OwnedSemaphorePermit>);

/// Prints the logs that are asked for.
///
/// # Errors
/// When a project is unknown or has no log, the cluster does not respond, or the user interrupts.
pub async fn print_logs(session: &Session, request: &LogsRequest) -> Result<(), CommandError> {
    let releases = named_releases(session, &request.projects)?;
    let cluster = connect(session).await?;
    let selectors = pod_selectors(session, &cluster, &releases, !request.projects.is_empty()).await?;
    let (sender, messages) = mpsc::channel(MESSAGES);
    let streams = LogStreams::new(&cluster, selectors.clone(), request, sender);
    let is_follow = request.runs == LogRuns::Follow;
    let form = match (session.settings.output, request.form) {
        (OutputFormat::Json, _) => LineForm::Json,
        (_, LogForm::Raw) => LineForm::Raw,
        _ => LineForm::Folded { search: request.filter.search.clone() },
    };
    let output = LogOutput {
        session,
        request,
        streams,
        merge: LogMerge::new(is_follow.then_some(WINDOW)),
        printer: LogPrinter::new(form),
        newest: request.limit.map(NewestLines::new),
        has_printed: false,
        start: Instant::now(),
        problems: Vec::new(),
    };
    if is_follow {
        return output.follow(&cluster, &selectors, messages).await;
    }
    output.print_all(&cluster, &releases, &selectors, messages).await
}

/// Lines on their way from the containers to standard output.
struct LogOutput<'a> {
    session: &'a Session,
    request: &'a LogsRequest,
    streams: LogStreams,
    merge: LogMerge<Waiting>,
    printer: LogPrinter,
    /// The lines that wait for the end of the logs, if their number is limited.
    newest: Option<NewestLines>,
    /// Whether a line was kept by the filter.
    has_printed: bool,
    start: Instant,
    problems: Vec<Problem>,
}

impl LogOutput<'_> {
    /// Prints whole logs.
    async fn print_all(
        mut self,
        cluster: &Cluster,
        releases: &[NamedRelease],
        selectors: &[PodSelector],
        mut messages: Receiver<LogMessage>,
    ) -> Result<(), CommandError> {
        for namespace in namespaces(selectors) {
            for pod in cluster.logged_pods(&namespace).await? {
                for change in self.streams.update(&pod) {
                    self.handle(&change);
                }
            }
        }
        self.refuse_nothing(releases)?;
        self.label_streams();
        while !self.merge.is_done() {
            tokio::select! {
                message = messages.recv() => self.receive(message),
                () = self.session.cancel.cancelled() => return Err(CommandError::reported(ErrorKind::Interrupted)),
            }
            if !self.print_due() {
                return Ok(());
            }
        }
        if let Some(newest) = self.newest.take() {
            let note = newest.print(&mut self.printer);
            self.printer.flush();
            if let Some(note) = note {
                self.session.note(&note);
            }
        }
        if !self.has_printed && self.problems.is_empty() {
            self.session.note(self.request.nothing_printed());
        }
        CommandError::require_none(ErrorKind::Failed, self.problems)
    }

    /// The error if there is nothing to print for a project that was named.
    fn refuse_nothing(&self, releases: &[NamedRelease]) -> Result<(), CommandError> {
        let has_log = |release: &NamedRelease| {
            self.streams.streams.iter().any(|stream| stream.origin.project == release.key.name)
        };
        let missing = releases.iter().filter(|release| !has_log(release));
        let environment = &self.session.environment.name;
        let problem = |release: &NamedRelease| {
            let name = &release.key.name;
            match (&self.request.container, self.request.runs) {
                (Some(container), _) => Problem::new(format!("'{name}' has no container '{container}' with a log")),
                (None, LogRuns::Previous) => {
                    Problem::new(format!("no container of '{name}' has been restarted in '{environment}'"))
                        .help("leave out --previous to read the current log")
                }
                _ => Problem::new(format!("no container of '{name}' has started in '{environment}'"))
                    .help("cmdr status shows what is deployed, and what it waits for"),
            }
        };
        let problems: Vec<Problem> = missing.map(problem).collect();
        // Without names, those with a log are printed.
        let is_nothing = self.request.projects.is_empty() && self.streams.streams.is_empty();
        let is_named = !self.request.projects.is_empty();
        let problems = if is_named { problems } else { problems.into_iter().take(usize::from(is_nothing)).collect() };
        CommandError::require_none(ErrorKind::Failed, problems)
    }

    /// Prints lines until the user interrupts.
    async fn follow(
        mut self,
        cluster: &Cluster,
        selectors: &[PodSelector],
        mut messages: Receiver<LogMessage>,
    ) -> Result<(), CommandError> {
        let watched = namespaces(selectors);
        let mut unlisted = watched.len();
        let mut changes = select_all(watched.iter().map(|namespace| cluster.watch_logged_pods(namespace).boxed()));
        loop {
            let due = self.merge.due().map(|due| self.start + due);
            tokio::select! {
                () = self.session.cancel.cancelled() => return Err(CommandError::reported(ErrorKind::Interrupted)),
                Some(change) = changes.next() => {
                    if matches!(change, PodChange::Listed) && unlisted > 0 {
                        unlisted -= 1;
                        if unlisted == 0 {
                            self.start_following();
                        }
                    }
                    self.note_change(change);
                }
                message = messages.recv() => self.receive(message),
                () = sleep_until(due) => (),
            }
            if self.streams.is_listed && !self.print_due() {
                return Ok(());
            }
        }
    }

    fn start_following(&mut self) {
        self.streams.is_listed = true;
        self.label_streams();
        if self.streams.streams.is_empty() {
            self.session.note("no container has started yet: waiting for one");
        }
    }

    fn note_change(&mut self, change: PodChange) {
        match change {
            PodChange::Changed(pod) => {
                for change in self.streams.update(&pod) {
                    self.handle(&change);
                }
            }
            PodChange::Deleted { name } => self.streams.remove(&name),
            PodChange::Failed(problem) => {
                let reason = problem.details.last().map(|detail| format!(": {detail}")).unwrap_or_default();
                self.session.note(&format!("{}{reason}; trying again", problem.message));
            }
            PodChange::Listed => (),
        }
    }

    fn handle(&mut self, change: &StreamChange) {
        match change {
            StreamChange::Started(stream) => {
                self.merge.open(*stream);
                if self.streams.is_listed {
                    self.label(*stream);
                }
            }
            StreamChange::Ended { stream, exit_code } => {
                let pod = &self.streams.streams[*stream].origin.pod;
                let label = self.streams.label(*stream);
                self.session.note(&format!("{label}: a container of {pod} has ended with exit code {exit_code}"));
            }
        }
    }

    fn label_streams(&mut self) {
        for stream in 0..self.streams.streams.len() {
            self.label(stream);
        }
        let is_single = self.streams.streams.len() == 1 && self.request.projects.len() == 1;
        self.printer.show_labels(!is_single || self.request.runs == LogRuns::Follow);
    }

    fn label(&mut self, stream: usize) {
        let project = self.streams.streams[stream].project;
        self.printer.label(stream, &self.streams.label(stream), project);
    }

    fn receive(&mut self, message: Option<LogMessage>) {
        match message {
            Some(LogMessage::Lines { stream, lines, permit }) => {
                let (mut left, mut permit) = (lines.len(), Some(permit));
                let lines = lines.into_iter().map(|line| {
                    left -= 1;
                    (line.time, (line, permit.take_if(|_| left == 0)))
                });
                self.merge.push(stream, self.start.elapsed(), lines);
            }
            Some(LogMessage::End { stream, error }) => {
                self.merge.close(stream);
                self.problems.extend(error.map(|error| error.problem()));
            }
            None => (),
        }
    }

    /// Prints what is due. Returns `false` if it is no longer read.
    fn print_due(&mut self) -> bool {
        let now = self.start.elapsed();
        while let Some((id, (raw, permit))) = self.merge.pop(now) {
            let stream = &mut self.streams.streams[id];
            let line = LogLine::read(&raw.text);
            if self.request.filter.keeps(&line, &raw.text, &mut stream.level) {
                let entry =
                    LogEntry { time: raw.time, origin: stream.origin.clone(), line, omitted_bytes: raw.omitted_bytes };
                self.has_printed = true;
                match &mut self.newest {
                    Some(newest) => newest.add(id, entry, raw.text),
                    None => self.printer.print(&PrintedLine { stream: id, entry: &entry, raw: &raw.text }),
                }
            }
            drop(permit);
        }
        self.printer.flush()
    }
}

fn namespaces(selectors: &[PodSelector]) -> BTreeSet<String> {
    selectors.iter().map(|selector| selector.key.namespace.clone()).collect()
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
