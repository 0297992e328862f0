//! The steps that the steps of projects wait for.

use std::collections::BTreeMap;

use super::{DescribedProject, PlatformOrder};
use crate::{domain::Name, plan::StepId};

/// Steps that were planned before those of projects. What needs no change has no step.
#[derive(Debug)]
pub(super) struct Prerequisites {
    /// After it, the cluster is reachable.
    pub(super) cluster: StepId,
    pub(super) namespaces: BTreeMap<String, StepId>,
    /// The steps of platform releases, by name.
    pub(super) platform: BTreeMap<String, StepId>,
    /// The steps of external secrets, by project.
    pub(super) secrets: BTreeMap<Name, Vec<StepId>>,
    /// The steps that dependents of external projects wait for, by external project.
    pub(super) externals: BTreeMap<Name, Vec<StepId>>,
    /// After it, URLs can be checked.
    pub(super) ingress: Option<StepId>,
}

impl Prerequisites {
    /// Returns the step after which objects can be created in a namespace.
    pub(super) fn namespace(&self, name: &str) -> StepId {
        self.namespaces.get(name).copied().unwrap_or(self.cluster)
    }

    /// Returns the steps of the platform releases that a project waits for: the added ones, and those that it names.
    pub(super) fn platform_of(&self, project: &DescribedProject, order: &PlatformOrder) -> Vec<StepId> {
        let is_named = |name: &str| project.needs.iter().any(|need| need.as_str() == name);
        let awaited = self.platform.iter().filter(|(name, _)| order.added.contains(*name) || is_named(name));
        awaited.map(|(_, step)| *step).collect()
    }
}
