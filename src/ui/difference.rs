//! The changes of an object as a line diff.

use similar::{ChangeTag, TextDiff};

use super::style::Style;
use crate::domain::difference::Difference;

/// Lines of context around a change.
const CONTEXT: usize = 2;

/// The object's name, then lines that start with `-`, `+` or a space.
pub fn render(difference: &Difference, color: bool) -> String {
    let style = Style::new(color);
    let lines = TextDiff::from_lines(&difference.before, &difference.after);
    let mut text = format!("--- {}\n", difference.object);
    for group in lines.grouped_ops(CONTEXT) {
        for change in group.iter().flat_map(|operation| lines.iter_changes(operation)) {
            let line = change.value().trim_end_matches('\n');
            let line = match change.tag() {
                ChangeTag::Delete => style.bad(format!("- {line}")),
                ChangeTag::Insert => style.good(format!("+ {line}")),
                ChangeTag::Equal => format!("  {line}"),
            };
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_lines() {
        let (before, after) = ("a: 1\nb: 2\n".to_owned(), "a: 1\nb: 3\n".to_owned());
        let difference = Difference { object: "Service/shop".to_owned(), before, after };
        assert_eq!(render(&difference, false), "--- Service/shop\n  a: 1\n- b: 2\n+ b: 3\n");
    }
}
