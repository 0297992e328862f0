//! A line of a container's log: a JSON object becomes a message with fields, and is folded to one line of text.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::log_level::LogLevel;

/// The keys of the message, of the level and of the time, the most specific first.
const MESSAGE: &[&str] = &["message", "msg", "@message", "@m", "event", "text"];
const LEVEL: &[&str] = &["level", "severity", "lvl", "levelname", "log.level", "@level", "@l", "loglevel"];
const TIME: &[&str] =
    &["time", "ts", "timestamp", "@timestamp", "@t", "t", "datetime", "asctime", "eventTime", "timeMillis"];

/// Where a line comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct LogOrigin {
    /// The project, or the release of the platform.
    pub project: String,
    pub pod: String,
    pub container: String,
}

/// A line, as `--output json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LogEntry {
    /// When the container wrote the line, as its node recorded it.
    pub time: Timestamp,
    #[serde(flatten)]
    pub origin: LogOrigin,
    #[serde(flatten)]
    pub line: LogLine,
    /// How many bytes of a very long line were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The content of a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct LogLine {
    /// As far as it is recognized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// The message of a JSON object, or the whole line.
    pub message: String,
    /// The other fields of a JSON object.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl LogLine {
    /// Reads a line. Anything but a JSON object stays as it is.
    pub fn read(text: &str) -> Self {
        if let Some(object) = text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten() {
            return Self::of_object(object);
        }
        Self { level: LogLevel::in_text(text), message: text.to_owned(), fields: Map::new() }
    }

    fn of_object(mut fields: Map<String, Value>) -> Self {
        let level = LEVEL.iter().find_map(|key| Some((key, LogLevel::from_value(fields.get(*key)?)?)));
        let level = level.map(|(key, level)| {
            fields.remove(*key);
            level
        });
        let message = MESSAGE.iter().find(|key| fields.get(**key).is_some_and(Value::is_string));
        let message = match message.and_then(|key| fields.remove(*key)) {
            Some(Value::String(message)) => message,
            _ => String::new(),
        };
        Self { level, message, fields }
    }

    /// Whether the line continues the one before it: an indented part of a stack trace.
    pub fn is_continuation(&self) -> bool {
        let text = &self.message;
        self.fields.is_empty() && (text.starts_with([' ', '\t', '}']) || text.starts_with("Caused by:"))
    }

    /// One line of text: the message, then the other fields without the time. The level of a JSON object comes first.
    pub fn folded(&self) -> Cow<'_, str> {
        if self.fields.is_empty() {
            return Cow::Borrowed(&self.message);
        }
        let mut text = one_line(&self.message).into_owned();
        for (key, value) in self.fields.iter().filter(|(key, _)| !TIME.contains(&key.as_str())) {
            if value.is_null() {
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(key);
            text.push('=');
            match value {
                Value::String(plain) if is_plain(plain) => text.push_str(plain),
                other => text.push_str(&other.to_string()),
            }
        }
        Cow::Owned(text)
    }

    /// Whether the level is not part of the message, because it was a field.
    pub fn has_separate_level(&self) -> bool {
        self.level.is_some_and(|level| !self.fields.is_empty() || LogLevel::in_text(&self.message) != Some(level))
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '"')
}

/// The text with its line breaks escaped, as JSON does.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) {
        Cow::Owned(text.trim_end().replace("\r\n", "\\n").replace(['\n', '\r'], "\\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text without control characters and escape sequences, which could change the terminal; tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter: char| letter.is_control() && letter != '\t') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            skip_sequence(&mut letters);
        } else if !letter.is_control() || letter == '\t' {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Skips the rest of an escape sequence: `[`, its parameters, and the letter that ends it; or one character.
fn skip_sequence(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.next() {
        Some('[') => drop(letters.find(|letter| ('@'..='~').contains(letter))),
        Some(']') => drop(letters.find(|letter| matches!(letter, '\u{7}' | '\u{9c}' | '\\'))),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folded(text: &str) -> String {
        LogLine::read(text).folded().into_owned()
    }

    #[test]
    fn an_object_is_folded_to_its_message_and_its_other_fields() {
        let text =
            json!({"ts": 1.5, "level": "error", "msg": "payment failed", "order": 7, "user": "Ann B", "tags": ["a"]});
        assert_eq!(folded(&text.to_string()), r#"payment failed order=7 tags=["a"] user="Ann B""#);
        let line = LogLine::read(&text.to_string());
        assert_eq!((line.level, line.message.as_str()), (Some(LogLevel::Error), "payment failed"));
        assert_eq!(line.fields["ts"], 1.5);
        assert!(line.has_separate_level());
    }

    #[test]
    fn a_stack_trace_in_a_field_stays_on_the_line() {
        let text = json!({"message": "failed\nbadly\n", "stack": "at a\nat b", "none": null});
        assert_eq!(folded(&text.to_string()), r#"failed\nbadly stack="at a\nat b""#);
    }

    #[test]
    fn an_object_without_a_message_shows_its_fields() {
        assert_eq!(folded(r#"{"status": 200, "path": "/"}"#), "path=/ status=200");
    }

    #[test]
    fn anything_else_stays_as_it_is() {
        for text in ["{not json}", "[1, 2]", "  indented", "level=info msg=ready", ""] {
            assert_eq!(folded(text), text);
        }
        assert!(!LogLine::read("level=info msg=ready").has_separate_level());
    }

    #[test]
    fn parts_of_a_stack_trace_continue_a_line() {
        for text in ["  at shop.Cart.add(Cart.java:12)", "\tmain.go:12 +0x1d", "Caused by: closed"] {
            assert!(LogLine::read(text).is_continuation(), "{text}");
        }
        assert!(!LogLine::read("ready").is_continuation());
    }

    #[test]
    fn escape_sequences_are_not_printed() {
        assert_eq!(printable("\u{1b}[1;31mred\u{1b}[0m\r"), "red");
        assert_eq!(printable("\u{1b}]0;title\u{7}a\tb\u{1b}[2J"), "a\tb");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }
}
