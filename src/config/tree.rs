//! YAML as a tree that stores the location of every key and every value.

use std::{ops::Range, sync::Arc};

use serde_json::Value;

use super::source::{Location, SourceFile};

/// A value and its location; the content of an alias has the location of its anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub range: Range<usize>,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_range: Range<usize>,
    pub value: Node,
}

impl Content {
    /// The name of the type in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Converts the content to JSON, which can represent every tree.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Integer(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Text(value) => Value::from(value.as_str()),
            Self::List(items) => items.iter().map(|item| item.content.to_json()).collect(),
            Self::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.value.content.to_json()));
                Value::Object(pairs.collect())
            }
        }
    }
}

/// A value in its file, with its entry if it is in a map.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    pub file: &'a Arc<SourceFile>,
    pub node: &'a Node,
    /// The entry of the value, if it is in a map.
    pub entry: Option<&'a Entry>,
}

impl<'a> Cursor<'a> {
    pub fn root(file: &'a Arc<SourceFile>, node: &'a Node) -> Self {
        Self { file, node, entry: None }
    }

    /// Returns the location of the value, or of its key if the value is empty.
    pub fn location(&self) -> Location {
        let range = if self.node.range.is_empty() { self.key_range() } else { self.node.range.clone() };
        Location::new(self.file, range)
    }

    /// Returns the location of the key, or of the value if it has none.
    pub fn key_location(&self) -> Location {
        Location::new(self.file, self.key_range())
    }

    fn key_range(&self) -> Range<usize> {
        self.entry.map_or_else(|| self.node.range.clone(), |entry| entry.key_range.clone())
    }

    /// The key of the value; empty in lists.
    pub fn key(&self) -> &'a str {
        self.entry.map_or("", |entry| entry.key.as_str())
    }

    pub fn text(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self.node.content {
            Content::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    /// An integer or a number with a point.
    #[expect(clippy::cast_precision_loss, reason = "limits of checks are small numbers")]
    pub fn number(&self) -> Option<f64> {
        match self.node.content {
            Content::Integer(integer) => Some(integer as f64),
            Content::Float(number) => Some(number),
            _ => None,
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.node.content {
            Content::Bool(boolean) => Some(boolean),
            _ => None,
        }
    }

    /// The values of a map; empty if this is not a map.
    pub fn entries(&self) -> impl Iterator<Item = Cursor<'a>> + use<'a> {
        let file = self.file;
        let entries: &'a [Entry] = match &self.node.content {
            Content::Map(entries) => entries,
            _ => &[],
        };
        entries.iter().map(move |entry| Cursor { file, node: &entry.value, entry: Some(entry) })
    }

    /// The values of a list; empty if this is not a list.
    pub fn items(&self) -> impl Iterator<Item = Cursor<'a>> + use<'a> {
        let file = self.file;
        let items: &'a [Node] = match &self.node.content {
            Content::List(items) => items,
            _ => &[],
        };
        items.iter().map(move |node| Cursor { file, node, entry: None })
    }

    pub fn get(&self, key: &str) -> Option<Cursor<'a>> {
        self.entries().find(|entry| entry.key() == key)
    }

    /// Returns the value at the end of a path of keys and list indices.
    pub fn at(&self, path: &[&str]) -> Option<Cursor<'a>> {
        let (found, depth) = self.deepest(path);
        (depth == path.len()).then_some(found)
    }

    /// Returns the deepest existing value along `path`, and its depth.
    pub fn deepest(&self, path: &[&str]) -> (Cursor<'a>, usize) {
        let mut here = *self;
        for (depth, key) in path.iter().enumerate() {
            let item = || key.parse().ok().and_then(|index| here.items().nth(index));
            match here.get(key).or_else(item) {
                Some(below) => here = below,
                None => return (here, depth),
            }
        }
        (here, path.len())
    }
}
