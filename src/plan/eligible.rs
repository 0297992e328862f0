//! Selects the records of a source environment that can be promoted. Pure: the time is a parameter.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::domain::{
    Problem, RecordId,
    gate::{Gate, Refusal},
    ledger::{Deployment, DeploymentOutcome, History},
};

use super::{
    ObservedRelease,
    sets::{Period, RecordSet, sets},
    step_back::TargetRecord,
};

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
    /// How long records must have been healthy side by side.
    pub soak: Duration,
    /// What the target of the promotion runs.
    pub target: Option<TargetRecord<'a>>,
    pub now: Timestamp,
}

/// Which records are requested; by default the newest that soaked and are not older than what the target runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestedRecords<'a> {
    /// A record, by a prefix of its ID.
    pub record: Option<&'a str>,
    /// A set, by a prefix of its ID.
    pub set: Option<&'a str>,
}

/// The records to promote, and the gates that refuse them.
#[derive(Debug, Default, PartialEq)]
pub struct ChosenRecords {
    /// By project. If only the gate `soak` refuses, what an override promotes.
    pub records: BTreeMap<String, RecordId>,
    pub refused: Vec<Refusal>,
}

/// Chooses one record for each of the sources: those that ran side by side for the soak time. A requested set is looked
/// up among the records of all projects in `scope`.
pub fn choose(sources: &[Source<'_>], scope: &[Source<'_>], requested: RequestedRecords<'_>) -> ChosenRecords {
    let mut choice = ChosenRecords::default();
    if let Some(id) = requested.set {
        choice.take_set(sources, scope, id);
        return choice;
    }
    let has_record = |source: &&Source<'_>| requested.record.is_some_and(|record| source.knows(record));
    let holders: BTreeSet<&str> = sources.iter().filter(has_record).map(|source| source.project).collect();
    let mut periods: Vec<(&Source<'_>, Vec<Period>)> = Vec::new();
    for source in sources {
        let named = requested.record.filter(|_| holders.is_empty() || holders.contains(source.project));
        match source.candidates(named) {
            Ok(found) => periods.push((source, found)),
            Err(refusal) => choice.refused.push(*refusal),
        }
    }
    choice.take_newest(&periods, requested.record.is_none());
    choice
}

/// The projects whose chosen records are older than what the target runs.
pub fn steps_back<'a>(sources: &[Source<'a>], records: &BTreeMap<String, RecordId>) -> Vec<Source<'a>> {
    let is_back = |source: &&Source<'_>| {
        let periods = source.periods();
        let chosen = periods.iter().rfind(|period| records.get(source.project) == Some(&period.record));
        chosen.is_some_and(|period| source.is_behind(period))
    };
    sources.iter().filter(is_back).copied().collect()
}

/// The sets of these periods, by source.
fn sets_of(periods: &[(&Source<'_>, Vec<Period>)]) -> Vec<RecordSet> {
    sets(periods.iter().map(|(source, periods)| (source.project, periods.as_slice())))
}

impl ChosenRecords {
    fn take_set(&mut self, sources: &[Source<'_>], scope: &[Source<'_>], id: &str) {
        let Some(any) = sources.first() else { return };
        self.refused.extend(sources.iter().filter_map(Source::in_flight));
        let periods: Vec<(&str, Vec<Period>)> = scope.iter().map(|it| (it.project, it.periods())).collect();
        let known = periods.iter().filter(|(_, periods)| !periods.is_empty());
        let mut found = sets(known.map(|(project, periods)| (*project, periods.as_slice())));
        found.retain(|set| set.id().starts_with(id));
        let Some(set) = soaked(&found, any.soak).or(found.last()) else {
            let help = format!("cmdr history --sets --env {}", any.environment);
            let problem = Problem::new(format!("set '{id}' not found in '{}'", any.environment)).help(help);
            self.refused.push(Refusal { gate: Gate::Record, project: String::new(), problem });
            return;
        };
        if set.lasted() < any.soak {
            self.refused.push(too_short(any, &found));
        }
        let is_meant = |project: &str| sources.iter().any(|source| source.project == project);
        self.records = set.records.clone();
        self.records.retain(|project, _| is_meant(project));
    }

    /// Takes the newest set that soaked: with `only_forward`, none with a record that is older than the target's.
    fn take_newest(&mut self, all: &[(&Source<'_>, Vec<Period>)], only_forward: bool) {
        let Some((any, _)) = all.first() else { return };
        let mut periods = all.to_vec();
        if only_forward {
            for (source, periods) in &mut periods {
                periods.retain(|period| !source.is_behind(period));
            }
        }
        let found = sets_of(&periods);
        if let Some(set) = soaked(&found, any.soak) {
            self.records.clone_from(&set.records);
            return;
        }
        let mut refusal = match periods.as_slice() {
            [(source, periods)] if !periods.is_empty() => source.too_young(periods),
            _ => too_short(any, &found),
        };
        if let Some(older) = soaked(&sets_of(all), any.soak) {
            let target = all.iter().find_map(|(source, _)| source.target).map(|target| target.environment);
            let (id, target) = (older.id(), target.unwrap_or_default());
            let detail = format!("set {id} has soaked, but '{target}' runs newer records; --set {id} promotes it");
            refusal.problem.details.push(detail);
        }
        self.refused.push(refusal);
        let newest = |(source, periods): &(&Source<'_>, Vec<Period>)| {
            Some((source.project.to_owned(), periods.last()?.record.clone()))
        };
        self.records = match found.last() {
            Some(set) => set.records.clone(),
            None => periods.iter().filter_map(newest).collect(),
        };
    }
}

/// The newest set that lasted for the soak time.
fn soaked(sets: &[RecordSet], soak: Duration) -> Option<&RecordSet> {
    sets.iter().rev().find(|set| set.lasted() >= soak)
}

/// The refusal of sets that did not run side by side for long enough.
fn too_short(any: &Source<'_>, found: &[RecordSet]) -> Refusal {
    let (environment, soak) = (any.environment, any.soak.as_secs());
    let longest = found.iter().max_by_key(|set| (set.lasted(), set.until));
    let longest = longest.map_or_else(
        || "no records ever did".to_owned(),
        |set| format!("the longest is set {} with {} s", set.id(), set.lasted().as_secs()),
    );
    let cause = format!("no records have been healthy side by side in '{environment}' for {soak} s: {longest}");
    let help = format!("wait for it, or choose fewer projects; cmdr history --sets --env {environment} lists sets");
    Refusal { gate: Gate::Soak, project: String::new(), problem: Problem::new(cause).help(help) }
}

impl<'a> Source<'a> {
    /// The periods of its records, or of the requested one, oldest first.
    ///
    /// # Errors
    /// Returns the gate that blocks the promotion.
    fn candidates(&self, named: Option<&str>) -> Result<Vec<Period>, Box<Refusal>> {
        if let Some(refusal) = self.in_flight() {
            return Err(refusal.into());
        }
        let mut periods = self.periods();
        periods.retain(|period| named.is_none_or(|named| period.record.starts_with(named)));
        if periods.is_empty() { Err(self.never_healthy(named).into()) } else { Ok(periods) }
    }

    fn in_flight(&self) -> Option<Refusal> {
        let is_open = self.in_work && self.history.is_some_and(|history| history.in_flight().is_some());
        let cause = format!("a deployment in '{}' has not finished", self.environment);
        is_open.then(|| self.refusal(Gate::Flight, Problem::new(cause).help("wait until it has finished")))
    }

    fn deployments(&self) -> &'a [Deployment] {
        self.history.map(|history| history.deployments.as_slice()).unwrap_or_default()
    }

    /// The version of a record that was deployed there.
    pub fn version_of(&self, record: &RecordId) -> &'a str {
        let all = self.deployments();
        all.iter().rfind(|it| it.record == *record).map(|it| it.version.as_str()).unwrap_or_default()
    }

    fn knows(&self, record: &str) -> bool {
        self.deployments().iter().any(|deployment| deployment.record.starts_with(record))
    }

    /// The periods in which its records were healthy, oldest first. A period ends when the next deployment starts.
    pub fn periods(&self) -> Vec<Period> {
        let deployments = self.deployments();
        let ends = deployments.iter().skip(1).map(|next| next.started).chain([self.now]);
        let healthy = deployments.iter().zip(ends).filter(|(it, _)| it.outcome == DeploymentOutcome::Healthy);
        let period = |(deployment, until): (&Deployment, Timestamp)| {
            let lasted = SignedDuration::try_from(self.healthy_for(deployment)).unwrap_or_default();
            let from = until.checked_sub(lasted).unwrap_or(until);
            Period { record: deployment.record.clone(), from, until }
        };
        healthy.map(period).collect()
    }

    /// Whether a period is older than what the target runs.
    fn is_behind(&self, period: &Period) -> bool {
        self.target.is_some_and(|target| target.is_newer_than(period, self.deployments()))
    }

    fn never_healthy(&self, named: Option<&str>) -> Refusal {
        let meant = |deployment: &&Deployment| named.is_none_or(|named| deployment.record.starts_with(named));
        let help = format!("cmdr history {} --env {}", self.project, self.environment);
        let cause = match (named, self.deployments().iter().rev().find(meant)) {
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
        self.refusal(Gate::Record, Problem::new(cause).help(help))
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

    fn too_young(&self, periods: &[Period]) -> Refusal {
        let lasted = |period: &Period| period.until.duration_since(period.from).as_secs();
        let longest = periods.iter().max_by_key(|period| (lasted(period), period.until));
        let (record, seconds) = longest.map(|it| (it.record.as_str(), lasted(it))).unwrap_or_default();
        let soak = i64::try_from(self.soak.as_secs()).unwrap_or(i64::MAX);
        let cause = format!(
            "no record has been healthy in '{}' for {soak} s: the longest is {record} with {seconds} s",
            self.environment
        );
        self.refusal(Gate::Soak, Problem::new(cause).help(format!("try again in {} s", (soak - seconds).max(0))))
    }

    fn refusal(&self, gate: Gate, problem: Problem) -> Refusal {
        Refusal { gate, project: self.project.to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            labels,
            ledger::{combination_id, tests::deployment},
        },
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
            target: None,
            now: NOW.parse().unwrap(),
        }
    }

    /// The record that is chosen for one project, and the gate that refuses it.
    fn only(source: &Source<'_>, record: Option<&str>) -> (Option<RecordId>, Option<(Gate, String)>) {
        let choice = choose(&[*source], &[*source], RequestedRecords { record, set: None });
        let refused = choice.refused.into_iter().next().map(|refusal| (refusal.gate, refusal.problem.message));
        (choice.records.into_values().next(), refused)
    }

    fn history(deployments: Vec<Deployment>) -> History {
        History { deployments, ..History::default() }
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
        let source = source(&history, &live);
        assert_eq!(only(&source, None), (Some("b".into()), None));
        assert_eq!(only(&Source { soak: Duration::ZERO, ..source }, None), (Some("d".into()), None));
        assert_eq!(only(&source, Some("a")), (Some("a".into()), None));
        let (record, young) = only(&source, Some("d"));
        let (gate, message) = young.unwrap();
        assert_eq!((gate, record), (Gate::Soak, Some("d".into())), "an override promotes it");
        assert!(message.contains("the longest is d with 600 s"), "{message}");
    }

    #[test]
    fn a_break_starts_the_soak_again() {
        let history = history(vec![healthy("a", "2026-11-21T09:00:00Z", None)]);
        let steady = live("a", "2026-11-21T08:59:00Z");
        assert_eq!(only(&source(&history, &steady), None).1, None);
        let gate = |live: &ObservedRelease| only(&source(&history, live), None).1.map(|(gate, _)| gate);
        let restarted = live("a", "2026-11-21T11:55:00Z");
        assert_eq!(gate(&restarted), Some(Gate::Soak));
        let gone = ObservedRelease { ready: false, ..steady };
        assert_eq!(gate(&gone), Some(Gate::Soak));
    }

    #[test]
    fn records_that_were_never_healthy_are_no_candidates() {
        let failed = history(vec![deployment("a", NOW, DeploymentOutcome::Failed)]);
        let live = live("a", NOW);
        let shown = |history: &History, named: Option<&str>| {
            let (record, refusal) = only(&source(history, &live), named);
            assert_eq!(record, None);
            refusal.unwrap()
        };
        assert_eq!(shown(&failed, None), (Gate::Record, "no record was ever healthy in 'staging'".to_owned()));
        assert_eq!(shown(&failed, Some("b")), (Gate::Record, "record 'b' not found in 'staging'".to_owned()));
        assert!(shown(&failed, Some("a")).1.contains("was never healthy"));
        let running = history(vec![deployment("a", NOW, DeploymentOutcome::Running)]);
        let busy = Source { in_work: true, ..source(&running, &live) };
        assert_eq!(only(&busy, None).1.unwrap().0, Gate::Flight);
    }

    /// Two projects: `shop` runs s1 from 09:00 and s2 from 11:00, `cart` runs c1 from 09:00 and c2 from 11:40.
    fn two_projects() -> [History; 2] {
        let shop = vec![healthy("s1", "2026-11-21T09:00:00Z", Some(7200)), healthy("s2", "2026-11-21T11:00:00Z", None)];
        let cart = vec![healthy("c1", "2026-11-21T09:00:00Z", Some(9600)), healthy("c2", "2026-11-21T11:40:00Z", None)];
        [history(shop), history(cart)]
    }

    #[test]
    fn what_never_ran_together_is_not_promoted_together() {
        let [shop, cart] = two_projects();
        let (live_shop, live_cart) = (live("s2", "2026-11-21T11:00:00Z"), live("c2", "2026-11-21T11:40:00Z"));
        let both = |soak: u64| {
            let soak = Duration::from_mins(soak);
            [
                Source { soak, ..source(&shop, &live_shop) },
                Source { soak, project: "cart", ..source(&cart, &live_cart) },
            ]
        };
        let chosen = |soak: u64, requested: RequestedRecords<'_>| choose(&both(soak), &both(soak), requested);
        let records =
            |choice: &ChosenRecords| choice.records.values().map(RecordId::as_str).collect::<Vec<_>>().join("+");
        // On its own, shop would go as s2 and cart as c1, which ran together for 40 minutes.
        assert_eq!(records(&chosen(30, RequestedRecords::default())), "c1+s2");
        assert_eq!(records(&chosen(20, RequestedRecords::default())), "c2+s2");
        assert_eq!(
            records(&chosen(60, RequestedRecords::default())),
            "c1+s1",
            "s2 has soaked for 60 minutes, not beside c1"
        );
        let none = chosen(180, RequestedRecords::default());
        assert_eq!(
            (none.refused[0].gate, records(&none).as_str()),
            (Gate::Soak, "c2+s2"),
            "an override takes the newest"
        );
        assert!(none.refused[0].problem.message.contains("with 7200 s"), "{}", none.refused[0].problem.message);
        assert_eq!(records(&chosen(30, RequestedRecords { record: Some("s1"), set: None })), "c1+s1");
        let id = combination_id([("cart", &"c1".into()), ("shop", &"s1".into())]);
        let of_set = |id: &str| chosen(30, RequestedRecords { record: None, set: Some(id) });
        assert_eq!(of_set(&id[..6]).records, chosen(60, RequestedRecords::default()).records);
        assert_eq!(of_set("nothing").refused[0].gate, Gate::Record);
    }

    #[test]
    fn a_promotion_never_steps_back_unless_it_is_asked_to() {
        let [shop, cart] = two_projects();
        let (live_shop, live_cart) = (live("s2", "2026-11-21T11:00:00Z"), live("c2", "2026-11-21T11:40:00Z"));
        let runs = |record: &'static RecordId| {
            let since = "2026-11-21T11:50:00Z".parse().unwrap();
            Some(TargetRecord { environment: "production", version: "", record: Some(record), since })
        };
        let c2: &'static RecordId = Box::leak(Box::new("c2".into()));
        let both =
            [source(&shop, &live_shop), Source { project: "cart", target: runs(c2), ..source(&cart, &live_cart) }];
        let chosen = |requested: RequestedRecords<'_>| choose(&both, &both, requested);
        let young = chosen(RequestedRecords::default());
        assert_eq!(young.refused[0].gate, Gate::Soak, "c1+s2 soaked, but production runs c2");
        assert!(young.refused[0].problem.details[0].contains("'production' runs newer records"));
        assert_eq!(young.records["cart"].as_str(), "c2", "an override goes forward, too");
        assert!(steps_back(&both, &young.records).is_empty());
        let id = combination_id([("cart", &"c1".into()), ("shop", &"s2".into())]);
        for back in
            [RequestedRecords { record: None, set: Some(&id) }, RequestedRecords { record: Some("c1"), set: None }]
        {
            let asked = chosen(back);
            assert_eq!((asked.records["cart"].as_str(), asked.refused), ("c1", Vec::new()));
            let back: Vec<&str> = steps_back(&both, &asked.records).iter().map(|source| source.project).collect();
            assert_eq!(back, ["cart"]);
        }
        let [_, cart] = &both;
        assert_eq!(only(cart, None).1.unwrap().0, Gate::Soak, "one project does not step back either");
    }
}
