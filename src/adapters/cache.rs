//! The folder of caches on this machine: charts, what Helm caches while it fetches them, templates, and tools.
//!
//! An entry is used when its modification time is renewed. What has not been used for [`KEPT`] is removed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use schemars::JsonSchema;
use serde::Serialize;

/// How long an unused entry is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How often unused entries are searched for, and uses of an entry are noted.
const CHECKED: Duration = Duration::from_hours(24);
/// What the name of an entry contains while it is written. One that is older than [`CHECKED`] was abandoned.
pub(super) const UNFINISHED: &str = ".new-";
/// Its modification time is when unused entries were last searched for.
const STAMP: &str = "charts/.pruned";

/// The folders of the cache: their name, their content, and whether each entry is a direct child. In the other folders,
/// which Helm writes, each file is an entry.
const PARTS: &[(&str, &str, bool)] = &[
    ("charts", "charts", true),
    ("helm", "Helm's indexes and API discovery", false),
    ("templates", "templates of projects", true),
    ("tools", "kind, Helm and sops", true),
];

/// The folder of caches. Only the parts that cmdr writes are read or removed.
#[derive(Debug, Clone)]
pub struct CacheFolder(pub PathBuf);

/// A part of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CachePart {
    pub content: &'static str,
    pub entries: usize,
    pub bytes: u64,
}

/// Which entries are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruning {
    /// Those that have not been used for 30 days.
    Unused,
    All,
}

/// An entry of the cache.
struct CacheEntry {
    path: PathBuf,
    bytes: u64,
    unused_for: Duration,
}

impl CacheFolder {
    /// Returns the number of entries and the size of each part.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn parts(&self) -> io::Result<Vec<CachePart>> {
        let part = |&(folder, content, by_children): &(&str, &'static str, bool)| {
            let entries = entries(&self.0.join(folder), by_children)?;
            let bytes = entries.iter().map(|entry| entry.bytes).sum();
            Ok(CachePart { content, entries: entries.len(), bytes })
        };
        PARTS.iter().map(part).collect()
    }

    /// Removes entries, and returns what was removed. With `dry_run`, nothing is removed.
    ///
    /// # Errors
    /// If a folder cannot be read, or an entry cannot be removed.
    pub fn prune(&self, pruning: Pruning, dry_run: bool) -> io::Result<Vec<CachePart>> {
        let part = |&(folder, content, by_children): &(&str, &'static str, bool)| {
            let mut entries = entries(&self.0.join(folder), by_children)?;
            entries.retain(|entry| pruning == Pruning::All || entry.is_unused());
            for entry in entries.iter().filter(|_| !dry_run) {
                remove(&entry.path)?;
            }
            let bytes = entries.iter().map(|entry| entry.bytes).sum();
            Ok(CachePart { content, entries: entries.len(), bytes })
        };
        PARTS.iter().map(part).collect()
    }

    /// Removes unused entries, at most once a day. Failures are only logged: nothing depends on it.
    pub fn prune_daily(&self) {
        let stamp = self.0.join(STAMP);
        if age(&stamp).is_some_and(|age| age < CHECKED) || fs::write(&stamp, "").is_err() {
            return;
        }
        match self.prune(Pruning::Unused, false) {
            Ok(removed) => tracing::debug!(entries = removed.iter().map(|part| part.entries).sum::<usize>(), "pruned"),
            Err(error) => tracing::debug!(%error, "cannot prune {}", self.0.display()),
        }
    }
}

impl CacheEntry {
    fn is_unused(&self) -> bool {
        let is_unfinished = self.path.file_name().is_some_and(|name| name.to_string_lossy().contains(UNFINISHED));
        self.unused_for > if is_unfinished { CHECKED } else { KEPT }
    }
}

/// Notes that an entry is used. Once a day is enough, and a failure only shortens its life.
pub(super) fn mark_used(path: &Path) {
    if age(path).is_some_and(|age| age > CHECKED) {
        let _ = File::open(path).and_then(|entry| entry.set_modified(SystemTime::now()));
    }
}

/// How long ago a file or folder was modified; `None` if it does not exist.
fn age(path: &Path) -> Option<Duration> {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    // A time in the future is a clock that was changed.
    Some(modified.elapsed().unwrap_or_default())
}

/// The entries of a folder; none if it does not exist.
fn entries(folder: &Path, by_children: bool) -> io::Result<Vec<CacheEntry>> {
    let mut found = Vec::new();
    let children = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        children => children?,
    };
    for child in children {
        let path = child?.path();
        // Another run may have removed it.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if path.ends_with(STAMP) {
            continue;
        }
        if metadata.is_dir() && !by_children {
            found.extend(entries(&path, false)?);
            continue;
        }
        let bytes = if metadata.is_dir() { size(&path)? } else { metadata.len() };
        let unused_for = age(&path).unwrap_or_default();
        found.push(CacheEntry { path, bytes, unused_for });
    }
    Ok(found)
}

fn size(folder: &Path) -> io::Result<u64> {
    Ok(entries(folder, false)?.iter().map(|entry| entry.bytes).sum())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(&str, u64)]) -> (tempfile::TempDir, CacheFolder) {
        let folder = tempfile::tempdir().unwrap();
        for (path, days) in entries {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "four").unwrap();
            age_by(&path, *days);
        }
        let cache = CacheFolder(folder.path().to_owned());
        (folder, cache)
    }

    fn age_by(path: &Path, days: u64) {
        let time = SystemTime::now() - Duration::from_hours(24 * days);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn totals(parts: &[CachePart]) -> (usize, u64) {
        (parts.iter().map(|part| part.entries).sum(), parts.iter().map(|part| part.bytes).sum())
    }

    #[test]
    fn only_what_is_unused_is_removed() {
        let entries = [
            ("charts/used-1.tgz", 29),
            ("charts/unused-1.tgz", 31),
            ("charts/a-1.tgz.new-4711", 2),
            ("charts/b-1.tgz.new-4712", 0),
            ("helm/repository/a-index.yaml", 31),
            ("other/of-the-user", 99),
        ];
        let (folder, cache) = cache(&entries);
        assert_eq!(totals(&cache.parts().unwrap()), (5, 20));
        assert_eq!(totals(&cache.prune(Pruning::Unused, true).unwrap()), (3, 12));
        assert_eq!(totals(&cache.parts().unwrap()), (5, 20), "a dry run removes nothing");
        assert_eq!(totals(&cache.prune(Pruning::Unused, false).unwrap()), (3, 12));
        let left = entries.iter().filter(|(path, _)| folder.path().join(path).exists()).map(|(path, _)| *path);
        assert_eq!(left.collect::<Vec<_>>(), ["charts/used-1.tgz", "charts/b-1.tgz.new-4712", "other/of-the-user"]);
        cache.prune(Pruning::All, false).unwrap();
        assert_eq!(totals(&cache.parts().unwrap()), (0, 0));
        assert!(folder.path().join("other/of-the-user").exists());
    }

    #[test]
    fn a_used_entry_stays() {
        let (folder, cache) = cache(&[("charts/service-1/Chart.yaml", 0), ("charts/a-1.tgz", 31)]);
        let entries = ["charts/service-1", "charts/a-1.tgz"].map(|entry| folder.path().join(entry));
        for entry in &entries {
            age_by(entry, 31);
            mark_used(entry);
        }
        assert_eq!(totals(&cache.prune(Pruning::Unused, false).unwrap()), (0, 0));
    }

    #[test]
    fn pruning_is_done_once_a_day() {
        let (folder, cache) = cache(&[("charts/a-1.tgz", 31)]);
        cache.prune_daily();
        let entry = folder.path().join("charts/a-1.tgz");
        assert!(!entry.exists());
        fs::write(&entry, "").unwrap();
        age_by(&entry, 31);
        cache.prune_daily();
        assert!(entry.exists(), "it was checked a moment ago");
        age_by(&folder.path().join(STAMP), 2);
        cache.prune_daily();
        assert!(!entry.exists());
    }

    #[test]
    fn an_absent_cache_is_empty() {
        let (_folder, cache) = cache(&[]);
        assert_eq!(totals(&cache.parts().unwrap()), (0, 0));
    }
}
