//! The `--set` options of a command line as a layer of values, with the location of every key.

use std::{ops::Range, sync::Arc};

use serde_json::Value;

use super::{
    source::SourceFile,
    tree::{Content, Cursor, Entry, Node},
    universal::text::Place,
};
use crate::domain::{
    Values,
    values::{Assignment, InvalidSet},
};

/// The name of the command line in messages.
const COMMAND_LINE: &str = "command line";
const OPTION: &str = "--set ";

/// Values that the command line sets.
#[derive(Debug)]
pub struct SetOptions {
    assignments: Vec<Assignment>,
    /// One option per line.
    file: Arc<SourceFile>,
    root: Node,
}

impl SetOptions {
    /// Reads options of the form `KEY=VALUE`.
    ///
    /// # Errors
    /// Fails for the first option without a valid key or without a value.
    pub fn parse(options: &[String]) -> Result<Self, InvalidSet> {
        let assignments = options.iter().map(|option| Assignment::parse(option)).collect::<Result<Vec<_>, _>>()?;
        let mut text = String::new();
        let mut entries = Vec::new();
        for (option, assignment) in options.iter().zip(&assignments) {
            let start = text.len() + OPTION.len();
            text.extend([OPTION, option, "\n"]);
            add(&mut entries, assignment, start);
        }
        let root = Node { range: 0..text.len(), content: Content::Map(entries) };
        Ok(Self { assignments, file: Arc::new(SourceFile { path: COMMAND_LINE.into(), text }), root })
    }

    /// Whether an option sets this key or a key below it.
    pub fn has(&self, key: &str) -> bool {
        self.assignments.iter().any(|assignment| assignment.keys.first().is_some_and(|(first, _)| first == key))
    }

    /// Merges the options over the values of a chart; the universal chart gets text as it is written.
    ///
    /// # Errors
    /// Fails if a parent of a key is not a map.
    pub fn apply(&self, values: &mut Values, is_universal: bool) -> Result<(), InvalidSet> {
        for assignment in &self.assignments {
            let keys = assignment.keys.iter().map(|(key, _)| key.as_str());
            let place = keys.fold(Place::root(is_universal), Place::below);
            let value = if place.keeps_text(&content(&assignment.value)) {
                Value::from(assignment.text.as_str())
            } else {
                assignment.value.clone()
            };
            assignment.apply(values, value)?;
        }
        Ok(())
    }

    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor::root(&self.file, &self.root)
    }
}

/// Adds an option to the tree of locations; a later option replaces an earlier one.
fn add(mut entries: &mut Vec<Entry>, assignment: &Assignment, start: usize) {
    let whole = |range: &Range<usize>| start + range.start..start + range.end;
    for (depth, (key, range)) in assignment.keys.iter().enumerate() {
        let is_last = depth + 1 == assignment.keys.len();
        let own = if is_last { content(&assignment.value) } else { Content::Map(Vec::new()) };
        let node = Node { range: whole(&assignment.value_range), content: own };
        let index = match entries.iter().position(|entry| entry.key == *key) {
            Some(index) if !is_last && matches!(entries[index].value.content, Content::Map(_)) => index,
            Some(index) => {
                entries[index] = Entry { key: key.clone(), key_range: whole(range), value: node };
                index
            }
            None => {
                entries.push(Entry { key: key.clone(), key_range: whole(range), value: node });
                entries.len() - 1
            }
        };
        let Content::Map(below) = &mut entries[index].value.content else { return };
        entries = below;
    }
}

fn content(value: &Value) -> Content {
    match value {
        Value::Bool(boolean) => Content::Bool(*boolean),
        Value::Number(number) => Content::Integer(number.as_i64().unwrap_or_default()),
        Value::String(text) => Content::Text(text.clone()),
        _ => Content::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(texts: &[&str]) -> SetOptions {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        SetOptions::parse(&texts).unwrap()
    }

    #[test]
    fn every_key_has_its_place() {
        let set = options(&["env.A=1", "replicas=2", "env.B=x", "replicas=3"]);
        let text = |path: &[&str]| set.cursor().at(path).unwrap().location().text().to_owned();
        assert_eq!(
            (text(&["env", "A"]), text(&["env", "B"]), text(&["replicas"])),
            ("1".into(), "x".into(), "3".into())
        );
        let replicas = set.cursor().at(&["replicas"]).unwrap();
        assert_eq!(replicas.key_location().line_and_column(), (4, 7));
    }

    #[test]
    fn text_of_the_universal_chart_stays_as_written() {
        let set = options(&["env.ID=1234567890123456789", "env.ON=true", "replicas=2", "env.GONE=null"]);
        let mut values = Values::new();
        set.apply(&mut values, true).unwrap();
        let expected = json!({"env": {"ID": "1234567890123456789", "ON": "true", "GONE": null}, "replicas": 2});
        assert_eq!(Value::Object(values), expected);
        let mut values = Values::new();
        set.apply(&mut values, false).unwrap();
        assert_eq!(values["env"]["ON"], json!(true));
    }
}
