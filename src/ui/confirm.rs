//! Questions on a terminal, before something is changed.

use console::{Key, Term};

/// Asks on the terminal, and returns whether the answer is yes. Enter, the end of the input and an interrupt mean no.
pub fn confirm(question: &str) -> bool {
    let terminal = Term::stderr();
    let written = terminal.write_str(&format!("{question} [y/N] "));
    let mut keys = std::iter::from_fn(|| terminal.read_key().ok()).map(|key| answer(&key));
    let is_confirmed = written.is_ok() && keys.find_map(|answer| answer).unwrap_or(false);
    let _ = terminal.clear_line();
    let _ = terminal.write_line(&format!("{question} {}", if is_confirmed { "yes" } else { "no" }));
    is_confirmed
}

/// Returns what a key means, or `None` to wait for another one. Ctrl-C is an error of `read_key`, and a signal.
fn answer(key: &Key) -> Option<bool> {
    /// Ctrl-D: the end of the input.
    const END: char = '\u{4}';
    match key {
        Key::Char('y' | 'Y') => Some(true),
        Key::Char('n' | 'N' | END) | Key::Enter | Key::Unknown => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        assert_eq!(answer(&Key::Char('Y')), Some(true));
        for no in [Key::Char('n'), Key::Enter, Key::Char('\u{4}'), Key::Unknown] {
            assert_eq!(answer(&no), Some(false));
        }
        assert_eq!(answer(&Key::ArrowUp), None);
    }
}
