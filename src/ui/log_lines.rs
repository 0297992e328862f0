//! Prints lines of logs: as text with the names of their projects, as they were written, or as JSON.

use std::{collections::BTreeMap, io::Write};

use regex::Regex;

use super::style::Style;
use crate::domain::{
    log_level::LogLevel,
    log_line::{LogEntry, printable},
    log_merge::StreamId,
};

/// The colors of projects: those of the terminal's palette that are readable on dark and light backgrounds.
const COLORS: &[&str] = &["36", "32", "35", "34", "33", "96", "92", "95", "94", "93"];
/// Longer labels are not aligned.
const WIDEST_LABEL: usize = 24;
/// How much text is collected before it is written.
const BUFFER: usize = 64 * 1024;

/// How lines are printed.
#[derive(Debug, Clone)]
pub enum LineForm {
    Json,
    Raw,
    /// With labels, and what was searched highlighted.
    Folded {
        search: Option<Regex>,
    },
}

/// A line to print.
#[derive(Debug, Clone, Copy)]
pub struct PrintedLine<'a> {
    pub stream: StreamId,
    pub entry: &'a LogEntry,
    /// As it was written.
    pub raw: &'a str,
}

/// Collects lines, and writes them to standard output.
#[derive(Debug)]
pub struct LogPrinter {
    form: LineForm,
    style: Style,
    shows_labels: bool,
    labels: BTreeMap<StreamId, (String, &'static str)>,
    width: usize,
    text: String,
    is_closed: bool,
}

impl LogPrinter {
    pub fn new(form: LineForm) -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        Self::with_color(form, choice != anstream::ColorChoice::Never)
    }

    fn with_color(form: LineForm, color: bool) -> Self {
        let (labels, text) = (BTreeMap::new(), String::new());
        Self { form, style: Style::new(color), shows_labels: true, labels, width: 0, text, is_closed: false }
    }

    pub fn show_labels(&mut self, shows: bool) {
        self.shows_labels = shows;
    }

    /// Sets the label of a stream, in the color of its project.
    pub fn label(&mut self, stream: StreamId, label: &str, project: usize) {
        self.width = self.width.max(label.chars().count()).min(WIDEST_LABEL);
        self.labels.insert(stream, (label.to_owned(), COLORS[project % COLORS.len()]));
    }

    pub fn print(&mut self, line: &PrintedLine<'_>) {
        match &self.form {
            LineForm::Json => self.text.push_str(&serde_json::to_string(line.entry).unwrap_or_default()),
            LineForm::Raw => self.text.push_str(line.raw),
            LineForm::Folded { search } => {
                let search = search.clone();
                self.fold(line, search.as_ref());
            }
        }
        self.text.push('\n');
        if self.text.len() > BUFFER {
            self.flush();
        }
    }

    fn fold(&mut self, line: &PrintedLine<'_>, search: Option<&Regex>) {
        if let Some((label, color)) = self.labels.get(&line.stream).filter(|_| self.shows_labels) {
            let label = format!("{label:<width$} |", width = self.width);
            self.text.push_str(&self.style.color(color, label));
            self.text.push(' ');
        }
        let (entry, style) = (line.entry, self.style);
        if let Some(level) = entry.line.level.filter(|_| entry.line.has_separate_level()) {
            self.text.push_str(&shown_level(level, style));
            self.text.push(' ');
        }
        let folded = entry.line.folded();
        let text = printable(&folded);
        match search.filter(|_| style.has_color()) {
            Some(regex) => {
                let marked = regex.replace_all(&text, |found: &regex::Captures<'_>| style.color("1;7", &found[0]));
                self.text.push_str(&marked);
            }
            None => self.text.push_str(&text),
        }
        if entry.omitted_bytes > 0 {
            self.text.push_str(&style.dim(format!(" ... ({} more bytes)", entry.omitted_bytes)));
        }
    }

    /// Writes what was collected. Returns `false` if it is no longer read.
    pub fn flush(&mut self) -> bool {
        if !self.text.is_empty() && !self.is_closed {
            let mut output = std::io::stdout().lock();
            let written = output.write_all(self.text.as_bytes()).and_then(|()| output.flush());
            self.is_closed = written.is_err();
            super::keep_error(written);
        }
        self.text.clear();
        !self.is_closed
    }
}

/// The level in five columns.
fn shown_level(level: LogLevel, style: Style) -> String {
    let label = format!("{:<5}", level.label());
    match level {
        LogLevel::Trace | LogLevel::Debug => style.dim(label),
        LogLevel::Info => style.good(label),
        LogLevel::Warn => style.warning(label),
        LogLevel::Error | LogLevel::Fatal => style.bad(label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log_line::{LogLine, LogOrigin};

    fn printed(form: LineForm, color: bool, lines: &[(StreamId, &str)]) -> String {
        let mut printer = LogPrinter::with_color(form, color);
        printer.label(0, "shop", 0);
        printer.label(1, "catalog/x2k4", 1);
        for (stream, raw) in lines {
            let origin =
                LogOrigin { project: "shop".to_owned(), pod: "shop-1".to_owned(), container: "shop".to_owned() };
            let (time, line) = ("2026-01-02T03:04:05Z".parse().unwrap(), LogLine::read(raw));
            let entry = LogEntry { time, origin, line, omitted_bytes: 0 };
            printer.print(&PrintedLine { stream: *stream, entry: &entry, raw });
        }
        printer.text
    }

    const LINES: [(StreamId, &str); 3] =
        [(0, "INFO ready"), (1, r#"{"level":"error","msg":"payment failed","order":7}"#), (0, "\u{1b}[2Jcleared")];

    #[test]
    fn lines_have_the_labels_of_their_projects() {
        let text = printed(LineForm::Folded { search: None }, false, &LINES);
        let wanted = "shop         | INFO ready\n\
                      catalog/x2k4 | ERROR payment failed order=7\n\
                      shop         | cleared\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn matches_are_highlighted() {
        let search = Some(Regex::new("ready|order=.").unwrap());
        let text = printed(LineForm::Folded { search }, true, &LINES);
        assert!(text.contains("\u{1b}[1;7mready\u{1b}[0m") && text.contains("\u{1b}[1;7morder=7\u{1b}[0m"), "{text}");
    }

    #[test]
    fn objects_and_raw_lines() {
        let text = printed(LineForm::Json, true, &LINES[1..2]);
        let wanted = r#"{"time":"2026-01-02T03:04:05Z","project":"shop","pod":"shop-1","container":"shop","level":"error","message":"payment failed","fields":{"order":7}}"#;
        assert_eq!(text, format!("{wanted}\n"));
        assert_eq!(printed(LineForm::Raw, true, &LINES[1..2]), format!("{}\n", LINES[1].1));
    }
}
