//! Gates: checks that can block a change to an environment.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// A gate, with the name that `--override` accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// A new image, in an environment that only accepts promoted images.
    Promotion,
    /// No record of the source was ever healthy, or the requested one is unknown.
    Record,
    /// No record of the source has been healthy for long enough.
    Soak,
    /// The projects beside it in the target are not those that it was tested with.
    Combination,
    /// A deployment has not finished.
    Flight,
    /// The deployment window is closed.
    Freeze,
    /// Deployments are on hold.
    Hold,
    /// The registry has no scan of the image.
    Scan,
    /// A Job that must succeed before the change failed.
    Verify,
    /// A later pipeline deployed what runs.
    Outdated,
}

/// All gates, with their names and whether `--override` can override them.
pub const GATES: [(Gate, &str, bool); 10] = [
    (Gate::Promotion, "promotion", true),
    (Gate::Record, "record", false),
    (Gate::Soak, "soak", true),
    (Gate::Combination, "combination", true),
    (Gate::Flight, "flight", false),
    (Gate::Freeze, "freeze", true),
    (Gate::Hold, "hold", true),
    (Gate::Scan, "scan", true),
    (Gate::Verify, "verify", true),
    (Gate::Outdated, "outdated", true),
];

impl Gate {
    pub fn name(self) -> &'static str {
        GATES.iter().find(|(gate, ..)| *gate == self).map_or("", |(_, name, _)| name)
    }

    pub fn can_be_overridden(self) -> bool {
        GATES.iter().any(|(gate, _, can)| *gate == self && *can)
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A gate that blocks a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub gate: Gate,
    /// The project; empty if it applies to the whole environment.
    pub project: String,
    pub problem: Problem,
}

impl Refusal {
    /// Returns the failure to show: with the name of the gate, and how to override it.
    pub fn to_problem(&self) -> Problem {
        let mut problem = self.problem.clone();
        let subject = if self.project.is_empty() { String::new() } else { format!(" {}:", self.project) };
        problem.message = format!("blocked by gate '{}':{subject} {}", self.gate, problem.message);
        if self.gate.can_be_overridden() {
            let way = format!("override it with --override {} --because \"...\", which is recorded", self.gate);
            problem.help = Some(match problem.help {
                Some(help) => format!("{help}; {way}"),
                None => way,
            });
        }
        problem
    }
}
