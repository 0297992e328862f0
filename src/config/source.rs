//! Source files and locations in them.

use std::{ops::Range, path::PathBuf, sync::Arc};

/// The text of a file and the path to show for it.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the workspace folder.
    pub path: PathBuf,
    pub text: String,
}

/// A range of a file.
#[derive(Debug, Clone)]
pub struct Location {
    pub file: Arc<SourceFile>,
    /// In bytes.
    pub range: Range<usize>,
}

impl Location {
    pub fn new(file: &Arc<SourceFile>, range: Range<usize>) -> Self {
        Self { file: Arc::clone(file), range }
    }

    /// Returns the line and column of the start, both counted from 1; columns count characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = &self.file.text[..char_boundary(&self.file.text, self.range.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Returns the text in this range.
    pub fn text(&self) -> &str {
        let text = &self.file.text;
        let start = char_boundary(text, self.range.start);
        &text[start..char_boundary(text, self.range.end).max(start)]
    }

    /// The part on the first line, which is underlined in messages.
    pub(super) fn first_line(&self) -> Range<usize> {
        let text = &self.file.text;
        let start = char_boundary(text, self.range.start);
        let end = char_boundary(text, self.range.end).max(start);
        let first = text[start..end].lines().next().unwrap_or_default().trim_end().len();
        start..start + first
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.range == other.range
    }
}

/// The last character boundary at or before `index`.
fn char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_not_bytes() {
        let file = Arc::new(SourceFile { path: "projects.yaml".into(), text: "a: 1\nä: ö: 2\n".to_owned() });
        let location = Location::new(&file, 9..11);
        assert_eq!((location.line_and_column(), location.text()), ((2, 4), "ö"));
    }

    #[test]
    fn keeps_to_character_boundaries() {
        let file = Arc::new(SourceFile { path: "projects.yaml".into(), text: "ä\nb".to_owned() });
        assert_eq!(Location::new(&file, 1..99).text(), "ä\nb");
        assert_eq!(Location::new(&file, 0..99).first_line(), 0..2);
    }
}
