//! Validates freeze windows: each must begin and end.

use crate::{
    config::{
        error::{ConfigError, quoted},
        read::freeze,
        sources::Sources,
        tree::Cursor,
    },
    domain::freeze::{FreezeWindow, Moment},
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for (_, environment) in sources.entries("environments") {
        for window in environment.get("freeze").into_iter().flat_map(|windows| windows.entries()) {
            let wrong = freeze(window).and_then(|read| problem(&read));
            found.extend(wrong.map(|(what, expected)| error(window, what, expected)));
        }
    }
}

fn error(window: Cursor<'_>, what: &str, expected: &str) -> ConfigError {
    ConfigError::error(window.key_location(), format!("the freeze window {} {what}", quoted(window.key())), expected)
}

/// What is wrong with a window, and what is expected instead.
fn problem(window: &FreezeWindow) -> Option<(&'static str, &'static str)> {
    match (window.from, window.until) {
        (Some(Moment::Date(from)), Some(Moment::Date(until))) if until <= from => {
            Some(("ends before it begins", "expected a date in `until` after that in `from`"))
        }
        (Some(Moment::Time(from)), Some(Moment::Time(until))) if from == until => {
            Some(("ends when it begins", "expected two times"))
        }
        (Some(Moment::Date(_)), Some(Moment::Time(_))) | (Some(Moment::Time(_)), Some(Moment::Date(_))) => {
            Some(("has a date and a time of day", "expected two dates, or two times of day"))
        }
        _ => None,
    }
}
