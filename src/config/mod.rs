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
mod insert;
mod load;
mod manifest;
mod meaning;
mod parse;
mod pipeline_edit;
mod read;
mod read_queues;
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
pub use insert::{ProjectHome, project_home, with_project};
pub use load::{EditedFile, FILE, LOCAL_FILE, LoadError, Loaded, Report, load, load_edited, read_files};
pub use manifest::read_manifest;
pub use pipeline_edit::{PipelineEdit, with_pipeline_build};
pub use read::join;
pub use set_options::SetOptions;
pub use source::{Location, SourceFile};
pub use sources::Sources;
pub use universal::{FoundFile, Provided, check_project, dashboards, disk_files, rendered_objects};
pub use values::{ValueOrigin, ValuesHolder, ValuesSchema, check_empty_keys, check_values};
