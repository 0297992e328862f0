//! The logs of projects: which containers are read, what is kept of their lines, and in which order they are printed.

mod newest;
mod run;
mod streams;

pub use run::print_logs;

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use regex::Regex;

use crate::{
    config::parse_duration,
    domain::{Problem, log_level::LogLevel, log_line::LogLine},
    error::{CommandError, ErrorKind},
    ops::session::Session,
    settings::OutputFormat,
};

/// How many lines of each container are printed unless an option says otherwise.
const LAST_LINES: i64 = 200;

/// Which lines to print, as the command line asks for it.
#[derive(Debug, Clone, Default)]
pub struct LogsText {
    /// All if empty.
    pub projects: Vec<String>,
    pub container: Option<String>,
    pub since: Option<String>,
    pub tail: Option<u32>,
    pub limit: Option<u32>,
    pub search: Option<String>,
    pub level: Option<LogLevel>,
    pub form: LogForm,
    pub runs: LogRuns,
}

/// How lines are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogForm {
    #[default]
    Folded,
    /// As they were written.
    Raw,
}

/// Which runs of the containers are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogRuns {
    /// The current ones, up to now.
    #[default]
    Current,
    /// The current ones and all later ones.
    Follow,
    /// Those before the last restart.
    Previous,
}

/// Which lines to print.
#[derive(Debug, Clone)]
pub struct LogsRequest {
    pub projects: Vec<String>,
    pub container: Option<String>,
    pub since: Option<Timestamp>,
    pub tail: Option<i64>,
    /// How many of the newest lines of all containers are printed; `None`: all.
    pub limit: Option<usize>,
    pub filter: LogFilter,
    pub form: LogForm,
    pub runs: LogRuns,
}

/// What a line must have to be printed.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    pub search: Option<Regex>,
    pub level: Option<LogLevel>,
}

impl LogsText {
    /// # Errors
    /// All invalid options.
    pub fn read(self, session: &Session) -> Result<LogsRequest, CommandError> {
        let mut problems = Vec::new();
        let since = self.since.as_deref().map(|text| (text, read_since(text)));
        if let Some((text, None)) = since {
            let cause = format!("--since: '{text}' is not a valid duration or time");
            problems.push(Problem::new(cause).help("for example 90s, 10m, 2h or 2026-01-02T15:04:05Z"));
        }
        let search = self.search.as_deref().map(|text| (text, Regex::new(text)));
        if let Some((text, Err(error))) = &search {
            let cause = format!("--search: '{text}' is not a valid regular expression");
            let reason = error.to_string().lines().last().unwrap_or_default().replace("error: ", "");
            let problem = Problem { details: vec![reason], ..Problem::new(cause) };
            problems.push(problem.help("write a backslash before characters with a meaning of their own: ( [ . * + ?"));
        }
        if self.form == LogForm::Raw && session.settings.output == OutputFormat::Json {
            problems.push(Problem::new("--raw has no effect with --output json").help("leave out one of them"));
        }
        CommandError::require_none(ErrorKind::Usage, problems)?;
        let is_limited = since.is_some() || search.is_some() || self.level.is_some();
        let tail = self.tail.map(i64::from).or((!is_limited).then_some(LAST_LINES));
        Ok(LogsRequest {
            projects: self.projects,
            container: self.container,
            since: since.and_then(|(_, time)| time),
            // The last lines are those before a filter: the API does not know it.
            tail,
            limit: self.limit.and_then(|limit| limit.try_into().ok()),
            filter: LogFilter { search: search.and_then(|(_, regex)| regex.ok()), level: self.level },
            form: self.form,
            runs: self.runs,
        })
    }
}

impl LogsRequest {
    /// Why no line was printed.
    fn nothing_printed(&self) -> &'static str {
        let LogFilter { search, level } = &self.filter;
        match (search.is_some() || level.is_some(), self.since) {
            (true, _) => "no line of these logs matches",
            (false, Some(_)) => "these logs have no line since then",
            (false, None) => "these logs are empty",
        }
    }
}

fn read_since(text: &str) -> Option<Timestamp> {
    let ago = |duration: Duration| Timestamp::now().checked_sub(duration).ok();
    let of_day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::system()).ok();
    parse_duration(text).and_then(ago).or_else(|| text.parse().ok()).or_else(|| Some(of_day()?.timestamp()))
}

impl LogFilter {
    /// Whether a line is printed. `before` is the level of the line before it, which its continuations share.
    pub fn keeps(&self, line: &LogLine, raw: &str, before: &mut Option<LogLevel>) -> bool {
        let level = if line.is_continuation() { line.level.max(*before) } else { line.level };
        *before = level;
        let has_level = self.level.is_none_or(|least| level.unwrap_or(LogLevel::Info) >= least);
        has_level && self.search.as_ref().is_none_or(|regex| regex.is_match(raw) || regex.is_match(&line.folded()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(filter: &LogFilter, lines: &[&str]) -> Vec<String> {
        let mut before = None;
        let keeps = |line: &&&str| filter.keeps(&LogLine::read(line), line, &mut before);
        lines.iter().filter(keeps).map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn the_lines_of_a_stack_trace_belong_to_the_error_before_it() {
        let filter = LogFilter { level: Some(LogLevel::Error), ..LogFilter::default() };
        let lines = ["INFO ready", "ERROR closed", "  at Cart.add", "Caused by: x", "INFO next", "  at none", "plain"];
        assert_eq!(kept(&filter, &lines), ["ERROR closed", "  at Cart.add", "Caused by: x"]);
        let all = LogFilter { level: Some(LogLevel::Info), ..LogFilter::default() };
        assert_eq!(kept(&all, &lines).len(), lines.len());
    }

    #[test]
    fn a_search_finds_what_is_written_and_what_is_shown() {
        let filter = |text: &str| LogFilter { search: Some(Regex::new(text).unwrap()), ..LogFilter::default() };
        let line = r#"{"msg": "failed", "order": 7}"#;
        for text in ["order=7", r#""order": 7"#, "^failed", "(?i)FAILED"] {
            assert_eq!(kept(&filter(text), &[line, "other"]), [line], "{text}");
        }
    }

    #[test]
    fn a_start_is_a_duration_or_a_time() {
        assert!(read_since("10m").unwrap() < Timestamp::now());
        assert_eq!(read_since("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z".parse().ok());
        assert_eq!(read_since("yesterday"), None);
    }
}
