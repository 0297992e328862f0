//! How long a run still takes, from the durations of earlier runs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::run::{LiveRun, Phase};
use crate::domain::step_durations::StepDurations;

/// Returns the seconds until the last step has probably ended: the longest chain of steps that need each other. `None`
/// if a step that has not ended is unknown.
pub(super) fn seconds_left(run: &LiveRun, durations: &StepDurations, now: Timestamp) -> Option<f64> {
    let mut ends: BTreeMap<usize, f64> = BTreeMap::new();
    for (&id, step) in &run.steps {
        let usual = || durations.usual(&step.planned.subject, &step.planned.action);
        let end = match step.phase {
            Phase::Ended(_) => 0.0,
            Phase::Running(since) => (usual()? - now.duration_since(since).as_secs_f64()).max(0.0),
            Phase::Waiting => {
                let start = step.planned.needs.iter().filter_map(|need| ends.get(need)).copied().fold(0.0, f64::max);
                start + usual()?
            }
        };
        ends.insert(id, end);
    }
    ends.into_values().max_by(f64::total_cmp)
}

/// Formats an estimate: exact to 10 s over a minute, to 5 s over 15 s. `None` if the run should have ended.
pub(super) fn rounded(seconds: f64) -> Option<String> {
    let step = match seconds {
        ..1.0 => return None,
        ..15.0 => 1.0,
        ..60.0 => 5.0,
        _ => 10.0,
    };
    Some(format!("about {} left", super::picture::clock((seconds / step).ceil() * step)))
}
