//! The types in which [`super::tables`] defines the valid keys. One definition serves validation, the JSON Schema, and
//! the tables of the documentation.

use super::format::Format;

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A string with a format.
    Text(Format),
    /// An integer between two bounds, inclusive.
    Integer(i64, i64),
    /// A number between two bounds, inclusive.
    Number(f64, f64),
    Boolean,
    /// `true`, `false`, or a string with a format.
    BooleanOr(Format),
    /// A string with a format, or a map with known keys.
    TextOr(Format, &'static Table),
    /// One of a set of words.
    Choice(&'static [&'static str]),
    /// A map with known keys.
    Table(&'static Table),
    /// A map from names to values of one shape; names in the list have their own shape.
    Named(Format, &'static Shape, &'static [(&'static str, Shape)]),
    /// A list with at least one item.
    List(&'static Shape),
    /// A list that may have no items, where an empty one means something.
    ListOrEmpty(&'static Shape),
    /// A map of Helm values.
    Values,
}

/// A map with known keys.
#[derive(Debug)]
pub struct Table {
    /// The name in the schema and the documentation.
    pub name: &'static str,
    /// The name in messages, with article: `a project`.
    pub article: &'static str,
    pub description: &'static str,
    /// The page of the documentation that contains it.
    pub page: &'static str,
    pub fields: &'static [Field],
    /// The valid combinations of keys: exactly one of these sets. Empty: any combination.
    pub alternatives: &'static [&'static [&'static str]],
    /// At least one of these keys is required. Empty: none is required.
    pub any_of: &'static [&'static str],
    /// Pairs of keys that cannot be combined.
    pub exclusive: &'static [(&'static str, &'static str)],
    /// Keys that users write here by mistake, with the help that shows where they belong.
    pub elsewhere: &'static [(&'static [&'static str], &'static str)],
}

/// A key of a [`Table`].
#[derive(Debug, Clone, Copy)]
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

    /// Whether a key counts for [`Self::alternatives`]; others can be combined with any of them.
    pub fn is_in_alternatives(&self, key: &str) -> bool {
        self.alternatives.iter().any(|set| set.contains(&key))
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.key)
    }
}

impl Shape {
    /// Describes the expected value in messages.
    pub fn expected(&self) -> String {
        match self {
            Self::Text(format) => format.expected().to_owned(),
            Self::Integer(least, most) if least == most => format!("the number {least}"),
            Self::Integer(least, most) => format!("an integer from {least} to {most}"),
            Self::Number(least, most) if most - least > 1e12 => "a number".to_owned(),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::BooleanOr(format) => format!("`true`, `false`, or {}", format.expected()),
            Self::TextOr(format, table) => format!("{}, or {}", format.expected(), Self::Table(table).expected()),
            Self::Choice(words) => super::error::listed(words.iter().copied()),
            Self::Table(table) => {
                let keys: Vec<&str> = table.keys().collect();
                format!("a map with the keys {}", keys.join(", "))
            }
            Self::Named(..) => "a map with names as keys".to_owned(),
            Self::List(_) | Self::ListOrEmpty(_) => "a list".to_owned(),
            Self::Values => "a map of Helm values".to_owned(),
        }
    }
}

/// An optional key.
pub(super) const fn optional(key: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { key, shape, required: false, description }
}

/// A required key.
pub(super) const fn required(key: &'static str, shape: Shape, description: &'static str) -> Field {
    Field { key, shape, required: true, description }
}

/// The page of the documentation with most keys.
pub const MAIN_PAGE: &str = "projects-yaml.md";

/// A table whose keys can be combined freely.
pub(super) const fn table(
    name: &'static str,
    article: &'static str,
    description: &'static str,
    fields: &'static [Field],
) -> Table {
    Table {
        name,
        article,
        description,
        page: MAIN_PAGE,
        fields,
        alternatives: &[],
        any_of: &[],
        exclusive: &[],
        elsewhere: &[],
    }
}
