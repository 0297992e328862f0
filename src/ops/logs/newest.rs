//! The newest lines of all containers, if their number is limited.

use std::collections::VecDeque;

use crate::{
    domain::{log_line::LogEntry, log_merge::StreamId},
    ui::log_lines::{LogPrinter, PrintedLine},
};

/// The newest lines that were kept by the filter, in their order.
#[derive(Debug)]
pub(super) struct NewestLines {
    limit: usize,
    /// Each with its stream, and as it was written.
    lines: VecDeque<(StreamId, LogEntry, String)>,
    left_out: u64,
}

impl NewestLines {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, lines: VecDeque::new(), left_out: 0 }
    }

    /// Adds a line, and drops the oldest one if there are too many.
    pub(super) fn add(&mut self, stream: StreamId, entry: LogEntry, raw: String) {
        self.lines.push_back((stream, entry, raw));
        if self.lines.len() > self.limit {
            self.lines.pop_front();
            self.left_out += 1;
        }
    }

    /// Prints the lines. Returns a note about those that were left out.
    pub(super) fn print(&self, printer: &mut LogPrinter) -> Option<String> {
        for (stream, entry, raw) in &self.lines {
            printer.print(&PrintedLine { stream: *stream, entry, raw });
        }
        let what = if self.left_out == 1 { "line is" } else { "lines are" };
        let narrow = "choose fewer with projects, --search, --level or --since, or raise --limit";
        (self.left_out > 0).then(|| format!("{} older {what} left out: {narrow}", self.left_out))
    }
}
