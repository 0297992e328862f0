//! The steps of operations: they change what runs or is reachable, without a new record.

use super::{RolloutSpec, drain::DrainStep, maintenance::MaintenanceStep, scale::ScaleSpec, traffic::TrafficStep};
use crate::domain::ReleaseKey;

#[derive(Debug, Clone, PartialEq)]
pub enum OperateStep {
    /// Restarts the pods with the same content.
    Restart(RolloutSpec),
    /// Sets the number of pods.
    Scale(ScaleSpec),
    /// Closes or opens the routes of a project.
    Maintenance(MaintenanceStep),
    /// Stops, awaits or starts what fills and empties queues.
    Drain(DrainStep),
    /// Moves traffic between two versions of a project.
    Traffic(TrafficStep),
}

impl OperateStep {
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Restart(_) => "restart",
            Self::Scale(_) => "scale",
            Self::Maintenance(step) => step.action(),
            Self::Drain(step) => step.action(),
            Self::Traffic(step) => step.action(),
        }
    }

    pub(super) fn subject(&self) -> String {
        match self {
            Self::Maintenance(step) => step.subject(),
            Self::Restart(RolloutSpec { release, .. })
            | Self::Scale(ScaleSpec { rollout: RolloutSpec { release, .. }, .. })
            | Self::Drain(DrainStep { project: release, .. })
            | Self::Traffic(TrafficStep { project: release, .. }) => release.name.clone(),
        }
    }

    /// The release that changes; the page of a maintenance belongs to none.
    pub fn release(&self) -> Option<&ReleaseKey> {
        match self {
            Self::Maintenance(step) => step.release(),
            Self::Restart(RolloutSpec { release, .. })
            | Self::Scale(ScaleSpec { rollout: RolloutSpec { release, .. }, .. })
            | Self::Drain(DrainStep { project: release, .. })
            | Self::Traffic(TrafficStep { project: release, .. }) => Some(release),
        }
    }
}
