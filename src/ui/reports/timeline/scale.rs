//! The position of a moment on the page, and durations in words.

/// Seconds between two lines of the axis; the first one that gives few enough lines is used.
const INTERVALS: [f64; 14] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
/// More lines than this would be too close together.
const MOST_LINES: f64 = 10.0;

/// Converts seconds to a position between the left side, 0, and the right side, 100.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// The seconds at the right side.
    pub(super) all: f64,
}

impl Scale {
    pub(super) fn percent(self, seconds: f64) -> f64 {
        (100.0 * seconds / self.all).clamp(0.0, 100.0)
    }

    /// The moments of the axis's lines.
    pub(super) fn lines(self) -> Vec<f64> {
        let interval = INTERVALS.iter().find(|interval| self.all / **interval <= MOST_LINES);
        let interval = interval.copied().unwrap_or(self.all / MOST_LINES);
        let moments = std::iter::successors(Some(0.0), |moment| Some(moment + interval));
        moments.take_while(|moment| *moment <= self.all).collect()
    }
}

/// Seconds as this page shows them: `40 ms`, `12.3 s`, `2 m 05 s`.
pub(super) fn seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.0995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 99.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = std::time::Duration::from_secs_f64(seconds.round()).as_secs();
        format!("{} m {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_read_well() {
        let shown = [0.0, 0.04, 0.12, 12.34, 99.97, 125.0].map(seconds);
        assert_eq!(shown, ["0 ms", "40 ms", "0.1 s", "12.3 s", "1 m 40 s", "2 m 05 s"]);
    }

    #[test]
    fn the_axis_has_few_lines_whatever_the_length() {
        for all in [0.3, 4.0, 43.0, 700.0, 90_000.0] {
            let lines = Scale { all }.lines().len();
            assert!((3..=11).contains(&lines), "{all}: {lines}");
        }
    }
}
