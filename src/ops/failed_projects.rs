//! Projects that failed in an earlier plan of a run: the later plans leave them out, and deploy the others.

use std::collections::BTreeSet;

use crate::{
    domain::{Name, Problem},
    engine::Summary,
    error::CommandError,
    ops::{
        builds::with_dependents,
        prepared::{LocalTarget, Prepared},
    },
    plan::{Plan, Step},
};

/// Projects that failed in a run, also those that were not started because of that.
#[derive(Debug, Default)]
pub(super) struct FailedProjects(BTreeSet<Name>);

impl FailedProjects {
    /// Adds the `known` projects that failed in a plan. Returns whether the others can still be deployed: all that failed
    /// belongs to projects, and not all of it failed before.
    pub(super) fn add(&mut self, known: &BTreeSet<Name>, plan: &Plan, summary: &Summary) -> bool {
        let ended = summary.failed.union(&summary.not_started);
        let steps = ended.filter_map(|id| plan.steps.iter().find(|planned| planned.id == *id));
        let project = |step: &Step| step.project().filter(|name| known.contains(name));
        let projects: Option<BTreeSet<Name>> = steps.map(|planned| project(&planned.step)).collect();
        let Some(projects) = projects.filter(|_| summary.interrupted.is_empty()) else { return false };
        let before = self.0.len();
        self.0.extend(projects);
        self.0.len() > before
    }

    /// Leaves them out, and the projects that need them.
    pub(super) fn leave_out(&self, prepared: &mut Prepared<LocalTarget>) {
        let left = with_dependents(&prepared.described, self.0.clone());
        prepared.described.projects.retain(|project| !left.contains(&project.name));
        prepared.target.buildable.retain(|buildable| !left.contains(&buildable.project));
    }

    /// # Errors
    /// If there are any.
    pub(super) fn into_result(self) -> Result<(), CommandError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.0.iter().map(Name::as_str).collect();
        let cause = format!("failed before the builds were deployed, as reported above: {}", names.join(", "));
        Err(CommandError::failed(Problem::new(cause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ReleaseKey,
        plan::{RolloutSpec, StepId},
    };

    fn summary(failed: &[StepId]) -> Summary {
        Summary { failed: failed.iter().copied().collect(), ..Summary::default() }
    }

    #[test]
    fn a_run_goes_on_as_long_as_other_projects_fail() {
        let mut plan = Plan::default();
        let cluster = plan.add(Step::ConnectCluster, "", None);
        let [traefik, shop, cart] = ["traefik", "shop", "cart"].map(|name| {
            let spec = RolloutSpec { release: ReleaseKey::new("tunes", name), timeout_seconds: 1 };
            plan.add(Step::AwaitRollout(spec), "", [cluster])
        });
        let known = BTreeSet::from(["shop", "cart"].map(|name| Name::new(name).unwrap()));
        let mut failed = FailedProjects::default();
        assert!(!failed.add(&known, &plan, &summary(&[cluster])), "nothing works without the cluster");
        assert!(!failed.add(&known, &plan, &summary(&[shop, traefik])), "nor without the platform");
        assert!(failed.add(&known, &plan, &summary(&[shop])));
        assert!(!failed.add(&known, &plan, &summary(&[shop])), "it would fail forever");
        assert!(failed.add(&known, &plan, &summary(&[shop, cart])));
        assert!(failed.into_result().is_err());
        assert!(FailedProjects::default().into_result().is_ok());
    }
}
