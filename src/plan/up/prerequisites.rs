//! The steps that the steps of projects wait for.

use std::collections::BTreeMap;

use crate::{domain::Name, plan::StepId};

/// Steps that were planned before those of projects. What needs no change has no step.
#[derive(Debug)]
pub(super) struct Prerequisites {
    /// After it, the cluster is reachable.
    pub(super) cluster: StepId,
    pub(super) namespaces: BTreeMap<String, StepId>,
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
}
