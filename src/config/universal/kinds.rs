//! Keys that only some kinds of workloads have. Any other kind would ignore them.

use serde_json::Value;

use super::Mistake;
use crate::{
    config::error::quoted,
    domain::{ResolvedProject, Values, volume::is_of_one_node},
};

/// Written as `host` or `routes` of the project.
const ROUTES: &str = "routes";
const JOBS: &[&str] = &["Job", "CronJob"];

/// The keys that belong to these kinds. A key that is not listed belongs to all of them.
const KEYS: [(&[&str], &[&str]); 6] = [
    (
        JOBS,
        &[
            "backoffLimit",
            "completions",
            "deadline",
            "indexed",
            "parallelism",
            "podFailurePolicy",
            "restart",
            "suspend",
            "ttl",
        ],
    ),
    (
        &["Deployment", "StatefulSet", "DaemonSet"],
        &["aliases", "minReady", "monitor", "podDisruptionBudget", ROUTES, "service"],
    ),
    (&["Deployment", "StatefulSet"], &["replicas"]),
    (&["Deployment", "DaemonSet"], &["strategy"]),
    (&["StatefulSet"], &["podManagement", "updateStrategy"]),
    (&["CronJob"], &["concurrency", "keep", "schedule", "startingDeadline", "timeZone"]),
];

/// Returns a mistake for each key of another kind. What `defaults` of the workspace say is for all projects, of any kind.
pub(super) fn foreign_keys(project: &ResolvedProject, defaults: &Values) -> Vec<Mistake> {
    let kind = project.values.get("kind").and_then(Value::as_str).unwrap_or("Deployment");
    let is_own =
        |key: &str| project.values.get(key).is_some_and(|value| !value.is_null() && defaults.get(key) != Some(value));
    // Another kind than these is a mistake of its own.
    let is_known = KEYS.iter().any(|(kinds, _)| kinds.contains(&kind));
    let foreign = KEYS.iter().filter(|(kinds, _)| is_known && !kinds.contains(&kind));
    let keys = foreign.flat_map(|(kinds, keys)| keys.iter().map(move |key| (kinds, *key)));
    let mistakes = keys.filter(|(_, key)| is_own(key)).map(|(kinds, key)| mistake(kind, kinds, key));
    mistakes.chain(recreated(kind, project, defaults)).chain(strategy(kind, project, defaults)).collect()
}

/// Limits of a rolling update that Kubernetes refuses, or that a volume of one node makes impossible.
fn strategy(kind: &str, project: &ResolvedProject, defaults: &Values) -> Option<Mistake> {
    let strategy = project.values.get("strategy").filter(|strategy| defaults.get("strategy") != Some(strategy))?;
    let limits = strategy.as_object()?;
    let is_zero = |key: &str| limits.get(key).is_some_and(|value| *value == 0 || *value == "0%");
    let (message, expected) = match kind {
        "Deployment" if is_zero("surge") && is_zero("unavailable") => {
            ("`surge` and `unavailable` are both 0", "expected one of them above 0: no pod could be replaced")
        }
        "DaemonSet" if ["surge", "unavailable"].iter().all(|key| limits.contains_key(*key) && !is_zero(key)) => {
            ("`surge` and `unavailable` of a DaemonSet are both above 0", "expected one of them")
        }
        "Deployment" if has_volume_of_a_node(project) => (
            "`strategy` has no effect beside a volume of one node",
            "expected `strategy: Recreate`, or a volume with \
              `accessMode: ReadWriteMany`: the new pod could not mount the volume while the old one runs",
        ),
        _ => return None,
    };
    Some(Mistake::new(vec!["strategy".to_owned()], message.to_owned(), expected.to_owned()))
}

fn has_volume_of_a_node(project: &ResolvedProject) -> bool {
    let volumes = project.values.get("volumes").and_then(Value::as_object);
    volumes.into_iter().flatten().any(|(_, volume)| is_of_one_node(volume))
}

/// Only a Deployment can stop all its pods first.
fn recreated(kind: &str, project: &ResolvedProject, defaults: &Values) -> Option<Mistake> {
    let strategy = project.values.get("strategy").filter(|strategy| defaults.get("strategy") != Some(strategy))?;
    if kind != "DaemonSet" || strategy != "Recreate" {
        return None;
    }
    let expected = "expected `{surge, unavailable}`: Kubernetes replaces the pods of a DaemonSet one by one".to_owned();
    Some(Mistake::new(vec!["strategy".to_owned()], "a DaemonSet has no strategy `Recreate`".to_owned(), expected))
}

fn mistake(kind: &str, kinds: &[&str], key: &str) -> Mistake {
    let message = format!("{} does not apply to a {kind}", quoted(key));
    let expected = format!("expected `kind: {}`, or no {}", kinds.join("` or `kind: "), quoted(key));
    let place = if key == ROUTES { "kind" } else { key };
    Mistake::new(vec![place.to_owned()], message, expected)
}
