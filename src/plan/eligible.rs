//! Selects the record of a source environment that can be promoted. Pure: the time is a parameter.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{
    Problem, RecordId,
    gate::{Gate, Refusal},
    ledger::{Deployment, DeploymentOutcome, History},
};

use super::ObservedRelease;

/// A project in the source environment of a promotion.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub project: &'a str,
    pub environment: &'a str,
    pub history: Option<&'a History>,
    /// The release that runs there.
    pub live: Option<&'a ObservedRelease>,
    /// Another cmdr run holds the lock.
    pub in_work: bool,
    /// How long a record must have been healthy.
    pub soak: Duration,
    pub now: Timestamp,
}

impl Source<'_> {
    /// Returns the newest record that was healthy for at least the soak time without interruption, or the requested
    /// one, by a prefix of its ID.
    ///
    /// # Errors
    /// Returns the gate that blocks the promotion.
    pub fn eligible(&self, named: Option<&str>, pass_soak: bool) -> Result<RecordId, Box<Refusal>> {
        if self.in_work && self.history.is_some_and(|history| history.in_flight().is_some()) {
            let cause = format!("a deployment in '{}' has not finished", self.environment);
            return Err(self.refusal(Gate::Flight, Problem::new(cause).help("wait until it has finished")).into());
        }
        let candidates = self.candidates(named)?;
        let soaked = candidates.iter().find(|deployment| pass_soak || self.healthy_for(deployment) >= self.soak);
        soaked.map(|deployment| deployment.record.clone()).ok_or_else(|| self.too_young(&candidates).into())
    }

    /// Returns the healthy deployments, newest first.
    fn candidates(&self, named: Option<&str>) -> Result<Vec<&Deployment>, Box<Refusal>> {
        let deployments = self.history.map(|history| history.deployments.as_slice()).unwrap_or_default();
        let is_meant = |deployment: &&Deployment| named.is_none_or(|named| deployment.record.starts_with(named));
        let meant: Vec<&Deployment> = deployments.iter().rev().filter(is_meant).collect();
        let healthy: Vec<&Deployment> =
            meant.iter().copied().filter(|it| it.outcome == DeploymentOutcome::Healthy).collect();
        if !healthy.is_empty() {
            return Ok(healthy);
        }
        let help = format!("cmdr history {} --env {}", self.project, self.environment);
        let cause = match (named, meant.first()) {
            (None, _) => format!("no record was ever healthy in '{}'", self.environment),
            (Some(named), None) => format!("record '{named}' not found in '{}'", self.environment),
            (Some(_), Some(failed)) => {
                format!(
                    "record {} was never healthy in '{}': its status is {}",
                    failed.record,
                    self.environment,
                    failed.outcome.as_str()
                )
            }
        };
        Err(self.refusal(Gate::Record, Problem::new(cause).help(help)).into())
    }

    /// Returns how long a deployment has been healthy without interruption.
    fn healthy_for(&self, deployment: &Deployment) -> Duration {
        if let Some(seconds) = deployment.healthy_seconds {
            return Duration::from_secs(seconds);
        }
        let is_last =
            self.history.and_then(|history| history.deployments.last()).is_some_and(|last| last == deployment);
        let live = self.live.filter(|live| is_last && live.ready && live.record().as_ref() == Some(&deployment.record));
        let since = live.and_then(|live| live.healthy_since).max(deployment.ended.filter(|_| live.is_some()));
        let has_start = live.is_some_and(|live| live.healthy_since.is_some());
        let since = since.filter(|_| has_start);
        since.and_then(|since| self.now.duration_since(since).try_into().ok()).unwrap_or_default()
    }

    fn too_young(&self, candidates: &[&Deployment]) -> Refusal {
        let best = candidates.iter().max_by_key(|deployment| self.healthy_for(deployment));
        let shown = best.map(|best| (best.record.as_str(), self.healthy_for(best).as_secs())).unwrap_or_default();
        let (record, seconds) = shown;
        let soak = self.soak.as_secs();
        let cause = format!(
            "no record has been healthy in '{}' for {soak} s: the longest is {record} with {seconds} s",
            self.environment
        );
        self.refusal(Gate::Soak, Problem::new(cause).help(format!("try again in {} s", soak.saturating_sub(seconds))))
    }

    fn refusal(&self, gate: Gate, problem: Problem) -> Refusal {
        Refusal { gate, project: self.project.to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{labels, ledger::tests::deployment},
        plan::change::tests::found,
    };

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn healthy(record: &str, ended: &str, seconds: Option<u64>) -> Deployment {
        Deployment {
            ended: Some(ended.parse().unwrap()),
            healthy_seconds: seconds,
            ..deployment(record, ended, DeploymentOutcome::Healthy)
        }
    }

    fn live(record: &str, since: &str) -> ObservedRelease {
        let mut live = ObservedRelease { healthy_since: Some(since.parse().unwrap()), ..found() };
        live.labels.insert(labels::RECORD.to_owned(), record.to_owned());
        live
    }

    fn source<'a>(history: &'a History, live: &'a ObservedRelease) -> Source<'a> {
        Source {
            project: "shop",
            environment: "staging",
            history: Some(history),
            live: Some(live),
            in_work: false,
            soak: Duration::from_mins(30),
            now: NOW.parse().unwrap(),
        }
    }

    fn history(deployments: Vec<Deployment>) -> History {
        History { hold: None, deployments }
    }

    #[test]
    fn a_busy_source_still_has_records_that_soaked() {
        let history = history(vec![
            healthy("a", "2026-11-21T09:00:00Z", Some(7200)),
            healthy("b", "2026-11-21T11:00:00Z", Some(2000)),
            healthy("c", "2026-11-21T11:40:00Z", Some(600)),
            healthy("d", "2026-11-21T11:50:00Z", None),
        ]);
        let live = live("d", "2026-11-21T11:45:00Z");
        assert_eq!(source(&history, &live).eligible(None, false), Ok("b".into()));
        assert_eq!(source(&history, &live).eligible(None, true), Ok("d".into()));
        assert_eq!(source(&history, &live).eligible(Some("a"), false), Ok("a".into()));
        let young = source(&history, &live).eligible(Some("d"), false).unwrap_err();
        assert_eq!(young.gate, Gate::Soak);
        assert!(young.problem.message.contains("the longest is d with 600 s"), "{}", young.problem.message);
    }

    #[test]
    fn a_break_starts_the_soak_again() {
        let history = history(vec![healthy("a", "2026-11-21T09:00:00Z", None)]);
        let steady = live("a", "2026-11-21T08:59:00Z");
        assert_eq!(source(&history, &steady).eligible(None, false), Ok("a".into()));
        let restarted = live("a", "2026-11-21T11:55:00Z");
        assert_eq!(source(&history, &restarted).eligible(None, false).unwrap_err().gate, Gate::Soak);
        let gone = ObservedRelease { ready: false, ..steady };
        assert_eq!(source(&history, &gone).eligible(None, false).unwrap_err().gate, Gate::Soak);
    }

    #[test]
    fn what_was_never_healthy_is_no_candidate() {
        let failed = history(vec![deployment("a", NOW, DeploymentOutcome::Failed)]);
        let live = live("a", NOW);
        let shown = |history: &History, named: Option<&str>| {
            let refusal = source(history, &live).eligible(named, true).unwrap_err();
            (refusal.gate, refusal.problem.message)
        };
        assert_eq!(shown(&failed, None), (Gate::Record, "no record was ever healthy in 'staging'".to_owned()));
        assert_eq!(shown(&failed, Some("b")), (Gate::Record, "record 'b' not found in 'staging'".to_owned()));
        assert!(shown(&failed, Some("a")).1.contains("was never healthy"));
        let running = history(vec![deployment("a", NOW, DeploymentOutcome::Running)]);
        let busy = Source { in_work: true, ..source(&running, &live) };
        assert_eq!(busy.eligible(None, true).unwrap_err().gate, Gate::Flight);
    }
}
