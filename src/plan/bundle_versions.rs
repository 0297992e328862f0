//! The versions of a bundle: which records its members had together. Computed from the ledger only.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::{
    Name, RecordId,
    ledger::{Deployment, DeploymentOutcome, History, combination_id},
};

/// The records of a bundle's members after a run that changed one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleVersion {
    /// The hash of the records.
    pub id: String,
    /// By project. Members that were never healthy until then are missing.
    pub records: BTreeMap<String, RecordId>,
}

/// Returns what the members ran before the bundle's current version, as [`History::previous`] does for one project.
pub fn previous(histories: &BTreeMap<String, History>, members: &[Name]) -> Option<BundleVersion> {
    let events = events(histories, members);
    let deployments = events.iter().map(|(deployment, _)| deployment.clone()).collect();
    let history = History { deployments, ..History::default() };
    let id = history.previous()?.record.clone();
    events.into_iter().rev().map(|(_, version)| version).find(|version| version.id == id.as_str())
}

/// Returns the newest version whose ID starts with `prefix`.
pub fn find(histories: &BTreeMap<String, History>, members: &[Name], prefix: &str) -> Option<BundleVersion> {
    let versions = events(histories, members).into_iter().rev();
    let healthy = versions.filter(|(deployment, _)| deployment.outcome == DeploymentOutcome::Healthy);
    healthy.map(|(_, version)| version).find(|version| version.id.starts_with(prefix))
}

/// One deployment for each run that changed a member, with the version after it in place of the record.
fn events(histories: &BTreeMap<String, History>, members: &[Name]) -> Vec<(Deployment, BundleVersion)> {
    let own: Vec<(&str, &[Deployment])> = members
        .iter()
        .filter_map(|member| Some((member.as_str(), histories.get(member.as_str())?.deployments.as_slice())))
        .collect();
    let runs: BTreeSet<Timestamp> = own.iter().flat_map(|(_, deployments)| *deployments).map(|it| it.started).collect();
    let mut events: Vec<(Deployment, BundleVersion)> = Vec::new();
    for run in runs {
        let of_run: Vec<&Deployment> =
            own.iter().flat_map(|(_, deployments)| *deployments).filter(|it| it.started == run).collect();
        let version = version_at(&own, run);
        let is_known = events
            .iter()
            .any(|(event, earlier)| earlier.id == version.id && event.outcome == DeploymentOutcome::Healthy);
        if let Some(event) = event(&of_run, &version, is_known) {
            events.push((event, version));
        }
    }
    events
}

fn event(of_run: &[&Deployment], version: &BundleVersion, is_known: bool) -> Option<Deployment> {
    let first = of_run.first()?;
    let failed = of_run.iter().find(|it| it.outcome != DeploymentOutcome::Healthy);
    Some(Deployment {
        record: version.id.as_str().into(),
        outcome: failed.map_or(DeploymentOutcome::Healthy, |failed| failed.outcome),
        // A rollback of one member can lead to a combination that never was.
        verb: if is_known { first.verb.clone() } else { String::new() },
        ..(*first).clone()
    })
}

fn version_at(own: &[(&str, &[Deployment])], moment: Timestamp) -> BundleVersion {
    let is_there = |it: &&Deployment| it.started <= moment && it.outcome == DeploymentOutcome::Healthy;
    let current = |(member, deployments): &(&str, &[Deployment])| {
        Some(((*member).to_owned(), deployments.iter().rfind(is_there)?.record.clone()))
    };
    let records: BTreeMap<String, RecordId> = own.iter().filter_map(current).collect();
    let id = combination_id(records.iter().map(|(member, record)| (member.as_str(), record)));
    BundleVersion { id, records }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::{AUTOMATIC_ROLLBACK, ROLLBACK, tests::deployment};

    /// What a project got in a run.
    type Entry = (&'static str, &'static str, DeploymentOutcome);
    /// A verb and its entries.
    type Run = (&'static str, &'static [Entry]);

    /// The ledger of runs: at each minute, who got what, and by which verb.
    fn ledger(runs: &[Run]) -> BTreeMap<String, History> {
        let mut histories: BTreeMap<String, History> = BTreeMap::new();
        for (minute, (verb, entries)) in runs.iter().enumerate() {
            for (project, record, outcome) in *entries {
                let entry = deployment(record, &format!("2026-11-21T12:{minute:02}:00Z"), *outcome);
                let entry = Deployment { verb: (*verb).to_owned(), ..entry };
                histories.entry((*project).to_owned()).or_default().deployments.push(entry);
            }
        }
        histories
    }

    fn members() -> [Name; 2] {
        ["cart", "shop"].map(|name| Name::new(name).unwrap())
    }

    fn shown(version: Option<BundleVersion>) -> Option<String> {
        version.map(|it| it.records.values().map(RecordId::as_str).collect::<Vec<_>>().join("+"))
    }

    const GOOD: DeploymentOutcome = DeploymentOutcome::Healthy;
    const BAD: DeploymentOutcome = DeploymentOutcome::Failed;

    #[test]
    fn a_bundle_is_rolled_back_to_records_that_ran_together() {
        let mut runs: Vec<Run> = vec![
            ("up", &[("cart", "c1", GOOD), ("shop", "s1", GOOD)]),
            ("deploy", &[("cart", "c2", GOOD), ("shop", "s2", GOOD)]),
            // Only one member has changed: on its own, cart would go back to c1.
            ("deploy", &[("shop", "s3", GOOD)]),
        ];
        assert_eq!(shown(previous(&ledger(&runs), &members())).as_deref(), Some("c2+s2"));
        runs.push((ROLLBACK, &[("shop", "s2", GOOD)]));
        assert_eq!(shown(previous(&ledger(&runs), &members())).as_deref(), Some("c1+s1"), "further back");
        let id = find(&ledger(&runs), &members(), "").unwrap().id;
        assert_eq!(shown(find(&ledger(&runs), &members(), &id[..8])).as_deref(), Some("c2+s2"));
        assert_eq!(find(&ledger(&runs), &members(), "nothing"), None);
    }

    #[test]
    fn what_failed_is_no_version() {
        let runs: &[Run] = &[
            ("up", &[("cart", "c1", GOOD), ("shop", "s1", GOOD)]),
            ("deploy", &[("cart", "c2", GOOD), ("shop", "s2", GOOD)]),
            ("deploy", &[("cart", "c3", BAD), ("shop", "s3", BAD)]),
            (AUTOMATIC_ROLLBACK, &[("cart", "c2", GOOD), ("shop", "s2", GOOD)]),
        ];
        assert_eq!(shown(previous(&ledger(runs), &members())).as_deref(), Some("c1+s1"));
        assert_eq!(previous(&ledger(&runs[..1]), &members()), None);
    }

    #[test]
    fn a_partly_failed_bundle_is_rolled_back_to_the_version_before_it() {
        let runs: &[Run] = &[
            ("up", &[("cart", "c1", GOOD), ("shop", "s1", GOOD)]),
            ("deploy", &[("cart", "c2", GOOD), ("shop", "s2", BAD)]),
            (AUTOMATIC_ROLLBACK, &[("shop", "s1", GOOD)]),
        ];
        assert_eq!(shown(previous(&ledger(runs), &members())).as_deref(), Some("c1+s1"));
    }
}
