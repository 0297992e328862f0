//! `projects.yaml` -> [`crate::domain::Workspace`], or every mistake in it, each with its place.
//!
//! Text becomes a tree that knows the place of every key ([`tree`]); [`tables`] say what may be written, and serve the
//! check (`shape`), the JSON Schema ([`schema`]) and the documentation ([`reference`](mod@reference)) alike; what names
//! mean is checked next (`meaning`); what is left is read into the domain (`read`).

pub mod diagnostic;
pub mod edit;
pub mod fields;
pub mod format;
mod load;
mod meaning;
mod nearest;
mod parse;
mod read;
pub mod reference;
mod scalar;
pub mod schema;
mod shape;
pub mod source;
pub mod sources;
pub mod tables;
pub mod tree;
mod values;

pub use diagnostic::{Diagnostic, Label, Severity, render};
pub use edit::with_environment_key;
pub use format::duration as parse_duration;
pub use load::{FILE, LOCAL_FILE, LoadError, Loaded, Report, load};
pub use source::{Location, SourceFile};
pub use sources::Sources;
pub use values::{ValuesSchema, check_values, misplaced_value};
