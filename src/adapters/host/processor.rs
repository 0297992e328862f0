//! CPU usage of this machine over time, from `/proc/stat` on Linux.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::domain::processor::{ProcessorUse, ProcessorUses};

/// Long enough to be cheap and to count some hundred ticks, short enough to resolve one second.
const EVERY: Duration = Duration::from_millis(250);

/// A background task that records CPU usage, and ends when this is dropped.
#[derive(Debug)]
pub struct ProcessorWatch {
    uses: ProcessorUses,
    task: JoinHandle<()>,
}

impl ProcessorWatch {
    /// Starts to record. Times are relative to `began`; `None` if the kernel is not Linux.
    pub fn begin(began: Instant) -> Option<Self> {
        let first = ticks()?;
        let uses = ProcessorUses::default();
        let task = tokio::spawn(watch(began, first, uses.clone()));
        Some(Self { uses, task })
    }

    pub fn uses(&self) -> ProcessorUses {
        self.uses.clone()
    }
}

impl Drop for ProcessorWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(began: Instant, first: Ticks, uses: ProcessorUses) {
    let (mut before, mut from) = (first, began.elapsed().as_secs_f64());
    loop {
        tokio::time::sleep(EVERY).await;
        let (Some(now), until) = (ticks(), began.elapsed().as_secs_f64()) else { return };
        if let Some(share) = now.share_since(before) {
            uses.add(ProcessorUse { from, until, share });
        }
        (before, from) = (now, until);
    }
}

/// The CPU time of all processors since the machine was started, in ticks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    /// Returns the share of ticks since `before` that were used; `None` if there were none.
    #[expect(clippy::cast_precision_loss, reason = "ticks of a run are far from 2^52")]
    fn share_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        // The kernel's count of idle ticks may decrease a little.
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some(1.0 - idle as f64 / all as f64)
    }
}

fn ticks() -> Option<Ticks> {
    read_ticks(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Parses the first line: user, nice, system, idle, iowait, irq, softirq, steal, then guest times, which user includes.
fn read_ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(Ticks { idle, all: fields.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_as_linux_writes_them() {
        let text = "cpu  100 1 50 800 40 0 5 4 7 0\ncpu0 100 1 50 800 40 0 5 4 7 0\nintr 1\n";
        assert_eq!(read_ticks(text), Some(Ticks { idle: 840, all: 1000 }));
        assert_eq!(read_ticks("intr 1\n"), None);
        assert_eq!(read_ticks(""), None);
    }

    #[test]
    fn the_share_is_that_of_the_time_between() {
        let share = |idle, all| Ticks { idle, all }.share_since(Ticks { idle: 100, all: 200 });
        assert_eq!(share(125, 300), Some(0.75));
        assert_eq!(share(99, 300), Some(1.0));
        assert_eq!(share(100, 200), None);
    }

    #[tokio::test]
    async fn a_watch_sees_the_time_pass() {
        let watch = ProcessorWatch::begin(Instant::now());
        if !cfg!(target_os = "linux") {
            assert!(watch.is_none());
            return;
        }
        let uses = watch.unwrap().uses();
        assert!(uses.seen().is_empty());
        let watch = ProcessorWatch::begin(Instant::now()).unwrap();
        while watch.uses().seen().len() < 2 {
            tokio::time::sleep(EVERY).await;
        }
        let seen = watch.uses().seen();
        assert!(seen.iter().all(|used| used.from < used.until && (0.0..=1.0).contains(&used.share)));
        assert!((seen[0].until - seen[1].from).abs() < f64::EPSILON);
    }
}
