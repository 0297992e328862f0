//! The validated content of `projects.yaml`, without source locations.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    Build, Dev, ImageKey, ImageReference, Name, Values,
    cluster_networks::ClusterNetworks,
    exposed::{ExposedTarget, Protocol, PublishedPort},
    freeze::FreezeWindow,
    local_copy::LocalCopy,
    maintenance::MaintenanceSettings,
    procedure::Procedure,
    project_template::TemplateSource,
    queues::Queue,
    rollout::{Rollout, TrafficDriver},
    slug::Slug,
};

/// The name of the environment whose kind cluster cmdr creates.
pub const LOCAL: &str = "local";

/// A valid workspace: a folder with a `projects.yaml`.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub name: Name,
    /// The folder that contains `projects.yaml`.
    pub root: PathBuf,
    /// Always contains [`LOCAL`].
    pub environments: BTreeMap<Name, Environment>,
    /// `defaults.values`: base values of every project that uses the universal chart.
    pub defaults: Values,
    /// Releases that the cluster needs before projects, in addition to the built-in MetalLB and Traefik, or overrides
    /// of these.
    pub platform: BTreeMap<Name, PlatformRelease>,
    pub projects: BTreeMap<Name, Project>,
    pub bundles: BTreeMap<Name, Bundle>,
    pub maintenance: MaintenanceSettings,
    pub procedures: BTreeMap<Name, Procedure>,
    /// The workspace's own templates for `cmdr new`.
    pub templates: BTreeMap<Name, TemplateSource>,
}

/// An environment that projects run in.
#[derive(Debug, Clone)]
pub struct Environment {
    pub name: Name,
    /// The kubeconfig context; only `None` for [`LOCAL`] and for review environments.
    pub context: Option<String>,
    /// The UID of the namespace `kube-system`; cmdr refuses any other cluster.
    pub cluster_id: Option<String>,
    /// The namespace of the projects' releases; default: the workspace name.
    pub namespace: String,
    /// Projects are reachable at `<host>.<domain>`; default for [`LOCAL`]: `<workspace>.localhost`.
    pub domain: Option<String>,
    /// Who may change this environment.
    pub only: Option<Writer>,
    pub promote: Option<Promotion>,
    /// When the deployment window is closed.
    pub freeze: BTreeMap<Name, FreezeWindow>,
    pub review: Option<Review>,
    /// Set for a review environment: its source environment and its slug.
    pub copy: Option<ReviewInstance>,
    /// Local only: set for a copy of it.
    pub local_copy: Option<LocalCopy>,
    pub platform: Platform,
    /// The kind of routes that name none; `None`: the chart's default.
    pub route_kind: Option<String>,
    /// Local only: the Kubernetes version of the node (`1.34`, `1.34.2`).
    pub kubernetes: Option<String>,
    /// Local only: the ports on 127.0.0.1 for HTTP and HTTPS.
    pub http_port: Option<u16>,
    pub https_port: Option<u16>,
    /// Local only.
    pub networks: ClusterNetworks,
    /// Overrides those of the workspace.
    pub maintenance: MaintenanceSettings,
    /// Not local: who continues detached rollouts; `None`: people and pipelines.
    pub traffic: Option<TrafficDriver>,
    /// The certificates of its hosts; `None`: URLs are HTTP.
    pub tls: Option<Tls>,
    /// Local only: the ports of projects that are published on 127.0.0.1.
    pub exposed: BTreeMap<PublishedPort, ExposedTarget>,
}

impl Environment {
    pub fn is_local(&self) -> bool {
        self.name.as_str() == LOCAL
    }

    /// Whether a TCP port of this machine is to lead to a project.
    pub fn exposes(&self, number: u16) -> bool {
        self.exposed.contains_key(&PublishedPort { number, protocol: Protocol::Tcp })
    }

    /// The environments whose overrides apply to projects, lowest priority first: for a review environment, the one
    /// that it copies, then its own.
    pub fn overrides(&self) -> impl DoubleEndedIterator<Item = &Name> {
        self.copy.as_ref().map(|copy| &copy.of).into_iter().chain([&self.name])
    }

    /// Returns the review environment of `source`: on the same cluster, with the same values, but with its own
    /// namespace and hosts. Images are not promoted, and the platform is that of the source.
    #[must_use]
    pub fn copied(&self, review: &Review, source: &Self, slug: Slug) -> Self {
        Self {
            name: self.name.clone(),
            namespace: review.namespace.replace("{slug}", slug.as_str()),
            only: self.only,
            promote: None,
            freeze: self.freeze.clone(),
            review: Some(review.clone()),
            copy: Some(ReviewInstance { of: source.name.clone(), namespace: source.namespace.clone(), slug }),
            platform: Platform::External,
            route_kind: self.route_kind.clone().or_else(|| source.route_kind.clone()),
            ..source.clone()
        }
    }
}

/// `tls` of an environment: the certificates of its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// `local`: that of the authority of this machine.
    Local,
    /// cert-manager creates one for each route.
    Issuer { name: String, is_namespaced: bool },
    /// This Secret contains one for all hosts.
    Secret(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Only CI pipelines; other machines are refused with a hint. RBAC enforces it.
    Ci,
}

/// `promote: {from, soak}` of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    pub from: Name,
    /// How long a record must have been healthy in `from`.
    pub soak: Duration,
    /// The type of an artifact that must be attached to an image in its registry.
    pub scan: Option<String>,
}

/// `review: {from, namespace, expires}` of an environment: short-lived copies, one per merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The environment whose cluster and values are used.
    pub from: Name,
    /// Contains `{slug}` as placeholder for the merge request.
    pub namespace: String,
    /// How long one is kept after its last `up`.
    pub expires: Duration,
}

/// One review environment, for one merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewInstance {
    pub of: Name,
    /// The namespace of the source environment.
    pub namespace: String,
    /// The part of names that identifies the merge request.
    pub slug: Slug,
}

/// Who manages the platform of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Platform {
    #[default]
    Cmdr,
    /// Managed by another tool: cmdr installs only what is enabled for the environment.
    External,
}

/// An entry of `platform`: `metallb` and `traefik` override the built-in releases, any other name adds a release.
#[derive(Debug, Clone, Default)]
pub struct PlatformRelease {
    pub chart: Option<Chart>,
    /// The namespace of the release; default: its name.
    pub namespace: Option<String>,
    /// Platform releases that must be ready before this one is installed.
    pub needs: Vec<Name>,
    pub is_disabled: bool,
    pub values: Values,
    pub environments: BTreeMap<Name, PlatformOverride>,
}

/// The overrides of a platform release in an environment.
#[derive(Debug, Clone, Default)]
pub struct PlatformOverride {
    /// Whether cmdr installs it there; `None`: as everywhere.
    pub enabled: Option<bool>,
    pub chart: Option<Chart>,
    pub values: Values,
}

/// The source of a chart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChartSource {
    /// `charts/service`, which is embedded in cmdr.
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
    /// `None` for the universal chart and for paths, which have only one version.
    pub version: Option<String>,
}

/// One deployable service: one Helm release per environment.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: Name,
    pub presence: Presence,
    /// The names for `--profile` that include the project where it is optional.
    pub profiles: Vec<Name>,
    pub image: Option<ImageReference>,
    pub build: Option<Build>,
    pub dev: Option<Dev>,
    pub chart: Chart,
    /// The values of a chart of its own that take the image; `None`: that chart determines its images.
    pub image_key: Option<ImageKey>,
    /// By name; `host: shop` is the route `web` with path `/`.
    pub routes: BTreeMap<Name, Route>,
    pub check: Option<Check>,
    pub rollout: Option<Rollout>,
    /// Projects that must be ready before this one starts.
    pub needs: Vec<Name>,
    /// How long a rollout may make no progress before it fails; `None`: the default of cmdr.
    pub timeout: Option<Duration>,
    /// Jobs that verify a deployment.
    pub verify: BTreeMap<Name, Verify>,
    /// The queues that it consumes.
    pub queues: BTreeMap<Name, Queue>,
    /// Changes by a new image cannot be undone: no automatic rollback.
    pub irreversible: bool,
    pub values: Values,
    /// Only set by the override of an environment.
    pub external: Option<External>,
    pub environments: BTreeMap<Name, ProjectOverride>,
    /// From `projects.local.yaml`; local environment only.
    pub local_values: Values,
    /// From `projects.local.yaml`; local environment only.
    pub local_image: Option<ImageReference>,
}

impl Project {
    /// Returns the project as `environment` describes it, except its values, which are merged in layers.
    #[must_use]
    pub fn overridden(&self, environment: &Environment) -> Self {
        let mut project = self.clone();
        for over in environment.overrides().filter_map(|name| self.environments.get(name)) {
            project.replace(over);
        }
        project
    }

    fn replace(&mut self, over: &ProjectOverride) {
        fn replace<T: Clone>(own: &mut T, over: Option<&T>) {
            if let Some(over) = over {
                own.clone_from(over);
            }
        }
        let ProjectOverride { presence, chart, routes, needs, verify, .. } = over;
        replace(&mut self.presence, presence.as_ref());
        replace(&mut self.chart, chart.as_ref());
        if chart.is_some() {
            self.image_key.clone_from(&over.image_key);
        }
        replace(&mut self.routes, routes.as_ref());
        replace(&mut self.needs, needs.as_ref());
        replace(&mut self.verify, verify.as_ref());
        self.image = over.image.clone().or_else(|| self.image.take());
        self.check = over.check.clone().or_else(|| self.check.take());
        self.rollout = over.rollout.clone().or_else(|| self.rollout.take());
        self.timeout = over.timeout.or(self.timeout);
        self.external = over.external.clone().or_else(|| self.external.take());
    }

    /// Whether the chart runs the project's image: the universal chart, or one of its own with `chart.image`.
    pub fn takes_image(&self) -> bool {
        self.chart.source == ChartSource::Universal || self.image_key.is_some()
    }
}

/// Whether a project is part of an environment, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It does not exist there.
    Disabled,
    /// Only if a command names it or one of its profiles.
    Optional,
    Enabled,
}

/// The overrides of a project in an environment. `values` are merged, everything else is replaced.
#[derive(Debug, Clone, Default)]
pub struct ProjectOverride {
    pub presence: Option<Presence>,
    pub chart: Option<Chart>,
    /// Of `chart`: without one, the project's own holds.
    pub image_key: Option<ImageKey>,
    pub routes: Option<BTreeMap<Name, Route>>,
    pub check: Option<Check>,
    pub rollout: Option<Rollout>,
    pub needs: Option<Vec<Name>>,
    pub timeout: Option<Duration>,
    pub verify: Option<BTreeMap<Name, Verify>>,
    pub values: Values,
    pub image: Option<ImageReference>,
    pub external: Option<External>,
}

/// A service that is managed by another tool, under the project's Service name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Without the domain of the environment, unless they are full domains (`shop.example.com`). Empty for TCP.
    pub hosts: Vec<String>,
    pub path: String,
    /// A named port of the project.
    pub port: Option<String>,
    /// Whether `up` requests its URLs.
    pub is_checked: bool,
    /// How the universal chart routes, as in its values: `kind`, `match`, `middlewares`, and so on.
    pub settings: Values,
}

/// The URL check that `up` runs on each route at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub path: String,
    /// `None`: any response of the project.
    pub status: Option<u16>,
}

/// A Job that verifies a deployment, run in the project's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// `None`: the image of the project.
    pub image: Option<ImageReference>,
    pub command: Vec<String>,
    pub when: VerifyWhen,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyWhen {
    /// As a gate: the release changes only if it succeeds.
    Before,
    /// With automatic rollback if it fails.
    #[default]
    After,
}

/// A group of projects that are deployed, promoted and rolled back together.
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
