//! Domain types of cmdr: names, images, workspaces, releases, address pools. No I/O.

pub mod build;
pub mod cluster_networks;
pub mod container_behavior;
pub mod deadline;
pub mod difference;
pub mod digest;
pub mod disk_files;
pub mod exposed;
pub mod external;
pub mod freeze;
pub mod gate;
pub mod identity;
pub mod image;
pub mod image_key;
pub mod images_in;
pub mod labels;
pub mod ledger;
pub mod local_certificate;
pub mod local_registry;
pub mod mirror;
mod monitoring;
pub mod name;
pub mod nearest;
mod network_policy;
pub mod node_files;
pub mod objects;
pub mod pipeline;
pub mod platform;
pub mod pool;
pub mod ports;
pub mod preflight;
pub mod pressure;
pub mod problem;
pub mod processor;
pub mod project_secret;
pub mod proxy;
pub mod quantity;
pub mod record;
pub mod redact;
pub mod release_key;
pub mod resolve;
pub mod secret;
mod shared_service;
pub mod slug;
pub mod snapshot;
pub mod step_kind;
pub mod user_configuration;
pub mod values;
pub mod waits;
pub mod workspace;
pub mod yaml;

pub use build::Build;
pub use digest::{ChartDigest, Digest};
pub use image::ImageReference;
pub use image_key::{ImageKey, ValuePath};
pub use images_in::ImagesIn;
pub use name::{InvalidName, Name};
pub use problem::Problem;
pub use record::RecordId;
pub use release_key::ReleaseKey;
pub use resolve::{ResolvedProject, ResolvedRoute, resolve};
pub use step_kind::StepKind;
pub use values::Values;
pub use workspace::{
    Bundle, Chart, ChartSource, Check, Environment, External, OnFailure, Platform, PlatformOverride, PlatformRelease,
    Presence, Project, ProjectOverride, Promotion, Review, ReviewInstance, Route, Tls, Verify, VerifyWhen, Workspace,
    Writer,
};
