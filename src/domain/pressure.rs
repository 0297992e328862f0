//! What a node loses first when it is short of memory.

use std::{cmp::Reverse, iter::Sum, ops::Add};

use schemars::JsonSchema;
use serde::Serialize;

/// Amounts of CPU and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    pub memory_bytes: u64,
}

impl Add for Amounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu_millis: self.cpu_millis + other.cpu_millis, memory_bytes: self.memory_bytes + other.memory_bytes }
    }
}

impl Sum for Amounts {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Self::add)
    }
}

/// The resources of a pod, or of all pods of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Demand {
    pub project: String,
    /// The pod; `None` for all pods of a project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    pub pods: usize,
    /// `Guaranteed`, `Burstable` or `BestEffort`; of several pods, the one that is ended first.
    pub qos: String,
    /// The lowest priority of the pods.
    pub priority: i32,
    pub requests: Amounts,
    /// `None` if a container has no limit.
    pub limits: Option<Amounts>,
    /// `None` if neither the metrics API nor the kubelet reports it.
    pub used: Option<Amounts>,
    /// Whether a pod uses more memory than it requests; a pod that requests none always does.
    pub exceeds_requests: bool,
}

impl Demand {
    /// Adds another pod of the same project.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let both = |one: Option<Amounts>, two: Option<Amounts>| Some(one? + two?);
        Self {
            pod: None,
            pods: self.pods + other.pods,
            priority: self.priority.min(other.priority),
            requests: self.requests + other.requests,
            limits: both(self.limits, other.limits),
            used: both(self.used, other.used),
            exceeds_requests: self.exceeds_requests || other.exceeds_requests,
            qos: if rank(&other.qos) < rank(&self.qos) { other.qos } else { self.qos },
            project: self.project,
        }
    }
}

fn rank(qos: &str) -> usize {
    ["BestEffort", "Burstable", "Guaranteed"].iter().position(|class| *class == qos).unwrap_or_default()
}

/// Sorts by what is ended first: as the kubelet, what uses more memory than it requests, then what has the lowest
/// priority, then what exceeds its requests most. What is not measured is compared by its QoS class.
pub fn sort(demands: &mut [Demand]) {
    demands.sort_by_key(|demand| {
        let used = demand.used.map_or(0, |used| used.memory_bytes);
        let over = used.saturating_sub(demand.requests.memory_bytes);
        (Reverse(demand.exceeds_requests), demand.priority, Reverse(over), rank(&demand.qos), demand.project.clone())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(project: &str, qos: &str, (requested, used): (u64, Option<u64>), priority: i32) -> Demand {
        let memory = |memory_bytes| Amounts { cpu_millis: 0, memory_bytes };
        Demand {
            project: project.to_owned(),
            pod: None,
            pods: 1,
            qos: qos.to_owned(),
            priority,
            requests: memory(requested),
            limits: None,
            used: used.map(memory),
            exceeds_requests: requested == 0 || used.is_some_and(|used| used > requested),
        }
    }

    fn order(mut demands: Vec<Demand>) -> Vec<String> {
        sort(&mut demands);
        demands.into_iter().map(|demand| demand.project).collect()
    }

    #[test]
    fn what_exceeds_its_requests_is_lost_first_then_the_lowest_priority() {
        let demands = vec![
            demand("database", "Guaranteed", (100, Some(90)), 0),
            demand("important", "Burstable", (10, Some(500)), 1000),
            demand("greedy", "Burstable", (10, Some(50)), 0),
            demand("greedier", "Burstable", (10, Some(90)), 0),
            demand("modest", "Burstable", (10, Some(5)), -1),
        ];
        assert_eq!(order(demands), ["greedier", "greedy", "important", "modest", "database"]);
    }

    #[test]
    fn without_metrics_the_class_decides() {
        let demands = vec![
            demand("database", "Guaranteed", (100, None), 0),
            demand("shop", "Burstable", (10, None), 0),
            demand("batch", "BestEffort", (0, None), 0),
        ];
        assert_eq!(order(demands), ["batch", "shop", "database"]);
    }

    #[test]
    fn the_pods_of_a_project_are_added() {
        let both = demand("shop", "Guaranteed", (10, Some(5)), 5).and(demand("shop", "Burstable", (10, Some(20)), 3));
        assert_eq!((both.pods, both.qos.as_str(), both.priority), (2, "Burstable", 3));
        assert_eq!((both.requests.memory_bytes, both.exceeds_requests), (20, true));
    }
}
