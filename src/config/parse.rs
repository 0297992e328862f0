//! Parses YAML text to a [`Node`] from the parser's events, because only these have the location of every key.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag, options};

use super::{
    error::{ConfigError, quoted},
    scalar,
    source::{Location, SourceFile},
    tree::{Content, Entry, Node},
};

/// The maximum nesting depth of maps and lists.
const DEEPEST: usize = 64;
/// How many values aliases can add to a file: enough for any real file, and exceeded early by a "billion laughs" file.
const ALIAS_BUDGET: usize = 20_000;
/// The maximum file size, in bytes.
const LONGEST: usize = 4 << 20;

/// Parses the text to a tree. Returns `None` and reports the location if it is not valid YAML. Duplicate keys are
/// reported, too, but do not stop the parser.
pub(super) fn parse(file: &Arc<SourceFile>, found: &mut Vec<ConfigError>) -> Option<Node> {
    let text = file.text.as_str();
    if text.len() > LONGEST {
        let expected = format!("expected at most {LONGEST} bytes");
        found.push(ConfigError::error(Location::new(file, 0..0), "the file is too large", expected));
        return None;
    }
    let mut builder = Builder { file, found, open: Vec::new(), anchors: HashMap::new(), spent: 0, root: None };
    for event in Parser::new_from_str_with_options(text, options! { emit_comments: false }) {
        let step = match event {
            Ok((event, span)) => builder.take(event, range_of(&span)),
            Err(error) => Err(Box::new(syntax_error(file, &error))),
        };
        if let Err(diagnostic) = step {
            builder.found.push(*diagnostic);
            return None;
        }
    }
    let nothing = Node { range: 0..0, content: Content::Null };
    Some(builder.root.map_or(nothing, |measured| measured.node))
}

fn range_of(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}

/// Adds help in context that YAML users know, for common mistakes.
fn syntax_error(file: &Arc<SourceFile>, error: &ScanError) -> ConfigError {
    let marker = error.marker();
    let start = marker.byte_offset().unwrap_or_else(|| byte_at(&file.text, marker.index())).min(file.text.len());
    let end = file.text[start..].chars().next().map_or(start, |first| start + first.len_utf8());
    let info = error.info();
    let help = [
        ("tab", "indent with spaces"),
        ("unknown anchor", "define the anchor (`&name`) before the alias that uses it"),
        ("simple key", "add `:` and a space after the key"),
        ("mapping values are not allowed", "add quotes around text that contains `: `"),
        ("did not find expected ','", "close the open bracket, here or on a line above"),
        ("unclosed bracket", "close the bracket"),
        ("unclosed quote", "close the quote"),
    ];
    let help = help.iter().find(|(part, _)| info.contains(part)).map(|(_, help)| (*help).to_owned());
    ConfigError::error(Location::new(file, start..end), "invalid YAML", info).with_help(help)
}

fn byte_at(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
}

/// A node with its number of values and its nesting depth, which are limited.
#[derive(Clone)]
struct SizedNode {
    node: Node,
    size: usize,
    depth: usize,
}

/// A map or list that is not closed yet.
struct Open {
    start: usize,
    anchor: usize,
    content: Unfinished,
    size: usize,
    depth: usize,
}

enum Unfinished {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Node>, key: Option<(String, Range<usize>)>, places: KeyLocations },
}

/// The first location of each key of a map, to detect duplicates.
type KeyLocations = HashMap<String, Range<usize>>;
type ParseResult = Result<(), Box<ConfigError>>;

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    found: &'a mut Vec<ConfigError>,
    open: Vec<Open>,
    anchors: HashMap<usize, SizedNode>,
    spent: usize,
    root: Option<SizedNode>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) -> ParseResult {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.refusal(range, "the file contains a second document", "expected one document per file").into())
            }
            Event::Alias(anchor) => self.alias(anchor, range),
            Event::Scalar(text, style, anchor, tag) => {
                let content = self.scalar(text, style, tag.as_deref(), &range)?;
                let measured = SizedNode { node: Node { range, content }, size: 1, depth: 0 };
                self.close(measured, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.start(range, anchor, Unfinished::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let places = KeyLocations::new();
                let content = Unfinished::Map { entries: Vec::new(), merged: Vec::new(), key: None, places };
                self.start(range, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&range),
            _ => Ok(()),
        }
    }

    fn refusal(&self, range: Range<usize>, message: &str, expected: &str) -> ConfigError {
        ConfigError::error(Location::new(self.file, range), message, expected)
    }

    fn scalar(
        &self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: &Range<usize>,
    ) -> Result<Content, Box<ConfigError>> {
        match tag.map(Tag::core_suffix) {
            Some(Some("str")) => Ok(Content::Text(text.into_owned())),
            Some(Some("int" | "float" | "bool" | "null")) => Ok(scalar::resolve(&text)),
            Some(_) => Err(self.refusal(range.clone(), "unknown tag", "expected a value without a tag").into()),
            None if style == ScalarStyle::Plain => Ok(scalar::resolve(&text)),
            None => Ok(Content::Text(text.into_owned())),
        }
    }

    fn start(&mut self, range: Range<usize>, anchor: usize, content: Unfinished) -> ParseResult {
        if self.open.len() >= DEEPEST {
            return Err(self.too_deep(range).into());
        }
        self.open.push(Open { start: range.start, anchor, content, size: 1, depth: 1 });
        Ok(())
    }

    fn too_deep(&self, range: Range<usize>) -> ConfigError {
        let expected = format!("expected maps and lists to be nested at most {DEEPEST} levels deep");
        self.refusal(range, "maps and lists are nested too deeply", &expected)
    }

    /// Completes the map or list that was opened last.
    fn end(&mut self, range: &Range<usize>) -> ParseResult {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (content, last) = match open.content {
            Unfinished::List(items) => {
                let last = items.last().map_or(open.start, |item| item.range.end);
                (Content::List(items), last)
            }
            Unfinished::Map { mut entries, merged, .. } => {
                let last = entries.last().map_or(open.start, |entry| entry.value.range.end.max(entry.key_range.end));
                if !merged.is_empty() {
                    let mut known = entries.iter().map(|entry| entry.key.clone()).collect();
                    for node in merged {
                        merge(&mut entries, &mut known, node);
                    }
                }
                (Content::Map(entries), last)
            }
        };
        // A flow collection ends with its bracket; a block ends with its last value, before any blank lines.
        let end = if range.is_empty() { last } else { range.end };
        let node = Node { range: open.start..end.max(open.start), content };
        self.close(SizedNode { node, size: open.size, depth: open.depth }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> ParseResult {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(self
                .refusal(range, "the alias is inside its own anchor", "expected a value that does not contain itself")
                .into());
        };
        self.spent += target.size;
        if self.spent > ALIAS_BUDGET {
            let expected = format!("expected aliases to add at most {ALIAS_BUDGET} values in total");
            return Err(self.refusal(range, "aliases make this file too large", &expected).into());
        }
        let target = target.clone();
        self.close(target, 0)
    }

    /// Adds a complete value to the open map or list, or sets it as the root.
    fn close(&mut self, value: SizedNode, anchor: usize) -> ParseResult {
        if self.open.len() + value.depth > DEEPEST {
            return Err(self.too_deep(value.node.range).into());
        }
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.size += value.size;
        open.depth = open.depth.max(value.depth + 1);
        match &mut open.content {
            Unfinished::List(items) => items.push(value.node),
            Unfinished::Map { key: key @ None, .. } => *key = Some(key_of(self.file, &value.node)?),
            Unfinished::Map { entries, merged, key, places } => {
                let (key, key_range) = key.take().unwrap_or_default();
                if key == "<<" {
                    merged.push(value.node);
                } else if let Some(first) = places.get(&key) {
                    self.found.push(duplicate(self.file, &key, key_range, first.clone()));
                } else {
                    places.insert(key.clone(), key_range.clone());
                    entries.push(Entry { key, key_range, value: value.node });
                }
            }
        }
        Ok(())
    }
}

/// Keys are strings to Helm and Kubernetes, so `80: x` has the key `80` as written.
fn key_of(file: &Arc<SourceFile>, node: &Node) -> Result<(String, Range<usize>), Box<ConfigError>> {
    let location = Location::new(file, node.range.clone());
    let key = match &node.content {
        Content::Text(text) => text.clone(),
        Content::List(_) | Content::Map(_) => String::new(),
        _ => location.text().to_owned(),
    };
    if key.is_empty() {
        return Err(Box::new(ConfigError::error(location, "not a valid key", "expected a string as the key")));
    }
    Ok((key, node.range.clone()))
}

fn duplicate(file: &Arc<SourceFile>, key: &str, again: Range<usize>, first: Range<usize>) -> ConfigError {
    let message = format!("duplicate key {}", quoted(key));
    ConfigError::error(Location::new(file, again), message, "expected each key once")
        .with_other(Location::new(file, first), "first defined here")
        .with_help("remove one of the two, or merge them".to_owned())
}

/// Merges `<<: *anchor` or `<<: [*one, *two]`: adds the keys that the map does not set itself.
fn merge(entries: &mut Vec<Entry>, known: &mut HashSet<String>, node: Node) {
    match node.content {
        Content::Map(below) => entries.extend(below.into_iter().filter(|entry| known.insert(entry.key.clone()))),
        Content::List(items) => {
            for item in items {
                merge(entries, known, item);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> (Option<Value>, Vec<String>) {
        let file = Arc::new(SourceFile { path: "projects.yaml".into(), text: text.to_owned() });
        let mut found = Vec::new();
        let root = parse(&file, &mut found);
        (root.map(|node| node.content.to_json()), found.into_iter().map(|one| one.message).collect())
    }

    #[test]
    fn every_value_and_key_has_its_place() {
        let file = Arc::new(SourceFile { path: "p".into(), text: "a: {b: [1, \"x\"]}\nc:\n  d: |\n    t\n".into() });
        let root = parse(&file, &mut Vec::new()).unwrap();
        let cursor = super::super::tree::Cursor::root(&file, &root);
        let text = |path: &[&str]| cursor.at(path).unwrap().location().text().to_owned();
        assert_eq!(text(&["a"]), "{b: [1, \"x\"]}");
        assert_eq!(text(&["a", "b"]), "[1, \"x\"]");
        assert_eq!(text(&["a", "b", "1"]), "\"x\"");
        assert_eq!(text(&["c"]).trim_end(), "d: |\n    t");
        assert_eq!(cursor.at(&["c", "d"]).unwrap().key_location().text(), "d");
    }

    #[test]
    fn merge_keys_add_and_never_replace() {
        let (value, found) = read("base: &base {a: 1, b: 2}\nover:\n  <<: *base\n  b: 3\n");
        assert_eq!(value, Some(json!({"base": {"a": 1, "b": 2}, "over": {"a": 1, "b": 3}})));
        assert!(found.is_empty());
    }

    #[test]
    fn refuses_a_billion_laughs() {
        let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            let line = format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", "));
            text.push_str(&line);
        }
        assert_eq!(read(&text), (None, vec!["aliases make this file too large".to_owned()]));
    }

    #[test]
    fn refuses_what_nests_too_deeply() {
        let deep = format!("{}{}", "[".repeat(80), "]".repeat(80));
        assert_eq!(read(&deep), (None, vec!["maps and lists are nested too deeply".to_owned()]));
        let chain = format!("a: &a {}{}\nb: {}*a{}", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
        assert_eq!(read(&chain), (None, vec!["maps and lists are nested too deeply".to_owned()]));
    }

    #[test]
    fn refuses_what_is_no_single_document_of_plain_values() {
        for (text, message) in [
            ("a: 1\n---\nb: 2\n", "the file contains a second document"),
            ("a: !secret x\n", "unknown tag"),
            ("? [a]\n: 1\n", "not a valid key"),
            ("a: &x [*x]\n", "the alias is inside its own anchor"),
            ("a: [1\n", "invalid YAML"),
        ] {
            assert_eq!(read(text), (None, vec![message.to_owned()]), "{text}");
        }
    }
}
