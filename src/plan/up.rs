//! The plan of `up`: cluster, platform, projects, checks.

mod definitions;
mod developed;
mod drained;
mod on_node;
mod order;
mod platform;
mod prerequisites;
mod rollouts;
mod verifications;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Change, CheckSpec, DataSource, DeployPolicy, DeploySpec, ExternalSecretSpec, NamespaceSpec, ObservedRelease,
    Operation, Plan, ReleaseSpec, Removal, Step, StepId, VerifySpec,
    certificate::add_certificate,
    externals::{DescribedExternal, ExternalChange, ObservedExternal, external_change},
    observe_change,
    ports::add_ports,
    registry::{BuildSpec, RegistrySpec, add_builds, to_make},
    secrets::{ObservedExternalSecret, OwnSecrets, external_reason, to_write},
    traffic::ProjectRollout,
    volumes::volumes_of,
};
/// The release that routes requests: URLs are checked when it is ready.
pub use crate::domain::platform::INGRESS;
use crate::domain::{
    Name, Problem, ReleaseKey, VerifyWhen,
    drain_state::DrainMark,
    exposed::{Forwarder, ObservedForwarder},
    local_certificate::LocalCertificate,
    local_copy::ObservedCopy,
    local_registry::{ObservedService, RegistryService, pushed_to},
    maintenance::MaintenanceMark,
    rollout::RolloutState,
};
use order::in_order_of_need;
pub use platform::PlatformOrder;
use prerequisites::Prerequisites;

/// The release that assigns addresses to LoadBalancer services.
pub const LOAD_BALANCER: &str = "metallb";
/// The namespace in which MetalLB looks for its address pools.
pub const LOAD_BALANCER_NAMESPACE: &str = "metallb-system";

/// The desired state of an environment.
#[derive(Debug, Clone, Default)]
pub struct Described {
    pub workspace: String,
    /// How all releases are compared and changed.
    pub policy: DeployPolicy,
    /// In the order in which they are shown.
    pub namespaces: Vec<NamespaceSpec>,
    pub platform: Vec<ReleaseSpec>,
    pub order: PlatformOrder,
    pub projects: Vec<DescribedProject>,
    /// Projects that are external here.
    pub externals: Vec<DescribedExternal>,
    /// Whether MetalLB assigns addresses here.
    pub address_pool: bool,
    /// Whether the node is a container on this machine, so that images can be pulled before their pods start.
    pub local_node: bool,
    /// The ports of projects that are published on this machine.
    pub forwarder: Forwarder,
    /// Whether this is a copy, which shares the platform of its cluster.
    pub is_copy: bool,
    /// Whose data the new volumes of a copy contain; `None`: they are empty.
    pub data_from: Option<DataSource>,
    /// The certificate of a local cluster.
    pub certificate: Option<LocalCertificate>,
    /// The registries of images, as far as they are known.
    pub image_hosts: BTreeSet<String>,
    /// The local registry and its caches.
    pub registry: Vec<RegistryService>,
    /// Images that must be built before their projects can be described, each with the reason.
    pub builds: Vec<(BuildSpec, String)>,
    /// Projects that are built first or need one of those: a run deploys them after the builds.
    pub later: BTreeSet<Name>,
}

/// The desired state of a project. Projects that it needs but that are not described are assumed to exist.
#[derive(Debug, Clone)]
pub struct DescribedProject {
    pub name: Name,
    pub needs: Vec<Name>,
    pub release: ReleaseSpec,
    /// The Secrets that External Secrets creates for it.
    pub external_secrets: Vec<ExternalSecretSpec>,
    pub checks: Vec<CheckSpec>,
    /// All URLs, also those that are not checked.
    pub urls: Vec<String>,
    /// Verify Jobs, which run if the release changes.
    pub verifications: Vec<VerifySpec>,
    /// How a new version gets its traffic; `None`: the pods are replaced.
    pub rollout: Option<Box<ProjectRollout>>,
}

/// The observed state of an environment.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub cluster: ObservedCluster,
    pub releases: BTreeMap<ReleaseKey, ObservedRelease>,
    /// The other tools that manage workloads, by the release that would have the workload's name.
    pub holders: BTreeMap<ReleaseKey, String>,
    /// Namespaces with the Secrets that cmdr created in them.
    pub namespaces: BTreeMap<String, OwnSecrets>,
    /// By namespace and name of the Secret, if any are described.
    pub external_secrets: BTreeMap<(String, String), ObservedExternalSecret>,
    /// The objects of external projects.
    pub externals: BTreeMap<ReleaseKey, ObservedExternal>,
    pub has_address_pool: bool,
    /// CustomResourceDefinitions with the checksum of what cmdr applied; `None` if they cannot be listed.
    pub definitions: Option<BTreeMap<String, Option<String>>>,
    /// Whether it was just started: then everything is checked that a restart of Docker or a new address can break.
    pub was_started: bool,
    /// The existing containers of the local registry and its caches.
    pub registry: Vec<ObservedService>,
    /// The address of the local registry that the cluster announces.
    pub announced_registry: Option<String>,
    /// The container that publishes ports.
    pub forwarder: Option<ObservedForwarder>,
    /// The copies of a local environment.
    pub copies: Vec<ObservedCopy>,
    /// The rollouts by project, also those that have ended.
    pub rollouts: BTreeMap<String, RolloutState>,
    /// When it was observed.
    pub at: Option<Timestamp>,
    /// The projects whose routes are closed.
    pub maintenance: BTreeMap<ReleaseKey, MaintenanceMark>,
    /// The projects that a drain has stopped.
    pub drained: BTreeMap<ReleaseKey, DrainMark>,
    /// Releases whose `CronJob` is suspended.
    pub suspended: BTreeSet<ReleaseKey>,
}

impl Observed {
    /// Returns the change that a release needs.
    pub fn change(&self, release: &ReleaseSpec, described: &Described) -> Change {
        let key = release.key();
        let holder = self.holders.get(&key).map(String::as_str);
        let change = observe_change(release, described.policy, self.releases.get(&key), holder, &described.workspace);
        // A copy shares the platform: it installs what is missing, and changes nothing.
        let is_shared = described.is_copy && described.platform.iter().any(|shared| shared.key() == key);
        match change {
            Change::Upgrade(_) | Change::Drifted(_) | Change::Refused(_) if is_shared => Change::Unchanged,
            change => change,
        }
    }
}

/// The observed state of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObservedCluster {
    #[default]
    Absent,
    /// A previous run was interrupted while creating it.
    Unfinished,
    /// Stopped or paused.
    Stopped,
    Running,
    /// `--recreate`: it runs, but is deleted first.
    GivenUp,
}

/// Returns the plan that changes `observed` to `described`.
///
/// # Errors
/// Returns an error for each release that is managed by another tool; nothing is changed then.
pub fn up(described: &Described, observed: &Observed) -> Result<Plan, Vec<Problem>> {
    let mut planner = Planner { described, observed, plan: Plan::default(), refused: Vec::new() };
    let cluster = planner.cluster();
    let registry = planner.registry();
    if observed.cluster == ObservedCluster::Stopped {
        planner.plan.preliminary = true;
        return Ok(planner.plan);
    }
    planner.announce(registry, cluster);
    let ports = (&described.forwarder, observed.forwarder.as_ref());
    add_ports(&mut planner.plan, ports, observed.cluster, cluster);
    let namespaces = planner.namespaces(cluster);
    let platform = planner.platform(cluster, &namespaces);
    if observed.was_started {
        planner.network(cluster, &platform);
    }
    let secrets = planner.external_secrets(cluster, &namespaces, &platform);
    let externals = planner.externals(cluster, &namespaces, &secrets);
    let ingress = platform.get(INGRESS).copied();
    let needs = ingress.into_iter().chain([cluster]);
    let certificate = add_certificate(&mut planner.plan, described, observed, needs);
    let ingress = certificate.or(ingress);
    planner.note_closed_and_drained();
    planner.projects(&Prerequisites { cluster, namespaces, platform, secrets, externals, ingress });
    if planner.refused.is_empty() { Ok(planner.plan) } else { Err(planner.refused) }
}

struct Planner<'a> {
    described: &'a Described,
    observed: &'a Observed,
    plan: Plan,
    refused: Vec<Problem>,
}

impl Planner<'_> {
    /// Returns the step after which the cluster is reachable, or the step that starts it.
    fn cluster(&mut self) -> StepId {
        let made = match self.observed.cluster {
            ObservedCluster::Running => None,
            ObservedCluster::Absent => Some(self.create("does not exist yet", None)),
            // The remaining steps are planned after it has started.
            ObservedCluster::Stopped => {
                return self.plan.add(Step::StartCluster, "it is stopped or paused", None);
            }
            ObservedCluster::Unfinished => {
                let reason = "a previous run was interrupted while creating the cluster";
                Some(self.recreate(reason))
            }
            ObservedCluster::GivenUp => Some(self.recreate("--recreate")),
        };
        self.plan.add(Step::ConnectCluster, "connect to the cluster", made)
    }

    /// Adds the step that creates missing containers of the registry and its caches, parallel to all others, and the
    /// build steps.
    fn registry(&mut self) -> Option<StepId> {
        let described = self.described;
        let missing = to_make(&described.registry, &self.observed.registry);
        let made = missing.map(|(services, reason)| {
            let spec = RegistrySpec { services, is_required: !described.builds.is_empty() };
            self.plan.add(Step::LocalRegistry(spec), reason, None)
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
            let reason = format!("{host}, for tools that need its address");
            let needs = registry.into_iter().chain([cluster]);
            self.plan.add(Step::AnnounceRegistry { host }, reason, needs);
        }
    }

    fn recreate(&mut self, reason: &str) -> StepId {
        let deleted = self.plan.add(Step::DeleteCluster, reason, None);
        self.create(reason, Some(deleted))
    }

    fn create(&mut self, reason: &str, needs: Option<StepId>) -> StepId {
        self.plan.add(Step::CreateCluster, reason, needs)
    }

    fn namespaces(&mut self, cluster: StepId) -> BTreeMap<String, StepId> {
        let described = self.described;
        let mut steps = BTreeMap::new();
        for namespace in &described.namespaces {
            let Some((spec, reason)) = self.namespace(namespace) else { continue };
            let step = Step::PrepareNamespace(spec);
            steps.insert(namespace.name.clone(), self.plan.add(step, reason, Some(cluster)));
        }
        steps
    }

    /// Returns what a namespace needs, with the reason; `None` if it matches the desired state.
    fn namespace(&self, namespace: &NamespaceSpec) -> Option<(NamespaceSpec, String)> {
        let nothing = OwnSecrets::new();
        let found = self.observed.namespaces.get(&namespace.name);
        let (secrets, secret_reason) = to_write(namespace, found.unwrap_or(&nothing));
        let reason = match found {
            None => "does not exist yet".to_owned(),
            Some(_) if self.is_marked_otherwise(namespace) => "another worktree owned it".to_owned(),
            Some(_) => secret_reason.or_else(|| self.pull_reason(namespace))?,
        };
        Some((NamespaceSpec { secrets, ..namespace.clone() }, reason))
    }

    /// Whether the namespace of a copy names another worktree or branch as its owner.
    fn is_marked_otherwise(&self, namespace: &NamespaceSpec) -> bool {
        let Some(mark) = &namespace.copy else { return false };
        let found = self.observed.copies.iter().find(|copy| copy.namespace == namespace.name);
        found.is_some_and(|found| found.owner != mark.owner)
    }

    fn pull_reason(&self, namespace: &NamespaceSpec) -> Option<String> {
        let awaits = |release: &ReleaseSpec| {
            self.is_changed(release) || self.described.local_node && self.change(release) == Change::Await
        };
        let deploys = |release: &ReleaseSpec| release.namespace == namespace.name && awaits(release);
        let mut releases = self.described.platform.iter().chain(self.described.projects.iter().map(|p| &p.release));
        (!namespace.registries.is_empty() && releases.any(deploys))
            .then(|| format!("pull secrets for {}", joined(&namespace.registries)))
    }

    /// Adds checks of the network of a cluster that was just started.
    fn network(&mut self, cluster: StepId, platform: &BTreeMap<String, StepId>) {
        if self.described.address_pool || self.observed.has_address_pool {
            let needs = platform.get(LOAD_BALANCER).copied().into_iter().chain([cluster]);
            self.plan.add(Step::CheckAddresses, "Docker's network may have changed", needs);
        }
        self.plan.add(Step::CheckNames, "cluster names must resolve", [cluster]);
    }

    /// Adds the steps of external secrets, by project. They run after the platform, which may install External Secrets.
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
            let step = self.plan.add(step, reason, needs);
            steps.entry(project.clone()).or_default().push(step);
        }
        steps
    }

    /// Adds the steps that dependents of external projects wait for, by external project.
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

    /// Adds the steps of an external project: it must accept connections before its name points there.
    fn external(&mut self, external: &DescribedExternal, namespace: StepId) -> Vec<StepId> {
        let DescribedExternal { name, spec, .. } = external;
        let key = spec.key();
        let (found, release) = (self.observed.externals.get(&key), self.observed.releases.get(&key));
        let change = external_change(spec, found, release, &self.described.workspace);
        let is_needed = self.described.projects.iter().any(|project| project.needs.contains(name));
        let mut steps = vec![namespace];
        if let Some(answer) = spec.answer().filter(|_| is_needed || change == ExternalChange::Replace) {
            let reason = format!("{} must accept connections", spec.service.place());
            steps.push(self.plan.add(Step::Answer(answer), reason, [namespace]));
        }
        let reason = match change {
            ExternalChange::Unchanged => {
                self.plan.unchanged.push(name.to_string());
                return steps;
            }
            ExternalChange::Refused(problem) => {
                self.refused.push(*problem);
                return steps;
            }
            ExternalChange::Point(reason) => reason,
            ExternalChange::Replace => {
                let step = Step::Remove(Removal { release: key, is_orphan: false });
                let reason = "it is external here now";
                steps.push(self.plan.add(step, reason, steps.clone()));
                format!("to {}: replaces its release", spec.service.place())
            }
        };
        let step = Step::External(Box::new(spec.clone()));
        steps.push(self.plan.add(step, reason, steps.clone()));
        steps
    }

    fn projects(&mut self, prerequisites: &Prerequisites) {
        let Prerequisites { cluster, secrets, externals, ingress, .. } = prerequisites;
        let described = self.described;
        let ordered = in_order_of_need(&described.projects);
        self.pull_images(&ordered, *cluster);
        let volumes = self.provide_volumes(&ordered, *cluster);
        let mut steps: BTreeMap<&Name, StepId> = BTreeMap::new();
        for project in ordered {
            let namespace = prerequisites.namespace(&project.release.namespace);
            let platform = prerequisites.platform_of(project, &described.order);
            let needs = project
                .needs
                .iter()
                .filter_map(|need| steps.get(need))
                .chain(project.needs.iter().filter_map(|need| externals.get(need)).flatten())
                .chain(&platform)
                .chain(secrets.get(&project.name).into_iter().flatten())
                .chain(volumes.as_ref().filter(|_| !volumes_of(&project.release).is_empty()));
            let mut needs: Vec<StepId> = needs.copied().chain([namespace]).collect();
            let changes = self.is_changed(&project.release);
            if changes && !self.is_in_rollout(&project.release) {
                needs.extend(self.verifications(project, VerifyWhen::Before, &needs.clone()));
                needs.extend(self.remove_redirect(&project.release, &needs.clone()));
            }
            let step = self.project_release(project, needs);
            match step {
                Some(step) => {
                    steps.insert(&project.name, step);
                    if changes && self.deploys(&project.release) {
                        self.verifications(project, VerifyWhen::After, &[step]);
                    }
                }
                None => self.plan.unchanged.push(project.name.to_string()),
            }
            // Without pods, no URL responds.
            let is_drained = self.is_drained(&project.release);
            for check in project.checks.iter().filter(|_| !is_drained) {
                let needs: Vec<StepId> = step.into_iter().chain(*ingress).chain([*cluster]).collect();
                let url = check.url.clone();
                self.plan.add(Step::Check(check.clone()), url, needs);
            }
        }
    }

    /// Removes the objects of a project that is no longer external: Helm does not overwrite objects of other tools.
    fn remove_redirect(&mut self, release: &ReleaseSpec, needs: &[StepId]) -> Option<StepId> {
        let key = release.key();
        self.observed.externals.get(&key)?;
        let step = Step::RemoveExternal(Removal { release: key, is_orphan: false });
        Some(self.plan.add(step, "it is no longer external", needs.iter().copied()))
    }

    fn change(&self, release: &ReleaseSpec) -> Change {
        self.observed.change(release, self.described)
    }

    /// Whether a release needs a Helm operation.
    fn is_changed(&self, release: &ReleaseSpec) -> bool {
        use Change::{Await, Drifted, Refused, Unchanged};
        !matches!(self.change(release), Unchanged | Await | Drifted(_) | Refused(_))
    }

    /// Adds the step that a release needs, if it needs one.
    fn release(&mut self, release: &ReleaseSpec, needs: impl IntoIterator<Item = StepId>) -> Option<StepId> {
        let (operation, reason) = match self.change(release) {
            Change::Unchanged => return None,
            Change::Drifted(drift) => {
                self.plan.drifted.push(format!("{}: {drift}", release.name));
                return None;
            }
            Change::Refused(problem) => {
                self.refused.push(*problem);
                return None;
            }
            Change::Await => {
                let step = Step::AwaitRollout(release.rollout());
                return Some(self.plan.add(step, "its rollout has not finished", needs));
            }
            Change::Install => (Operation::Install, "not installed yet".to_owned()),
            Change::Upgrade(reason) => (Operation::Upgrade, reason),
            Change::Retry(revision, jobs) => {
                // If the run is killed after it has deleted the Jobs, the release would look healthy.
                (Operation::Retry { revision, jobs }, "its Job failed".to_owned())
            }
            Change::Heal(revision) => {
                let reason = format!("a previous run was interrupted during revision {revision}");
                (Operation::Recover { revision }, reason)
            }
        };
        let mut needs: Vec<StepId> = needs.into_iter().collect();
        if operation == Operation::Upgrade {
            needs.extend(self.definitions(release, &needs));
        }
        let stopped = match self.stays_stopped(release) {
            Ok(stopped) => stopped,
            Err(problem) => {
                self.refused.push(problem);
                return None;
            }
        };
        let policy = self.described.policy;
        let spec = DeploySpec { release: release.clone(), operation, policy, entry: None, stopped };
        Some(self.plan.add(Step::Deploy(Box::new(spec)), reason, needs))
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
