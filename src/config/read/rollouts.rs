//! The key `rollout` of a project: read from the tree.

use std::time::Duration;

use super::checks::checks;
use crate::config::{format::duration, tree::Cursor};
use crate::domain::rollout::{KEEP, PAUSE, Preview, Rollout, RolloutKind, RolloutStep, TrafficDriver, parse_weight};

/// Returns the key `traffic` of an environment; `None` if it is invalid.
pub(in crate::config) fn traffic(value: Cursor<'_>) -> Option<TrafficDriver> {
    let text = |key: &str| Some(value.get(key)?.text()?.to_owned());
    Some(TrafficDriver { image: text("image")?, account: text("account") })
}

/// Returns the rollout under the key of a project or of its override; `None` if it is invalid.
pub(in crate::config) fn rollout(value: Cursor<'_>) -> Option<Rollout> {
    let kind = match value.get("kind")?.text()? {
        "canary" => RolloutKind::Canary,
        "blue-green" => RolloutKind::BlueGreen,
        "none" => RolloutKind::None,
        _ => return None,
    };
    let time = |key: &str| duration_of(value, key);
    let pause = time("pause").unwrap_or(PAUSE);
    let keep = if kind == RolloutKind::BlueGreen { KEEP } else { Duration::ZERO };
    let written = value.get("steps").map(|steps| steps.items().filter_map(|step| read_step(step, pause)).collect());
    let name = |key: &str| Some(value.at(&["preview", key])?.text()?.to_owned());
    Some(Rollout {
        kind,
        steps: written.unwrap_or_else(|| Rollout::default_steps(kind, pause)),
        keep: time("keep").unwrap_or(keep),
        checks: checks(value, "checks"),
        preview: value.get("preview").map(|_| Preview { header: name("header"), cookie: name("cookie") }),
        is_sticky: value.get("sticky").and_then(|sticky| sticky.boolean()).unwrap_or_default(),
    })
}

fn duration_of(value: Cursor<'_>, key: &str) -> Option<Duration> {
    duration(value.get(key)?.text()?)
}

/// A step, with the pause of those that have none.
fn read_step(step: Cursor<'_>, pause: Duration) -> Option<RolloutStep> {
    if let Some(text) = step.text() {
        return Some(RolloutStep::new(parse_weight(text)?, pause));
    }
    let weight = parse_weight(step.get("weight")?.text()?)?;
    let until_promoted = step.get("until").is_some();
    // One that a person promotes needs no further pause.
    let pause = if until_promoted { Duration::ZERO } else { pause };
    let pause = duration_of(step, "pause").unwrap_or(pause);
    Some(RolloutStep { until_promoted, ..RolloutStep::new(weight, pause) })
}
