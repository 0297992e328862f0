//! The severity of a log line, as programs write it in JSON and in the usual plain formats.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The severity of a line, the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// The words that stand for a level, in lower case.
const WORDS: &[(&str, LogLevel)] = &[
    ("trace", LogLevel::Trace),
    ("trc", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("dbg", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("information", LogLevel::Info),
    ("inf", LogLevel::Info),
    ("notice", LogLevel::Info),
    // PostgreSQL
    ("log", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("warning", LogLevel::Warn),
    ("wrn", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("err", LogLevel::Error),
    ("severe", LogLevel::Error),
    ("fatal", LogLevel::Fatal),
    ("ftl", LogLevel::Fatal),
    ("critical", LogLevel::Fatal),
    ("crit", LogLevel::Fatal),
    ("panic", LogLevel::Fatal),
    ("emerg", LogLevel::Fatal),
    ("alert", LogLevel::Fatal),
];
/// What runtimes print without a level when a program fails.
const FAILURES: &[(&str, LogLevel)] = &[
    ("Traceback (most recent call last)", LogLevel::Error),
    ("Exception in thread", LogLevel::Error),
    ("Unhandled ", LogLevel::Error),
];
/// The letters with which a line of klog starts.
const KLOG: &[(u8, LogLevel)] =
    &[(b'I', LogLevel::Info), (b'W', LogLevel::Warn), (b'E', LogLevel::Error), (b'F', LogLevel::Fatal)];
/// The marks of Redis, before the message.
const REDIS: &[(&str, LogLevel)] =
    &[(".", LogLevel::Debug), ("-", LogLevel::Debug), ("*", LogLevel::Info), ("#", LogLevel::Warn)];
/// A level is among the first words of a line: later ones belong to the message.
const FIRST_WORDS: usize = 10;
const FIRST_BYTES: usize = 200;

impl LogLevel {
    /// `ERROR`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// Reads a word: `warning`, `WARN`.
    pub fn from_word(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
    }

    /// Reads the value of a level field. Numbers are those of Bunyan and Pino: 30 is `Info`.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(word) => Self::from_word(word),
            Value::Number(number) => Some(match number.as_u64()? {
                60.. => Self::Fatal,
                50.. => Self::Error,
                40.. => Self::Warn,
                30.. => Self::Info,
                20.. => Self::Debug,
                10.. => Self::Trace,
                _ => return None,
            }),
            _ => None,
        }
    }

    /// Finds the level of a plain line.
    pub fn in_text(text: &str) -> Option<Self> {
        if let Some((_, level)) = FAILURES.iter().find(|(start, _)| text.starts_with(start)) {
            return Some(*level);
        }
        if text.contains("' panicked at ") {
            return Some(Self::Fatal);
        }
        by_klog(text).or_else(|| by_redis(text)).or_else(|| by_words(text))
    }
}

/// `E1126 20:01:02.123456       1 main.go:12] message`.
fn by_klog(text: &str) -> Option<LogLevel> {
    let head = text.as_bytes().get(..6)?;
    let is_klog = head[1..5].iter().all(u8::is_ascii_digit) && head[5] == b' ';
    KLOG.iter().find(|(letter, _)| is_klog && head[0] == *letter).map(|(_, level)| *level)
}

/// `1:M 26 Nov 2026 20:01:02.123 # message`.
fn by_redis(text: &str) -> Option<LogLevel> {
    let mut words = text.splitn(7, ' ');
    let (process, role) = words.next()?.split_once(':')?;
    if process.is_empty() || !process.bytes().all(|byte| byte.is_ascii_digit()) || role.len() != 1 {
        return None;
    }
    let mark = words.nth(4)?;
    REDIS.iter().find(|(known, _)| *known == mark).map(|(_, level)| *level)
}

/// A word that is written as a level: in capitals, in brackets, after `level=`, or followed by a colon.
fn by_words(text: &str) -> Option<LogLevel> {
    let bytes = text.as_bytes();
    let end = bytes.len().min(FIRST_BYTES);
    let (mut at, mut words) = (0, 0);
    while at < end && words < FIRST_WORDS {
        if !bytes[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let word = Word { text: &text[at..at + length], before, after: bytes.get(at + length).copied() };
        if let Some(level) = word.level() {
            return Some(level);
        }
        at += length;
        words += 1;
    }
    None
}

/// Letters of a line with the characters around them.
struct Word<'a> {
    text: &'a str,
    before: Option<u8>,
    after: Option<u8>,
}

impl Word<'_> {
    fn level(&self) -> Option<LogLevel> {
        let is_start = self.before.is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'[' | b'(' | b'<' | b'|' | b'"'));
        let is_end =
            self.after.is_none_or(|byte| matches!(byte, b' ' | b'\t' | b']' | b')' | b'>' | b'|' | b'"' | b'!'));
        let is_colon = self.after == Some(b':');
        if is_colon && ["Error", "Exception"].iter().any(|end| self.text.ends_with(end)) {
            return Some(LogLevel::Error);
        }
        let level = LogLevel::from_word(self.text)?;
        let is_capitals = self.text.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_bracketed = matches!(self.before, Some(b'[' | b'(' | b'<')) && is_end;
        let is_assigned = self.before == Some(b'=');
        let is_written = is_colon || is_bracketed || is_capitals && is_end;
        (is_assigned || is_start && is_written).then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_plain_formats_are_recognized() {
        let lines = [
            ("2026-11-26 20:01:02 INFO  ready", Some(LogLevel::Info)),
            ("2026-11-26T20:01:02Z\tWARN\tmain.go:12\tslow", Some(LogLevel::Warn)),
            ("[error] 7#7: *1 open() failed", Some(LogLevel::Error)),
            ("2026/11/26 20:01:02 [crit] 7#7: out of memory", Some(LogLevel::Fatal)),
            ("time=\"2026-11-26T20:01:02Z\" level=warning msg=\"slow\"", Some(LogLevel::Warn)),
            ("2026-11-26 20:01:02.123 UTC [1] LOG:  database system is ready", Some(LogLevel::Info)),
            ("2026-11-26 20:01:02.123 UTC [1] FATAL:  role \"shop\" does not exist", Some(LogLevel::Fatal)),
            ("E1126 20:01:02.123456       1 main.go:12] cannot connect", Some(LogLevel::Error)),
            ("1:M 26 Nov 2026 20:01:02.123 # Memory overcommit must be enabled", Some(LogLevel::Warn)),
            ("1:M 26 Nov 2026 20:01:02.123 * Ready to accept connections", Some(LogLevel::Info)),
            ("WARNING:root:slow", Some(LogLevel::Warn)),
            ("panic: runtime error: index out of range", Some(LogLevel::Fatal)),
            ("thread 'main' panicked at src/main.rs:2:5:", Some(LogLevel::Fatal)),
            ("Traceback (most recent call last):", Some(LogLevel::Error)),
            ("ValueError: invalid literal", Some(LogLevel::Error)),
            ("java.lang.IllegalStateException: closed", Some(LogLevel::Error)),
            ("npm ERR! missing script", Some(LogLevel::Error)),
            ("error: cannot open the database", Some(LogLevel::Error)),
        ];
        for (line, level) in lines {
            assert_eq!(LogLevel::in_text(line), level, "{line}");
        }
    }

    #[test]
    fn words_of_messages_are_not_levels() {
        for line in [
            "10.0.0.1 - - \"GET /error HTTP/1.1\" 200",
            "an error page was shown, with info about it",
            "the warning light is on",
            "/var/log/error",
            "",
        ] {
            assert_eq!(LogLevel::in_text(line), None, "{line}");
        }
    }

    #[test]
    fn levels_of_fields_are_words_or_numbers() {
        assert_eq!(LogLevel::from_value(&Value::from("Warning")), Some(LogLevel::Warn));
        assert_eq!(LogLevel::from_value(&Value::from(50)), Some(LogLevel::Error));
        assert_eq!(LogLevel::from_value(&Value::from(3)), None);
        assert!(
            LogLevel::Trace < LogLevel::Debug && LogLevel::Warn < LogLevel::Error && LogLevel::Error < LogLevel::Fatal
        );
    }
}
