//! The Jobs that verify a deployment.

use super::{DescribedProject, Planner};
use crate::{
    domain::VerifyWhen,
    plan::{Step, StepId, VerifySpec},
};

impl Planner<'_> {
    /// Adds the Jobs of a project that run at this time.
    pub(super) fn verifications(
        &mut self,
        project: &DescribedProject,
        when: VerifyWhen,
        needs: &[StepId],
    ) -> Vec<StepId> {
        let verifications = project.verifications.iter().filter(|verification| verification.when == when);
        let add = |verification: &VerifySpec| {
            let reason = format!("{} must succeed", verification.name);
            let step = Step::Verify(verification.clone());
            self.plan.add(step, reason, needs.iter().copied())
        };
        verifications.map(add).collect()
    }
}
