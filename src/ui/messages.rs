//! Messages on standard error: text for people, or one JSON object per line with `--output json`.

use std::{
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use schemars::JsonSchema;
use serde::Serialize;

use super::{live, print_details, style::Style};
use crate::domain::{LocatedProblem, Position, Problem};

/// Whether messages are JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// A message on standard error with `--output json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Message {
    pub level: Level,
    #[serde(flatten)]
    pub problem: Problem,
    /// Where a mistake is in a file or an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The exit code of the command, of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

/// How serious a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Note,
    Warning,
    Error,
}

/// Prints messages as JSON from now on.
pub fn print_messages_as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

fn is_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

fn print_object(message: &Message) {
    if let Ok(line) = serde_json::to_string(message) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Writes a message for people to standard error.
pub fn print_message(text: &str) {
    if is_json() {
        let plain = anstream::adapter::strip_str(text).to_string();
        let problem = Problem::new(plain);
        return print_object(&Message { level: Level::Note, problem, position: None, exit_code: None });
    }
    if !live::print_above(text) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }
}

/// Writes warnings about files: `text` for people, `mistakes` as data.
pub fn print_warnings(text: &str, mistakes: &[LocatedProblem]) {
    print_located(Level::Warning, (text, mistakes), None);
}

/// Prints mistakes in files or options: `text` for people, `mistakes` as data.
pub fn print_mistakes(text: &str, mistakes: &[LocatedProblem], exit_code: u8) {
    print_located(Level::Error, (text, mistakes), Some(exit_code));
}

fn print_located(level: Level, (text, mistakes): (&str, &[LocatedProblem]), exit_code: Option<u8>) {
    if !is_json() {
        return print_message(text);
    }
    for LocatedProblem { problem, position } in mistakes.iter().cloned() {
        print_object(&Message { level, problem, position: Some(position), exit_code });
    }
}

/// Prints problems outside of a run, as data with the exit code of the command.
pub fn print_problems(problems: &[Problem], color: bool, exit_code: Option<u8>) {
    if is_json() {
        let message =
            |problem: &Problem| Message { level: Level::Error, problem: problem.clone(), position: None, exit_code };
        return problems.iter().map(message).for_each(|message| print_object(&message));
    }
    let style = Style::new(color);
    for problem in problems {
        let label = problem.code.as_ref().map_or_else(|| "error:".to_owned(), |code| format!("error[{code}]:"));
        print_message(&format!("{} {}", style.bad(label), problem.message));
        print_details(problem, style, &mut |line| print_message(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_keys_of_its_problem() {
        let problem = Problem::new("image not found").help("check its name");
        let message = Message { level: Level::Error, problem, position: None, exit_code: Some(1) };
        let json = serde_json::to_value(&message).unwrap();
        let expected = serde_json::json!({"level": "error", "message": "image not found", "help": "check its name", "exit_code": 1});
        assert_eq!(json, expected);
    }
}
