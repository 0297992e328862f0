//! Environments whose cluster cmdr does not own: staging, production and reviews.

pub mod access;
pub mod apply;
mod automatic_rollback;
pub mod combination;
pub mod deploy_request;
pub mod driver;
mod from_ledger;
pub(crate) mod gates;
mod images;
pub(crate) mod leases;
mod ledger;
pub mod named_images;
pub mod operation;
pub mod pipeline;
mod pipeline_job;
pub mod plan;
pub mod prepare;
mod preview;
pub mod recorded_charts;
mod reviews;
pub mod rollouts;
pub mod source;
pub mod targets;
pub mod up;
