//! Output that is shown again and again: drawn in place on a terminal, and printed when it has changed elsewhere.

use std::io::IsTerminal;

use console::truncate_str;

use super::{live::Screen, print};

/// The output of a command that watches.
pub struct Watched {
    /// The terminal, if standard output is one and the output is text.
    screen: Option<Screen>,
    last: Option<String>,
    /// What is printed between two versions.
    separator: &'static str,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    /// Text for people.
    pub fn text() -> Self {
        let screen = std::io::stdout().is_terminal().then(Screen::stdout);
        Self { screen, last: None, separator: "\n" }
    }

    /// JSON, one object per line.
    pub fn json() -> Self {
        Self { screen: None, last: None, separator: "" }
    }

    /// Shows the next version.
    pub fn show(&mut self, text: &str) {
        if let Some(screen) = &mut self.screen {
            let size = screen.size();
            screen.draw(&[], fitting(text, size.rows.saturating_sub(1), size.columns.saturating_sub(1)));
        } else if self.last.as_deref() != Some(text) {
            let separator = if self.last.is_some() { self.separator } else { "" };
            print(&format!("{separator}{text}"));
        }
        self.last = Some(text.to_owned());
    }
}

/// The lines of a text as far as they fit; the others are counted.
fn fitting(text: &str, rows: usize, columns: usize) -> Vec<String> {
    let all: Vec<&str> = text.lines().collect();
    let shown = if all.len() <= rows { all.len() } else { rows.saturating_sub(1) };
    let mut lines: Vec<String> =
        all[..shown].iter().map(|line| truncate_str(line, columns, "…").into_owned()).collect();
    if shown < all.len() {
        lines.push(format!("{} more lines", all.len() - shown));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        assert_eq!(fitting("one\ntwo\nthree\n", 3, 80), ["one", "two", "three"]);
        assert_eq!(fitting("one\ntwo\nthree\nfour\n", 3, 4), ["one", "two", "2 more lines"]);
        assert_eq!(fitting("a long line", 3, 6), ["a lon…"]);
    }
}
