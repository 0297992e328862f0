//! Finds the decisive line of a log and its cause, with the path, host, port or module that it names.

use super::{CauseSource, KnownCause, all, logs};

/// The decisive line of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct LogFinding {
    pub cause: &'static KnownCause,
    /// The line, without surrounding space.
    pub line: String,
    /// The file or folder that the line names.
    pub path: Option<String>,
    /// The host, module or other name that the line names.
    pub name: Option<String>,
    pub port: Option<u16>,
}

/// The causes that only say that a program ended or is not ready: its log contains the reason.
const OPEN: [&str; 16] = [
    "command-not-found",
    "command-not-executable",
    "native-crash",
    "container-killed",
    "program-ends",
    "container-exits",
    "init-container-runs",
    "job-failed",
    "job-runs",
    "rollout-stalled",
    "rollout-timeout",
    "probe-stopped-container",
    "probe-fails",
    "startup-probe-fails",
    "start-failed",
    "listens-on-nothing",
];

/// Returns whether the log of a container can contain the reason of a problem with this code.
pub fn is_explained_by_log(code: &str) -> bool {
    super::get(code).is_some_and(|cause| OPEN.contains(&cause.name))
}

/// The longest line that is part of a message.
const LONGEST: usize = 160;

/// Returns the last line of a log that has a known cause.
pub fn find_in_log<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<LogFinding> {
    lines.rev().find_map(|line| {
        let line = line.trim();
        let (cause, at) = all().find_map(|cause| Some((cause, position(cause, line)?)))?;
        Some(LogFinding {
            cause,
            line: line.chars().take(LONGEST).collect(),
            path: path(line, at),
            name: name(cause, line, at),
            port: port(line),
        })
    })
}

/// Where the words of a cause begin in a line.
fn position(cause: &KnownCause, line: &str) -> Option<usize> {
    if !cause.sources.contains(&CauseSource::Log) {
        return None;
    }
    let lower = line.to_ascii_lowercase();
    let at = cause.parts.iter().find_map(|part| lower.find(part))?;
    // Only a port below 1024 needs more than permission for a file, and a bind to it is refused with these words.
    if cause.code == logs::LOW_PORT_DENIED.code && !lower.contains("permission denied") && !lower.contains("eacces") {
        return None;
    }
    Some(at)
}

impl LogFinding {
    /// The values for the message and the remedy of the cause.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let folder = self.path.as_deref().map_or("", folder).to_owned();
        let path = self.path.clone().unwrap_or_else(|| self.line.clone());
        let volume = volume_name(&folder);
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        let unnamed = if self.cause.name == "connection-refused" { "another service" } else { &self.line };
        let name = self.name.clone().unwrap_or_else(|| unnamed.to_owned());
        vec![
            ("line", self.line.clone()),
            ("folder", folder),
            ("volume", volume),
            ("path", path),
            ("port", port),
            ("name", name),
        ]
    }
}

/// The folder of a file, where a volume would be mounted.
fn folder(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => path,
        Some((folder, _)) => folder,
    }
}

/// A name for a volume at a folder: its last part.
fn volume_name(folder: &str) -> String {
    let last = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    name.trim_matches('-').to_owned()
}

/// Splits a line into words, at space, quotes, brackets and commas.
fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "\"'`()[]{}<>,;=".contains(c)).filter(|word| !word.is_empty())
}

/// The path that is nearest to the words of the cause: the first one after them, else the last one before.
fn path(line: &str, at: usize) -> Option<String> {
    let is_path = |word: &&str| {
        word.len() > 1
            && word.starts_with('/')
            && !word.starts_with("//")
            && word[1..].starts_with(char::is_alphanumeric)
            || word.starts_with("/.") && word.len() > 2
    };
    let after = words(line.get(at..)?).find(is_path);
    let found = after.or_else(|| words(&line[..at]).rfind(is_path))?;
    Some(found.trim_end_matches(['.', ':']).to_owned())
}

/// Words before a host, in lower case.
const HOST_MARKS: &[&str] = &[
    "remote host (",
    "redis at ",
    "enotfound ",
    "eai_again ",
    "lookup ",
    "host name \"",
    "server at \"",
    "upstream \"",
    "unknown host: ",
    "unknown host ",
    "resolve host: ",
    "resolve host ",
    "bad address '",
    "connecting to ",
    "connect to ",
    "econnrefused ",
    "dial tcp ",
    "host=",
    "host ",
    "://",
];
const MODULE_MARKS: &[&str] = &[
    "no module named ",
    "cannot find module ",
    "cannot find package ",
    "main class ",
    "classnotfoundexception: ",
    "shared libraries: ",
    "cannot load such file -- ",
];

fn name(cause: &KnownCause, line: &str, at: usize) -> Option<String> {
    let marks = match cause.name {
        "module-missing" => MODULE_MARKS,
        "unknown-host" | "connection-refused" => HOST_MARKS,
        _ => return None,
    };
    let lower = line.to_ascii_lowercase();
    let marked = marks.iter().find_map(|mark| {
        let begin = lower.find(mark)? + mark.len();
        words(line.get(begin..)?).next().filter(|word| cause.name == "module-missing" || looks_like_host(word))
    });
    // `redis: Name or service not known`, `connect to host:port failed: Connection refused`.
    let word = marked.or_else(|| words(&line[..at]).rfind(|word| looks_like_host(word)))?;
    let word = word.trim_end_matches([':', '.', '/']);
    if cause.name == "module-missing" {
        return Some(word.to_owned());
    }
    let host = word.rsplit_once("://").map_or(word, |(_, rest)| rest).split('/').next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    (!host.is_empty()).then(|| host.to_owned())
}

/// Whether a word is a name or address, possibly with a port.
fn looks_like_host(word: &str) -> bool {
    let host = word.rsplit_once("://").map_or(word, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    let host = host.trim_end_matches('.');
    host.len() > 1
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !COMMON.contains(&host.to_ascii_lowercase().as_str())
}

/// Words of error messages that are no hosts.
const COMMON: &[&str] = &[
    "error",
    "failed",
    "connection",
    "connect",
    "fatal",
    "could",
    "not",
    "to",
    "oserror",
    "errno",
    "the",
    "server",
    "remote",
    "host",
];

/// The last number after a colon or the word `port` that can be a port.
fn port(line: &str) -> Option<u16> {
    let after_word = line.to_ascii_lowercase().find("port ").and_then(|at| number(&line[at + "port ".len()..]));
    let after_colon = line.match_indices(':').filter_map(|(at, _)| number(&line[at + 1..])).next_back();
    after_word.or(after_colon)
}

fn number(text: &str) -> Option<u16> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> LogFinding {
        find_in_log(std::iter::once(line)).unwrap_or_else(|| panic!("no cause: {line}"))
    }

    #[test]
    fn the_path_in_a_line_is_named() {
        for (line, path) in [
            (
                "nginx: [emerg] mkdir() \"/var/cache/nginx/client_temp\" failed (30: Read-only file system)",
                "/var/cache/nginx/client_temp",
            ),
            ("OSError: [Errno 30] Read-only file system: '/app/cache'", "/app/cache"),
            ("Error: EROFS: read-only file system, open '/app/log/x.log'", "/app/log/x.log"),
            ("sh: can't create /srv/x: Read-only file system", "/srv/x"),
            (
                "10-listen.sh: info: can not modify /etc/nginx/conf.d/default.conf (read-only file system?)",
                "/etc/nginx/conf.d/default.conf",
            ),
            ("open /data/db.sqlite: permission denied", "/data/db.sqlite"),
            ("mkdir: cannot create directory '/bitnami/x': Permission denied", "/bitnami/x"),
        ] {
            assert_eq!(found(line).path.as_deref(), Some(path), "{line}");
        }
    }

    #[test]
    fn the_host_in_a_line_is_named() {
        for (line, name) in [
            ("Error: getaddrinfo ENOTFOUND postgers", "postgers"),
            ("could not translate host name \"postgers\" to address: Name or service not known", "postgers"),
            ("dial tcp: lookup catalogue on 10.96.0.10:53: no such host", "catalogue"),
            ("nginx: [emerg] host not found in upstream \"apii\" in /etc/nginx/conf.d/default.conf:3", "apii"),
            ("redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.", "redis:6379"),
            ("connection to server at \"db\" (10.96.3.4), port 5432 failed: Connection refused", "db"),
            ("Error: connect ECONNREFUSED 10.96.0.5:5432", "10.96.0.5:5432"),
            ("dial tcp 10.96.45.3:6379: connect: connection refused", "10.96.45.3:6379"),
            ("wget: bad address 'postgers:5432'", "postgers:5432"),
            ("Could not connect to Redis at redis:6379: Connection refused", "redis:6379"),
            ("nc: cannot connect to http://catalog:8080/x: Connection refused", "catalog:8080"),
        ] {
            assert_eq!(found(line).name.as_deref(), Some(name), "{line}");
        }
    }

    #[test]
    fn modules_and_ports_are_named() {
        assert_eq!(found("ModuleNotFoundError: No module named 'flask'").name.as_deref(), Some("flask"));
        assert_eq!(found("Error: Cannot find module 'express'").name.as_deref(), Some("express"));
        assert_eq!(found("listen tcp :8080: bind: address already in use").port, Some(8080));
        assert_eq!(found("nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)").port, Some(80));
    }

    #[test]
    fn the_last_known_line_decides() {
        let log = [
            "10-listen.sh: info: can not modify /etc/nginx/conf.d/default.conf (read-only file system?)",
            "nginx: [emerg] chown(\"/var/cache/nginx/client_temp\", 101) failed (1: Operation not permitted)",
            "bye",
        ];
        let found = find_in_log(log.into_iter()).unwrap();
        assert_eq!(found.cause.name, "operation-not-permitted");
        assert_eq!(find_in_log(["ready", "bye"].into_iter()), None);
    }

    #[test]
    fn a_volume_is_proposed_for_the_folder() {
        let found = found("mkdir() \"/var/cache/nginx/client_temp\" failed (30: Read-only file system)");
        let values = found.values();
        let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let remedy = found.cause.remedy(&values);
        assert!(remedy.contains("{nginx: {path: /var/cache/nginx, temporary: true}}"), "{remedy}");
    }
}
