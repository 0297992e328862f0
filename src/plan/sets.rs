//! Sets: records of several projects that ran side by side, healthy. Computed from the ledger only.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::domain::{RecordId, ledger::combination_id};

/// A period in which a record of one project was healthy without interruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    pub record: RecordId,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// Records of several projects, and a period in which all of them were healthy without interruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// By project.
    pub records: BTreeMap<String, RecordId>,
    pub from: Timestamp,
    pub until: Timestamp,
}

impl RecordSet {
    /// Identifies the combination: a hash of its records.
    pub fn id(&self) -> String {
        combination_id(self.records.iter().map(|(project, record)| (project.as_str(), record)))
    }

    /// How long the records ran side by side.
    pub fn lasted(&self) -> Duration {
        self.until.duration_since(self.from).try_into().unwrap_or_default()
    }

    fn joined(&self, project: &str, period: &Period) -> Option<Self> {
        let (from, until) = (self.from.max(period.from), self.until.min(period.until));
        if from > until {
            return None;
        }
        let mut records = self.records.clone();
        records.insert(project.to_owned(), period.record.clone());
        Some(Self { records, from, until })
    }
}

/// Returns all sets of one record per project, oldest first. The periods of a project do not overlap. Periods that only
/// touch form a set of no length.
pub fn sets<'a>(periods: impl IntoIterator<Item = (&'a str, &'a [Period])>) -> Vec<RecordSet> {
    let mut projects = periods.into_iter();
    let Some((first, of_first)) = projects.next() else { return Vec::new() };
    let single = |period: &Period| RecordSet {
        records: BTreeMap::from([(first.to_owned(), period.record.clone())]),
        from: period.from,
        until: period.until,
    };
    let mut sets: Vec<RecordSet> = of_first.iter().map(single).collect();
    for (project, periods) in projects {
        sets = sets.iter().flat_map(|set| periods.iter().filter_map(|period| set.joined(project, period))).collect();
    }
    sets.sort_by_key(|set| (set.until, set.from));
    sets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn period(record: &str, from: i64, until: i64) -> Period {
        Period { record: record.into(), from: at(from), until: at(until) }
    }

    fn shown(sets: &[RecordSet]) -> Vec<String> {
        let records = |set: &RecordSet| set.records.values().map(RecordId::as_str).collect::<Vec<_>>().join("+");
        let show = |set: &RecordSet| format!("{} {}-{}", records(set), set.from.as_second(), set.until.as_second());
        sets.iter().map(show).collect()
    }

    #[test]
    fn only_records_that_ran_side_by_side_form_a_set() {
        let cart = [period("c1", 0, 10), period("c2", 12, 40)];
        let shop = [period("s1", 5, 20), period("s2", 25, 40)];
        let found = sets([("cart", &cart[..]), ("shop", &shop[..])]);
        assert_eq!(shown(&found), ["c1+s1 5-10", "c2+s1 12-20", "c2+s2 25-40"]);
        assert_eq!(found[2].lasted(), Duration::from_secs(15));
        assert_ne!(found[0].id(), found[1].id());
        assert!(sets([("cart", &cart[..]), ("never", &[][..])]).is_empty());
        assert!(sets([]).is_empty());
    }

    #[test]
    fn the_same_records_have_the_same_id_whenever_they_ran() {
        let cart = [period("c1", 0, 10), period("c1", 20, 30)];
        let found = sets([("cart", &cart[..])]);
        assert_eq!((found.len(), found[0].id()), (2, found[1].id()));
    }

    /// The periods of one project, from alternating lengths of health and of gaps.
    fn periods() -> impl Strategy<Value = Vec<Period>> {
        prop::collection::vec((0_i64..20, 1_i64..20), 0..8).prop_map(|lengths| {
            let mut now = 0;
            let mut periods = Vec::new();
            for (index, (gap, length)) in lengths.into_iter().enumerate() {
                periods.push(period(&format!("r{index}"), now + gap, now + gap + length));
                now += gap + length;
            }
            periods
        })
    }

    fn record_at(periods: &[Period], moment: Timestamp) -> Option<&RecordId> {
        periods.iter().find(|it| it.from < moment && moment < it.until).map(|it| &it.record)
    }

    proptest! {
        /// At any moment, the sets say what the histories say.
        #[test]
        fn a_moment_is_in_a_set_exactly_when_every_project_was_healthy(one in periods(), other in periods(), half in 0_i64..320) {
            let moment = Timestamp::from_millisecond(half * 1000 + 500).unwrap();
            let found = sets([("a", &one[..]), ("b", &other[..])]);
            let now: Vec<&RecordSet> = found.iter().filter(|set| set.from < moment && moment < set.until).collect();
            let expected = record_at(&one, moment).zip(record_at(&other, moment));
            prop_assert_eq!(now.len(), usize::from(expected.is_some()));
            if let Some((a, b)) = expected {
                prop_assert_eq!((&now[0].records["a"], &now[0].records["b"]), (a, b));
            }
        }

        /// Sets do not overlap, are ordered, and last no longer than any of their records.
        #[test]
        fn sets_are_ordered_and_do_not_overlap(one in periods(), other in periods(), third in periods()) {
            let found = sets([("a", &one[..]), ("b", &other[..]), ("c", &third[..])]);
            for pair in found.windows(2) {
                prop_assert!(pair[0].until <= pair[1].from);
            }
            for set in &found {
                let longest = |periods: &[Period]| periods.iter().any(|it| it.from <= set.from && set.until <= it.until);
                prop_assert!(longest(&one) && longest(&other) && longest(&third));
            }
        }

        /// More projects can only shorten what ran side by side.
        #[test]
        fn another_project_never_adds_time(one in periods(), other in periods()) {
            let total = |sets: &[RecordSet]| sets.iter().map(RecordSet::lasted).sum::<Duration>();
            let (single, both) = (sets([("a", &one[..])]), sets([("a", &one[..]), ("b", &other[..])]));
            prop_assert!(total(&both) <= total(&single));
        }
    }
}
