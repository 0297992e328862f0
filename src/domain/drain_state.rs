//! What a drain has stopped, and how it is started again. The workload itself carries this state as an annotation, so
//! that any later run can go on or go back.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Values, labels, maintenance::seconds};

/// The kinds that can be stopped.
pub const STOPPABLE: [&str; 3] = ["Deployment", "StatefulSet", "CronJob"];

/// The annotation of a workload that a drain has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainMark {
    pub since: Timestamp,
    pub by: String,
    /// The replicas before; for a `CronJob` 1 if it was not suspended, otherwise 0.
    pub replicas: u64,
    /// Whether its own queues were drained.
    #[serde(default)]
    pub drained: bool,
    /// The drained projects whose producer it is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drains: BTreeSet<String>,
}

/// Why a workload is stopped or started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrainReasons {
    /// Its own queues.
    pub own: bool,
    /// The drained projects whose producer it is.
    pub drains: BTreeSet<String>,
}

impl DrainMark {
    /// Returns the state that an object carries.
    pub fn of(workload: &Value) -> Option<Self> {
        Self::read(workload.pointer("/metadata/annotations")?.get(labels::DRAIN)?.as_str()?)
    }

    /// Reads the annotation.
    pub fn read(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }

    /// Returns the state of a workload that is stopped for these reasons, besides those for which it already is.
    #[must_use]
    pub fn stopped(workload: &Value, reasons: &DrainReasons, by: &str, now: Timestamp) -> Self {
        let found = Self::of(workload).unwrap_or_else(|| Self {
            since: now,
            by: by.to_owned(),
            replicas: replicas(workload),
            drained: false,
            drains: BTreeSet::new(),
        });
        let drains = found.drains.union(&reasons.drains).cloned().collect();
        Self { drained: found.drained || reasons.own, drains, ..found }
    }

    /// Returns the state after these reasons have ended; `None` if none is left.
    pub fn without(&self, reasons: &DrainReasons) -> Option<Self> {
        let drains: BTreeSet<String> = self.drains.difference(&reasons.drains).cloned().collect();
        let drained = self.drained && !reasons.own;
        (drained || !drains.is_empty()).then(|| Self { drained, drains, ..self.clone() })
    }

    /// The patch that stops a workload, or keeps it stopped.
    pub fn patch(&self, kind: &str) -> Value {
        patch(kind, 0, Some(&json!(self).to_string()))
    }

    /// The patch that starts it as it was.
    pub fn restored(&self, kind: &str) -> Value {
        patch(kind, self.replicas, None)
    }

    /// `drained since 2026-11-27T03:00:00Z`, or `stopped for the drain of worker since ...`
    pub fn describe(&self) -> String {
        let since = seconds(self.since);
        let drains: Vec<&str> = self.drains.iter().map(String::as_str).collect();
        if self.drained {
            format!("drained since {since}")
        } else {
            format!("stopped for the drain of {} since {since}", drains.join(", "))
        }
    }
}

fn replicas(workload: &Value) -> u64 {
    match workload["kind"].as_str() {
        Some("CronJob") => u64::from(workload.pointer("/spec/suspend") != Some(&json!(true))),
        _ => workload.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1),
    }
}

fn patch(kind: &str, replicas: u64, annotation: Option<&str>) -> Value {
    let spec = if kind == "CronJob" { json!({"suspend": replicas == 0}) } else { json!({"replicas": replicas}) };
    json!({"metadata": {"annotations": {(labels::DRAIN): annotation}}, "spec": spec})
}

/// The values of the universal chart for a project that a drain has stopped. What the release records is unchanged.
pub fn without_pods(values: &Values) -> Values {
    let mut stopped = values.clone();
    let is_cron_job = values.get("kind").is_some_and(|kind| kind == "CronJob");
    let (key, value) = if is_cron_job { ("suspend", true.into()) } else { ("replicas", 0.into()) };
    stopped.insert(key.to_owned(), value);
    stopped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(own: bool, drains: &[&str]) -> DrainReasons {
        DrainReasons { own, drains: drains.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn stopped(workload: &Value, own: bool, drains: &[&str]) -> DrainMark {
        DrainMark::stopped(workload, &reasons(own, drains), "ann", Timestamp::UNIX_EPOCH)
    }

    fn marked(mark: &DrainMark, replicas: u64) -> Value {
        let annotations = json!({(labels::DRAIN): json!(mark).to_string()});
        json!({"kind": "Deployment", "metadata": {"annotations": annotations}, "spec": {"replicas": replicas}})
    }

    #[test]
    fn a_second_run_remembers_the_replicas_of_the_first() {
        let workload = json!({"kind": "Deployment", "spec": {"replicas": 3}});
        let first = stopped(&workload, false, &["a"]);
        let second = stopped(&marked(&first, 0), true, &["b"]);
        assert_eq!((second.replicas, second.drained, second.drains.len()), (3, true, 2));
        assert_eq!(second.patch("Deployment")["spec"], json!({"replicas": 0}));
        assert_eq!(second.restored("Deployment")["spec"], json!({"replicas": 3}));
    }

    #[test]
    fn a_workload_starts_when_no_reason_is_left() {
        let mark = stopped(&json!({"kind": "Deployment"}), true, &["a", "b"]);
        let left = mark.without(&reasons(true, &["a"])).unwrap();
        assert_eq!(left.describe(), "stopped for the drain of b since 1970-01-01T00:00:00Z");
        assert_eq!(left.without(&reasons(false, &["b"])), None);
    }

    #[test]
    fn a_suspended_cron_job_stays_suspended() {
        let cron_job = |suspend: bool| json!({"kind": "CronJob", "spec": {"suspend": suspend}});
        assert_eq!(stopped(&cron_job(true), true, &[]).restored("CronJob")["spec"], json!({"suspend": true}));
        assert_eq!(stopped(&cron_job(false), true, &[]).restored("CronJob")["spec"], json!({"suspend": false}));
    }
}
