//! How a new version of a project gets its traffic: in steps, or at once, with a way back.

mod driver;
mod next;
mod replicas;
mod state;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Name, check::HealthCheck};

pub use driver::{DRIVER, DRIVER_ACCOUNT, DriverSpec, TrafficDriver};
pub use next::{next_name, next_values, unfit_values};
pub use replicas::{next_replicas, shared_replicas};
pub use state::{RolloutPhase, RolloutState, RolloutVerdict, TrafficAction, TrafficRequest};

/// How long a step lasts, unless projects.yaml sets it.
pub const PAUSE: Duration = Duration::from_mins(1);
/// How long the old version keeps running after a switch, unless projects.yaml sets it.
pub const KEEP: Duration = Duration::from_mins(30);
/// The share of all requests, in percent.
pub const ALL: u8 = 100;
/// The steps of a canary, in percent, unless projects.yaml sets them.
const STEPS: [u8; 4] = [5, 25, 50, ALL];

/// The key `rollout` of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    pub kind: RolloutKind,
    pub steps: Vec<RolloutStep>,
    /// How long the old version keeps running after the last step.
    pub keep: Duration,
    /// What must hold during each step, by name.
    pub checks: BTreeMap<Name, HealthCheck>,
    pub preview: Option<Preview>,
    /// Whether clients stay on their version.
    pub is_sticky: bool,
}

/// How traffic moves to a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutKind {
    /// In steps.
    Canary,
    /// All of it at once.
    BlueGreen,
    /// The pods are replaced.
    None,
}

/// One step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStep {
    /// The share of the new version, in percent.
    pub weight: u8,
    /// How long the step lasts at least.
    pub pause_seconds: u64,
    /// Whether a person must promote it.
    pub until_promoted: bool,
}

/// Which requests get the new version, whatever the weights are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub header: Option<String>,
    pub cookie: Option<String>,
}

impl Rollout {
    /// Returns the steps of a kind that names none.
    pub fn default_steps(kind: RolloutKind, pause: Duration) -> Vec<RolloutStep> {
        let weights = if kind == RolloutKind::BlueGreen { &STEPS[STEPS.len() - 1..] } else { &STEPS[..] };
        weights.iter().map(|weight| RolloutStep::new(*weight, pause)).collect()
    }

    /// Whether a new version replaces the old one as without the key.
    pub fn is_none(&self) -> bool {
        self.kind == RolloutKind::None
    }

    /// The steps for people: `5%, 25%, 100%`.
    pub fn shown_steps(&self) -> String {
        self.steps.iter().map(|step| format!("{}%", step.weight)).collect::<Vec<_>>().join(", ")
    }
}

impl RolloutStep {
    pub fn new(weight: u8, pause: Duration) -> Self {
        Self { weight, pause_seconds: pause.as_secs(), until_promoted: false }
    }
}

/// Reads a share such as `25%`.
pub fn parse_weight(text: &str) -> Option<u8> {
    let digits = text.strip_suffix('%')?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|weight| is_plain && *weight <= ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_share_of_all_requests() {
        assert_eq!(["0%", "5%", "100%"].map(parse_weight), [Some(0), Some(5), Some(100)]);
        assert_eq!(["5", "101%", "-1%", "+5%", "2.5%", "%"].map(parse_weight), [None; 6]);
    }

    #[test]
    fn each_kind_has_steps() {
        let shown = |kind| {
            let steps = Rollout::default_steps(kind, PAUSE);
            Rollout { kind, steps, keep: KEEP, checks: BTreeMap::new(), preview: None, is_sticky: false }.shown_steps()
        };
        assert_eq!(shown(RolloutKind::Canary), "5%, 25%, 50%, 100%");
        assert_eq!(shown(RolloutKind::BlueGreen), "100%");
    }
}
