//! The implementation of each step.

mod address;
mod await_state;
mod certificate;
mod check;
mod copies;
mod deployed;
mod dev;
mod drain;
mod explain;
mod externals;
mod file_owner;
mod files;
mod harden;
mod hints;
mod hooks;
mod images;
mod kept_node;
mod local;
mod local_images;
mod maintenance;
mod node_pulls;
mod platform;
mod ports;
mod pull_secrets;
mod read_back;
mod release;
mod rollout;
mod run;
mod scale;
mod secrets;
mod snapshot;
mod stop_start;
mod traffic;
mod verify;
mod volumes;

pub use dev::SyncedFolders;
pub use local::{ClusterFolder, LocalCluster};
pub use local_images::LocalImages;
pub use node_pulls::NodePullWatch;
pub use platform::PlatformWork;
pub use release::{ReleaseContext, ReleaseOrigin};
pub use secrets::Decrypted;
pub use traffic::CheckRequest;
pub(crate) use verify::verify_job;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::{Mutex, OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use self::deployed::ReleaseList;
use crate::{
    adapters::{
        authority::Authority,
        cluster::{Cluster, ClusterError, ClusterView, NamespaceState, SavedData},
        credentials::Credentials,
        helm::HelmError,
        http::HttpClient,
        process::ProcessError,
        registry::Registry,
        wait::{Interrupted, Wait, WaitError, every},
    },
    domain::Problem,
    engine::{Reporter, StepFailure, StepRunner},
    plan::{NamespaceSpec, OperateStep, Planned, Step},
};

/// The polling interval for changes that are not watched.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the steps of a plan in one environment.
#[derive(Debug)]
pub struct Runner {
    /// The kind cluster of the environment; `None` if cmdr did not create the cluster.
    pub local: Option<LocalCluster>,
    /// The folder of the workspace.
    pub folder: PathBuf,
    pub kubeconfig: PathBuf,
    pub context: Option<String>,
    pub release: ReleaseContext,
    /// The accessible namespaces; `None` means all, in a cluster that cmdr created.
    pub reach: Option<Vec<String>>,
    /// The namespace of the environment's ledger; `local` has none.
    pub ledger: Option<String>,
    pub credentials: Arc<Credentials>,
    pub registry: Registry,
    /// The warnings about credentials that were reported; locked while a pull secret is written.
    pub pull_warnings: Mutex<BTreeSet<String>>,
    pub http: HttpClient,
    /// The certificate authority of this machine; only for local clusters.
    pub authority: Option<Authority>,
    /// The decrypted files that the plan's steps need; sops decrypts them before the first step.
    pub decrypted: Decrypted,
    /// The releases of the platform that the plan changes.
    pub platform: PlatformWork,
    /// Shared with the runner of the next plan, if this one leaves the cluster as it is.
    pub connection: Arc<OnceCell<Connection>>,
    /// The namespace of Traefik.
    pub ingress: String,
    /// Evaluates the checks of rollouts.
    pub checks: Option<mpsc::Sender<CheckRequest>>,
    /// What a snapshot says about the data that a copy gets; read by the first step that needs it.
    pub saved_data: OnceCell<SavedData>,
    /// What the steps of `dev` know about the folders of synced files.
    pub synced: SyncedFolders,
    /// How far the pulls of the local node are.
    pub pulls: NodePullWatch,
}

/// A cluster client and its watches.
#[derive(Debug)]
pub struct Connection {
    pub cluster: Cluster,
    /// Started by the first step that needs it: a run that changes nothing only checks URLs.
    view: OnceLock<ClusterView>,
    /// The releases that the run does not change, once a step has listed them.
    releases: OnceCell<ReleaseList>,
}

impl Connection {
    /// Returns the view of the workloads, and starts its watches if they are not running.
    fn view(&self) -> &ClusterView {
        self.view.get_or_init(|| ClusterView::start(&self.cluster))
    }
}

impl StepRunner for Runner {
    async fn run(
        &self,
        planned: &Planned,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let result = self.perform(planned, reporter, cancel).await;
        self.platform.end(&planned.step, result.is_ok());
        result
    }
}

impl Runner {
    async fn perform(
        &self,
        planned: &Planned,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match &planned.step {
            Step::DeleteCluster | Step::CreateCluster | Step::StartCluster | Step::StopCluster { .. } => {
                self.cluster(&planned.step, reporter, cancel).await
            }
            Step::LocalRegistry(_) | Step::RemoveRegistry | Step::Build(_) => {
                self.image(planned, reporter, cancel).await
            }
            Step::AnnounceRegistry { host } => self.announce_registry(host).await,
            Step::ConnectCluster => self.connect(cancel).await,
            Step::PrepareNamespace(namespace) => self.prepare(namespace, reporter, cancel).await,
            Step::ExternalSecret(spec) => self.external_secret(spec, reporter, cancel).await,
            Step::Definitions(spec) => self.apply_definitions(spec).await,
            Step::Deploy(spec) => self.deploy(spec, reporter, cancel).await,
            Step::AwaitRollout(rollout) => self.await_release(rollout, reporter, cancel).await,
            Step::AwaitState(spec) => self.await_state(spec, reporter, cancel).await,
            Step::PullImages(images) => self.pull_images(images, reporter, cancel).await,
            Step::ProvideVolumes(volumes) => self.provide_volumes(volumes).await,
            Step::AddressPool => self.address_pool(cancel).await,
            Step::LocalCertificate(wanted) => self.local_certificate(wanted, reporter).await,
            Step::PublishPorts(forwarder) => self.local()?.publish_ports(forwarder, reporter, cancel).await,
            Step::SaveSnapshot(name) => self.local()?.save_snapshot(name, reporter, cancel).await,
            Step::RestoreSnapshot(snapshot) => self.local()?.restore_snapshot(snapshot, reporter, cancel).await,
            Step::CheckAddresses | Step::CheckNames => self.check_network(&planned.step, reporter, cancel).await,
            Step::Check(check) => self.check(check, reporter, cancel).await,
            Step::Remove(removal) => self.remove(removal, cancel).await,
            Step::External(spec) => self.point(spec).await,
            Step::RemoveExternal(removal) => self.remove_redirect(removal).await,
            Step::Answer(spec) => self.answer(spec, reporter, cancel).await,
            Step::DeleteNamespace(name) => Ok(self.connected()?.cluster.delete_namespace(name).await.map(|()| None)?),
            Step::Copy(step) => self.of_copy(step, reporter, cancel).await,
            Step::Harden(spec) => self.harden(spec, reporter, cancel).await,
            Step::Run(run) => self.run_job(run, reporter, cancel).await,
            Step::Verify(verify) => self.verify(verify, reporter, cancel).await,
            Step::Return(back) => self.go_back(back, reporter, cancel).await,
            Step::Dev(step) => self.develop(step, reporter, cancel).await,
            Step::Operate(step) => self.operate(step, reporter, cancel).await,
        }
    }

    /// Changes what runs or is reachable, without a new record.
    async fn operate(
        &self,
        step: &OperateStep,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match step {
            OperateStep::Restart(rollout) => self.restart(rollout, reporter, cancel).await,
            OperateStep::Scale(scale) => self.scale(scale, reporter, cancel).await,
            OperateStep::Maintenance(step) => self.maintain(step, reporter, cancel).await,
            OperateStep::Drain(step) => self.drain(step, reporter, cancel).await,
            OperateStep::Traffic(step) => self.traffic(step, reporter, cancel).await,
        }
    }

    async fn image(
        &self,
        planned: &Planned,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        self.local()?.images().run(planned, reporter, cancel).await
    }

    async fn check_network(
        &self,
        step: &Step,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        match step {
            Step::CheckNames => self.check_names(reporter, cancel).await,
            _ => self.check_addresses(reporter, cancel).await,
        }
    }

    async fn cluster(
        &self,
        step: &Step,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let local = self.local()?;
        match step {
            Step::CreateCluster => local.create(reporter, cancel).await,
            Step::StartCluster => local.start(&self.kubeconfig, reporter, cancel).await,
            Step::StopCluster { warm } => local.stop(*warm, reporter, cancel).await,
            _ => local.delete(cancel).await,
        }
    }

    fn local(&self) -> Result<&LocalCluster, StepFailure> {
        let not_owned = || Problem::new("the cluster of this environment was not created by cmdr").into();
        self.local.as_ref().ok_or_else(not_owned)
    }

    fn connected(&self) -> Result<&Connection, StepFailure> {
        self.connection.get().ok_or_else(|| Problem::new("the cluster is not connected").into())
    }

    async fn connect(&self, cancel: &CancellationToken) -> Result<Option<String>, StepFailure> {
        // An automatic rollback, and what follows builds, start when the run is already connected.
        if self.connection.initialized() {
            return Ok(None);
        }
        if let Some(local) = &self.local {
            local.prepare_node(&self.kubeconfig, cancel).await?;
        }
        let cluster = Cluster::open(&self.kubeconfig, self.context.as_deref()).await?;
        let cluster = match &self.reach {
            Some(namespaces) => cluster.within(namespaces.clone()),
            None => cluster,
        };
        // Only one step of a plan connects.
        let _ = self.connection.set(Connection { cluster, view: OnceLock::new(), releases: OnceCell::new() });
        Ok(None)
    }

    /// Announces the registry only if it exists; without its image there is none.
    async fn announce_registry(&self, host: &str) -> Result<Option<String>, StepFailure> {
        let services = self.local()?.docker.registry_services().await?;
        if !services.iter().any(|service| service.is_push() && service.is_running) {
            return Ok(Some("no local registry".to_owned()));
        }
        self.connected()?.cluster.announce_registry(host).await?;
        Ok(Some(host.to_owned()))
    }

    async fn prepare(
        &self,
        namespace: &NamespaceSpec,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        let cluster = &self.connected()?.cluster;
        if cluster.namespace_state(&namespace.name).await? == NamespaceState::Terminating {
            reporter.progress("waiting until the namespace of the same name is deleted");
        }
        if let Some(mark) = &namespace.copy {
            if cluster.namespace_state(&namespace.name).await? != NamespaceState::Active {
                cluster.wait_until_deleted(&namespace.name, cancel).await?;
                copies::volumes_deleted(cluster, &namespace.name, cancel).await?;
            }
            // Before anything else is in it, so that a namespace of a copy is always marked as one.
            cluster.mark_copy(&self.release.origin.workspace, &namespace.name, mark).await?;
        }
        if self.local.is_some() || namespace.privileged {
            cluster.apply_namespace(&namespace.name, namespace.privileged, cancel).await?;
        } else {
            // An account that deploys may not change namespaces: their labels decide what pods may do.
            cluster.ensure_namespace(&namespace.name, cancel).await?;
        }
        for secret in &namespace.secrets {
            self.write_secret(namespace, secret).await?;
        }
        let hosts: Vec<&str> = namespace.registries.iter().map(String::as_str).collect();
        self.write_pull_secret(&namespace.name, &hosts, reporter, cancel).await?;
        Ok(None)
    }

    async fn address_pool(&self, cancel: &CancellationToken) -> Result<Option<String>, StepFailure> {
        let range = self.local()?.pool_range().await?;
        self.apply_pool(&range, cancel).await?;
        Ok(Some(range))
    }

    async fn apply_pool(&self, range: &str, cancel: &CancellationToken) -> Result<(), StepFailure> {
        let cluster = &self.connected()?.cluster;
        let mut wait = Wait::new(every(LOOK), platform::KINDS);
        while let Err(error) = cluster.apply_address_pool(crate::plan::up::LOAD_BALANCER_NAMESPACE, range).await {
            wait.limit = if error.is_status(404) { platform::KINDS } else { platform::WEBHOOK };
            wait.pause_or(error, cancel).await?;
        }
        Ok(())
    }
}

impl<E> From<WaitError<E>> for StepFailure
where
    Self: From<E>,
{
    fn from(error: WaitError<E>) -> Self {
        match error {
            WaitError::Limit(error) => error.into(),
            WaitError::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Interrupted> for StepFailure {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl From<ClusterError> for StepFailure {
    fn from(error: ClusterError) -> Self {
        error.problem().into()
    }
}

impl From<HelmError> for StepFailure {
    fn from(error: HelmError) -> Self {
        match error {
            HelmError::Process(ProcessError::Interrupted { .. }) => Self::Interrupted,
            other => other.problem().into(),
        }
    }
}
