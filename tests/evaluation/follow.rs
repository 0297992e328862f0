//! Reads what cmdr suggests, and does it. The forms of a suggestion are in docs/style.md.

use std::{fmt, fs, path::Path};

use serde_json::{Value, json};

/// An edit of projects.yaml that cmdr's output names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Suggestion {
    /// "did you mean `TEXT`?": what the excerpt underlines is replaced. Lines and columns count from 1.
    Replace { line: usize, column: usize, length: usize, text: String },
    /// "set `KEY: VALUE` under `PATH`".
    Set { fragment: String, path: String },
    /// "add `ITEM` to `PATH`".
    Add { item: String, path: String },
    /// "remove `PATH`", or "remove `ITEM` from `PATH`".
    Remove { item: Option<String>, path: String },
}

impl fmt::Display for Suggestion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replace { line, text, .. } => write!(formatter, "`{text}` in line {line}"),
            Self::Set { fragment, path } => write!(formatter, "`{fragment}` under `{path}`"),
            Self::Add { item, path } => write!(formatter, "`{item}` in `{path}`"),
            Self::Remove { item: None, path } => write!(formatter, "without `{path}`"),
            Self::Remove { item: Some(item), path } => write!(formatter, "`{path}` without `{item}`"),
        }
    }
}

/// What an output suggests, in its order.
pub(crate) fn suggestions(output: &str) -> Vec<Suggestion> {
    let mut found = Vec::new();
    let mut place = None;
    for line in output.lines() {
        place = position(line).map(|(row, column)| (row, column, 0)).or(place);
        if let (Some((_, _, length)), Some(marked)) = (&mut place, underline(line)) {
            *length = marked;
        }
        let Some((_, help)) = line.split_once("help: ") else { continue };
        if let (Some(text), Some((line, column, length))) = (between(help, "did you mean `", "`?"), place) {
            found.push(Suggestion::Replace { line, column, length, text });
        }
        if let (Some(fragment), Some(path)) = (between(help, "set `", "` under `"), between(help, "` under `", "`")) {
            found.push(Suggestion::Set { fragment, path });
        }
        if let (Some(item), Some(path)) = (between(help, "add `", "` to `"), between(help, "` to `", "`")) {
            found.push(Suggestion::Add { item, path });
        }
        if let Some(first) = between(help, "remove `", "`") {
            let path = between(help, "` from `", "`");
            let item = path.is_some().then(|| first.clone());
            found.push(Suggestion::Remove { item, path: path.unwrap_or(first) });
        }
    }
    found
}

/// Carries a suggestion out.
pub(crate) fn apply(suggestion: &Suggestion, file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let changed = match suggestion {
        Suggestion::Replace { line, column, length, text: new } => replaced(&text, *line, *column, *length, new),
        Suggestion::Set { fragment, path } => edited(&text, path, |parent, key| {
            let target = &mut parent[key];
            merge(target, serde_saphyr::from_str(fragment).unwrap());
        }),
        Suggestion::Add { item, path } => edited(&text, path, |parent, key| {
            let list = parent.as_object_mut().unwrap().entry(key).or_insert_with(|| json!([]));
            list.as_array_mut().unwrap().push(item.as_str().into());
        }),
        Suggestion::Remove { item: None, path } => edited(&text, path, |parent, key| {
            parent.as_object_mut().unwrap().remove(key);
        }),
        Suggestion::Remove { item: Some(item), path } => edited(&text, path, |parent, key| {
            let list = parent[key].as_array_mut().unwrap();
            list.retain(|other| other != item);
            if list.is_empty() {
                parent.as_object_mut().unwrap().remove(key);
            }
        }),
    };
    fs::write(file, changed).unwrap();
}

/// The row and column of a line such as ` --> projects.yaml:7:20`.
fn position(line: &str) -> Option<(usize, usize)> {
    let (_, place) = line.trim_start().split_once("--> projects.yaml:")?;
    let (row, column) = place.split_once(':')?;
    Some((row.parse().ok()?, column.parse().ok()?))
}

/// The length of the underline in a line such as `  |      ^^^^^^ expected ...`.
fn underline(line: &str) -> Option<usize> {
    let (_, marks) = line.split_once("| ")?;
    let marks = marks.trim_start();
    marks.starts_with('^').then(|| marks.chars().take_while(|mark| *mark == '^').count())
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner.to_owned())
}

fn replaced(text: &str, line: usize, column: usize, length: usize, new: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let old: Vec<char> = lines[line - 1].chars().collect();
    let (before, after) = (&old[..column - 1], &old[column - 1 + length..]);
    lines[line - 1] = before.iter().collect::<String>() + new + &after.iter().collect::<String>();
    lines.join("\n") + "\n"
}

/// Changes what a path such as `projects.web.values` names. JSON is YAML, so the result is written as JSON, indented.
fn edited(text: &str, path: &str, edit: impl FnOnce(&mut Value, &str)) -> String {
    let mut workspace: Value = serde_saphyr::from_str(text).unwrap();
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parents.split('.').filter(|key| !key.is_empty()).fold(&mut workspace, |at, key| &mut at[key]);
    edit(parent, key);
    serde_json::to_string_pretty(&workspace).unwrap()
}

/// Objects are merged, other values replaced.
fn merge(target: &mut Value, new: Value) {
    match (target, new) {
        (Value::Object(target), Value::Object(new)) => {
            for (key, value) in new {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, new) => *target = new,
    }
}
