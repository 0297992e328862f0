//! A plan: a graph of steps and their dependencies.

use std::{collections::BTreeSet, ops::Index};

use super::Step;
use crate::domain::StepKind;

/// Identifies a step in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(usize);

impl StepId {
    /// The position of the step in its plan, which is its number in events.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A step with its reason and dependencies.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub id: StepId,
    pub step: Step,
    /// The reason: `does not exist yet`, `values differ`.
    pub reason: String,
    pub needs: BTreeSet<StepId>,
}

/// Steps in topological order: each one comes after the steps that it needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Planned>,
    /// Projects that match the desired state.
    pub unchanged: Vec<String>,
    /// Releases with manual changes that are not reverted, with the list of changes.
    pub drifted: Vec<String>,
    /// Projects that are deployed if their builds, which are steps of this plan, differ from what runs.
    pub after_builds: Vec<String>,
    /// What stays as it is, and how to change that: `'shop' stays in maintenance since ...`.
    pub notes: Vec<String>,
    /// What `up` would change besides: `upgrade shop: values differ`.
    pub postponed: Vec<String>,
    /// The rest of the plan is only known after these steps have run (for example, for a stopped cluster).
    pub preliminary: bool,
}

impl Plan {
    /// Adds a step after those that it needs, and returns its ID.
    pub fn add(&mut self, step: Step, reason: impl Into<String>, needs: impl IntoIterator<Item = StepId>) -> StepId {
        let id = StepId(self.steps.len());
        let needs: BTreeSet<StepId> = needs.into_iter().collect();
        debug_assert!(needs.iter().all(|&need| need < id), "a step can only need earlier steps");
        self.steps.push(Planned { id, step, reason: reason.into(), needs });
        id
    }

    /// Returns the IDs of all steps, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = StepId> + use<> {
        (0..self.steps.len()).map(StepId)
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether any step changes something.
    pub fn has_changes(&self) -> bool {
        self.changes().next().is_some()
    }

    /// Whether all steps only build images, and leave the cluster and its registry as they are.
    pub fn only_builds(&self) -> bool {
        self.has_changes()
            && self.steps.iter().all(|planned| matches!(planned.step, Step::Build(_) | Step::ConnectCluster))
    }

    /// Returns the steps that change something; the others only check or prepare.
    pub fn changes(&self) -> impl Iterator<Item = &Planned> {
        self.steps.iter().filter(|planned| planned.step.kind() == StepKind::Change)
    }
}

impl Index<StepId> for Plan {
    type Output = Planned;

    fn index(&self, id: StepId) -> &Planned {
        &self.steps[id.0]
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Adds these steps, each with the positions of the steps that it needs.
    pub fn plan(steps: impl IntoIterator<Item = (Step, Vec<usize>)>) -> Plan {
        let mut plan = Plan::default();
        for (step, needs) in steps {
            let needs: Vec<StepId> = needs.into_iter().map(StepId).collect();
            plan.add(step, "test", needs);
        }
        plan
    }

    /// One line per step, with the subjects of the steps that it needs.
    pub fn lines(plan: &Plan) -> Vec<String> {
        let line = |planned: &Planned| {
            let needs: Vec<String> = planned.needs.iter().map(|&need| plan[need].step.subject()).collect();
            format!("{} {} <- {}", planned.step.action(), planned.step.subject(), needs.join(", "))
        };
        plan.steps.iter().map(line).collect()
    }
}
