//! What stands between a change and an environment, each gate by its name.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diagnosis;

/// A gate by the name that `--override` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// A new image where images come by promotion alone.
    Promotion,
    /// No record of the source was ever healthy, or the named one is not known.
    Record,
    /// The source's records have not been healthy for long enough.
    Soak,
    /// A deployment that has not ended.
    Flight,
    /// A window in which nothing is deployed.
    Freeze,
    /// Somebody set a stop sign.
    Hold,
    /// The registry holds no scan of the image.
    Scan,
    /// A Job that must succeed first has failed.
    Verify,
}

/// Every gate, with its name and whether `--override` passes it.
pub const GATES: [(Gate, &str, bool); 8] = [
    (Gate::Promotion, "promotion", true),
    (Gate::Record, "record", false),
    (Gate::Soak, "soak", true),
    (Gate::Flight, "flight", false),
    (Gate::Freeze, "freeze", true),
    (Gate::Hold, "hold", true),
    (Gate::Scan, "scan", true),
    (Gate::Verify, "verify", true),
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

/// A gate that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub gate: Gate,
    /// The project; empty when it is the whole environment.
    pub project: String,
    pub diagnosis: Diagnosis,
}

impl Refusal {
    /// As it is told: with the gate's name, and how it may be passed.
    pub fn told(&self) -> Diagnosis {
        let mut diagnosis = self.diagnosis.clone();
        let subject = if self.project.is_empty() { String::new() } else { format!(" {}", self.project) };
        diagnosis.cause = format!("refused by the gate '{}':{subject} {}", self.gate, diagnosis.cause);
        if self.gate.can_be_overridden() {
            let way = format!("--override {} --because \"...\" passes it, and is recorded", self.gate);
            diagnosis.remedy = Some(match diagnosis.remedy {
                Some(remedy) => format!("{remedy}; {way}"),
                None => way,
            });
        }
        diagnosis
    }
}
