//! What cmdr writes to a cluster: namespaces, leases, the ledger, secrets, externals, reviews, volumes.

pub(super) mod apply;
mod certificates;
mod definitions;
mod externals;
pub mod file_maps;
pub mod lease;
pub mod ledger;
mod local_registry;
mod namespaces;
pub(super) mod pull_secrets;
pub mod reviews;
mod secrets;
mod volumes;

pub use namespaces::NamespaceState;
pub use secrets::ExternalState;
pub use volumes::LocalVolume;
