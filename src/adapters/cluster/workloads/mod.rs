//! What runs: workloads, their pods and Jobs, and why a rollout does not complete.

mod after_start;
mod balancer;
mod describe;
pub mod examine;
pub mod exec;
mod exec_stream;
mod explain;
mod forward;
mod inspect;
pub mod jobs;
pub mod local_run;
pub mod logs;
mod metrics;
mod neighbours;
mod overview;
mod pods;
mod probes;
pub mod resources;
pub mod rollout;
pub mod runs;
pub mod trial;
mod view;

pub use after_start::{BalancedService, StatusUpdates, is_from_before};
pub use balancer::Balancer;
pub use forward::PodRequest;
pub use inspect::Workloads;
pub use probes::ProbeState;
pub use view::{ClusterView, PodView, WorkloadSnapshot};
