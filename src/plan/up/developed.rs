//! What an interrupted `cmdr dev` has changed.

use std::sync::Arc;

use super::Planner;
use crate::plan::{
    ReleaseSpec, Step, StepId,
    dev::{DevAction, DevProject, DevStep},
};

impl Planner<'_> {
    /// Adds the step that a release needs, after that of an interrupted `cmdr dev`.
    pub(super) fn restored_release(&mut self, release: &ReleaseSpec, mut needs: Vec<StepId>) -> Option<StepId> {
        let restored = self.restore(release, &needs);
        needs.extend(restored);
        self.release(release, needs).or(restored)
    }

    /// Restores what an interrupted `cmdr dev` has changed.
    fn restore(&mut self, release: &ReleaseSpec, needs: &[StepId]) -> Option<StepId> {
        let developed = self.observed.releases.get(&release.key())?.developed.as_ref()?;
        if developed.is_running {
            return None;
        }
        let project = Arc::new(DevProject::left_behind(release.key(), developed, release.timeout_seconds));
        let step = Step::Dev(DevStep { project, action: DevAction::Restore });
        let reason = format!("cmdr dev was interrupted ({})", developed.holder);
        Some(self.plan.add(step, reason, needs.iter().copied()))
    }
}
