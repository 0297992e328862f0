//! Draws lines at the bottom of a terminal, and redraws only those that have changed.
//!
//! Between two drawings, the cursor is at the start of the line below the picture. Everything is written with one call,
//! and only with sequences that every terminal knows; those that do not know synchronized updates ignore them.

use std::{fmt::Write as _, io::Write};

use console::{Term, measure_text_width};

/// Begins and ends an update that a terminal shows at once.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
/// Clears from the cursor to the end of the screen, and of the line.
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_LINE: &str = "\x1b[K";

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) struct Size {
    pub rows: usize,
    pub columns: usize,
}

/// A terminal with a picture.
pub(in crate::ui) struct Screen {
    out: Box<dyn Write + Send>,
    measure: Box<dyn Fn() -> Size + Send>,
    drawn: Vec<String>,
    drawn_in: Size,
}

impl Screen {
    /// The terminal of standard error.
    pub(in crate::ui) fn stderr() -> Self {
        let measure = || {
            let (rows, columns) = Term::stderr().size();
            Size { rows: rows.into(), columns: columns.into() }
        };
        Self::new(Box::new(std::io::stderr()), Box::new(measure))
    }

    /// The terminal of standard output.
    pub(in crate::ui) fn stdout() -> Self {
        let measure = || {
            let (rows, columns) = Term::stdout().size();
            Size { rows: rows.into(), columns: columns.into() }
        };
        Self::new(Box::new(std::io::stdout()), Box::new(measure))
    }

    pub(super) fn new(out: Box<dyn Write + Send>, measure: Box<dyn Fn() -> Size + Send>) -> Self {
        let drawn_in = measure();
        Self { out, measure, drawn: Vec::new(), drawn_in }
    }

    pub(in crate::ui) fn size(&self) -> Size {
        (self.measure)()
    }

    /// Draws the picture, below lines that stay.
    pub(in crate::ui) fn draw(&mut self, above: &[String], picture: Vec<String>) {
        let size = self.size();
        let text = if above.is_empty() && size == self.drawn_in {
            self.changes(&picture)
        } else {
            self.redrawn(above, &picture, size)
        };
        (self.drawn, self.drawn_in) = (picture, size);
        self.write(&text);
    }

    /// Prints a message above the picture. Returns whether there is a picture.
    pub(super) fn print_above(&mut self, text: &str) -> bool {
        if self.drawn.is_empty() {
            return false;
        }
        let above: Vec<String> = text.lines().map(str::to_owned).collect();
        let picture = self.drawn.clone();
        self.draw(&above, picture);
        true
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = self.out.write_all(format!("{BEGIN}{text}{END}").as_bytes());
            let _ = self.out.flush();
        }
    }

    /// Writes only the lines that differ.
    fn changes(&self, picture: &[String]) -> String {
        let mut text = String::new();
        // The line in which the cursor is, from the top of the picture.
        let mut cursor = self.drawn.len();
        for (number, line) in picture.iter().enumerate() {
            if self.drawn.get(number) != Some(line) {
                text.push_str(&moved(cursor, number));
                let _ = write!(text, "{line}{CLEAR_LINE}\r\n");
                cursor = number + 1;
            }
        }
        if picture.len() < self.drawn.len() {
            text.push_str(&moved(cursor, picture.len()));
            text.push_str(CLEAR_BELOW);
        } else if cursor != picture.len() {
            text.push_str(&moved(cursor, picture.len()));
        }
        text
    }

    /// Writes everything again. A terminal that has become narrower has wrapped the lines.
    fn redrawn(&self, above: &[String], picture: &[String], size: Size) -> String {
        let columns = size.columns.max(1);
        let rows = |line: &String| measure_text_width(line).div_ceil(columns).max(1);
        let drawn: usize = self.drawn.iter().map(rows).sum();
        let lines: String = above.iter().chain(picture).map(|line| format!("{line}\r\n")).collect();
        format!("{}{CLEAR_BELOW}{lines}", moved(drawn, 0))
    }
}

/// Moves the cursor to the start of another line.
fn moved(from: usize, to: usize) -> String {
    match to.cmp(&from) {
        std::cmp::Ordering::Less => format!("\r\x1b[{}A", from - to),
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Greater => format!("\r\x1b[{}B", to - from),
    }
}
