//! The plans of `drain` and `fill`: producers, queues and consumers in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    OperateStep, Plan, Step, StepId,
    maintenance::{MaintenancePage, ProjectClosing, ProjectOpening, add_close, add_open, add_remove_page},
};
use crate::domain::{
    ReleaseKey,
    drain_state::DrainReasons,
    queues::{Closure, NamedQueue},
};

/// A project whose queues are drained.
#[derive(Debug, Clone, PartialEq)]
pub struct Consumer {
    pub project: ReleaseKey,
    pub queues: Vec<NamedQueue>,
    /// By name, with how each is closed.
    pub producers: BTreeMap<String, Closure>,
    /// How long its rollout may take when it is started, in seconds.
    pub timeout_seconds: u64,
}

/// What is done to drain or fill a project.
#[derive(Debug, Clone, PartialEq)]
pub struct DrainStep {
    pub project: ReleaseKey,
    pub action: DrainAction,
}

#[derive(Debug, Clone, PartialEq)]
pub enum DrainAction {
    /// Scales its workloads to 0 and waits until its pods are gone.
    Stop { reasons: DrainReasons, by: String },
    /// Waits until the queues are empty.
    AwaitEmpty(Box<AwaitEmptySpec>),
    /// Restores its workloads and waits until they are ready, unless they are stopped for other reasons.
    Start { reasons: DrainReasons, timeout_seconds: u64 },
}

/// How long, and for what, a step waits.
#[derive(Debug, Clone, PartialEq)]
pub struct AwaitEmptySpec {
    pub queues: Vec<NamedQueue>,
    pub timeout_seconds: u64,
    /// Whether the consumers are stopped at the deadline.
    pub then_stop: bool,
}

/// The options of a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainTerms {
    /// Who drains.
    pub by: String,
    /// How long the queues of a project may take, in seconds.
    pub timeout_seconds: u64,
    pub then_stop: bool,
}

impl DrainStep {
    pub(super) fn action(&self) -> &'static str {
        match self.action {
            DrainAction::Stop { .. } => "stop",
            DrainAction::AwaitEmpty(_) => "drain",
            DrainAction::Start { .. } => "start",
        }
    }
}

/// Closes the producers of each project, waits until its queues are empty, and stops it. A project that is a producer
/// of another one is stopped before the queues of that one are awaited.
pub fn drain(
    consumers: &[Consumer],
    terms: &DrainTerms,
    (closings, page): (Vec<ProjectClosing>, &MaintenancePage),
) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    let closed = add_close(&mut plan, closings, page, connected);
    let mut stopped: BTreeMap<String, StepId> = BTreeMap::new();
    for producer in stopped_producers(consumers) {
        let reasons = DrainReasons { own: false, drains: stopping_consumers(consumers, &producer.name) };
        let reason = format!("fills the queues of {}", joined(&reasons.drains));
        let step = plan.add(stop(&producer, reasons, &terms.by), reason, [connected]);
        stopped.insert(producer.name, step);
    }
    for consumer in in_order(consumers) {
        let of_producer = |name: &String| [closed.get(name), stopped.get(name)].into_iter().flatten().copied();
        let needs: Vec<StepId> = consumer.producers.keys().flat_map(of_producer).chain([connected]).collect();
        let reason = format!("until empty: {}", joined(consumer.queues.iter().map(|queue| &queue.name)));
        let empty = plan.add(await_empty(consumer, terms), reason, needs);
        let name = &consumer.project.name;
        let reasons = DrainReasons { own: true, drains: stopping_consumers(consumers, name) };
        let step = plan.add(stop(&consumer.project, reasons, &terms.by), "its queues are empty", [empty]);
        stopped.insert(name.clone(), step);
    }
    plan
}

fn await_empty(consumer: &Consumer, terms: &DrainTerms) -> Step {
    let spec = AwaitEmptySpec {
        queues: consumer.queues.clone(),
        timeout_seconds: terms.timeout_seconds,
        then_stop: terms.then_stop,
    };
    let action = DrainAction::AwaitEmpty(Box::new(spec));
    Step::Operate(OperateStep::Drain(DrainStep { project: consumer.project.clone(), action }))
}

/// Starts each project after those that consume from it, then opens its producers.
pub fn fill(consumers: &[Consumer], opened: OpenedProducers) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    let mut started: BTreeMap<&str, StepId> = BTreeMap::new();
    let mut ordered = in_order(consumers);
    ordered.reverse();
    for consumer in ordered {
        let name = consumer.project.name.as_str();
        let downstream = consumers.iter().filter(|it| it.producers.contains_key(name));
        let needs: Vec<StepId> =
            downstream.filter_map(|it| started.get(it.project.name.as_str()).copied()).chain([connected]).collect();
        let reasons = DrainReasons { own: true, drains: consumers_of(consumers, name) };
        let step = start(&consumer.project, reasons, consumer.timeout_seconds);
        started.insert(name, plan.add(step, "it was drained", needs));
    }
    let after = |producer: &str| -> Vec<StepId> {
        let own = consumers_of(consumers, producer);
        own.iter().filter_map(|name| started.get(name.as_str()).copied()).chain([connected]).collect()
    };
    for producer in stopped_producers(consumers) {
        let reasons = DrainReasons { own: false, drains: consumers_of(consumers, &producer.name) };
        let timeout = opened.timeouts.get(&producer.name).copied().unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        let needs = after(&producer.name);
        plan.add(start(&producer, reasons, timeout), "its consumers are ready", needs);
    }
    open_routes(&mut plan, opened, after);
    plan
}

/// How long a producer may take to start, unless it says otherwise.
const DEFAULT_TIMEOUT_SECONDS: u64 = 120;

/// The producers that a fill opens.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedProducers {
    pub openings: Vec<ProjectOpening>,
    /// Those that stay closed for another reason.
    pub closings: Vec<ProjectClosing>,
    pub page: MaintenancePage,
    /// Whether no project remains closed.
    pub is_last: bool,
    /// How long the rollout of a stopped producer may take, in seconds.
    pub timeouts: BTreeMap<String, u64>,
}

fn open_routes(plan: &mut Plan, opened: OpenedProducers, after: impl Fn(&str) -> Vec<StepId>) {
    let OpenedProducers { openings, closings, page, is_last, .. } = opened;
    let connected = plan.ids().next();
    let mut done: Vec<StepId> = Vec::new();
    for opening in openings {
        let needs = after(&opening.project.name);
        done.push(add_open(plan, opening, needs));
    }
    if let Some(connected) = connected {
        add_close(plan, closings, &page, connected);
    }
    if is_last && !done.is_empty() {
        add_remove_page(plan, &page.namespace, done);
    }
}

fn stop(project: &ReleaseKey, reasons: DrainReasons, by: &str) -> Step {
    Step::Operate(OperateStep::Drain(DrainStep {
        project: project.clone(),
        action: DrainAction::Stop { reasons, by: by.to_owned() },
    }))
}

fn start(project: &ReleaseKey, reasons: DrainReasons, timeout_seconds: u64) -> Step {
    Step::Operate(OperateStep::Drain(DrainStep {
        project: project.clone(),
        action: DrainAction::Start { reasons, timeout_seconds },
    }))
}

/// The producers to stop that are not drained themselves.
fn stopped_producers(consumers: &[Consumer]) -> BTreeSet<ReleaseKey> {
    let is_consumer = |name: &str| consumers.iter().any(|it| it.project.name == name);
    let producers = consumers.iter().flat_map(|it| {
        let stopped = it.producers.iter().filter(|(_, closure)| **closure == Closure::Stop);
        stopped.map(|(name, _)| ReleaseKey::new(&it.project.namespace, name))
    });
    producers.filter(|producer| !is_consumer(&producer.name)).collect()
}

/// The projects that consume from a producer.
fn consumers_of(consumers: &[Consumer], producer: &str) -> BTreeSet<String> {
    let own = consumers.iter().filter(|it| it.producers.contains_key(producer));
    own.map(|it| it.project.name.clone()).collect()
}

/// Those that are to stop the producer.
fn stopping_consumers(consumers: &[Consumer], producer: &str) -> BTreeSet<String> {
    let own = consumers.iter().filter(|it| it.producers.get(producer) == Some(&Closure::Stop));
    own.map(|it| it.project.name.clone()).collect()
}

/// Producers before their consumers. The configuration has no circles.
fn in_order(consumers: &[Consumer]) -> Vec<&Consumer> {
    let mut left: Vec<&Consumer> = consumers.iter().collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let is_free = |it: &&Consumer| left.iter().all(|other| !it.producers.contains_key(&other.project.name));
        let (free, rest): (Vec<&Consumer>, Vec<&Consumer>) = left.iter().partition(|it| is_free(it));
        if free.is_empty() {
            ordered.extend(rest);
            break;
        }
        ordered.extend(free);
        left = rest;
    }
    ordered
}

fn joined<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{graph::tests::lines, maintenance::MaintenancePage};

    fn consumer(name: &str, producers: &[(&str, Closure)]) -> Consumer {
        Consumer {
            project: ReleaseKey::new("tunes", name),
            queues: Vec::new(),
            producers: producers.iter().map(|(name, closure)| ((*name).to_owned(), *closure)).collect(),
            timeout_seconds: 60,
        }
    }

    fn chain() -> [Consumer; 2] {
        [consumer("b", &[("a", Closure::Stop)]), consumer("a", &[("shop", Closure::Stop)])]
    }

    fn page() -> MaintenancePage {
        MaintenancePage { namespace: "tunes".to_owned(), image: "busybox".to_owned(), texts: BTreeMap::new() }
    }

    #[test]
    fn a_chain_is_drained_from_its_start() {
        let terms = DrainTerms { by: "ann".to_owned(), timeout_seconds: 60, then_stop: false };
        assert_eq!(
            lines(&drain(&chain(), &terms, (Vec::new(), &page()))),
            [
                "connect cluster <- ",
                "stop shop <- cluster",
                "drain a <- cluster, shop",
                "stop a <- a",
                "drain b <- cluster, a",
                "stop b <- b",
            ]
        );
    }

    #[test]
    fn a_chain_is_filled_from_its_end() {
        let opened = OpenedProducers {
            openings: Vec::new(),
            closings: Vec::new(),
            page: page(),
            is_last: false,
            timeouts: BTreeMap::new(),
        };
        assert_eq!(
            lines(&fill(&chain(), opened)),
            ["connect cluster <- ", "start b <- cluster", "start a <- cluster, b", "start shop <- cluster, a"]
        );
    }

    #[test]
    fn a_producer_of_two_projects_is_stopped_once_for_both() {
        let both = [consumer("a", &[("shop", Closure::Stop)]), consumer("b", &[("shop", Closure::Stop)])];
        let terms = DrainTerms { by: "ann".to_owned(), timeout_seconds: 60, then_stop: false };
        let plan = drain(&both, &terms, (Vec::new(), &page()));
        let Step::Operate(OperateStep::Drain(DrainStep { action: DrainAction::Stop { reasons, .. }, .. })) =
            &plan.steps[1].step
        else {
            panic!("{:?}", plan.steps[1]);
        };
        assert_eq!(reasons.drains.len(), 2);
    }
}
