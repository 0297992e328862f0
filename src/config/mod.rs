//! Reads `projects.yaml` into a [`crate::domain::Workspace`], or reports every error in it with its location.
//!
//! The text is parsed into a tree with the location of every key ([`tree`]). [`tables`] define the valid keys and are
//! shared by validation (`shape`), the JSON Schema ([`schema`]) and the documentation ([`reference`](mod@reference)).
//! References between names are validated next (`meaning`). The result is then converted to domain types (`read`).

pub mod edit;
pub mod error;
mod exposed;
pub mod fields;
pub mod format;
mod load;
mod meaning;
mod parse;
mod read;
pub mod reference;
mod scalar;
pub mod schema;
mod set_options;
mod shape;
pub mod source;
pub mod sources;
pub mod tables;
pub mod tree;
mod universal;
mod values;

pub use edit::with_environment_key;
pub use error::{ConfigError, Label, Severity, render};
pub use format::duration as parse_duration;
pub use load::{FILE, LOCAL_FILE, LoadError, Loaded, Report, load, read_files};
pub use set_options::SetOptions;
pub use source::{Location, SourceFile};
pub use sources::Sources;
pub use universal::{FoundFile, Provided, check_project, disk_files};
pub use values::{ValueOrigin, ValuesHolder, ValuesSchema, check_values};
