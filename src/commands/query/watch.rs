//! `cmdr query --watch`: the rows, then each change.

use std::{collections::BTreeMap, time::Duration};

use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{columns::line, named, wrong};
use crate::{
    error::{CommandError, ErrorKind},
    ops::{
        query::{EnvironmentQuery, QueryRequest, QueryRow, QuerySubject, Unanswered, unknown_kind},
        session::Session,
    },
    settings::OutputFormat,
    ui,
};

/// How long changes are collected before the question is asked again.
const QUIET: Duration = Duration::from_millis(300);
/// How often an environment is asked that reports no changes: it did not respond, or the question has none to watch.
const REPEAT: Duration = Duration::from_secs(10);

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RowChange {
    /// The row was there when the command started.
    Found,
    Added,
    Changed,
    Removed,
}

impl RowChange {
    fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// A line of `--watch --output json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChangedRow {
    pub change: RowChange,
    #[serde(flatten)]
    pub row: QueryRow,
}

/// One environment that is watched.
struct WatchedEnvironment<'a> {
    session: &'a Session,
    /// `None` while its cluster does not respond.
    query: Option<(EnvironmentQuery<'a>, BoxStream<'static, ()>)>,
    /// By what stays the same while a row changes; `None` before the first answer.
    rows: Option<BTreeMap<String, QueryRow>>,
    /// The error that has been reported.
    reported: Option<String>,
}

/// # Errors
/// When the question is wrong, or the command is interrupted.
pub(super) async fn watch(
    sessions: &[Session],
    request: &QueryRequest,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    let mut watched: Vec<WatchedEnvironment<'_>> = sessions
        .iter()
        .map(|session| WatchedEnvironment { session, query: None, rows: None, reported: None })
        .collect();
    let with_environment = sessions.len() > 1;
    loop {
        for one in &mut watched {
            let changes = tokio::select! {
                changes = one.ask(request) => changes?,
                () = cancel.cancelled() => return Err(CommandError::reported(ErrorKind::Interrupted)),
            };
            show(one.session, &changes, with_environment);
        }
        tokio::select! {
            () = changed(&mut watched) => {}
            () = tokio::time::sleep(REPEAT) => {}
            () = cancel.cancelled() => return Err(CommandError::reported(ErrorKind::Interrupted)),
        }
    }
}

/// Waits until an environment has changed, and until the changes that follow at once have arrived.
async fn changed(watched: &mut [WatchedEnvironment<'_>]) {
    let streams = watched.iter_mut().filter_map(|one| one.query.as_mut()).map(|(_, changes)| changes);
    let mut all = stream::select_all(streams);
    if all.next().await.is_none() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(QUIET).await;
    while all.next().now_or_never().flatten().is_some() {}
}

impl<'a> WatchedEnvironment<'a> {
    /// Asks the question again, and returns what has changed since.
    async fn ask(&mut self, request: &'a QueryRequest) -> Result<Vec<ChangedRow>, CommandError> {
        match self.rows_now(request).await {
            Ok(rows) => {
                self.reported = None;
                let rows: BTreeMap<String, QueryRow> = rows.into_iter().map(|row| (row.finding.key(), row)).collect();
                let changes = match &self.rows {
                    None => {
                        rows.values().map(|row| ChangedRow { change: RowChange::Found, row: row.clone() }).collect()
                    }
                    Some(before) => changes(before, &rows),
                };
                self.rows = Some(rows);
                Ok(changes)
            }
            Err(Unanswered::Expression(error)) => Err(wrong(request, &error, self.session.settings.color)),
            Err(Unanswered::UnknownKind(nearest)) => {
                let word = if let QuerySubject::Kind(word) = &request.subject { word.as_str() } else { "" };
                Err(CommandError::usage(unknown_kind(word, nearest.as_deref())))
            }
            Err(Unanswered::Failed(error)) => {
                self.report(error);
                Ok(Vec::new())
            }
        }
    }

    async fn rows_now(&mut self, request: &'a QueryRequest) -> Result<Vec<QueryRow>, Unanswered> {
        let (query, changes) = if let Some(known) = self.query.take() {
            known
        } else {
            let query = EnvironmentQuery::open(self.session, request).await?;
            let changes = query.changes().boxed();
            (query, changes)
        };
        let rows = query.rows().await?;
        self.query = Some((query, changes));
        Ok(rows)
    }

    /// Reports once that the environment does not respond; it is asked again.
    fn report(&mut self, error: CommandError) {
        let environment = self.session.environment.name.as_str();
        let problems: Vec<_> = error.problems.into_iter().map(|problem| named(environment, problem)).collect();
        let message = problems.first().map(|problem| problem.message.clone());
        if self.reported != message {
            ui::print_problems(&problems, self.session.settings.color, None);
            self.reported = message;
        }
    }
}

fn changes(before: &BTreeMap<String, QueryRow>, now: &BTreeMap<String, QueryRow>) -> Vec<ChangedRow> {
    let of = |change, row: &QueryRow| ChangedRow { change, row: row.clone() };
    let removed = before.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(_, row)| of(RowChange::Removed, row));
    let others = now.iter().filter_map(|(key, row)| match before.get(key) {
        None => Some(of(RowChange::Added, row)),
        Some(known) if known != row => Some(of(RowChange::Changed, row)),
        Some(_) => None,
    });
    removed.chain(others).collect()
}

fn show(session: &Session, changes: &[ChangedRow], with_environment: bool) {
    for changed in changes {
        let text = match session.settings.output {
            OutputFormat::Json => serde_json::json!(changed).to_string(),
            OutputFormat::Text => {
                format!("{:<8} {}", changed.change.word(), line(&changed.row, with_environment).join("  "))
            }
        };
        ui::print(&format!("{text}\n"));
    }
}
