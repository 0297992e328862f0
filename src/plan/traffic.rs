//! Rollouts: a second release of a project gets its traffic step by step.

use std::collections::BTreeMap;

use serde_json::json;

use super::{OperateStep, Plan, ReleaseSpec, Step, StepId};
use crate::domain::{
    RecordId, ReleaseKey, Values,
    rollout::{Rollout, RolloutState, next_name, next_values, shared_replicas},
};

/// How a new version of a project gets its traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectRollout {
    pub rollout: Rollout,
    /// The second release.
    pub next: ReleaseSpec,
    /// Whether the run does only what is due.
    pub is_detached: bool,
}

impl ProjectRollout {
    pub fn of(release: &ReleaseSpec, rollout: Rollout, is_detached: bool) -> Self {
        let mut next = release.clone();
        next.name = next_name(&release.name);
        next.content.values = next_values(&release.name, &release.content.values);
        if shared_replicas(&release.content.values).is_some() {
            // The first step gives it its share.
            next.content.values.insert("replicas".to_owned(), json!(0));
        }
        next.rollout_of = Some(release.name.clone());
        Self { rollout, next, is_detached }
    }
}

/// A step of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficStep {
    pub project: ReleaseKey,
    pub change: TrafficChange,
}

/// What a step does to the traffic of a project.
#[derive(Debug, Clone, PartialEq)]
pub enum TrafficChange {
    /// Stores the record, and that its rollout has started.
    Start(Box<RolloutStart>),
    /// Moves the traffic until all steps have passed.
    Shift(Box<TrafficShift>),
    /// Gives all traffic to the release, and removes the second one. With a reason: the new version did not take over.
    End(Option<String>),
}

/// The start of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutStart {
    pub rollout: Rollout,
    /// With the new record.
    pub release: ReleaseSpec,
    pub old_version: String,
    /// Who starts it.
    pub by: String,
}

/// How the traffic moves.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficShift {
    pub rollout: Rollout,
    pub record: RecordId,
    /// The values of the release, which has the routes.
    pub old: Values,
    /// The values of the new version.
    pub new: Values,
    pub is_detached: bool,
    /// How long pods may take to become ready.
    pub timeout_seconds: u64,
}

impl TrafficStep {
    pub fn action(&self) -> &'static str {
        match &self.change {
            TrafficChange::Start(_) => "start rollout of",
            TrafficChange::Shift(_) => "shift traffic to",
            TrafficChange::End(None) => "end rollout of",
            TrafficChange::End(Some(_)) => "return traffic to",
        }
    }
}

/// Returns the rollouts in progress that a plan ends because something else is deployed, each with the step that does.
pub fn replaced<'a>(
    plan: &'a Plan,
    rollouts: &'a BTreeMap<String, RolloutState>,
) -> impl Iterator<Item = (StepId, &'a ReleaseKey, &'a RolloutState)> {
    plan.changes().filter_map(|planned| {
        let Step::Operate(OperateStep::Traffic(TrafficStep { project, change })) = &planned.step else { return None };
        let ends = matches!(change, TrafficChange::Start(_) | TrafficChange::End(Some(_)));
        let state = rollouts.get(&project.name).filter(|state| ends && state.is_in_progress())?;
        Some((planned.id, project, state))
    })
}

/// Returns all traffic of projects to the old version, and removes the new one.
pub fn end_rollouts(projects: impl IntoIterator<Item = ReleaseKey>, reason: &str) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    for project in projects {
        let change = TrafficChange::End(Some(reason.to_owned()));
        plan.add(Step::Operate(OperateStep::Traffic(TrafficStep { project, change })), reason, [connected]);
    }
    plan
}
