//! Colors of the output.

use std::fmt::Display;

/// Colors text, or leaves it plain.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    color: bool,
}

impl Style {
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    pub fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    pub fn bad(self, text: impl Display) -> String {
        self.paint("1;31", text)
    }

    pub fn warning(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    pub fn hint(self, text: impl Display) -> String {
        self.paint("36", text)
    }

    pub fn dim(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    pub fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    /// Colors text with codes of the terminal: `1;31`.
    pub fn color(self, code: &str, text: impl Display) -> String {
        self.paint(code, text)
    }

    pub fn has_color(self) -> bool {
        self.color
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Formats seconds for people: `0.4s`, `12s`, `2m05s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = std::time::Duration::from_secs_f64(seconds.max(0.0).round()).as_secs();
    if whole < 60 { format!("{whole}s") } else { format!("{}m{:02}s", whole / 60, whole % 60) }
}

/// Formats an age in seconds for people, in its largest unit: `5s`, `12m`, `3h`, `4d`.
pub fn ago(seconds: f64) -> String {
    let seconds = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(0.44), "0.4s");
        assert_eq!(duration(12.3), "12s");
        assert_eq!(duration(125.0), "2m05s");
        assert_eq!([-3.0, 59.9, 90.0, 7300.0, 200_000.0].map(ago), ["0s", "59s", "1m", "2h", "2d"]);
    }

    #[test]
    fn without_colour_text_stays_plain() {
        assert_eq!(Style::new(false).bad("x"), "x");
        assert_eq!(Style::new(true).good("x"), "\x1b[32mx\x1b[0m");
    }
}
