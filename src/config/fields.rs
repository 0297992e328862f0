//! The language in which [`super::tables`] says what may be written. One description serves three readers: the check
//! of a file, the JSON Schema, and the tables of the documentation.

use super::format::Format;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text that follows a grammar.
    Text(Format),
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    Boolean,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A map with known keys.
    Table(&'static Table),
    /// A map from names to values of one shape; names in the second list have a shape of their own.
    Named(Format, &'static Shape, &'static [(&'static str, Shape)]),
    /// A list with at least one item.
    List(&'static Shape),
    /// A map of whatever a chart takes.
    Values,
}

/// A map with known keys.
#[derive(Debug)]
pub struct Table {
    /// By which schema and documentation refer to it.
    pub name: &'static str,
    /// One of it, as a message calls it: `a project`.
    pub article: &'static str,
    pub description: &'static str,
    pub fields: &'static [Field],
    /// Which keys may stand together: exactly one of these sets. Empty: any.
    pub alternatives: &'static [&'static [&'static str]],
    /// At least one of these keys. Empty: none is needed.
    pub any_of: &'static [&'static str],
    /// Keys that exclude one another.
    pub exclusive: &'static [(&'static str, &'static str)],
    /// Keys that people write here and that belong elsewhere, with the remedy.
    pub elsewhere: &'static [(&'static [&'static str], &'static str)],
}

/// A key of a [`Table`].
#[derive(Debug)]
pub struct Field {
    pub key: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub description: &'static str,
}

impl Table {
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.key)
    }
}

impl Shape {
    /// What is expected, as a message says it.
    pub fn expected(&self) -> String {
        match self {
            Self::Text(format) => format.expected().to_owned(),
            Self::Integer(least, most) if least == most => format!("the number {least}"),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(words) => super::diagnostic::listed(words.iter().copied()),
            Self::Table(table) => {
                let keys: Vec<&str> = table.keys().collect();
                format!("a map of {}", keys.join(", "))
            }
            Self::Named(..) => "a map from names to what they stand for".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Values => "a map of Helm values".to_owned(),
        }
    }
}

/// A key that may be left out.
pub(super) const fn optional(key: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { key, shape, required: false, description }
}

/// A key that must be written.
pub(super) const fn required(key: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { key, shape, required: true, description }
}

/// A table whose keys may stand in any company.
pub(super) const fn table(
    name: &'static str,
    article: &'static str,
    description: &'static str,
    fields: &'static [Field],
) -> Table {
    Table { name, article, description, fields, alternatives: &[], any_of: &[], exclusive: &[], elsewhere: &[] }
}
