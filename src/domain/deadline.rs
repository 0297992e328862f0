//! Limits how long cmdr runs in a CI job with a timeout.
//!
//! A job that exceeds its timeout is killed, possibly during a Helm operation. cmdr stops before that, with enough time
//! left to finish cleanly and to roll back automatically.

use std::time::Duration;

const LEAST_RESERVE: Duration = Duration::from_secs(30);
const MOST_RESERVE: Duration = Duration::from_mins(5);

/// Returns the remaining time for cmdr in a job with the timeout `timeout` that has run for `elapsed`.
///
/// A fifth of the timeout is reserved: between 30 seconds and 5 minutes, and never more than half of it.
pub fn working_time(timeout: Duration, elapsed: Duration) -> Duration {
    // A job past its timeout would have been killed, so the clocks of server and runner differ.
    let elapsed = if elapsed < timeout { elapsed } else { Duration::ZERO };
    let reserve = (timeout / 5).clamp(LEAST_RESERVE, MOST_RESERVE).min(timeout / 2);
    timeout.saturating_sub(reserve).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_jobs_time_is_kept_in_reserve() {
        let minutes = Duration::from_mins;
        for (timeout, elapsed, left) in [
            (minutes(60), minutes(0), minutes(55)),
            (minutes(60), minutes(20), minutes(35)),
            (minutes(10), minutes(0), minutes(8)),
            (minutes(2), minutes(0), Duration::from_secs(90)),
            (Duration::from_secs(40), minutes(0), Duration::from_secs(20)),
            (minutes(60), minutes(57), minutes(0)),
        ] {
            assert_eq!(working_time(timeout, elapsed), left, "{timeout:?} {elapsed:?}");
        }
    }

    #[test]
    fn a_clock_that_differs_takes_no_time_away() {
        assert_eq!(working_time(Duration::from_hours(1), Duration::from_mins(90)), Duration::from_mins(55));
    }
}
