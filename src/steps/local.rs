//! The local cluster: created, started, deleted, and its node prepared.

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use semver::Version;
use tokio_util::sync::CancellationToken;

use super::local_images::{LocalImages, make_present};
use crate::{
    adapters::{
        builds::Builds,
        docker::{Docker, DockerError, IMAGE_STORE, NETWORK, Network, UploadFile},
        kind::{
            Kind, KindError, NewCluster,
            configuration::{NodeSettings, configuration, node_files, pool_of_mark},
        },
        local_run::LOCAL_RUNS,
        process::ProcessError,
    },
    domain::{
        ImageReference, Problem,
        cluster_networks::ClusterNetworks,
        local_copy::ORIGINAL,
        local_registry::{INNER_PORT, NodeRegistry, RegistryService},
        mirror::ImageMirror,
        node_files::node_files as mirror_files,
        pool::Pool,
        ports::Pair,
        proxy::Proxies,
    },
    engine::{Reporter, StepFailure},
};

/// The kind cluster of an environment.
#[derive(Debug, Clone)]
pub struct LocalCluster {
    pub docker: Docker,
    pub kind: Kind,
    pub name: String,
    pub folder: ClusterFolder,
    /// The copy of the environment that the steps concern.
    pub copy: Option<String>,
    pub node_image: ImageReference,
    pub kubernetes: Option<Version>,
    pub http_port: u16,
    pub https_port: u16,
    pub networks: ClusterNetworks,
    pub mirrors: Vec<ImageMirror>,
    /// The registry and the caches of this machine, which the node uses.
    pub registry: Vec<RegistryService>,
    /// A company's certificate authority, in PEM.
    pub certificate_authority: Option<String>,
    pub proxies: Proxies,
}

/// The folder on this machine for the files of a local cluster.
#[derive(Debug, Clone)]
pub struct ClusterFolder(pub PathBuf);

impl ClusterFolder {
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// The file of builds, of the environment or of a copy. It is next to the folder, because it survives the cluster.
    pub fn builds(&self, copy: Option<&str>) -> PathBuf {
        self.0.with_extension(of_copy(copy, "builds.json"))
    }

    /// The files of builds of all copies and of the environment.
    pub fn all_builds(&self) -> Vec<PathBuf> {
        let prefix = self.0.file_name().map(|name| format!("{}.", name.to_string_lossy())).unwrap_or_default();
        let entries = self.0.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let is_own = |entry: &fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_prefix(&prefix).is_some_and(|rest| rest.ends_with("builds.json"))
        };
        entries.filter(is_own).map(|entry| entry.path()).collect()
    }

    /// The lock of the namespace of the environment, or of a copy.
    pub fn namespace_lock(&self, copy: Option<&str>) -> PathBuf {
        self.0.with_extension(format!("{}.lock", copy.unwrap_or(ORIGINAL)))
    }

    /// The file of the images that `cmdr dev` has built, which no other command uses.
    pub fn dev_builds(&self, copy: Option<&str>) -> PathBuf {
        self.0.with_extension(of_copy(copy, "dev-images.json"))
    }

    /// The lock of the `cmdr dev` that changes a project. No copy has such a name.
    pub fn dev_lock(&self, copy: Option<&str>, project: &str) -> PathBuf {
        self.0.with_extension(of_copy(copy, &format!("dev_{project}.lock")))
    }

    pub fn lock(&self) -> PathBuf {
        self.0.with_extension("lock")
    }

    /// The lock of the certificate, whose hosts are those of all copies. No copy has such a name.
    pub fn certificate_lock(&self) -> PathBuf {
        self.0.with_extension("host_certificate.lock")
    }

    /// The folder with the marks of processes of this machine that replace pods.
    pub fn local_runs(&self) -> PathBuf {
        self.0.with_extension(LOCAL_RUNS)
    }

    /// The folder that is mounted into the node.
    pub(super) fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// This file exists while `kind create` runs. If it still exists later, the cluster is incomplete.
    fn unfinished(&self) -> PathBuf {
        self.0.join("unfinished")
    }

    pub fn is_unfinished(&self) -> bool {
        self.unfinished().exists()
    }

    /// The networks that the cluster was created with; `None` if they are not known.
    pub fn networks(&self) -> Option<ClusterNetworks> {
        ClusterNetworks::parse(&fs::read_to_string(self.networks_file()).ok()?)
    }

    fn networks_file(&self) -> PathBuf {
        self.0.join("networks")
    }

    /// Prepares the folder for a new cluster. `networks`: those of the cluster, `None` for the unknown ones of a snapshot.
    pub(super) fn begin(&self, networks: Option<ClusterNetworks>) -> std::io::Result<()> {
        for (name, content) in node_files() {
            let file = self.node().join(name);
            fs::create_dir_all(file.parent().unwrap_or(&self.0))?;
            fs::write(file, content)?;
        }
        fs::write(self.networks_file(), networks.map(|networks| networks.to_string()).unwrap_or_default())?;
        fs::write(self.unfinished(), "")
    }

    pub(super) fn finish(&self) -> std::io::Result<()> {
        fs::remove_file(self.unfinished())
    }

    fn forget(&self) {
        // If the folder cannot be removed, the next cluster with this name overwrites it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn of_copy(copy: Option<&str>, extension: &str) -> String {
    copy.map_or_else(|| extension.to_owned(), |copy| format!("{copy}.{extension}"))
}

/// Pulls the image `$0` of the repository `$1` unless the node has it. Its second name is the one that the kubelet gives to
/// what it pulls: without it, the status of a pod has no digest.
const PULL: &str = r#"
ctr="ctr --namespace k8s.io images"
$ctr ls --quiet | grep --quiet --line-regexp --fixed-strings "$0" && exit
nice $ctr pull --hosts-dir /etc/containerd/certs.d "$0" || exit
digest=$($ctr ls "name==$0" | awk 'END { print $3 }')
case $0 in *@*) ;; *) $ctr tag --force "$0" "$1@$digest" ;; esac
"#;

impl LocalCluster {
    /// Returns the ports of its URLs.
    pub fn ports(&self) -> Pair {
        Pair { http: self.http_port, https: self.https_port }
    }

    /// The name of the container that is the cluster's only node.
    pub(super) fn node(&self) -> String {
        format!("{}-control-plane", self.name)
    }

    pub(super) async fn create(
        &self,
        reporter: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StepFailure> {
        make_present(&self.docker, &self.mirrors, &self.node_image, reporter, cancel).await?;
        let network = self.docker.ensure_network(NETWORK).await?;
        let pool = self.choose_pool(&network).await?;
        self.folder.begin(Some(self.networks)).map_err(|error| self.cannot_write(&error))?;
        let proxy = self.proxy_of_node(network.gateway);
        if let Some(detail) = self.start_from_kept(pool, &proxy, reporter, cancel).await? {
            return Ok(Some(detail));
        }
        let store = self.image_store(reporter).await?;
        self.create_by_kind(pool, &proxy, store.as_deref(), (reporter, cancel)).await?;
        self.folder.finish().map_err(|error| self.cannot_write(&error))?;
        // Without a volume for images, the copy would contain them all.
        if let Some(store) = store {
            let key = self.kept_key(pool, &proxy, &store).await?;
            self.keep_node(&key, reporter, cancel).await;
        }
        Ok(Some(self.created()))
    }

    /// What a step that has created the cluster says.
    pub(super) fn created(&self) -> String {
        format!("{}, ports {} and {}", self.name, self.http_port, self.https_port)
    }

    async fn create_by_kind(
        &self,
        pool: Pool,
        proxy: &[(&'static str, String)],
        store: Option<&str>,
        (reporter, cancel): (&Reporter, &CancellationToken),
    ) -> Result<(), StepFailure> {
        let (image, folder) = (self.node_image.to_string(), self.folder.node());
        let mounts: Vec<(&str, &str)> = store.iter().map(|folder| (*folder, IMAGE_STORE)).collect();
        let configuration = configuration(&self.node_settings(pool, (&image, &folder), &mounts));
        let kubeconfig = self.folder.kubeconfig();
        let cluster = NewCluster { name: &self.name, configuration: &configuration, kubeconfig: &kubeconfig, proxy };
        if let Err(error) = self.kind.create(&cluster, cancel, |stage| reporter.progress(stage)).await {
            self.abandon().await;
            return Err(error.into());
        }
        Ok(())
    }

    /// Deletes an incomplete cluster, which contains no data. If it cannot be deleted now, the file `unfinished` stays,
    /// and the next run deletes it.
    pub(super) async fn abandon(&self) {
        if self.kind.delete(&self.name, &self.folder.kubeconfig(), &CancellationToken::new()).await.is_ok() {
            let _ = self.docker.release_image_store(&self.name).await;
            self.folder.forget();
        }
    }

    /// The settings of a new node, with its image, the folder with cmdr's files, and further mounts.
    pub(super) fn node_settings<'a>(
        &'a self,
        pool: Pool,
        (image, folder): (&'a str, &'a Path),
        mounts: &'a [(&'a str, &'a str)],
    ) -> NodeSettings<'a> {
        NodeSettings {
            image,
            kubernetes: self.kubernetes.as_ref(),
            http_port: self.http_port,
            https_port: self.https_port,
            networks: self.networks,
            pool,
            folder,
            mounts,
        }
    }

    /// Returns the proxy variables for the node, which reaches this machine with its registry and caches directly.
    fn proxy_of_node(&self, gateway: Ipv4Addr) -> Vec<(&'static str, String)> {
        let services: Vec<String> = self.registry.iter().map(RegistryService::name).collect();
        let gateway = gateway.to_string();
        self.proxies.variables(services.iter().map(String::as_str).chain([gateway.as_str()]))
    }

    /// Returns the folder with the images of the previous cluster, if the engine's folders can be mounted; those inside
    /// a virtual machine cannot. It only saves time, so if it cannot be prepared, the cluster is created without it.
    pub(super) async fn image_store(&self, reporter: &Reporter) -> Result<Option<String>, StepFailure> {
        if self.docker.info().await?.virtual_machine {
            return Ok(None);
        }
        match self.docker.prepare_image_store(&self.name, &self.node_image.to_string()).await {
            Ok(folder) => Ok(Some(folder)),
            Err(error) => {
                reporter.warn(error.problem().detail("all images are pulled and unpacked again"));
                Ok(None)
            }
        }
    }

    pub(super) async fn choose_pool(&self, network: &Network) -> Result<Pool, StepFailure> {
        let nodes = self.docker.node_containers().await?;
        let others = nodes.iter().filter(|node| node.cluster != self.name);
        let taken: Vec<Pool> =
            others.flat_map(|node| &node.mounts).filter_map(|mount| pool_of_mark(&mount.destination)).collect();
        Pool::choose(network.subnet, &self.name, &taken)
            .map_err(|error| Problem::new(error.to_string()).help("delete unused clusters").into())
    }

    /// Returns the range that was chosen when the cluster was created, or another one if the network has changed since.
    pub(super) async fn pool_range(&self) -> Result<String, StepFailure> {
        let network = self.docker.ensure_network(NETWORK).await?;
        let nodes = self.docker.node_containers().await?;
        let mut own = nodes.iter().filter(|node| node.cluster == self.name).flat_map(|node| &node.mounts);
        let marked = own.find_map(|mount| pool_of_mark(&mount.destination));
        let pool = match marked.filter(|pool| network.subnet.contains(pool.first)) {
            Some(pool) => pool,
            None => self.choose_pool(&network).await?,
        };
        Ok(pool.range())
    }

    pub(super) async fn delete(&self, cancel: &CancellationToken) -> Result<Option<String>, StepFailure> {
        self.kind.delete(&self.name, &self.folder.kubeconfig(), cancel).await?;
        self.docker.remove_forwarders(&self.name).await?;
        self.docker.release_image_store(&self.name).await?;
        for builds in self.folder.all_builds().iter().filter(|file| **file != self.folder.builds(None)) {
            // The copies are deleted with the cluster. A file that stays only names images.
            let _ = fs::remove_file(builds);
        }
        self.remove_given_up().await;
        self.docker.sweep_snapshots(&self.name).await?;
        self.folder.forget();
        self.docker.forget_restored(&self.name).await?;
        Ok(None)
    }

    /// Returns whether the node's containerd has the image; pulls it if necessary, into kubelet's namespace and from
    /// the same mirrors.
    pub(super) async fn pull_onto_node(&self, image: &ImageReference) -> bool {
        let (reference, repository) = (image.full(), format!("{}/{}", image.registry, image.repository));
        let command = ["sh", "-c", PULL, &reference, &repository];
        self.docker.exec(&self.node(), &command).await.is_ok_and(|output| output.exit_code == 0)
    }

    /// Returns the images of this machine, for the steps of this cluster.
    pub(super) fn images(&self) -> LocalImages {
        let builds = Builds(self.folder.builds(self.copy.as_deref()));
        LocalImages { docker: self.docker.clone(), mirrors: self.mirrors.clone(), builds, saves_folders: true }
    }

    /// Returns the images that `cmdr dev` has built.
    pub(super) fn dev_builds(&self) -> Builds {
        Builds(self.folder.dev_builds(self.copy.as_deref()))
    }

    /// Returns the images of this machine, for builds that are not saved as the last ones.
    pub(super) fn dev_images(&self) -> LocalImages {
        LocalImages { builds: self.dev_builds(), saves_folders: false, ..self.images() }
    }

    /// Writes mirrors and certificates to the node, and the kubeconfig if it is missing.
    pub(super) async fn prepare_node(&self, kubeconfig: &Path, cancel: &CancellationToken) -> Result<(), StepFailure> {
        if !kubeconfig.exists() {
            let folder = kubeconfig.parent().unwrap_or(kubeconfig);
            fs::create_dir_all(folder).map_err(|error| self.cannot_write(&error))?;
            self.kind.export_kubeconfig(&self.name, kubeconfig, cancel).await?;
        }
        self.upload_mirrors().await
    }

    pub(super) async fn upload_mirrors(&self) -> Result<(), StepFailure> {
        // Commands that create nothing have no registry list, and must not remove the settings that `up` wrote.
        if self.registry.is_empty() {
            return Ok(());
        }
        let reached = self.reached_caches().await;
        let for_nodes = |service: &RegistryService| {
            let known = service.for_nodes();
            // Built images exist only here: if this registry is missing, the node must report that as the error.
            let is_asked = service.port().is_some() || reached.contains(&service.name());
            if is_asked { known } else { NodeRegistry { url: None, ..known } }
        };
        let registries: Vec<NodeRegistry> = self.registry.iter().map(for_nodes).collect();
        let authority = self.certificate_authority.as_deref();
        let network = self.docker.ensure_network(NETWORK).await?;
        let files = mirror_files(&registries, &self.mirrors, authority, network.gateway);
        let uploads: Vec<UploadFile<'_>> = files
            .iter()
            .map(|file| UploadFile {
                path: file.path.trim_start_matches('/'),
                content: file.content.as_bytes(),
                mode: 0o644,
            })
            .collect();
        self.docker.upload(&self.node(), "/", &uploads).await?;
        Ok(())
    }

    /// Returns the caches that the node can connect to. A running container is not sufficient: a cache whose upstream
    /// is not trusted exits and restarts repeatedly.
    async fn reached_caches(&self) -> BTreeSet<String> {
        let caches = self.registry.iter().filter(|service| service.port().is_none());
        let names: Vec<String> = caches.map(RegistryService::name).collect();
        if names.is_empty() {
            return BTreeSet::new();
        }
        let script = "for name; do
            (timeout 5 bash -c \"</dev/tcp/$name/$0\" 2>/dev/null && echo \"$name\") &
        done
        wait";
        let port = INNER_PORT.to_string();
        let mut command = vec!["bash", "-c", script, &port];
        command.extend(names.iter().map(String::as_str));
        let detail = self.docker.exec(&self.node(), &command).await.map(|output| output.stdout).unwrap_or_default();
        detail.lines().map(str::to_owned).collect()
    }

    pub(super) fn cannot_write(&self, error: &std::io::Error) -> StepFailure {
        Problem::new(format!("cannot write to {}: {error}", self.folder.0.display())).into()
    }
}

impl From<DockerError> for StepFailure {
    fn from(error: DockerError) -> Self {
        error.problem().into()
    }
}

impl From<KindError> for StepFailure {
    fn from(error: KindError) -> Self {
        match error {
            KindError::Process(ProcessError::Interrupted { .. }) => Self::Interrupted,
            other => other.problem().into(),
        }
    }
}
