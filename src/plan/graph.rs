//! A plan: steps and what each one waits for.

use std::collections::BTreeSet;

use super::Step;

/// A step's place in its plan.
pub type StepId = usize;

/// A step with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub id: StepId,
    pub step: Step,
    /// The project or part of the platform that the step serves.
    pub subject: String,
    /// What is done, as an imperative: `create cluster`, `install`.
    pub action: String,
    /// Why: `not there yet`, `values differ`.
    pub reason: String,
    pub needs: BTreeSet<StepId>,
}

/// Steps in an order in which each comes after what it needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Planned>,
    /// Projects that are as described.
    pub unchanged: Vec<String>,
    /// Releases that others have changed by hand, with what: they stay so.
    pub drifted: Vec<String>,
    /// What is described cannot be told further before these steps have run (a cluster that sleeps).
    pub preliminary: bool,
}

impl Plan {
    /// Adds a step after those it needs, and gives its id.
    pub fn add(
        &mut self,
        step: Step,
        subject: impl Into<String>,
        action: impl Into<String>,
        reason: impl Into<String>,
        needs: impl IntoIterator<Item = StepId>,
    ) -> StepId {
        let id = self.steps.len();
        let needs: BTreeSet<StepId> = needs.into_iter().collect();
        debug_assert!(needs.iter().all(|&need| need < id), "a step can need only earlier steps");
        self.steps.push(Planned {
            id,
            step,
            subject: subject.into(),
            action: action.into(),
            reason: reason.into(),
            needs,
        });
        id
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Steps that change something; the others ask or prepare.
    pub fn changes(&self) -> impl Iterator<Item = &Planned> {
        let only_prepares = |step: &Step| {
            matches!(
                step,
                Step::Check(_)
                    | Step::CheckAddresses
                    | Step::CheckNames
                    | Step::Answer(_)
                    | Step::ConnectCluster
                    | Step::PullImages(_)
                    | Step::ProvideVolumes(_)
                    | Step::Verify(_)
                    | Step::LocalRegistry(_)
                    | Step::AnnounceRegistry { .. }
            )
        };
        self.steps.iter().filter(move |planned| !only_prepares(&planned.step))
    }
}
