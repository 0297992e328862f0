//! `cmdr logs`: the logs of projects, merged by time.

use crate::{
    cli::{LevelOption, LogsOptions},
    domain::log_level::LogLevel,
    error::CommandError,
    ops::{
        logs::{LogForm, LogRuns, LogsText, print_logs},
        session::Session,
    },
};

/// # Errors
/// When an option is invalid, a project is unknown or has no log, or the cluster does not respond.
pub(super) async fn logs(session: &Session, options: &LogsOptions) -> Result<(), CommandError> {
    let text = LogsText {
        projects: options.projects.clone(),
        container: options.container.clone(),
        since: options.since.clone(),
        tail: options.tail,
        limit: options.limit,
        search: options.search.clone(),
        level: options.level.map(LogLevel::from),
        form: if options.raw { LogForm::Raw } else { LogForm::Folded },
        runs: match (options.follow, options.previous) {
            (true, _) => LogRuns::Follow,
            (_, true) => LogRuns::Previous,
            _ => LogRuns::Current,
        },
    };
    print_logs(session, &text.read(session)?).await
}

impl From<LevelOption> for LogLevel {
    fn from(option: LevelOption) -> Self {
        match option {
            LevelOption::Trace => Self::Trace,
            LevelOption::Debug => Self::Debug,
            LevelOption::Info => Self::Info,
            LevelOption::Warn => Self::Warn,
            LevelOption::Error => Self::Error,
            LevelOption::Fatal => Self::Fatal,
        }
    }
}
