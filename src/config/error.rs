//! Errors in configuration files: the location, what was expected, and how to fix it.

use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

use super::source::{Location, SourceFile};
use crate::domain::{
    LocatedProblem, Position, Problem,
    nearest::{nearest_key, nearest_keys},
};

/// The longest list of names that a message shows as a whole.
const FEW: usize = 16;
/// How many names of a longer list a message shows: the closest ones.
const CLOSEST: usize = 3;

/// Whether the workspace can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// A location and the text to show there.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub location: Location,
    pub text: String,
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    pub location: Location,
    /// What was expected at `location`.
    pub expected: String,
    /// How to fix it: the closest valid name, or the edit to make.
    pub help: Option<String>,
    /// Related locations: the first definition, or the edges of a cycle.
    pub others: Vec<Label>,
}

impl ConfigError {
    pub fn error(location: Location, message: impl Into<String>, expected: impl Into<String>) -> Self {
        let (message, expected) = (message.into(), expected.into());
        Self { severity: Severity::Error, message, location, expected, help: None, others: Vec::new() }
    }

    /// The error as data: its message, the expected value, its position and the help.
    pub fn mistake(&self) -> LocatedProblem {
        let (line, column) = self.location.line_and_column();
        let file = self.location.file.path.to_string_lossy().into_owned();
        let details = Some(self.expected.clone()).filter(|expected| !expected.is_empty());
        let problem = Problem {
            details: details.into_iter().collect(),
            help: self.help.clone(),
            ..Problem::new(self.message.clone())
        };
        LocatedProblem { problem, position: Position { file, line, column } }
    }

    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    #[must_use]
    pub fn with_help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    #[must_use]
    pub fn with_other(mut self, location: Location, text: impl Into<String>) -> Self {
        self.others.push(Label { location, text: text.into() });
        self
    }
}

/// Renders `diagnostic` with file, line, column, excerpt, what was expected and the help. No trailing newline.
pub fn render(diagnostic: &ConfigError, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level.primary_title(printable(&diagnostic.message)).elements(snippets(diagnostic));
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group as Group<'_>])
}

/// One excerpt per file, starting with the file of the error.
fn snippets(diagnostic: &ConfigError) -> Vec<Snippet<'_, Annotation<'_>>> {
    let main = &diagnostic.location.file;
    let mut files: Vec<&Arc<SourceFile>> = vec![main];
    for label in &diagnostic.others {
        if !files.iter().any(|file| Arc::ptr_eq(file, &label.location.file)) {
            files.push(&label.location.file);
        }
    }
    files.into_iter().map(|file| snippet(diagnostic, file)).collect()
}

fn snippet<'a>(diagnostic: &'a ConfigError, file: &'a Arc<SourceFile>) -> Snippet<'a, Annotation<'a>> {
    let others = diagnostic.others.iter().filter(|label| Arc::ptr_eq(&label.location.file, file));
    let mut annotations: Vec<_> =
        others.map(|label| annotation(AnnotationKind::Context, &label.location, &label.text)).collect();
    if Arc::ptr_eq(&diagnostic.location.file, file) {
        annotations.insert(0, annotation(AnnotationKind::Primary, &diagnostic.location, &diagnostic.expected));
    }
    Snippet::source(&file.text).path(file.path.to_string_lossy()).annotations(annotations)
}

fn annotation<'a>(kind: AnnotationKind, location: &'a Location, text: &'a str) -> Annotation<'a> {
    kind.span(location.first_line()).label(printable(text))
}

/// Replaces control characters in text that may contain user input, so that it cannot control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Returns a help text that suggests the closest name.
pub(super) fn did_you_mean<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest_key(wrong, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// Quotes user input for a message, and truncates long text.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("`{text}`");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("`{start}...`")
}

/// Formats the valid names instead of a wrong one: all of a few, or the closest of many.
pub(super) fn choice<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.len() <= FEW {
        return listed(names);
    }
    let closest: Vec<String> = nearest_keys(wrong, names.iter().copied(), CLOSEST).into_iter().map(quoted).collect();
    match closest.as_slice() {
        [] => format!("one of {} names", names.len()),
        closest => format!("{}, or another of {} names", closest.join(", "), names.len()),
    }
}

/// Formats a choice of names: `a`, `b` or `c`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(quoted).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
