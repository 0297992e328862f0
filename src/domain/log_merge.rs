//! Merges several logs by time, with a bounded delay: a silent container does not hold back the others.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

/// The number of a stream of lines.
pub type StreamId = usize;

/// Lines of several streams, each in its own order, merged by their times.
#[derive(Debug)]
pub struct LogMerge<T> {
    streams: BTreeMap<StreamId, Stream<T>>,
    /// The first line of each stream that has any.
    heads: BTreeSet<(Timestamp, StreamId)>,
    /// The open streams without a line: an earlier line may still come from them.
    silent: usize,
    /// How long a line waits for silent streams; `None` waits until they end.
    window: Option<Duration>,
}

#[derive(Debug)]
struct Stream<T> {
    /// The time of a line, when it arrived, and the line.
    lines: VecDeque<(Timestamp, Duration, T)>,
    is_open: bool,
}

impl<T> LogMerge<T> {
    pub fn new(window: Option<Duration>) -> Self {
        Self { streams: BTreeMap::new(), heads: BTreeSet::new(), silent: 0, window }
    }

    /// Adds a stream.
    pub fn open(&mut self, id: StreamId) {
        self.streams.insert(id, Stream { lines: VecDeque::new(), is_open: true });
        self.silent += 1;
    }

    /// Adds lines of a stream that arrived at `now`, measured from any fixed moment.
    pub fn push(&mut self, id: StreamId, now: Duration, lines: impl IntoIterator<Item = (Timestamp, T)>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let was_silent = stream.lines.is_empty();
        stream.lines.extend(lines.into_iter().map(|(time, line)| (time, now, line)));
        if let Some((time, ..)) = stream.lines.front().filter(|_| was_silent) {
            self.heads.insert((*time, id));
            self.silent -= usize::from(stream.is_open);
        }
    }

    /// Marks a stream as ended; its remaining lines stay.
    pub fn close(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_open) else { return };
        stream.is_open = false;
        if stream.lines.is_empty() {
            self.silent -= 1;
            self.streams.remove(&id);
        }
    }

    /// Takes the next line, if no earlier one can come, or it has waited long enough.
    pub fn pop(&mut self, now: Duration) -> Option<(StreamId, T)> {
        if self.due()? > now {
            return None;
        }
        let (_, id) = self.heads.pop_first()?;
        let stream = self.streams.get_mut(&id)?;
        let (_, _, line) = stream.lines.pop_front()?;
        match stream.lines.front() {
            Some((time, ..)) => drop(self.heads.insert((*time, id))),
            None if stream.is_open => self.silent += 1,
            None => drop(self.streams.remove(&id)),
        }
        Some((id, line))
    }

    /// When the next line may be taken; `None` if that depends on what arrives.
    pub fn due(&self) -> Option<Duration> {
        let (_, id) = self.heads.first()?;
        let (_, arrived, _) = self.streams.get(id)?.lines.front()?;
        if self.silent == 0 { Some(*arrived) } else { self.window.map(|window| *arrived + window) }
    }

    /// Whether all streams have ended and all lines were taken.
    pub fn is_done(&self) -> bool {
        self.streams.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lines(numbers: &[i64]) -> Vec<(Timestamp, i64)> {
        numbers.iter().map(|number| (at(*number), *number)).collect()
    }

    fn taken(merge: &mut LogMerge<i64>, now: Duration) -> Vec<i64> {
        std::iter::from_fn(|| merge.pop(now).map(|(_, line)| line)).collect()
    }

    #[test]
    fn whole_logs_are_merged_by_time_however_they_arrive() {
        let mut merge = LogMerge::new(None);
        merge.open(1);
        merge.open(2);
        merge.push(1, Duration::ZERO, lines(&[1, 4, 5]));
        assert_eq!(taken(&mut merge, Duration::from_secs(9)), Vec::<i64>::new());
        merge.push(2, Duration::ZERO, lines(&[2, 3]));
        assert_eq!(taken(&mut merge, Duration::ZERO), [1, 2, 3]);
        merge.push(2, Duration::ZERO, lines(&[6]));
        merge.close(2);
        merge.close(1);
        assert_eq!(taken(&mut merge, Duration::ZERO), [4, 5, 6]);
        assert!(merge.is_done());
    }

    #[test]
    fn a_silent_stream_delays_others_only_by_the_window() {
        let (mut merge, window) = (LogMerge::new(Some(Duration::from_millis(200))), Duration::from_millis(200));
        merge.open(1);
        merge.open(2);
        merge.push(1, Duration::ZERO, lines(&[3]));
        assert_eq!(merge.due(), Some(window));
        assert_eq!(taken(&mut merge, Duration::from_millis(199)), Vec::<i64>::new());
        merge.push(2, Duration::from_millis(150), lines(&[2]));
        assert_eq!(taken(&mut merge, Duration::from_millis(199)), [2]);
        assert_eq!(taken(&mut merge, window), [3]);
        assert!(!merge.is_done());
    }

    #[test]
    fn one_stream_is_not_delayed() {
        let mut merge = LogMerge::new(Some(Duration::from_millis(200)));
        merge.open(1);
        merge.push(1, Duration::ZERO, lines(&[1, 2]));
        assert_eq!(taken(&mut merge, Duration::ZERO), [1, 2]);
        merge.close(1);
        assert!(merge.is_done());
    }

    #[test]
    fn equal_times_keep_the_order_of_a_stream() {
        let mut merge = LogMerge::new(None);
        merge.open(1);
        merge.push(1, Duration::ZERO, [(at(1), 1), (at(1), 2), (at(1), 3)]);
        merge.close(1);
        assert_eq!(taken(&mut merge, Duration::ZERO), [1, 2, 3]);
    }
}
