//! The plan of `up`: cluster, platform, projects, proof.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, CheckSpec, ExternalSecretSpec, NamespaceSpec, ObservedRelease, Plan, ReleaseSpec, RolloutSpec, Step,
    StepId, VerifySpec, VolumeSpec,
    externals::{DescribedExternal, ExternalChange, ObservedExternal, external_change},
    images::images_of_later,
    observe_change,
    registry::{BuildSpec, RegistrySpec, add_builds, to_make},
    secrets::{ObservedExternalSecret, OwnSecrets, external_reason, to_write},
    volumes::volumes_of,
};
use crate::domain::{
    Diagnosis, Name, VerifyWhen,
    local_registry::{ObservedService, RegistryService, pushed_to},
};

/// The release that routes requests; URLs are asked once it is ready.
pub const INGRESS: &str = "traefik";
/// The release that gives LoadBalancer services their addresses.
pub const LOAD_BALANCER: &str = "metallb";
/// Where MetalLB looks for its pools.
pub const LOAD_BALANCER_NAMESPACE: &str = "metallb-system";

/// A whole environment as it should be.
#[derive(Debug, Clone, Default)]
pub struct Described {
    pub workspace: String,
    /// In the order in which they are told.
    pub namespaces: Vec<NamespaceSpec>,
    pub platform: Vec<ReleaseSpec>,
    pub projects: Vec<DescribedProject>,
    /// Projects that somebody else runs here.
    pub externals: Vec<DescribedExternal>,
    /// MetalLB gives out addresses here.
    pub address_pool: bool,
    /// The node is a container of this machine, which images can be put on ahead of their pods.
    pub local_node: bool,
    /// The registries that images come from, as far as that is known.
    pub image_hosts: BTreeSet<String>,
    /// The registry of this machine, and its caches.
    pub registry: Vec<RegistryService>,
    /// Images that must be built, each with why, before their projects can be described.
    pub builds: Vec<(BuildSpec, String)>,
}

impl Described {
    /// Every release, of the platform and of projects.
    pub fn releases_mut(&mut self) -> impl Iterator<Item = &mut ReleaseSpec> {
        self.platform.iter_mut().chain(self.projects.iter_mut().map(|project| &mut project.release))
    }
}

/// A project as it should be; those it needs that are not among the described count as there.
#[derive(Debug, Clone)]
pub struct DescribedProject {
    pub name: Name,
    pub needs: Vec<Name>,
    pub release: ReleaseSpec,
    /// The Secrets that External Secrets makes for it.
    pub external_secrets: Vec<ExternalSecretSpec>,
    pub checks: Vec<CheckSpec>,
    /// Run when the release changes.
    pub proofs: Vec<VerifySpec>,
}

/// An environment as it is found.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub cluster: ObservedCluster,
    /// By namespace and name.
    pub releases: BTreeMap<(String, String), ObservedRelease>,
    /// Who else manages an object, by namespace and name.
    pub holders: BTreeMap<(String, String), String>,
    /// Namespaces with the Secrets that cmdr made in them.
    pub namespaces: BTreeMap<String, OwnSecrets>,
    /// By namespace and name, where any are described.
    pub external_secrets: BTreeMap<(String, String), ObservedExternalSecret>,
    /// What leads to projects that somebody else runs, by namespace and name.
    pub externals: BTreeMap<(String, String), ObservedExternal>,
    pub has_address_pool: bool,
    /// It has just been woken: what a restart of Docker or another address breaks is looked at.
    pub is_woken: bool,
    /// The registry of this machine and its caches, as far as they are there.
    pub registry: Vec<ObservedService>,
    /// Where the cluster says that the registry of this machine is.
    pub announced_registry: Option<String>,
}

impl Observed {
    /// What a release needs, as far as this tells.
    pub fn change(&self, release: &ReleaseSpec, workspace: &str) -> Change {
        let key = (release.namespace.clone(), release.name.clone());
        let holder = self.holders.get(&key).map(String::as_str);
        observe_change(release, self.releases.get(&key), holder, workspace)
    }
}

/// The cluster of an environment as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObservedCluster {
    #[default]
    Absent,
    /// An earlier run died while it was being made.
    Unfinished,
    /// Stopped or paused.
    Asleep,
    Running,
    /// `--recreate`: it runs, and is given up first.
    GivenUp,
}

/// What leads from `observed` to `described`.
///
/// # Errors
/// All releases that somebody else manages; nothing may be touched then.
pub fn up(described: &Described, observed: &Observed) -> Result<Plan, Vec<Diagnosis>> {
    let mut planner = Planner { described, observed, plan: Plan::default(), refused: Vec::new() };
    let cluster = planner.cluster();
    let registry = planner.registry();
    if observed.cluster == ObservedCluster::Asleep {
        planner.plan.preliminary = true;
        return Ok(planner.plan);
    }
    planner.announce(registry, cluster);
    let namespaces = planner.namespaces(cluster);
    let platform = planner.platform(cluster, &namespaces);
    if observed.is_woken {
        planner.network(cluster, &platform);
    }
    let secrets = planner.external_secrets(cluster, &namespaces, &platform);
    let externals = planner.externals(cluster, &namespaces, &secrets);
    planner.projects(cluster, &namespaces, &secrets, &externals, platform.get(INGRESS).copied());
    if planner.refused.is_empty() { Ok(planner.plan) } else { Err(planner.refused) }
}

struct Planner<'a> {
    described: &'a Described,
    observed: &'a Observed,
    plan: Plan,
    refused: Vec<Diagnosis>,
}

impl Planner<'_> {
    /// The step after which the cluster can be spoken to, or that wakes it.
    fn cluster(&mut self) -> StepId {
        let made = match self.observed.cluster {
            ObservedCluster::Running => None,
            ObservedCluster::Absent => Some(self.create("not there yet", None)),
            // What follows is planned, and connects, once it is awake.
            ObservedCluster::Asleep => return self.plan.add(Step::StartCluster, "cluster", "start", "it sleeps", None),
            ObservedCluster::Unfinished => {
                let reason = "an earlier run was ended while it made the cluster";
                Some(self.create_anew(reason))
            }
            ObservedCluster::GivenUp => Some(self.create_anew("--recreate")),
        };
        self.plan.add(Step::ConnectCluster, "cluster", "connect", "to see and to speak", made)
    }

    /// The step that makes what is missing of the registry and its caches, beside all others, and those that build.
    fn registry(&mut self) -> Option<StepId> {
        let described = self.described;
        let missing = to_make(&described.registry, &self.observed.registry);
        let made = missing.map(|(services, reason)| {
            let spec = RegistrySpec { services, is_required: !described.builds.is_empty() };
            self.plan.add(Step::LocalRegistry(spec), "registry", "prepare", reason, None)
        });
        add_builds(&mut self.plan, &described.builds, made);
        self.plan.preliminary |= !described.builds.is_empty();
        made
    }

    fn announce(&mut self, registry: Option<StepId>, cluster: StepId) {
        let Some(host) = self.described.registry.iter().find_map(|service| service.port().map(pushed_to)) else {
            return;
        };
        if self.observed.cluster != ObservedCluster::Running || self.observed.announced_registry.as_ref() != Some(&host)
        {
            let reason = format!("{host}, for tools that look for it");
            let needs = registry.into_iter().chain([cluster]);
            self.plan.add(Step::AnnounceRegistry { host }, "registry", "announce", reason, needs);
        }
    }

    fn create_anew(&mut self, reason: &str) -> StepId {
        let deleted = self.plan.add(Step::DeleteCluster, "cluster", "delete", reason, None);
        self.create(reason, Some(deleted))
    }

    fn create(&mut self, reason: &str, needs: Option<StepId>) -> StepId {
        self.plan.add(Step::CreateCluster, "cluster", "create", reason, needs)
    }

    fn namespaces(&mut self, cluster: StepId) -> BTreeMap<String, StepId> {
        let described = self.described;
        let mut steps = BTreeMap::new();
        for namespace in &described.namespaces {
            let Some((spec, reason)) = self.namespace(namespace) else { continue };
            let subject = format!("namespace {}", namespace.name);
            let step = Step::PrepareNamespace(spec);
            steps.insert(namespace.name.clone(), self.plan.add(step, subject, "prepare", reason, Some(cluster)));
        }
        steps
    }

    /// What a namespace needs, with why; `None` when it is as described.
    fn namespace(&self, namespace: &NamespaceSpec) -> Option<(NamespaceSpec, String)> {
        let nothing = OwnSecrets::new();
        let found = self.observed.namespaces.get(&namespace.name);
        let (secrets, secret_reason) = to_write(namespace, found.unwrap_or(&nothing));
        let reason = match found {
            None => "not there yet".to_owned(),
            Some(_) => secret_reason.or_else(|| self.pull_reason(namespace))?,
        };
        Some((NamespaceSpec { secrets, ..namespace.clone() }, reason))
    }

    fn pull_reason(&self, namespace: &NamespaceSpec) -> Option<String> {
        let awaits = |release: &ReleaseSpec| {
            self.is_changed(release) || self.described.local_node && self.change(release) == Change::Await
        };
        let deploys = |release: &ReleaseSpec| release.namespace == namespace.name && awaits(release);
        let mut releases = self.described.platform.iter().chain(self.described.projects.iter().map(|p| &p.release));
        (!namespace.registries.is_empty() && releases.any(deploys)).then(|| "pull secrets are renewed".to_owned())
    }

    fn platform(&mut self, cluster: StepId, namespaces: &BTreeMap<String, StepId>) -> BTreeMap<String, StepId> {
        let described = self.described;
        let mut steps = BTreeMap::new();
        for release in &described.platform {
            let needs = namespaces.get(&release.namespace).copied().unwrap_or(cluster);
            if let Some(step) = self.release(release, [needs]) {
                steps.insert(release.name.clone(), step);
            }
        }
        if described.address_pool && (!self.observed.has_address_pool || steps.contains_key(LOAD_BALANCER)) {
            self.plan.add(Step::AddressPool, "address pool", "apply", "addresses for LoadBalancer services", [cluster]);
        }
        steps
    }

    /// What lies below every URL of a cluster that has just been woken.
    fn network(&mut self, cluster: StepId, platform: &BTreeMap<String, StepId>) {
        let balancer = platform.get(LOAD_BALANCER).copied();
        let needs = balancer.into_iter().chain([cluster]);
        self.plan.add(Step::CheckAddresses, "addresses", "check", "Docker's network may have changed", needs);
        self.plan.add(Step::CheckNames, "names", "check", "the cluster's own names must be known", [cluster]);
    }

    /// The steps of external secrets, by their project. They come after the platform, which may bring External Secrets.
    fn external_secrets(
        &mut self,
        cluster: StepId,
        namespaces: &BTreeMap<String, StepId>,
        platform: &BTreeMap<String, StepId>,
    ) -> BTreeMap<Name, Vec<StepId>> {
        let described = self.described;
        let mut steps: BTreeMap<Name, Vec<StepId>> = BTreeMap::new();
        let projects = described.projects.iter().map(|it| (&it.name, &it.external_secrets));
        let externals = described.externals.iter().map(|it| (&it.name, &it.external_secrets));
        let specs = projects.chain(externals).flat_map(|(name, specs)| specs.iter().map(move |spec| (name, spec)));
        for (project, spec) in specs {
            let found = self.observed.external_secrets.get(&(spec.namespace.clone(), spec.name.clone()));
            let Some(reason) = external_reason(spec, found) else { continue };
            let namespace = namespaces.get(&spec.namespace).copied();
            let needs: Vec<StepId> = namespace.into_iter().chain(platform.values().copied()).chain([cluster]).collect();
            let step = Step::ExternalSecret(spec.clone());
            let step = self.plan.add(step, format!("secret {}", spec.name), "apply", reason, needs);
            steps.entry(project.clone()).or_default().push(step);
        }
        steps
    }

    /// What those wait for who need a project that somebody else runs, by that project.
    fn externals(
        &mut self,
        cluster: StepId,
        namespaces: &BTreeMap<String, StepId>,
        secrets: &BTreeMap<Name, Vec<StepId>>,
    ) -> BTreeMap<Name, Vec<StepId>> {
        let described = self.described;
        let mut steps = BTreeMap::new();
        for external in &described.externals {
            let namespace = namespaces.get(&external.spec.namespace).copied().unwrap_or(cluster);
            let own = self.external(external, namespace);
            let secrets = secrets.get(&external.name).into_iter().flatten().copied();
            steps.insert(external.name.clone(), own.into_iter().chain(secrets).collect());
        }
        steps
    }

    /// The steps of a project that somebody else runs: it must answer before its name leads there.
    fn external(&mut self, external: &DescribedExternal, namespace: StepId) -> Vec<StepId> {
        let DescribedExternal { name, spec, .. } = external;
        let key = (spec.namespace.clone(), name.to_string());
        let (found, release) = (self.observed.externals.get(&key), self.observed.releases.get(&key));
        let change = external_change(spec, found, release, &self.described.workspace);
        let is_needed = self.described.projects.iter().any(|project| project.needs.contains(name));
        let mut steps = vec![namespace];
        if let Some(answer) = spec.answer().filter(|_| is_needed || change == ExternalChange::Replace) {
            let reason = format!("{} must accept connections", spec.service.place());
            steps.push(self.plan.add(Step::Answer(answer), name.to_string(), "ask", reason, [namespace]));
        }
        let reason = match change {
            ExternalChange::Unchanged => {
                self.plan.unchanged.push(name.to_string());
                return steps;
            }
            ExternalChange::Refused(diagnosis) => {
                self.refused.push(*diagnosis);
                return steps;
            }
            ExternalChange::Point(reason) => reason,
            ExternalChange::Replace => {
                let step = Step::Remove { namespace: spec.namespace.clone(), release: name.to_string() };
                let reason = "somebody else runs it here now";
                steps.push(self.plan.add(step, name.to_string(), "uninstall", reason, steps.clone()));
                format!("to {}: in place of its release", spec.service.place())
            }
        };
        let step = Step::External(Box::new(spec.clone()));
        steps.push(self.plan.add(step, name.to_string(), "point", reason, steps.clone()));
        steps
    }

    fn projects(
        &mut self,
        cluster: StepId,
        namespaces: &BTreeMap<String, StepId>,
        secrets: &BTreeMap<Name, Vec<StepId>>,
        externals: &BTreeMap<Name, Vec<StepId>>,
        ingress: Option<StepId>,
    ) {
        let described = self.described;
        let ordered = in_order_of_need(&described.projects);
        self.pull_images(&ordered, cluster);
        let volumes = self.provide_volumes(&ordered, cluster);
        let mut steps: BTreeMap<&Name, StepId> = BTreeMap::new();
        for project in ordered {
            let namespace = namespaces.get(&project.release.namespace).copied().unwrap_or(cluster);
            let needs = project
                .needs
                .iter()
                .filter_map(|need| steps.get(need))
                .chain(project.needs.iter().filter_map(|need| externals.get(need)).flatten())
                .chain(secrets.get(&project.name).into_iter().flatten())
                .chain(volumes.as_ref().filter(|_| !volumes_of(&project.release).is_empty()));
            let mut needs: Vec<StepId> = needs.copied().chain([namespace]).collect();
            let changes = self.is_changed(&project.release);
            if changes {
                needs.extend(self.proofs(project, VerifyWhen::Before, &needs.clone()));
                needs.extend(self.give_way(&project.release, &needs.clone()));
            }
            let step = self.release(&project.release, needs);
            match step {
                Some(step) => {
                    steps.insert(&project.name, step);
                    if changes {
                        self.proofs(project, VerifyWhen::After, &[step]);
                    }
                }
                None => self.plan.unchanged.push(project.name.to_string()),
            }
            for check in &project.checks {
                let needs: Vec<StepId> = step.into_iter().chain(ingress).chain([cluster]).collect();
                let url = check.url.clone();
                self.plan.add(Step::Check(check.clone()), project.name.to_string(), "check", url, needs);
            }
        }
    }

    /// Takes away what led to a project that has a release again: Helm installs over nothing that it did not make.
    fn give_way(&mut self, release: &ReleaseSpec, needs: &[StepId]) -> Option<StepId> {
        let (namespace, name) = (release.namespace.clone(), release.name.clone());
        self.observed.externals.get(&(namespace.clone(), name.clone()))?;
        let step = Step::RemoveExternal { namespace, name: name.clone() };
        Some(self.plan.add(step, name, "give way", "it has a release again", needs.iter().copied()))
    }

    fn proofs(&mut self, project: &DescribedProject, when: VerifyWhen, needs: &[StepId]) -> Vec<StepId> {
        let proofs = project.proofs.iter().filter(|proof| proof.when == when);
        let add = |proof: &VerifySpec| {
            let reason = format!("{} must succeed", proof.name);
            let step = Step::Verify(proof.clone());
            self.plan.add(step, project.name.to_string(), "verify", reason, needs.iter().copied())
        };
        proofs.map(add).collect()
    }

    /// Images of what is installed on the local node, for pods that come later.
    fn pull_images(&mut self, projects: &[&DescribedProject], cluster: StepId) {
        let installs = self.installs(projects);
        let images = images_of_later(installs.iter().map(|project| (&project.release, !project.needs.is_empty())));
        if self.described.local_node && !images.is_empty() {
            self.plan.add(Step::PullImages(images), "images", "pull", "ahead of their pods", [cluster]);
        }
    }

    fn installs<'b>(&self, projects: &[&'b DescribedProject]) -> Vec<&'b DescribedProject> {
        projects.iter().copied().filter(|project| self.change(&project.release) == Change::Install).collect()
    }

    /// Volumes for what is installed on the local node.
    fn provide_volumes(&mut self, projects: &[&DescribedProject], cluster: StepId) -> Option<StepId> {
        let installs = self.installs(projects);
        let volumes: Vec<VolumeSpec> = installs.iter().flat_map(|project| volumes_of(&project.release)).collect();
        let step = Step::ProvideVolumes(volumes.clone());
        (self.described.local_node && !volumes.is_empty())
            .then(|| self.plan.add(step, "volumes", "prepare", "for pods that claim them", [cluster]))
    }

    fn change(&self, release: &ReleaseSpec) -> Change {
        self.observed.change(release, &self.described.workspace)
    }

    /// Whether Helm is called for a release.
    fn is_changed(&self, release: &ReleaseSpec) -> bool {
        use Change::{Await, Drifted, Refused, Unchanged};
        !matches!(self.change(release), Unchanged | Await | Drifted(_) | Refused(_))
    }

    /// The step that a release needs, when it needs one.
    fn release(&mut self, release: &ReleaseSpec, needs: impl IntoIterator<Item = StepId>) -> Option<StepId> {
        let mut spec = release.clone();
        let (action, reason) = match self.change(release) {
            Change::Unchanged => return None,
            Change::Drifted(drift) => {
                self.plan.drifted.push(format!("{}: {drift}", spec.name));
                return None;
            }
            Change::Refused(diagnosis) => {
                self.refused.push(*diagnosis);
                return None;
            }
            Change::Await => {
                let (namespace, release) = (spec.namespace, spec.name.clone());
                let rollout = RolloutSpec { namespace, release, timeout_seconds: spec.timeout_seconds };
                let step = Step::AwaitRollout(rollout);
                return Some(self.plan.add(step, spec.name, "await", "its rollout has not ended", needs));
            }
            Change::Install => ("install", "not there yet".to_owned()),
            Change::Upgrade(reason) => ("upgrade", reason),
            Change::Retry(revision, jobs) => {
                // Killed once its jobs are gone, the run would leave a release behind that looks well.
                spec.failed_revision = Some(revision);
                spec.retry_jobs = jobs;
                ("retry", "its job has failed".to_owned())
            }
            Change::Heal(revision) => {
                spec.failed_revision = Some(revision);
                ("heal", format!("an earlier run was ended during revision {revision}"))
            }
        };
        let subject = spec.name.clone();
        Some(self.plan.add(Step::Deploy(Box::new(spec)), subject, action, reason, needs))
    }
}

/// Projects after those they need, and among equals those first that the longest chain waits for: helm runs few at a
/// time. The configuration has refused circles.
fn in_order_of_need(projects: &[DescribedProject]) -> Vec<&DescribedProject> {
    let by_name: BTreeMap<&Name, &DescribedProject> = projects.iter().map(|project| (&project.name, project)).collect();
    let mut chains: BTreeMap<&Name, usize> = BTreeMap::new();
    for project in projects {
        lengthen(project, 0, &by_name, &mut chains);
    }
    let mut ordered: Vec<&DescribedProject> = projects.iter().collect();
    ordered.sort_by_key(|project| std::cmp::Reverse(chains[&project.name]));
    ordered
}

/// Notes for a project, and for all that it needs, the longest chain of projects that wait for it.
fn lengthen<'a>(
    project: &'a DescribedProject,
    waiting: usize,
    by_name: &BTreeMap<&'a Name, &'a DescribedProject>,
    chains: &mut BTreeMap<&'a Name, usize>,
) {
    let known = chains.get(&project.name).copied();
    if known.is_some_and(|known| known >= waiting) {
        return;
    }
    chains.insert(&project.name, waiting);
    for need in project.needs.iter().filter_map(|need| by_name.get(need)) {
        lengthen(need, waiting + 1, by_name, chains);
    }
}

#[cfg(test)]
mod tests;
