//! How long cmdr may work in a pipeline's job that has a timeout of its own.
//!
//! A job that runs out of time is killed, with helm in the middle of its work. cmdr ends before that, with time left
//! to end well and to return to what ran before.

use std::time::Duration;

const LEAST_RESERVE: Duration = Duration::from_secs(30);
const MOST_RESERVE: Duration = Duration::from_mins(5);

/// How long cmdr may work from now on, in a job that may take `timeout` and has taken `elapsed`.
///
/// A fifth of the job's time is kept in reserve, between 30 seconds and 5 minutes, and never more than half of it.
pub fn working_time(timeout: Duration, elapsed: Duration) -> Duration {
    // A job that is past its timeout would not be there any more: the clocks of server and runner differ.
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
