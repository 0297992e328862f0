//! The steps of a plan: what each one does, and to what.

use super::{
    AnswerSpec, BuildSpec, CheckSpec, CopyStep, DefinitionsSpec, DeploySpec, ExternalSecretSpec, ExternalSpec,
    NamespaceSpec, RegistrySpec, ReturnSpec, RolloutSpec, VerifySpec, VolumeSpec,
    dev::{DevAction, DevStep},
    harden::HardenSpec,
    operate::OperateStep,
    run::RunSpec,
    wait::WaitSpec,
};
use crate::domain::{
    ImageReference, Name, ReleaseKey, StepKind, exposed::Forwarder, local_certificate::LocalCertificate,
    snapshot::Snapshot,
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
    /// Applies CustomResourceDefinitions of a newer chart, which Helm leaves as they are.
    Definitions(DefinitionsSpec),
    /// Installs or upgrades a release through Helm and waits for its rollout.
    Deploy(Box<DeploySpec>),
    /// Waits for a rollout that a previous run started.
    AwaitRollout(RolloutSpec),
    /// Waits for a state that another run brings about.
    AwaitState(WaitSpec),
    /// Pulls images onto the local node before their pods start.
    PullImages(Vec<ImageReference>),
    /// Creates volumes on the local node, for claims that do not exist yet.
    ProvideVolumes(Vec<VolumeSpec>),
    /// Configures the address pool of MetalLB.
    AddressPool,
    /// Writes the certificate of a local cluster.
    LocalCertificate(LocalCertificate),
    /// Publishes these ports of projects on 127.0.0.1, and no others.
    PublishPorts(Forwarder),
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
    Remove(Removal),
    /// Creates the Service that points to an external project.
    External(Box<ExternalSpec>),
    /// Removes the objects of an external project: it has a release again, or was removed.
    RemoveExternal(Removal),
    /// Checks that an external project accepts connections.
    Answer(AnswerSpec),
    /// Changes what runs or is reachable, without a new record.
    Operate(OperateStep),
    /// Deletes a namespace with everything in it, and does not wait until it is gone.
    DeleteNamespace(String),
    /// Does what only copies of the local environment need.
    Copy(CopyStep),
    /// Tries a project with stricter security settings.
    Harden(Box<HardenSpec>),
    /// Runs a Job on demand.
    Run(Box<RunSpec>),
    /// Runs a Job that verifies a deployment.
    Verify(VerifySpec),
    /// Rolls a release back to a revision that Helm still has.
    Return(ReturnSpec),
    /// Changes what runs while `cmdr dev` does, or restores it.
    Dev(DevStep),
}

impl Step {
    /// The deployment of a project or of the platform; the second release of a rollout is none.
    pub fn deployment(&self) -> Option<&DeploySpec> {
        match self {
            Self::Deploy(spec) if spec.release.rollout_of.is_none() => Some(spec),
            _ => None,
        }
    }

    /// Returns the action, as an imperative: `create`, `install`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::DeleteCluster | Self::DeleteNamespace(_) => "delete",
            Self::Copy(step) => step.action(),
            Self::CreateCluster => "create",
            Self::StartCluster => "start",
            Self::StopCluster { warm: true } => "pause",
            Self::StopCluster { warm: false } => "stop",
            Self::LocalRegistry(_) | Self::PrepareNamespace(_) | Self::ProvideVolumes(_) => "prepare",
            Self::AnnounceRegistry { .. } => "announce",
            Self::Build(_) => "build",
            Self::ConnectCluster => "connect",
            Self::ExternalSecret(_) | Self::AddressPool | Self::LocalCertificate(_) | Self::Definitions(_) => "apply",
            Self::Deploy(spec) => spec.operation.action(),
            Self::PublishPorts(forwarder) if forwarder.forwards.is_empty() => "remove",
            Self::PublishPorts(_) => "publish",
            Self::AwaitRollout(_) | Self::AwaitState(_) => "wait",
            Self::PullImages(_) => "pull",
            Self::SaveSnapshot(_) => "save",
            Self::RestoreSnapshot(_) => "restore",
            Self::CheckAddresses | Self::CheckNames | Self::Check(_) => "check",
            Self::RemoveRegistry
            | Self::Remove(Removal { is_orphan: true, .. })
            | Self::RemoveExternal(Removal { is_orphan: true, .. }) => "remove",
            Self::Remove(_) => "uninstall",
            Self::External(_) => "redirect",
            Self::RemoveExternal(_) => "remove redirect",
            Self::Answer(_) => "probe",
            Self::Operate(step) => step.action(),
            Self::Harden(_) => "harden",
            Self::Run(_) => "run",
            Self::Verify(_) => "verify",
            Self::Return(_) => "roll back",
            Self::Dev(step) => step.action(),
        }
    }

    /// Returns the subject: a project, a platform component, or a part of the environment.
    pub fn subject(&self) -> String {
        match self {
            Self::DeleteCluster
            | Self::CreateCluster
            | Self::StartCluster
            | Self::StopCluster { .. }
            | Self::ConnectCluster => "cluster".to_owned(),
            Self::LocalRegistry(_) | Self::RemoveRegistry | Self::AnnounceRegistry { .. } => "registry".to_owned(),
            Self::Build(build) => build.project.to_string(),
            Self::PrepareNamespace(namespace) => format!("namespace {}", namespace.name),
            Self::DeleteNamespace(namespace) => format!("namespace {namespace}"),
            Self::Copy(step) => step.subject(),
            Self::ExternalSecret(secret) => format!("secret {}", secret.name),
            Self::Definitions(spec) => format!("CRDs of {}", spec.release),
            Self::Deploy(spec) => spec.release.name.clone(),
            Self::AwaitState(spec) => spec.rollout.release.name.clone(),
            Self::AwaitRollout(rollout) => rollout.release.name.clone(),
            Self::PullImages(_) => "images".to_owned(),
            Self::ProvideVolumes(_) => "volumes".to_owned(),
            Self::AddressPool => "address pool".to_owned(),
            Self::LocalCertificate(_) => "certificate".to_owned(),
            Self::PublishPorts(_) => "ports".to_owned(),
            Self::SaveSnapshot(_) | Self::RestoreSnapshot(_) => "snapshot".to_owned(),
            Self::CheckAddresses => "addresses".to_owned(),
            Self::CheckNames => "names".to_owned(),
            Self::Check(check) => check.project.to_string(),
            Self::Remove(removal) | Self::RemoveExternal(removal) => removal.release.name.clone(),
            Self::Operate(step) => step.subject(),
            Self::External(external) => external.service.name.clone(),
            Self::Answer(answer) => answer.project.clone(),
            Self::Harden(harden) => harden.release.name.clone(),
            Self::Run(run) => run.release.name.clone(),
            Self::Verify(verify) => verify.project.to_string(),
            Self::Return(back) => back.rollout.release.name.clone(),
            Self::Dev(step) => step.project.release.name.clone(),
        }
    }

    /// Returns the project or release of the platform that the step builds, deploys or checks; `None` for other steps.
    pub fn project(&self) -> Option<Name> {
        match self {
            Self::Build(_)
            | Self::Deploy(_)
            | Self::AwaitState(_)
            | Self::AwaitRollout(_)
            | Self::Check(_)
            | Self::Answer(_)
            | Self::Remove(_)
            | Self::Verify(_) => Name::new(&self.subject()).ok(),
            _ => None,
        }
    }

    pub fn kind(&self) -> StepKind {
        match self {
            Self::Dev(DevStep { action: DevAction::Test(_), .. })
            | Self::Check(_)
            | Self::CheckAddresses
            | Self::CheckNames
            | Self::Answer(_)
            | Self::Verify(_)
            | Self::AwaitState(_) => StepKind::Check,
            Self::Dev(DevStep { action: DevAction::Compile(_), .. })
            | Self::ConnectCluster
            | Self::PullImages(_)
            | Self::ProvideVolumes(_)
            | Self::LocalRegistry(_)
            | Self::LocalCertificate(_)
            | Self::AnnounceRegistry { .. } => StepKind::Prepare,
            _ => StepKind::Change,
        }
    }
}

/// A release, or the objects of an external project, to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub release: ReleaseKey,
    /// Whether its project was removed from projects.yaml; if not, something else takes its place.
    pub is_orphan: bool,
}

/// How a release is changed through Helm.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Operation {
    #[default]
    Install,
    Upgrade,
    /// These Jobs have failed, and are deleted first, because Helm does not replace an existing Job.
    Retry {
        revision: u32,
        jobs: Vec<String>,
    },
    /// An interrupted run left this revision `pending-*`.
    Recover {
        revision: u32,
    },
}

impl Operation {
    fn action(&self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Retry { .. } => "retry",
            Self::Recover { .. } => "recover",
        }
    }

    /// Returns the revision that is marked as failed first, so that Helm continues from it.
    pub fn failed_revision(&self) -> Option<u32> {
        match self {
            Self::Retry { revision, .. } | Self::Recover { revision } => Some(*revision),
            Self::Install | Self::Upgrade => None,
        }
    }

    /// Returns the failed Jobs that are deleted first.
    pub fn retry_jobs(&self) -> &[String] {
        match self {
            Self::Retry { jobs, .. } => jobs,
            _ => &[],
        }
    }
}
