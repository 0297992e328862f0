//! What runs: workloads, their pods and Jobs, and why a rollout does not complete.

mod balancer;
mod inspect;
pub mod jobs;
mod overview;
mod pods;
mod probes;
pub mod rollout;
mod view;
mod wake;

pub use balancer::Balancer;
pub use inspect::Workloads;
pub use probes::ProbeState;
pub use view::{ClusterView, WorkloadSnapshot};
pub use wake::{BalancedService, StatusUpdates, is_from_before};
