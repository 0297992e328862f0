//! Plans the steps from the observed to the desired state. Pure: nothing here performs I/O.

pub mod change;
pub mod check_all;
pub mod eligible;
pub mod externals;
pub mod gates;
pub mod graph;
pub mod images;
pub mod registry;
pub mod secrets;
pub mod up;
pub mod volumes;

pub use change::{Change, ObservedRelease, observe_change};
pub use externals::{AnswerSpec, ExternalSpec};
pub use graph::{Plan, Planned, StepId};
pub use registry::{BuildSpec, RegistrySpec};
pub use secrets::{ExternalSecretSpec, SecretContent, SecretSpec, SopsFile};
pub use volumes::VolumeSpec;

use std::path::PathBuf;

use crate::domain::{
    ImageReference, Name, RecordId, ReleaseKey, VerifyWhen, ledger::Deployment, record::Record, snapshot::Snapshot,
};

/// One operation of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Deletes the remains of an interrupted `kind create`, or the cluster for `--recreate` and `down`.
    DeleteCluster,
    CreateCluster,
    /// Starts a stopped node or unpauses a paused one, and waits until its API reports the state after the start.
    StartCluster,
    /// Terminates the pods of the node and stops it, or pauses it in memory.
    StopCluster {
        warm: bool,
    },
    /// Creates the local registry and its caches, or those that are missing.
    LocalRegistry(RegistrySpec),
    /// Removes the local registry and its caches with their content.
    RemoveRegistry,
    /// Announces the address of the local registry in the cluster, where tools look for it (KEP-1755).
    AnnounceRegistry {
        /// `localhost:5001`
        host: String,
    },
    /// Builds the image of a project and pushes it to the local registry.
    Build(BuildSpec),
    /// Configures mirrors and certificates on the node, and starts to watch the cluster.
    ConnectCluster,
    /// Creates a namespace with pull secrets, generated secrets and SOPS secrets.
    PrepareNamespace(NamespaceSpec),
    /// Applies an `ExternalSecret`, and waits until it is synced.
    ExternalSecret(ExternalSecretSpec),
    /// Installs or upgrades a release through Helm and waits for its rollout.
    Deploy(Box<ReleaseSpec>),
    /// Waits for a rollout that a previous run started.
    AwaitRollout(RolloutSpec),
    /// Pulls images onto the local node before their pods start.
    PullImages(Vec<ImageReference>),
    /// Creates volumes on the local node, for claims that do not exist yet.
    ProvideVolumes(Vec<VolumeSpec>),
    /// Configures the address pool of MetalLB.
    AddressPool,
    /// Saves the stopped cluster under this name.
    SaveSnapshot(Name),
    /// Replaces the cluster with a snapshot, which is not started yet.
    RestoreSnapshot(Box<Snapshot>),
    /// Checks that the addresses of LoadBalancer services belong to Docker's network, and fixes them.
    CheckAddresses,
    /// Checks the DNS server of the cluster.
    CheckNames,
    /// Requests a URL, as a browser would.
    Check(CheckSpec),
    /// Uninstalls a release whose project was removed; volumes are kept.
    Remove(ReleaseKey),
    /// Creates the Service that points to an external project.
    External(Box<ExternalSpec>),
    /// Removes the objects of an external project: it has a release again, or was removed.
    RemoveExternal(ReleaseKey),
    /// Checks that an external project accepts connections.
    Answer(AnswerSpec),
    /// Restarts the pods with the same content.
    Restart(RolloutSpec),
    /// Runs a Job that verifies a deployment.
    Verify(VerifySpec),
    /// Rolls a release back to a revision that Helm still has.
    Return(ReturnSpec),
}

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
    /// The image registries that pods need credentials for.
    pub registries: Vec<String>,
    /// In a step of a plan, only those that must be written.
    pub secrets: Vec<SecretSpec>,
    /// Privileged pods run here (MetalLB's speaker), which Pod Security must allow.
    pub privileged: bool,
}

/// How to compare a release whose fingerprint is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// No further comparison.
    No,
    /// By record ID: a different digest is different content.
    ByRecord,
    /// Also by the digests that its pods run, if records can contain tags, as in `local`.
    ByPods,
}

/// The desired state of a Helm release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSpec {
    pub name: String,
    pub namespace: String,
    /// A folder or an archive on this machine.
    pub chart: PathBuf,
    pub content: Record,
    /// The record ID of the content.
    pub record: RecordId,
    /// The hash of the content as written, before tags are resolved.
    pub fingerprint: String,
    pub refresh: Refresh,
    pub image: Option<ImageReference>,
    /// How long the rollout may make no progress before it fails.
    pub timeout_seconds: u64,
    /// Takes over objects of other tools.
    pub adopt: bool,
    /// Reverts manual changes: always in `local`, elsewhere only if requested.
    pub repair: bool,
    /// This revision is marked as failed first: an interrupted run left it `pending-*`, or its Jobs failed.
    pub failed_revision: Option<u32>,
    /// Failed Jobs to delete first, because Helm does not replace an existing Job.
    pub retry_jobs: Vec<String>,
    /// The entry for the ledger, if the environment has one.
    pub entry: Option<Box<LedgerEntry>>,
}

impl ReleaseSpec {
    pub fn key(&self) -> ReleaseKey {
        ReleaseKey::new(&self.namespace, &self.name)
    }

    pub fn rollout(&self) -> RolloutSpec {
        RolloutSpec { release: self.key(), timeout_seconds: self.timeout_seconds }
    }
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
    pub status: u16,
}
