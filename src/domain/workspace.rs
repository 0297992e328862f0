//! What `projects.yaml` describes, checked and without its positions.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{ImageReference, Name, Values, freeze::FreezeWindow};

/// The name of the environment that is a kind cluster of cmdr's own.
pub const LOCAL: &str = "local";

/// A folder with a `projects.yaml`, whole and valid.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub name: Name,
    /// The folder that holds `projects.yaml`.
    pub root: PathBuf,
    /// Always holds [`LOCAL`].
    pub environments: BTreeMap<Name, Environment>,
    /// `defaults.values`: under every project on the universal chart.
    pub defaults: Values,
    /// Releases that the cluster needs before projects, beside or over cmdr's own MetalLB and Traefik.
    pub platform: BTreeMap<Name, PlatformRelease>,
    pub projects: BTreeMap<Name, Project>,
    pub bundles: BTreeMap<Name, Bundle>,
}

/// Where projects run.
#[derive(Debug, Clone)]
pub struct Environment {
    pub name: Name,
    /// The kubeconfig context; `None` for [`LOCAL`] and for reviews alone.
    pub context: Option<String>,
    /// UID of namespace `kube-system`; another cluster is refused.
    pub cluster_id: Option<String>,
    /// Where the projects' releases live: the workspace's name unless written.
    pub namespace: String,
    /// Projects answer on `<host>.<domain>`: `<workspace>.localhost` for [`LOCAL`] unless written.
    pub domain: Option<String>,
    /// Who may write here.
    pub only: Option<Writer>,
    pub promote: Option<Promotion>,
    /// When nothing is deployed here.
    pub freeze: BTreeMap<Name, FreezeWindow>,
    pub review: Option<Review>,
    /// The copy that a review is: of which environment, and by which name.
    pub copy: Option<Copy>,
    pub platform: Platform,
    /// Local only: the Kubernetes version of the node (`1.34`, `1.34.2`).
    pub kubernetes: Option<String>,
    /// Local only: the ports on 127.0.0.1 for HTTP and HTTPS.
    pub http_port: Option<u16>,
    pub https_port: Option<u16>,
}

impl Environment {
    pub fn is_local(&self) -> bool {
        self.name.as_str() == LOCAL
    }

    /// The environment under whose name projects say what is different there.
    pub fn overrides(&self) -> &Name {
        self.copy.as_ref().map_or(&self.name, |copy| &copy.of)
    }

    /// The copy of `source` that a review is: on its cluster, with its values, in a namespace and on hosts of its own.
    /// Images come as to any environment without promotion, and the platform is the source's.
    #[must_use]
    pub fn copied(&self, review: &Review, source: &Self, slug: &str) -> Self {
        Self {
            name: self.name.clone(),
            namespace: review.namespace.replace("{slug}", slug),
            only: self.only,
            promote: None,
            freeze: self.freeze.clone(),
            review: Some(review.clone()),
            copy: Some(Copy { of: source.name.clone(), namespace: source.namespace.clone(), slug: slug.to_owned() }),
            platform: Platform::External,
            ..source.clone()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A pipeline; a laptop is refused with a hint. RBAC is what enforces it.
    Ci,
}

/// `promote: {from, soak}` of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    pub from: Name,
    /// How long a record must have been healthy in `from`.
    pub soak: Duration,
    /// The type of an artifact that must be attached to an image at its registry.
    pub scan: Option<String>,
}

/// `review: {from, namespace, expires}` of an environment: short-lived copies, one for each merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Its cluster is used, and its values are taken.
    pub from: Name,
    /// With `{slug}` for the merge request's own part.
    pub namespace: String,
    /// How long one lives without a new `up`.
    pub expires: Duration,
}

/// One copy of an environment, for one merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub of: Name,
    /// The namespace of the environment that is copied.
    pub namespace: String,
    /// The merge request's own part of names.
    pub slug: String,
}

/// Who provides what a cluster needs before projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Platform {
    #[default]
    Cmdr,
    /// Somebody else installs the ingress controller here.
    External,
}

/// An entry of `platform`: `metallb` and `traefik` override cmdr's own, any other name adds a release.
#[derive(Debug, Clone, Default)]
pub struct PlatformRelease {
    pub chart: Option<Chart>,
    /// The release's namespace: its name unless written.
    pub namespace: Option<String>,
    pub values: Values,
}

/// Where a chart comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChartSource {
    /// `charts/service`, which cmdr carries in itself.
    Universal,
    /// A reference without `oci://`: `ghcr.io/stefanprodan/charts/podinfo`.
    Oci(String),
    Repository {
        url: String,
        name: String,
    },
    /// Absolute.
    Path(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chart {
    pub source: ChartSource,
    /// `None` for the universal chart and for paths, which have just one.
    pub version: Option<String>,
}

/// One deployable service: one Helm release in each environment.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: Name,
    pub image: Option<ImageReference>,
    pub build: Option<Build>,
    pub chart: Chart,
    /// By name; `host: shop` is the route `web` on `/`.
    pub routes: BTreeMap<Name, Route>,
    pub check: Option<Check>,
    /// Started no earlier than these are ready.
    pub needs: Vec<Name>,
    /// How long a rollout may go without progress; `None`: cmdr's default.
    pub timeout: Option<Duration>,
    /// Jobs that prove a deployment.
    pub verify: BTreeMap<Name, Verify>,
    /// What a new image does cannot be undone: no automatic return to the record before.
    pub irreversible: bool,
    pub values: Values,
    pub environments: BTreeMap<Name, ProjectOverride>,
    /// From `projects.local.yaml`; local environment only.
    pub local_values: Values,
    /// From `projects.local.yaml`; local environment only.
    pub local_image: Option<ImageReference>,
}

/// What an environment changes of a project.
#[derive(Debug, Clone, Default)]
pub struct ProjectOverride {
    pub values: Values,
    pub image: Option<ImageReference>,
    pub external: Option<External>,
}

/// A service that somebody else runs, under the project's own Service name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Absolute: the folder that `docker build` is given.
    pub context: PathBuf,
    pub dockerfile: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Without the environment's domain, unless it ends with a dot-separated domain of its own (`shop.example.com`).
    pub host: String,
    pub path: String,
    /// A named port of the project.
    pub port: Option<String>,
}

/// What `up` asks of each URL at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub path: String,
    pub status: u16,
}

/// A Job that proves a deployment, run in the project's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// `None`: the project's own.
    pub image: Option<ImageReference>,
    pub command: Vec<String>,
    pub when: VerifyWhen,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyWhen {
    /// As a gate: the release changes only after it has succeeded.
    Before,
    /// With return to the record before when it fails.
    #[default]
    After,
}

/// Projects that are deployed, promoted and rolled back as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub projects: Vec<Name>,
    pub on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    Rollback,
    #[default]
    Stop,
}
