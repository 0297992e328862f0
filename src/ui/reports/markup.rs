//! Texts of a run in reports, and their escaping in HTML.

use crate::domain::Problem;

/// A problem as lines of text.
pub(super) fn problem_text(problem: &Problem) -> String {
    let logs = problem.logs.iter().map(|log| format!("| {log}"));
    let help = problem.help.iter().map(|help| format!("help: {help}"));
    let lines = std::iter::once(problem.headline()).chain(problem.details.iter().cloned());
    lines.chain(logs).chain(help).collect::<Vec<String>>().join("\n")
}

/// Text for an element or an attribute. Control characters, as in a container's log, are removed.
pub(super) fn escaped(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_breaks_the_document() {
        assert_eq!(escaped("a<b & \"c\"\n\u{1}\u{1b}[31mred\u{1b}[0m]]>"), "a&lt;b &amp; &quot;c&quot;&#10;red]]&gt;");
    }
}
