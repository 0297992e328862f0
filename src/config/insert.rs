//! Adds a project to the text of a `projects.yaml`, and keeps everything else, including comments, order and line ends.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    parse,
    source::SourceFile,
    sources::{Document, SourceRole, Sources},
    tree::{Content, Cursor, Entry},
};
use crate::domain::Name;

const PROJECTS: &str = "projects";
/// The indentation of a nested key in a file that has none.
const STEP: &str = "  ";

/// The file that describes the projects of a folder.
#[derive(Debug)]
pub struct ProjectHome<'a> {
    document: &'a Document,
    root: &'a Path,
}

impl ProjectHome<'_> {
    /// The base of relative paths in the file.
    pub fn folder(&self) -> &Path {
        &self.document.folder
    }

    /// The text of the file, as it was read.
    pub fn text(&self) -> &str {
        &self.document.file.text
    }

    /// The path to show, below the workspace.
    pub fn shown(&self) -> &Path {
        &self.document.file.path
    }

    pub fn path(&self) -> PathBuf {
        self.root.join(&self.document.file.path)
    }
}

/// Returns the file for new projects of `directory`: the included one in the nearest folder, or that of the workspace.
pub fn project_home<'a>(sources: &'a Sources, directory: &Path) -> Option<ProjectHome<'a>> {
    let usable = sources.documents.iter().filter(|document| match document.role {
        SourceRole::Root => true,
        SourceRole::Included => directory.starts_with(&document.folder) && document.folder != sources.folder(),
        SourceRole::Local => false,
    });
    let document = usable.max_by_key(|document| document.folder.components().count())?;
    Some(ProjectHome { document, root: sources.folder() })
}

/// Returns the text of `home` with a project as the last one. `entry` is its value, as YAML that starts without
/// indentation. `None` if the file is written in a way that cmdr does not edit, or if `entry` is not a map.
pub fn with_project(home: &ProjectHome<'_>, name: &Name, entry: &str) -> Option<String> {
    let text = home.text();
    let value = json_of(entry).filter(Value::is_object)?;
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let edited = inserted(home.document, name, entry, &value)?;
    let edited = if line_end == "\n" { edited } else { edited.replace("\r\n", "\n").replace('\n', line_end) };
    // The edit is right only if it added this project, and nothing else.
    let mut expected = json_of(text)?;
    let Value::Object(expected_root) = &mut expected else { return None };
    let projects = expected_root.entry(PROJECTS).or_insert_with(|| Value::Object(serde_json::Map::new()));
    if projects.is_null() {
        *projects = Value::Object(serde_json::Map::new());
    }
    projects.as_object_mut()?.insert(name.to_string(), value);
    (json_of(&edited)? == expected).then_some(edited)
}

fn json_of(text: &str) -> Option<Value> {
    let file = Arc::new(SourceFile { path: PathBuf::new(), text: text.to_owned() });
    let mut found = Vec::new();
    let root = parse::parse(&file, &mut found)?;
    found.is_empty().then(|| root.content.to_json())
}

fn inserted(document: &Document, name: &Name, entry: &str, value: &Value) -> Option<String> {
    let text = &document.file.text;
    let root = document.cursor();
    let Some(projects) = root.get(PROJECTS) else { return appended(text, root, name, entry) };
    let mut edited = text.clone();
    match &projects.node.content {
        Content::Map(_) if &text[projects.node.range.clone()] == "{}" && !is_flow(text, root) => {
            let start = text[..projects.node.range.start].trim_end_matches(' ').len();
            edited.replace_range(start..projects.node.range.end, "");
            let at = line_end(&edited, start);
            edited.insert_str(at, &format!("{}{}", line_break(&edited[..at]), block(name, entry, STEP)));
        }
        Content::Map(entries) if text[projects.node.range.clone()].starts_with('{') => {
            let close = projects.node.range.start + text[projects.node.range.clone()].rfind('}')?;
            let comma = if entries.is_empty() { "" } else { ", " };
            edited.insert_str(close, &format!("{comma}{name}: {value}"));
        }
        Content::Map(entries) => {
            let last = entries.last()?;
            let indent = indent_of(text, last)?;
            let at = end_of_block(text, last.key_range.end, indent.len());
            let gap = if is_after_empty_line(text, last) { "\n" } else { "" };
            edited.insert_str(at, &format!("{}{gap}{}", line_break(&text[..at]), block(name, entry, indent)));
        }
        Content::Null => {
            let at = line_end(text, projects.entry?.key_range.end);
            edited.insert_str(at, &format!("{}{}", line_break(&text[..at]), block(name, entry, STEP)));
        }
        _ => return None,
    }
    Some(edited)
}

/// The text with `projects` as its last key; `None` if the file is a flow map.
fn appended(text: &str, root: Cursor<'_>, name: &Name, entry: &str) -> Option<String> {
    if is_flow(text, root) {
        return None;
    }
    Some(format!("{text}{}\n{PROJECTS}:\n{}", line_break(text), block(name, entry, STEP)))
}

/// Whether a map is written in braces.
fn is_flow(text: &str, map: Cursor<'_>) -> bool {
    text[map.node.range.clone()].starts_with('{')
}

/// What ends the last line of `text`, if it is not ended.
fn line_break(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
}

/// The entry of a project as lines.
fn block(name: &Name, entry: &str, indent: &str) -> String {
    let lines = entry.lines().map(|line| match line.trim_end() {
        "" => "\n".to_owned(),
        line => format!("{indent}{STEP}{line}\n"),
    });
    format!("{indent}{name}:\n{}", lines.collect::<String>())
}

/// The spaces before a key; `None` if other text is before it.
fn indent_of<'a>(text: &'a str, entry: &Entry) -> Option<&'a str> {
    let start = entry.key_range.start;
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    Some(&text[line..start]).filter(|indent| indent.bytes().all(|byte| byte == b' '))
}

/// The start of the line after the one that contains `at`.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The start of the line after the block whose key ends at `at`, with the comments that belong to it.
fn end_of_block(text: &str, at: usize, indent: usize) -> usize {
    let mut end = line_end(text, at);
    let mut next = end;
    while next < text.len() {
        let after = line_end(text, next);
        let line = text[next..after].trim_end();
        let depth = line.len() - line.trim_start().len();
        let belongs = depth > indent || (depth == indent && line.trim_start().starts_with('#'));
        match line.is_empty() {
            true => {}
            false if belongs => end = after,
            false => break,
        }
        next = after;
    }
    end
}

/// Whether an empty line separates an entry from the one before it.
fn is_after_empty_line(text: &str, entry: &Entry) -> bool {
    let before = &text[..entry.key_range.start];
    let mut lines = before[..=before.rfind('\n').unwrap_or_default()].lines().rev();
    let before_comments = lines.find(|line| !line.trim_start().starts_with('#'));
    before_comments.is_some_and(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "build: {context: cart}\nvalues:\n  ports: {http: 8080}\n";
    const HEAD: &str = "version: 1 # one\nname: tunes\n";

    fn edited(text: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let loaded = crate::config::load(folder.path()).unwrap();
        let home = project_home(&loaded.sources, folder.path()).unwrap();
        with_project(&home, &Name::new("cart").unwrap(), ENTRY)
    }

    /// What was added, where `^` is in the text.
    #[track_caller]
    fn added(text: &str, expected: &str) {
        let (before, after) = text.split_once('^').unwrap();
        let before = format!("{HEAD}{before}");
        let result = edited(&format!("{before}{after}")).unwrap();
        assert_eq!(result, format!("{before}{expected}{after}"));
    }

    const BLOCK: &str = "  cart:\n    build: {context: cart}\n    values:\n      ports: {http: 8080}\n";

    #[test]
    fn it_is_the_last_project_and_everything_else_stays() {
        added(
            "projects:\n  # music\n  shop: {image: x}  # here\n  api:\n    image: y\n    # of api\n  # api, too\n^\n\
             # bundles\nbundles:\n  all: {projects: [api]}\n",
            BLOCK,
        );
        added("projects:\n  api:\n    image: y\n    values:\n      files: {/a: \"x\\n\\\n        y\"}\n^", BLOCK);
        added("projects:\n  a:\n    image: x\n\n  b:\n    image: y\n^", &format!("\n{BLOCK}"));
        added("projects:\n  a: {image: x}^", &format!("\n{BLOCK}"));
        let deeper = BLOCK.lines().map(|line| format!("  {line}\n")).collect::<String>();
        added("projects:\n    a: {image: x}\n^bundles: {all: {projects: [a]}}\n", &deeper);
    }

    #[test]
    fn other_forms_of_the_map_are_kept() {
        let json = r#"cart: {"build":{"context":"cart"},"values":{"ports":{"http":8080}}}"#;
        added("projects: {a: {image: x}^}\n", &format!(", {json}"));
        added("projects: { ^}\n", json);
        let whole = edited("{version: 1, name: tunes, projects: {}}\n");
        assert_eq!(whole, Some(format!("{{version: 1, name: tunes, projects: {{{json}}}}}\n")));
        let empty = edited(&format!("{HEAD}projects: {{}} # none\n# end\n")).unwrap();
        assert_eq!(empty, format!("{HEAD}projects: # none\n{BLOCK}# end\n"), "lines are easier to read");
        added("# later\n^", &format!("\nprojects:\n{BLOCK}"));
        added("projects:\n  a: {image: &i x}\n  b: {image: *i}\n^", BLOCK);
        let windows = "version: 1\r\nname: t\r\nprojects:\r\n  a: {image: x}\r\n";
        assert_eq!(edited(windows), Some(format!("{windows}{}", BLOCK.replace('\n', "\r\n"))));
    }

    #[test]
    fn a_whole_file_in_braces_is_not_extended() {
        assert_eq!(edited("{version: 1, name: tunes}\n"), None);
    }

    #[test]
    fn a_folder_with_an_included_file_has_its_own() {
        let place = tempfile::tempdir().unwrap();
        let team = place.path().join("team");
        std::fs::create_dir(&team).unwrap();
        std::fs::write(place.path().join("projects.yaml"), "version: 1\nname: t\ninclude: [team/projects.yaml]\n")
            .unwrap();
        std::fs::write(team.join("projects.yaml"), "projects:\n  a: {image: x}\n").unwrap();
        let loaded = crate::config::load(&team).unwrap();
        let shown = |from: &Path| project_home(&loaded.sources, from).unwrap().shown().to_owned();
        assert_eq!(shown(&team), Path::new("team/projects.yaml"));
        assert_eq!(shown(place.path()), Path::new("projects.yaml"));
    }
}
