//! The state of a rollout, and what it does next. Every action can be repeated, so that a run that is killed at any
//! moment is continued by the next one.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ALL, Rollout, RolloutStep};
use crate::domain::{check::FailuresInARow, record::RecordId};

/// After this time, checks that cannot be evaluated count as failed.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_mins(5);

/// A rollout, as it is stored in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutState {
    /// The record of the new version.
    pub record: RecordId,
    pub version: String,
    /// The version that has the rest of the traffic.
    pub old_version: String,
    pub steps: Vec<RolloutStep>,
    pub keep_seconds: u64,
    pub phase: RolloutPhase,
    /// The position of the current step.
    pub step: usize,
    /// The share of the new version, in percent.
    pub weight: u8,
    /// Why it was not read back from Traefik that the new version has this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<String>,
    /// Since when it has this share.
    pub since: Timestamp,
    pub started: Timestamp,
    /// Who started it.
    pub by: String,
    /// A person has moved the weight: only a person continues.
    pub is_held: bool,
    /// A person has promoted the current step.
    pub is_promoted: bool,
    /// What a person has requested, and no run has done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<TrafficRequest>,
    /// The last results of the checks, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// How often checks have failed in a row.
    #[serde(default)]
    pub failures: FailuresInARow,
    /// Since when checks cannot be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Timestamp>,
    /// Why the traffic returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who aborted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted_by: Option<String>,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutPhase {
    /// The new version is being installed, and has no traffic.
    Starting,
    /// A step has its weight.
    Shifting,
    /// All steps have passed: the release takes the new record.
    Passed,
    /// The old version has all traffic, and the new one is removed.
    Returned,
}

/// What a person requests of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TrafficRequest {
    /// Passes the current step.
    PromoteStep {
        by: String,
    },
    /// Passes all steps.
    Promote {
        by: String,
    },
    /// Moves the weight, and waits there.
    Weight {
        weight: u8,
        by: String,
    },
    Abort {
        by: String,
    },
}

/// What the checks of a rollout say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RolloutVerdict {
    /// They were not evaluated.
    #[default]
    Open,
    Passed,
    /// With the observed value.
    Failed(String),
    /// They could not be evaluated, with the reason.
    Unknown(String),
}

/// What a rollout does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrafficAction {
    /// Gives the new version this share.
    Shift { step: usize, weight: u8, is_held: bool },
    /// Waits until a time, if it is known, and for this reason.
    Wait { until: Option<Timestamp>, reason: String },
    /// Evaluates the checks.
    Check,
    /// Marks the current step as promoted.
    Promote,
    /// All steps have passed.
    Pass,
    /// Returns all traffic to the old version, for this reason.
    Return(String),
}

impl RolloutState {
    /// Returns the state of a rollout that starts now.
    pub fn start(rollout: &Rollout, record: RecordId, (version, old_version): (String, String), by: String) -> Self {
        let now = Timestamp::now();
        Self {
            record,
            version,
            old_version,
            steps: rollout.steps.clone(),
            keep_seconds: rollout.keep.as_secs(),
            phase: RolloutPhase::Starting,
            step: 0,
            weight: 0,
            unconfirmed: None,
            since: now,
            started: now,
            by,
            is_held: false,
            is_promoted: false,
            request: None,
            seen: Vec::new(),
            failures: FailuresInARow::default(),
            unknown_since: None,
            reason: None,
            aborted_by: None,
        }
    }

    /// Whether the new version may have traffic.
    pub fn is_in_progress(&self) -> bool {
        self.phase != RolloutPhase::Returned
    }

    /// Returns what to do next.
    pub fn next_action(&self, now: Timestamp, verdict: &RolloutVerdict) -> TrafficAction {
        if self.phase == RolloutPhase::Passed {
            return TrafficAction::Pass;
        }
        match &self.request {
            Some(TrafficRequest::Abort { by }) => return TrafficAction::Return(format!("aborted by {by}")),
            Some(TrafficRequest::Weight { weight, .. }) => {
                return TrafficAction::Shift { step: self.step_of(*weight), weight: *weight, is_held: true };
            }
            Some(TrafficRequest::Promote { .. }) if self.weight == ALL => return TrafficAction::Pass,
            Some(TrafficRequest::Promote { .. }) => {
                let step = self.steps.len().saturating_sub(1);
                return TrafficAction::Shift { step, weight: ALL, is_held: false };
            }
            Some(TrafficRequest::PromoteStep { .. }) if self.phase == RolloutPhase::Shifting => {
                return TrafficAction::Promote;
            }
            Some(TrafficRequest::PromoteStep { .. }) | None => (),
        }
        match self.phase {
            RolloutPhase::Starting => self.shift(0),
            _ => self.judged(now, verdict),
        }
    }

    fn judged(&self, now: Timestamp, verdict: &RolloutVerdict) -> TrafficAction {
        match verdict {
            RolloutVerdict::Open => return TrafficAction::Check,
            RolloutVerdict::Failed(seen) => return TrafficAction::Return(seen.clone()),
            RolloutVerdict::Unknown(why)
                if self.unknown_since.is_some_and(|since| now.duration_since(since) > UNKNOWN_FOR) =>
            {
                return TrafficAction::Return(format!("the checks could not be evaluated for 5 minutes: {why}"));
            }
            RolloutVerdict::Unknown(_) | RolloutVerdict::Passed => (),
        }
        if let Some(wait) = self.wait(now) {
            return wait;
        }
        if let RolloutVerdict::Unknown(why) = verdict {
            return TrafficAction::Wait { until: None, reason: format!("the checks: {why}") };
        }
        self.next_step().map_or(TrafficAction::Pass, |step| self.shift(step))
    }

    /// What the current step waits for.
    fn wait(&self, now: Timestamp) -> Option<TrafficAction> {
        let wait = |until: Option<Timestamp>, reason: &str| {
            let reason = reason.to_owned();
            Some(TrafficAction::Wait { until, reason })
        };
        if self.is_held && !self.is_promoted {
            return wait(None, "cmdr traffic promote: the weight was moved manually");
        }
        let current = self.steps.get(self.step)?;
        if !self.is_promoted {
            let until = self.after(current.pause_seconds);
            if now < until {
                return wait(Some(until), "its pause");
            }
            if current.until_promoted {
                return wait(None, "cmdr traffic promote");
            }
        }
        let kept = self.after(if self.is_promoted { 0 } else { current.pause_seconds } + self.keep_seconds);
        let is_kept = self.next_step().is_none() && now < kept;
        if is_kept { wait(Some(kept), "the time for which the old version is kept") } else { None }
    }

    fn after(&self, seconds: u64) -> Timestamp {
        self.since
            .checked_add(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
            .unwrap_or(Timestamp::MAX)
    }

    fn shift(&self, step: usize) -> TrafficAction {
        let weight = self.steps.get(step).map_or(ALL, |step| step.weight);
        TrafficAction::Shift { step, weight, is_held: false }
    }

    /// The first step with a higher weight: a person may have moved the weight.
    fn next_step(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.weight > self.weight)
    }

    /// The step with the highest weight that is not above this one.
    fn step_of(&self, weight: u8) -> usize {
        self.steps.iter().rposition(|step| step.weight <= weight).unwrap_or(0)
    }

    /// Notes that an action was done.
    pub fn note(&mut self, action: &TrafficAction, now: Timestamp) {
        match action {
            TrafficAction::Shift { step, weight, is_held } => {
                self.phase = RolloutPhase::Shifting;
                (self.step, self.weight, self.since, self.is_held) = (*step, *weight, now, *is_held);
                (self.is_promoted, self.failures) = (false, FailuresInARow::default());
                // The rollout passes when the last step has been promoted, too.
                if !matches!(self.request, Some(TrafficRequest::Promote { .. })) {
                    self.request = None;
                }
            }
            TrafficAction::Promote => (self.is_promoted, self.request) = (true, None),
            TrafficAction::Pass => (self.phase, self.request) = (RolloutPhase::Passed, None),
            TrafficAction::Return(reason) => {
                if let Some(TrafficRequest::Abort { by }) = &self.request {
                    self.aborted_by = Some(by.clone());
                }
                (self.phase, self.weight, self.since, self.request) = (RolloutPhase::Returned, 0, now, None);
                self.reason = Some(reason.clone());
            }
            TrafficAction::Wait { .. } | TrafficAction::Check => (),
        }
    }

    /// Notes what the checks say.
    pub fn judge(&mut self, verdict: &RolloutVerdict, seen: Vec<String>, now: Timestamp) {
        self.seen = seen;
        self.unknown_since = match verdict {
            RolloutVerdict::Unknown(_) => self.unknown_since.or(Some(now)),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::rollout::{RolloutKind, RolloutStep};

    const NOON: &str = "2026-11-27T12:00:00Z";

    fn at(seconds: i64) -> Timestamp {
        NOON.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn step(weight: u8, until_promoted: bool) -> RolloutStep {
        RolloutStep { weight, pause_seconds: 10, until_promoted }
    }

    /// A rollout that started at noon.
    fn state(steps: Vec<RolloutStep>, keep_seconds: u64) -> RolloutState {
        let keep = std::time::Duration::from_secs(keep_seconds);
        let rollout = Rollout {
            kind: RolloutKind::Canary,
            steps,
            keep,
            checks: BTreeMap::new(),
            preview: None,
            is_sticky: false,
        };
        let versions = ("2".to_owned(), "1".to_owned());
        let mut state = RolloutState::start(&rollout, "r2".into(), versions, "anna".to_owned());
        (state.started, state.since) = (at(0), at(0));
        state
    }

    fn canary() -> RolloutState {
        state(vec![step(5, false), step(50, true), step(100, false)], 0)
    }

    /// Does what is next at a time, and returns it.
    fn act(state: &mut RolloutState, seconds: i64, verdict: &RolloutVerdict) -> TrafficAction {
        let action = state.next_action(at(seconds), verdict);
        state.note(&action, at(seconds));
        action
    }

    fn shift(step: usize, weight: u8) -> TrafficAction {
        TrafficAction::Shift { step, weight, is_held: false }
    }

    #[test]
    fn a_canary_goes_from_step_to_step() {
        let (mut state, passed) = (canary(), RolloutVerdict::Passed);
        assert_eq!(act(&mut state, 0, &RolloutVerdict::Open), shift(0, 5));
        assert_eq!(act(&mut state, 1, &RolloutVerdict::Open), TrafficAction::Check);
        let pause = TrafficAction::Wait { until: Some(at(10)), reason: "its pause".to_owned() };
        assert_eq!(act(&mut state, 9, &passed), pause);
        assert_eq!(act(&mut state, 10, &passed), shift(1, 50));
        assert!(matches!(act(&mut state, 20, &passed), TrafficAction::Wait { until: None, .. }), "for a person");
        state.request = Some(TrafficRequest::PromoteStep { by: "anna".to_owned() });
        assert_eq!(act(&mut state, 99, &passed), TrafficAction::Promote);
        assert_eq!(act(&mut state, 99, &passed), shift(2, 100));
        assert!(matches!(act(&mut state, 108, &passed), TrafficAction::Wait { .. }));
        assert_eq!(act(&mut state, 109, &passed), TrafficAction::Pass);
        assert_eq!((state.phase, state.next_action(at(110), &passed)), (RolloutPhase::Passed, TrafficAction::Pass));
    }

    #[test]
    fn a_failed_check_returns_all_traffic_at_once() {
        let mut state = canary();
        act(&mut state, 0, &RolloutVerdict::Open);
        let failed = RolloutVerdict::Failed("errors: 12% of requests, at most 1% allowed".to_owned());
        let TrafficAction::Return(reason) = act(&mut state, 2, &failed) else { panic!("not during the pause") };
        assert!(reason.starts_with("errors: 12%"));
        assert_eq!((state.phase, state.weight, state.is_in_progress()), (RolloutPhase::Returned, 0, false));
    }

    #[test]
    fn a_check_without_an_answer_passes_no_step_and_fails_at_last() {
        let (mut state, away) = (canary(), RolloutVerdict::Unknown("no response".to_owned()));
        act(&mut state, 0, &RolloutVerdict::Open);
        state.judge(&away, Vec::new(), at(5));
        assert!(matches!(act(&mut state, 11, &away), TrafficAction::Wait { until: None, .. }));
        state.judge(&away, Vec::new(), at(200));
        assert!(matches!(act(&mut state, 304, &away), TrafficAction::Wait { .. }));
        assert!(matches!(act(&mut state, 306, &away), TrafficAction::Return(_)));
        state.judge(&RolloutVerdict::Passed, Vec::new(), at(306));
        assert_eq!(state.unknown_since, None, "one answer starts the time again");
    }

    #[test]
    fn people_move_the_weight_promote_and_abort() {
        let (mut state, by) = (canary(), "anna".to_owned());
        act(&mut state, 0, &RolloutVerdict::Open);
        state.request = Some(TrafficRequest::Weight { weight: 70, by: by.clone() });
        assert_eq!(
            act(&mut state, 1, &RolloutVerdict::Open),
            TrafficAction::Shift { step: 1, weight: 70, is_held: true }
        );
        assert!(matches!(act(&mut state, 500, &RolloutVerdict::Passed), TrafficAction::Wait { until: None, .. }));
        state.request = Some(TrafficRequest::Promote { by: by.clone() });
        assert_eq!(act(&mut state, 501, &RolloutVerdict::Open), shift(2, 100));
        assert_eq!(act(&mut state, 502, &RolloutVerdict::Open), TrafficAction::Pass, "without its pause");
        let mut state = canary();
        state.request = Some(TrafficRequest::Abort { by });
        assert_eq!(act(&mut state, 0, &RolloutVerdict::Open), TrafficAction::Return("aborted by anna".to_owned()));
        assert_eq!((state.phase, state.aborted_by.as_deref()), (RolloutPhase::Returned, Some("anna")));
    }

    #[test]
    fn a_weight_below_the_first_step_is_continued_with_that_step() {
        let mut state = canary();
        state.request = Some(TrafficRequest::Weight { weight: 1, by: "anna".to_owned() });
        act(&mut state, 0, &RolloutVerdict::Open);
        assert!(matches!(act(&mut state, 60, &RolloutVerdict::Passed), TrafficAction::Wait { until: None, .. }));
        state.request = Some(TrafficRequest::PromoteStep { by: "anna".to_owned() });
        act(&mut state, 61, &RolloutVerdict::Open);
        assert_eq!(act(&mut state, 62, &RolloutVerdict::Passed), shift(0, 5));
    }

    #[test]
    fn the_old_version_is_kept_after_the_switch() {
        let (mut state, passed) = (state(vec![step(100, false)], 1800), RolloutVerdict::Passed);
        assert_eq!(act(&mut state, 0, &RolloutVerdict::Open), shift(0, 100));
        let TrafficAction::Wait { until, .. } = act(&mut state, 11, &passed) else { panic!("it is kept") };
        assert_eq!(until, Some(at(1810)));
        let failed = RolloutVerdict::Failed("slow".to_owned());
        assert_eq!(state.clone().next_action(at(900), &failed), TrafficAction::Return("slow".to_owned()));
        assert_eq!(act(&mut state, 1810, &passed), TrafficAction::Pass);
    }

    #[test]
    fn a_state_survives_the_round_trip() {
        let mut state = canary();
        state.request = Some(TrafficRequest::Weight { weight: 7, by: "anna".to_owned() });
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<RolloutState>(&text).unwrap(), state);
    }
}
