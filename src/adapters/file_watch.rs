//! Watches folders for changes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::domain::Problem;

/// Changes are collected until none has been reported for this time, and at most for the longer one.
const QUIET: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(300);
/// How often the clocks are compared.
const CLOCKS: Duration = Duration::from_secs(5);
/// A machine that sleeps stops its monotonic clock.
const SLEPT: Duration = Duration::from_secs(4);

/// What the system has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WatchReport {
    Changed(PathBuf),
    /// Changes may be missing.
    Missed,
}

/// Places that may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedPlaces {
    These(BTreeSet<PathBuf>),
    /// Reports were lost, or the machine has slept.
    Unknown,
}

/// Watches single folders, so that ignored ones cost nothing; on systems that watch only whole trees, those.
#[derive(Debug)]
pub struct FileWatch {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    reports: UnboundedReceiver<WatchReport>,
    clocks: (Instant, SystemTime),
    /// Whether not everything can be watched: then everything is read at intervals.
    is_incomplete: bool,
}

impl FileWatch {
    /// # Errors
    /// When the system allows no further watches.
    pub fn start() -> Result<Self, Problem> {
        let (sender, reports) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| pass_on(event, &sender));
        let watcher = watcher.map_err(|error| cannot_watch(&error))?;
        let clocks = (Instant::now(), SystemTime::now());
        Ok(Self { watcher, watched: BTreeSet::new(), reports, clocks, is_incomplete: false })
    }

    /// Watches a folder, again if it was re-created. Returns whether it was not watched before.
    ///
    /// # Errors
    /// When the system allows no further watches. Everything is read at intervals then.
    pub fn watch(&mut self, folder: &Path) -> Result<bool, Problem> {
        if !cfg!(target_os = "linux") && folder.ancestors().skip(1).any(|parent| self.watched.contains(parent)) {
            return Ok(false);
        }
        let mode = if cfg!(target_os = "linux") { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        match self.watcher.watch(folder, mode) {
            Ok(()) => Ok(self.watched.insert(folder.to_owned())),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => {
                let is_first = !std::mem::replace(&mut self.is_incomplete, true);
                if is_first { Err(cannot_watch(&error)) } else { Ok(false) }
            }
        }
    }

    /// Forgets a folder that no longer exists.
    pub fn forget(&mut self, folder: &Path) {
        if self.watched.remove(folder) {
            let _ = self.watcher.unwatch(folder);
        }
    }

    /// Waits for changes, and returns those that come together. Cancel-safe: nothing is lost.
    pub async fn changes(&mut self) -> ChangedPlaces {
        let mut places = BTreeSet::new();
        loop {
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(WatchReport::Changed(path)) => { places.insert(path); }
                    Some(WatchReport::Missed) => return ChangedPlaces::Unknown,
                    None => std::future::pending().await,
                },
                () = tokio::time::sleep(CLOCKS) => {
                    if self.has_slept() || self.is_incomplete {
                        return ChangedPlaces::Unknown;
                    }
                    continue;
                }
            }
            return self.collect(places).await;
        }
    }

    async fn collect(&mut self, mut places: BTreeSet<PathBuf>) -> ChangedPlaces {
        let end = tokio::time::Instant::now() + LONGEST;
        while tokio::time::Instant::now() < end {
            match tokio::time::timeout(QUIET, self.reports.recv()).await {
                Ok(Some(WatchReport::Changed(path))) => drop(places.insert(path)),
                Ok(Some(WatchReport::Missed)) => return ChangedPlaces::Unknown,
                Ok(None) | Err(_) => break,
            }
        }
        ChangedPlaces::These(places)
    }

    /// Whether the machine has slept since the last call.
    fn has_slept(&mut self) -> bool {
        let (monotonic, wall) = std::mem::replace(&mut self.clocks, (Instant::now(), SystemTime::now()));
        wall.elapsed().is_ok_and(|passed| passed > monotonic.elapsed() + SLEPT)
    }
}

fn pass_on(event: notify::Result<Event>, sender: &UnboundedSender<WatchReport>) {
    let reports = match event {
        Ok(event) if event.need_rescan() => vec![WatchReport::Missed],
        // Reading a file is no change.
        Ok(Event { kind: EventKind::Access(_), .. }) => Vec::new(),
        Ok(event) => event.paths.into_iter().map(WatchReport::Changed).collect(),
        Err(_) => vec![WatchReport::Missed],
    };
    for report in reports {
        let _ = sender.send(report);
    }
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn cannot_watch(error: &notify::Error) -> Problem {
    let problem =
        Problem::new("cannot watch all sources: they are read every few seconds instead").detail(error.to_string());
    problem.help("allow more watches: sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(watch: &mut FileWatch) -> ChangedPlaces {
        tokio::time::timeout(Duration::from_secs(10), watch.changes()).await.unwrap()
    }

    #[tokio::test]
    async fn changes_of_watched_folders_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let mut watch = FileWatch::start().unwrap();
        assert!(watch.watch(&folder).unwrap());
        assert!(!watch.watch(&folder).unwrap());
        for name in ["a", "b"] {
            std::fs::write(folder.join(name), "1").unwrap();
        }
        let ChangedPlaces::These(places) = next(&mut watch).await else { panic!("nothing is missing") };
        assert!(places.contains(&folder.join("a")) && places.contains(&folder.join("b")), "{places:?}");
        assert!(!watch.watch(&folder.join("gone")).unwrap());
    }

    #[test]
    fn a_sleep_is_a_difference_of_the_clocks() {
        let mut watch = FileWatch::start().unwrap();
        assert!(!watch.has_slept());
        watch.clocks.1 -= Duration::from_mins(1);
        assert!(watch.has_slept());
        assert!(!watch.has_slept());
    }
}
