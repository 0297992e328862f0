//! The plan of `up`: cluster, platform, projects, proof.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, CheckSpec, NamespaceSpec, ObservedRelease, Plan, ReleaseSpec, RolloutSpec, Step, StepId, VerifySpec,
    observe_change,
};
use crate::domain::{Diagnosis, ImageReference, Name, VerifyWhen};

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
    /// MetalLB gives out addresses here.
    pub address_pool: bool,
    /// The node is a container of this machine, which images can be put on ahead of their pods.
    pub local_node: bool,
}

/// A project as it should be; those it needs that are not among the described count as there.
#[derive(Debug, Clone)]
pub struct DescribedProject {
    pub name: Name,
    pub needs: Vec<Name>,
    pub release: ReleaseSpec,
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
    /// Namespaces with the names of the Secrets that cmdr made in them.
    pub namespaces: BTreeMap<String, BTreeSet<String>>,
    pub has_address_pool: bool,
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
    if observed.cluster == ObservedCluster::Asleep {
        planner.plan.preliminary = true;
        return Ok(planner.plan);
    }
    let namespaces = planner.namespaces(cluster);
    let platform = planner.platform(cluster, &namespaces);
    planner.projects(cluster, &namespaces, platform.get(INGRESS).copied());
    if planner.refused.is_empty() { Ok(planner.plan) } else { Err(planner.refused) }
}

struct Planner<'a> {
    described: &'a Described,
    observed: &'a Observed,
    plan: Plan,
    refused: Vec<Diagnosis>,
}

impl Planner<'_> {
    /// The step after which the cluster can be spoken to.
    fn cluster(&mut self) -> StepId {
        let made = match self.observed.cluster {
            ObservedCluster::Running => None,
            ObservedCluster::Absent => Some(self.create("not there yet", None)),
            ObservedCluster::Asleep => Some(self.plan.add(Step::StartCluster, "cluster", "start", "it sleeps", None)),
            ObservedCluster::Unfinished => {
                let reason = "an earlier run was ended while it made the cluster";
                Some(self.create_anew(reason))
            }
            ObservedCluster::GivenUp => Some(self.create_anew("--recreate")),
        };
        self.plan.add(Step::ConnectCluster, "cluster", "connect", "to see and to speak", made)
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
            let Some(reason) = self.namespace_reason(namespace) else { continue };
            let subject = format!("namespace {}", namespace.name);
            let step = Step::PrepareNamespace(namespace.clone());
            steps.insert(namespace.name.clone(), self.plan.add(step, subject, "prepare", reason, Some(cluster)));
        }
        steps
    }

    fn namespace_reason(&self, namespace: &NamespaceSpec) -> Option<&'static str> {
        let Some(secrets) = self.observed.namespaces.get(&namespace.name) else { return Some("not there yet") };
        if namespace.generated.keys().any(|name| !secrets.contains(name)) {
            return Some("a generated secret is not there yet");
        }
        let deploys = |release: &ReleaseSpec| {
            release.namespace == namespace.name && !matches!(self.change(release), Change::Unchanged | Change::Await)
        };
        let releases = self.described.platform.iter().chain(self.described.projects.iter().map(|p| &p.release));
        (!namespace.registries.is_empty() && releases.into_iter().any(deploys)).then_some("pull secrets are renewed")
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

    fn projects(&mut self, cluster: StepId, namespaces: &BTreeMap<String, StepId>, ingress: Option<StepId>) {
        let described = self.described;
        let ordered = in_order_of_need(&described.projects);
        self.pull_images(&ordered, cluster);
        let mut steps: BTreeMap<&Name, StepId> = BTreeMap::new();
        for project in ordered {
            let namespace = namespaces.get(&project.release.namespace).copied().unwrap_or(cluster);
            let needs = project.needs.iter().filter_map(|need| steps.get(need).copied()).chain([namespace]);
            let mut needs: Vec<StepId> = needs.collect();
            let changes =
                !matches!(self.change(&project.release), Change::Unchanged | Change::Await | Change::Refused(_));
            if changes {
                needs.extend(self.proofs(project, VerifyWhen::Before, &needs.clone()));
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

    fn proofs(&mut self, project: &DescribedProject, when: VerifyWhen, needs: &[StepId]) -> Vec<StepId> {
        let proofs = project.proofs.iter().filter(|proof| proof.when == when);
        let add = |proof: &VerifySpec| {
            let reason = format!("{} must succeed", proof.name);
            let step = Step::Verify(proof.clone());
            self.plan.add(step, project.name.to_string(), "verify", reason, needs.iter().copied())
        };
        proofs.map(add).collect()
    }

    /// Pods that wait for other projects or for volumes find their images there; the others pull at once anyway.
    fn pull_images(&mut self, projects: &[&DescribedProject], cluster: StepId) {
        let comes_later = |project: &&&DescribedProject| {
            let is_stateful = project.release.content.values.get("kind").is_some_and(|kind| kind == "StatefulSet");
            (is_stateful || !project.needs.is_empty()) && self.change(&project.release) == Change::Install
        };
        let mut images: Vec<ImageReference> = Vec::new();
        for image in projects.iter().filter(comes_later).filter_map(|project| project.release.image.as_ref()) {
            if !images.contains(image) {
                images.push(image.clone());
            }
        }
        if self.described.local_node && !images.is_empty() {
            let reason = "for pods that come later";
            self.plan.add(Step::PullImages(images), "images", "pull", reason, [cluster]);
        }
    }

    fn change(&self, release: &ReleaseSpec) -> Change {
        let key = (release.namespace.clone(), release.name.clone());
        let holder = self.observed.holders.get(&key).map(String::as_str);
        observe_change(release, self.observed.releases.get(&key), holder, &self.described.workspace)
    }

    /// The step that a release needs, when it needs one.
    fn release(&mut self, release: &ReleaseSpec, needs: impl IntoIterator<Item = StepId>) -> Option<StepId> {
        let mut spec = release.clone();
        let (action, reason) = match self.change(release) {
            Change::Unchanged => return None,
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
            Change::Retry(jobs) => {
                spec.retry_jobs = jobs;
                ("retry", "its job has failed".to_owned())
            }
            Change::Heal(revision) => {
                spec.heal_revision = Some(revision);
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
mod tests {
    use super::*;
    use crate::plan::change::tests::{found, spec};

    fn project(name: &str, needs: &[&str]) -> DescribedProject {
        let url = format!("http://{name}.localhost/");
        let check = CheckSpec { project: Name::new(name).unwrap(), url: url.clone(), shown_url: url, status: 200 };
        DescribedProject {
            name: Name::new(name).unwrap(),
            needs: needs.iter().map(|need| Name::new(need).unwrap()).collect(),
            release: spec(name),
            checks: vec![check],
            proofs: Vec::new(),
        }
    }

    fn described(projects: Vec<DescribedProject>) -> Described {
        let namespace = NamespaceSpec {
            name: "tunes".to_owned(),
            registries: Vec::new(),
            generated: BTreeMap::new(),
            privileged: false,
        };
        Described {
            workspace: "tunes".to_owned(),
            namespaces: vec![namespace],
            platform: vec![ReleaseSpec { namespace: INGRESS.to_owned(), ..spec(INGRESS) }],
            projects,
            address_pool: true,
            local_node: true,
        }
    }

    fn running(releases: &[&str]) -> Observed {
        let mut observed =
            Observed { cluster: ObservedCluster::Running, has_address_pool: true, ..Observed::default() };
        observed.namespaces.insert("tunes".to_owned(), BTreeSet::new());
        observed.releases.insert((INGRESS.to_owned(), INGRESS.to_owned()), found());
        for name in releases {
            observed.releases.insert(("tunes".to_owned(), (*name).to_owned()), found());
        }
        observed
    }

    fn told(plan: &Plan) -> Vec<String> {
        let line = |planned: &super::super::Planned| {
            let needs: Vec<&str> = planned.needs.iter().map(|&need| plan.steps[need].subject.as_str()).collect();
            format!("{} {} <- {}", planned.action, planned.subject, needs.join(", "))
        };
        plan.steps.iter().map(line).collect()
    }

    #[test]
    fn from_nothing_everything_is_made_in_order() {
        let plan =
            up(&described(vec![project("shop", &["redis"]), project("redis", &[])]), &Observed::default()).unwrap();
        assert_eq!(
            told(&plan),
            [
                "create cluster <- ",
                "connect cluster <- cluster",
                "prepare namespace tunes <- cluster",
                "install traefik <- cluster",
                "apply address pool <- cluster",
                "install redis <- namespace tunes",
                "check redis <- cluster, traefik, redis",
                "install shop <- namespace tunes, redis",
                "check shop <- cluster, traefik, shop",
            ]
        );
    }

    #[test]
    fn nothing_changed_means_nothing_but_checks() {
        let plan = up(&described(vec![project("shop", &[])]), &running(&["shop"])).unwrap();
        assert_eq!(told(&plan), ["connect cluster <- ", "check shop <- cluster"]);
        assert_eq!(plan.changes().count(), 0);
        assert_eq!(plan.unchanged, ["shop"]);
    }

    #[test]
    fn one_change_touches_one_project() {
        let mut wanted = vec![project("shop", &["redis"]), project("redis", &[])];
        wanted[0].release.record = "r2".to_owned();
        let plan = up(&described(wanted), &running(&["shop", "redis"])).unwrap();
        let changes: Vec<&str> = plan.changes().map(|planned| planned.subject.as_str()).collect();
        assert_eq!(changes, ["shop"]);
    }

    #[test]
    fn a_sleeping_cluster_is_woken_before_anything_is_known() {
        let observed = Observed { cluster: ObservedCluster::Asleep, ..Observed::default() };
        let plan = up(&described(vec![project("shop", &[])]), &observed).unwrap();
        assert!(plan.preliminary);
        assert_eq!(told(&plan), ["start cluster <- ", "connect cluster <- cluster"]);
    }

    #[test]
    fn images_of_pods_that_come_later_are_pulled_ahead_once() {
        let mut projects = vec![project("shop", &["redis"]), project("cart", &["redis"]), project("redis", &[])];
        for project in &mut projects {
            project.release.image = ImageReference::parse(&format!("{}:1", project.needs.len())).ok();
        }
        let plan = up(&described(projects.clone()), &Observed::default()).unwrap();
        let pulled = |plan: &Plan| {
            plan.steps.iter().find_map(|planned| match &planned.step {
                Step::PullImages(images) => Some(images.iter().map(ToString::to_string).collect::<Vec<_>>()),
                _ => None,
            })
        };
        assert_eq!(pulled(&plan), Some(vec!["1:1".to_owned()]));
        assert_eq!(pulled(&up(&described(projects), &running(&["shop", "cart", "redis"])).unwrap()), None);
    }

    #[test]
    fn proofs_stand_around_a_change_and_nowhere_else() {
        let mut shop = project("shop", &[]);
        for (name, when) in [("early", VerifyWhen::Before), ("late", VerifyWhen::After)] {
            shop.proofs.push(VerifySpec {
                project: shop.name.clone(),
                name: Name::new(name).unwrap(),
                namespace: "tunes".to_owned(),
                image: "shop:1".to_owned(),
                command: Vec::new(),
                when,
                timeout_seconds: 60,
            });
        }
        let unchanged = up(&described(vec![shop.clone()]), &running(&["shop"])).unwrap();
        assert_eq!(told(&unchanged), ["connect cluster <- ", "check shop <- cluster"]);
        shop.release.record = "r2".to_owned();
        let plan = up(&described(vec![shop]), &running(&["shop"])).unwrap();
        let order: Vec<&str> = plan.steps.iter().map(|planned| planned.action.as_str()).collect();
        assert_eq!(order, ["connect", "verify", "upgrade", "verify", "check"]);
        assert!(plan.steps[2].needs.contains(&1) && plan.steps[3].needs.contains(&2));
    }

    #[test]
    fn those_that_many_wait_for_come_first() {
        let projects =
            [project("a", &["z"]), project("b", &[]), project("z", &["y"]), project("y", &[]), project("c", &["y"])];
        let order: Vec<&str> = in_order_of_need(&projects).iter().map(|project| project.name.as_str()).collect();
        assert_eq!(order, ["y", "z", "a", "b", "c"]);
    }

    #[test]
    fn everything_foreign_is_refused_at_once() {
        let mut observed = running(&[]);
        for name in ["shop", "redis"] {
            observed.holders.insert(("tunes".to_owned(), name.to_owned()), "Flux".to_owned());
        }
        let refused = up(&described(vec![project("shop", &[]), project("redis", &[])]), &observed).unwrap_err();
        assert_eq!(refused.len(), 2);
    }
}
