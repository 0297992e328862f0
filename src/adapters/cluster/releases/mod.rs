//! What Helm installed: stored releases, the objects they rendered, and how those differ from what runs.

mod claims;
mod compare;
mod difference;
mod discovery;
mod drift;
pub(super) mod objects;
mod pulls;
mod references;
pub(super) mod stored;

pub use compare::Deviation;
pub use objects::{Generation, Object, Rendered, images_of_manifest, parse_manifest};
pub use pulls::{PullAccount, pull_accounts};
pub use stored::StoredRelease;
