//! The critical path: the chain of steps that determined the duration of a run.

use std::collections::{BTreeMap, BTreeSet};

/// When a step ran, and what it waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) needs: BTreeSet<usize>,
}

/// Follows the needs that ended last, backwards from the step that ended last; the result is in chronological order.
///
/// Steps that never ran are not in `spans`.
pub(super) fn critical_path(spans: &BTreeMap<usize, Span>) -> Vec<usize> {
    let mut next = last_ended(spans, &spans.keys().copied().collect());
    let mut path = Vec::new();
    while let Some(step) = next {
        path.push(step);
        next = last_ended(spans, &spans[&step].needs);
    }
    path.reverse();
    path
}

/// The one of `steps` that ended last; the first one if several ended at the same time.
pub(super) fn last_ended(spans: &BTreeMap<usize, Span>, steps: &BTreeSet<usize>) -> Option<usize> {
    let ran = steps.iter().rev().filter_map(|step| Some((*step, spans.get(step)?.end)));
    ran.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(steps: &[(usize, f64, f64, &[usize])]) -> BTreeMap<usize, Span> {
        let span = |start, end, needs: &[usize]| Span { start, end, needs: needs.iter().copied().collect() };
        steps.iter().map(|(step, start, end, needs)| (*step, span(*start, *end, needs))).collect()
    }

    #[test]
    fn it_contains_the_need_that_ended_last() {
        let spans = spans(&[
            (0, 0.0, 10.0, &[]),
            (1, 10.0, 12.0, &[0]),
            (2, 10.0, 15.0, &[0]),
            (3, 15.0, 16.0, &[0, 1, 2]),
            (4, 12.0, 15.5, &[1]),
        ]);
        assert_eq!(critical_path(&spans), [0, 2, 3]);
    }

    #[test]
    fn what_never_ran_is_not_on_it() {
        let spans = spans(&[(0, 0.0, 4.0, &[]), (2, 4.0, 5.0, &[0, 1])]);
        assert_eq!(critical_path(&spans), [0, 2]);
        assert!(critical_path(&BTreeMap::new()).is_empty());
    }

    #[test]
    fn of_two_that_ended_together_it_takes_the_first() {
        let spans = spans(&[(0, 0.0, 1.0, &[]), (1, 0.0, 1.0, &[]), (2, 1.0, 2.0, &[0, 1])]);
        assert_eq!(critical_path(&spans), [0, 2]);
    }
}
