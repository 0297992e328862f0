//! Plans the steps from the observed to the desired state. Pure: nothing here performs I/O.

pub mod bundle_versions;
mod certificate;
pub mod change;
pub mod check_all;
pub mod cluster;
pub mod copies;
pub mod dev;
pub mod drain;
pub mod eligible;
pub mod end_review;
pub mod externals;
pub mod gates;
pub mod graph;
pub mod harden;
pub mod images;
pub mod known_images;
pub mod maintenance;
pub mod operate;
pub mod ports;
pub mod prune;
pub mod registry;
pub mod restart;
pub mod rollback;
pub mod run;
pub mod scale;
pub mod secrets;
pub mod sets;
pub mod snapshot;
pub mod start;
pub mod step;
pub mod step_back;
pub mod traffic;
pub mod up;
pub mod volumes;
pub mod wait;

pub use change::{Change, ObservedRelease, observe_change};
pub use copies::{CopiedVolumes, CopyStep, DataPlace, DataSource};
pub use dev::Developed;
pub use externals::{AnswerSpec, ExternalSpec};
pub use graph::{Plan, Planned, StepId};
pub use operate::OperateStep;
pub use registry::{BuildSpec, RegistrySpec};
pub use secrets::{ExternalSecretSpec, SecretContent, SecretSpec, SopsFile};
pub use step::{Operation, Removal, Step};
pub use volumes::VolumeSpec;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use crate::domain::{
    ImageReference, Name, RecordId, ReleaseKey, VerifyWhen, disk_files::FileMap, ledger::Deployment,
    local_copy::CopyMark, record::Record,
};

/// A release whose rollout is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutSpec {
    pub release: ReleaseKey,
    /// How long the rollout may make no progress before it fails.
    pub timeout_seconds: u64,
}

/// A Job that verifies a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifySpec {
    pub project: Name,
    /// The name of the verify Job.
    pub name: Name,
    pub namespace: String,
    /// Including its digest.
    pub image: String,
    pub command: Vec<String>,
    pub when: VerifyWhen,
    pub timeout_seconds: u64,
}

/// An automatic rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnSpec {
    pub rollout: RolloutSpec,
    /// The number of the previous Helm revision.
    pub revision: u32,
    /// The record ID of that revision.
    pub record: RecordId,
}

/// A namespace and what it must contain before releases are installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceSpec {
    pub name: String,
    /// The image registries that the user is logged in to: pods get the credentials.
    pub registries: BTreeSet<String>,
    /// In a step of a plan, only those that must be written.
    pub secrets: Vec<SecretSpec>,
    /// Privileged pods run here (MetalLB's speaker), which Pod Security must allow.
    pub privileged: bool,
    /// Set for the namespace of a copy of `local`.
    pub copy: Option<CopyMark>,
    /// Whose generated secrets it gets, because it also gets their data.
    pub secrets_from: Option<DataSource>,
}

/// How to compare a release whose fingerprint is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// No further comparison.
    #[default]
    No,
    /// By record ID: a different digest is different content.
    ByRecord,
    /// Also by the digests that its pods run, if records can contain tags, as in `local`.
    ByPods,
}

/// CustomResourceDefinitions of a chart to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionsSpec {
    /// The name of the release.
    pub release: String,
    /// The chart that contains them.
    pub chart: PathBuf,
    /// The definitions to apply, each with the checksum of its content.
    pub definitions: BTreeMap<String, String>,
}

/// How the releases of a run are compared and changed: the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeployPolicy {
    pub refresh: Refresh,
    /// Takes over objects of other tools.
    pub adopt: bool,
    /// Reverts manual changes: always in `local`, elsewhere only if requested.
    pub repair: bool,
}

/// The desired state of a Helm release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSpec {
    pub name: String,
    pub namespace: String,
    /// A folder or an archive on this machine.
    pub chart: PathBuf,
    /// The chart is the universal one: its images and its service account are in its values.
    pub universal: bool,
    /// The CustomResourceDefinitions of the chart, each with a checksum.
    pub definitions: BTreeMap<String, String>,
    pub content: Record,
    /// The ConfigMaps with files from disk that the content mounts; without those that are only in the cluster.
    pub files: Vec<Arc<FileMap>>,
    /// The record ID of the content.
    pub record: RecordId,
    /// The hash of the content as written, before tags are resolved.
    pub fingerprint: String,
    pub image: Option<ImageReference>,
    /// How long the rollout may make no progress before it fails.
    pub timeout_seconds: u64,
    /// The project whose new version it is, if it is the second release of a rollout.
    pub rollout_of: Option<String>,
}

impl ReleaseSpec {
    /// The project that it belongs to.
    pub fn project(&self) -> &str {
        self.rollout_of.as_deref().unwrap_or(&self.name)
    }

    pub fn key(&self) -> ReleaseKey {
        ReleaseKey::new(&self.namespace, &self.name)
    }

    pub fn rollout(&self) -> RolloutSpec {
        RolloutSpec { release: self.key(), timeout_seconds: self.timeout_seconds }
    }
}

/// How a release is brought to its desired state.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploySpec {
    pub release: ReleaseSpec,
    pub operation: Operation,
    pub policy: DeployPolicy,
    /// The entry for the ledger, if the environment has one.
    pub entry: Option<LedgerEntry>,
    /// A drain has stopped it: it is deployed without pods.
    pub stopped: bool,
}

/// The ledger entry that is written before a Helm operation.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEntry {
    /// The name of the release in the ledger.
    pub subject: String,
    pub deployment: Deployment,
    /// How long the current release has been healthy.
    pub healthy_seconds: Option<u64>,
}

/// A URL check of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    pub project: Name,
    /// The URL to request.
    pub url: String,
    /// The URL to show to users.
    pub shown_url: String,
    /// The expected HTTP status; `None`: any response of the project.
    pub status: Option<u16>,
}
