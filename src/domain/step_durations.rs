//! How long steps took in earlier runs, to estimate how long a run still takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many durations of each step are kept.
const KEPT: usize = 5;

/// The last durations of each step in seconds, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepDurations(BTreeMap<String, BTreeMap<String, Vec<f64>>>);

impl StepDurations {
    /// Adds the duration of a step that succeeded.
    pub fn add(&mut self, subject: &str, action: &str, seconds: f64) {
        let durations = self.0.entry(action.to_owned()).or_default().entry(subject.to_owned()).or_default();
        // Milliseconds are exact enough.
        durations.push((seconds * 1000.0).round() / 1000.0);
        let excess = durations.len().saturating_sub(KEPT);
        durations.drain(..excess);
    }

    /// Returns the usual duration of a step in seconds: that of its subject, or of other subjects with the same action.
    pub fn usual(&self, subject: &str, action: &str) -> Option<f64> {
        let subjects = self.0.get(action)?;
        match subjects.get(subject) {
            Some(own) => median(own.clone()),
            None => median(subjects.values().filter_map(|other| median(other.clone())).collect()),
        }
    }
}

fn median(mut durations: Vec<f64>) -> Option<f64> {
    durations.sort_by(f64::total_cmp);
    durations.get(durations.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_duration_is_the_median_of_the_last_runs() {
        let mut durations = StepDurations::default();
        for seconds in [90.0, 1.0, 5.0, 4.0, 6.0, 60.0] {
            durations.add("shop", "install", seconds);
        }
        assert_eq!(
            durations.usual("shop", "install"),
            Some(5.0),
            "the oldest is forgotten, and one slow run is not usual"
        );
        assert_eq!(durations.usual("search", "install"), Some(5.0), "an unknown subject takes as long as others");
        assert_eq!(durations.usual("shop", "upgrade"), None);
        let text = serde_json::to_string(&durations).unwrap();
        assert_eq!(serde_json::from_str::<StepDurations>(&text).unwrap(), durations);
    }
}
