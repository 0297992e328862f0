//! What cmdr writes to a cluster: namespaces, leases, the ledger, secrets, externals, reviews, volumes.

pub(super) mod apply;
mod certificates;
mod copies;
mod definitions;
mod externals;
pub mod file_maps;
pub mod lease;
pub mod ledger;
mod local_registry;
mod namespaces;
mod owned;
mod procedures;
pub(super) mod pull_secrets;
pub mod reviews;
mod rollouts;
mod saved_data;
mod secrets;
mod volumes;
mod workloads;

pub use externals::external_objects;
pub use namespaces::NamespaceState;
pub use saved_data::{SAVED_DATA, SavedData};
pub use secrets::{ExternalState, external_secret};
pub use volumes::LocalVolume;
