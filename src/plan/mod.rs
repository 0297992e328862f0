//! What is described and what is observed become a graph of steps. Pure: nothing here reads or writes anything.

pub mod change;
pub mod eligible;
pub mod externals;
pub mod gates;
pub mod graph;
pub mod images;
pub mod prove;
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

use crate::domain::{ImageReference, Name, VerifyWhen, ledger::Deployment, record::Record, snapshot::Snapshot};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Deletes what an unfinished `kind create` left, or what `--recreate` or `down` gives up.
    DeleteCluster,
    CreateCluster,
    /// Starts a stopped node or wakes a paused one, and waits until what its API says is from after that.
    StartCluster,
    /// Ends the node's pods and stops it, or freezes it in memory.
    StopCluster {
        warm: bool,
    },
    /// Makes the registry of this machine and its caches, or those of them that are missing.
    LocalRegistry(RegistrySpec),
    /// Removes all of them, with what they hold.
    RemoveRegistry,
    /// Tells tools where the registry of this machine is, as they look for it in a cluster (KEP-1755).
    AnnounceRegistry {
        /// `localhost:5001`
        host: String,
    },
    /// Builds a project's image and pushes it to the registry of this machine.
    Build(BuildSpec),
    /// Puts mirrors and certificates on the node, and begins to watch the cluster.
    ConnectCluster,
    /// Makes a namespace, with pull secrets, generated secrets and secrets from SOPS in it.
    PrepareNamespace(NamespaceSpec),
    /// Tells External Secrets what to fetch, and waits until it has.
    ExternalSecret(ExternalSecretSpec),
    /// Installs or upgrades a release through Helm and waits for its rollout.
    Deploy(Box<ReleaseSpec>),
    /// Waits for a rollout that an earlier run began.
    AwaitRollout(RolloutSpec),
    /// Pulls images onto the local node ahead of their pods.
    PullImages(Vec<ImageReference>),
    /// Makes volumes on the local node, for claims that are not there yet.
    ProvideVolumes(Vec<VolumeSpec>),
    /// Gives MetalLB its addresses.
    AddressPool,
    /// Keeps the cluster, which sleeps, under this name.
    SaveSnapshot(Name),
    /// Puts a snapshot in the place of the cluster, asleep.
    RestoreSnapshot(Box<Snapshot>),
    /// Holds the addresses of LoadBalancer services against Docker's network, and mends them.
    CheckAddresses,
    /// Asks the cluster's own name server.
    CheckNames,
    /// Asks a URL, as a browser would.
    Check(CheckSpec),
    /// Uninstalls a release whose project is gone; volumes stay.
    Remove {
        namespace: String,
        release: String,
    },
    /// Has a project's name lead to where somebody else runs it.
    External(Box<ExternalSpec>),
    /// Takes away what led there: the project has a release again, or is gone.
    RemoveExternal {
        namespace: String,
        name: String,
    },
    /// Asks whether something accepts connections where somebody else runs a project.
    Answer(AnswerSpec),
    /// A fresh rollout of the same content.
    Restart(RolloutSpec),
    /// Runs a Job that proves a deployment.
    Verify(VerifySpec),
    /// Brings back a revision of a release that Helm still has.
    Return(ReturnSpec),
}

/// A release whose pods are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutSpec {
    pub namespace: String,
    pub release: String,
    /// How long the rollout may go without progress.
    pub timeout_seconds: u64,
}

/// A Job that proves a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifySpec {
    pub project: Name,
    /// The proof's own name.
    pub name: Name,
    pub namespace: String,
    /// With its digest.
    pub image: String,
    pub command: Vec<String>,
    pub when: VerifyWhen,
    pub timeout_seconds: u64,
}

/// A way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnSpec {
    pub rollout: RolloutSpec,
    /// Helm's number of the revision that ran before.
    pub revision: u32,
    /// Its record.
    pub record: String,
}

/// A namespace and what it must hold before releases come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceSpec {
    pub name: String,
    /// The image registries whose credentials pods need here.
    pub registries: Vec<String>,
    /// In a step of a plan, those alone that must be written.
    pub secrets: Vec<SecretSpec>,
    /// Privileged pods run here (MetalLB's speaker), so Pod Security must let them.
    pub privileged: bool,
}

/// What a release is compared by when it is as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Nothing else.
    No,
    /// Its record: another digest is another content.
    ByRecord,
    /// Where records may name tags, as in `local`: what its pods run, as well.
    ByPods,
}

/// A Helm release as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSpec {
    pub name: String,
    pub namespace: String,
    /// A folder or an archive on this machine.
    pub chart: PathBuf,
    pub content: Record,
    /// The content's name.
    pub record: String,
    /// The name of the content as it is written, before tags were looked up.
    pub fingerprint: String,
    pub refresh: Refresh,
    pub image: Option<ImageReference>,
    /// How long the rollout may go without progress.
    pub timeout_seconds: u64,
    /// Takes over objects that somebody else made.
    pub adopt: bool,
    /// Puts right what others have changed by hand: always in `local`, elsewhere when it is asked for.
    pub repair: bool,
    /// This revision is marked as failed first: a dead run left it in a `pending-*` state, or its Jobs have failed.
    pub failed_revision: Option<u32>,
    /// Jobs that have failed: they are deleted first, since a Job of the same name would stay as it is.
    pub retry_jobs: Vec<String>,
    /// What the ledger is told, where one is kept.
    pub entry: Option<Box<LedgerEntry>>,
}

/// What the ledger is told of a release before Helm is called.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEntry {
    /// What the ledger calls the release.
    pub subject: String,
    pub deployment: Deployment,
    /// For how long what runs has been healthy.
    pub healthy_seconds: Option<u64>,
}

/// A request that a project must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    pub project: Name,
    /// What is asked for.
    pub url: String,
    /// Where people go.
    pub shown_url: String,
    pub status: u16,
}
