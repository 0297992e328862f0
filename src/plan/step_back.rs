//! Whether a record of the source is older than what the target of a promotion runs.

use jiff::Timestamp;

use crate::domain::{
    RecordId,
    gate::Gate,
    ledger::{Deployment, DeploymentOutcome, History},
};

use super::sets::Period;

/// What the target of a promotion runs of a project.
#[derive(Debug, Clone, Copy)]
pub struct TargetRecord<'a> {
    /// The target.
    pub environment: &'a str,
    pub version: &'a str,
    /// The record of the source with the same images and chart; `None` if they came from elsewhere.
    pub record: Option<&'a RecordId>,
    /// When it was deployed.
    pub since: Timestamp,
}

impl<'a> TargetRecord<'a> {
    /// Reads the target's history; `source` is the environment that it promotes from.
    pub fn of(environment: &'a str, history: &'a History, source: &str) -> Option<Self> {
        let current = history.current()?;
        let record = promoted(history, source);
        Some(Self { environment, version: &current.version, record, since: current.started })
    }

    /// Whether it is newer than a record that the source ran for a period. The source's newest deployment of the same
    /// record counts: a source that was rolled back to it has given up what it ran in between.
    pub fn is_newer_than(&self, period: &Period, source: &[Deployment]) -> bool {
        let Some(record) = self.record else { return period.until <= self.since };
        let last = source.iter().rfind(|it| it.record == *record && is_healthy(it));
        period.record != *record && last.is_some_and(|last| period.until <= last.started)
    }
}

fn is_healthy(deployment: &Deployment) -> bool {
    deployment.outcome == DeploymentOutcome::Healthy
}

/// The record of the source whose images and chart the target runs. Between promotions, a target changes only its values.
fn promoted<'a>(history: &'a History, source: &str) -> Option<&'a RecordId> {
    let is_new = |it: &&Deployment| it.promoted_from.is_some() || it.origin.overridden.contains(&Gate::Promotion);
    let origin = history.lineage().filter(|it| is_healthy(it)).find(is_new)?;
    origin.promoted_record.as_ref().filter(|_| origin.promoted_from.as_deref() == Some(source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::{ROLLBACK, tests::deployment};

    fn healthy(record: &str, minute: u32) -> Deployment {
        deployment(record, &format!("2026-11-21T12:{minute:02}:00Z"), DeploymentOutcome::Healthy)
    }

    fn promoted_from(environment: &str, of: &str, record: &str, minute: u32) -> Deployment {
        let (promoted_from, promoted_record) = (Some(environment.to_owned()), Some(of.into()));
        Deployment { promoted_from, promoted_record, ..healthy(record, minute) }
    }

    fn record_of(deployments: Vec<Deployment>) -> Option<String> {
        let history = History { deployments, ..History::default() };
        TargetRecord::of("production", &history, "staging").unwrap().record.map(ToString::to_string)
    }

    #[test]
    fn a_target_runs_what_was_promoted_to_it() {
        let (first, second) = (promoted_from("staging", "a", "p1", 1), promoted_from("staging", "b", "p2", 2));
        assert_eq!(record_of(vec![first.clone(), second.clone()]).as_deref(), Some("b"));
        assert_eq!(record_of(vec![first.clone(), second.clone(), healthy("p3", 3)]).as_deref(), Some("b"), "values");
        let back = Deployment { verb: ROLLBACK.to_owned(), ..healthy("p1", 3) };
        assert_eq!(record_of(vec![first.clone(), second.clone(), back]).as_deref(), Some("a"));
        let mut fix = healthy("p3", 3);
        fix.origin.overridden = vec![Gate::Promotion];
        assert_eq!(record_of(vec![first, fix]), None, "its image came from elsewhere");
        assert_eq!(record_of(vec![promoted_from("canary", "a", "p1", 1)]), None);
        assert!(TargetRecord::of("production", &History::default(), "staging").is_none());
    }

    #[test]
    fn older_is_what_the_source_ran_before() {
        let at = |minute: u32| format!("2026-11-21T12:{minute:02}:00Z").parse::<Timestamp>().unwrap();
        let period =
            |record: &str, from: u32, until: u32| Period { record: record.into(), from: at(from), until: at(until) };
        let source = [healthy("a", 0), healthy("b", 10), healthy("c", 20), healthy("b", 30)];
        let runs = |record: Option<&'static str>| {
            let record: Option<RecordId> = record.map(RecordId::from);
            let source = source.clone();
            move |ran: Period| {
                let running = TargetRecord { environment: "", version: "", record: record.as_ref(), since: at(15) };
                running.is_newer_than(&ran, &source)
            }
        };
        let b = runs(Some("b"));
        assert!(b(period("a", 0, 10)));
        assert!(b(period("c", 20, 30)), "the source runs b again");
        assert!(!b(period("b", 10, 20)) && !b(period("b", 30, 40)), "the same record is not older");
        let a = runs(Some("a"));
        assert!(!a(period("b", 10, 20)) && !a(period("c", 20, 30)));
        let fix = runs(None);
        assert!(fix(period("a", 0, 10)) && !fix(period("b", 10, 20)), "by time");
        assert!(!runs(Some("lost"))(period("a", 0, 10)), "the source has forgotten it: it was earlier than all it has");
    }
}
