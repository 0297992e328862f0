//! The marks of local runs: a file for each project that a process of this machine replaces. cmdr holds a lock on the
//! file while it runs, so that a mark without a lock is that of a run that was killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The extension of the folder with the marks of a cluster.
pub const LOCAL_RUNS: &str = "local-runs";

/// Who runs a project on this machine, and what has to be removed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRunMark {
    pub project: String,
    pub process: u32,
    pub user: String,
    pub since: jiff::Timestamp,
    /// The addresses of the run: `172.18.96.0/24`.
    pub block: String,
    /// The folder with the files of the container.
    pub files: PathBuf,
}

impl LocalRunMark {
    /// Returns who runs the project: `process 4711 of jane, since 2026-01-02T03:04:05Z`.
    pub fn holder(&self) -> String {
        format!("process {} of {}, since {:.0}", self.process, self.user, self.since)
    }
}

/// A mark that holds until it is dropped.
#[derive(Debug)]
pub struct HeldMark {
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    #[error("cannot write {0}: {1}")]
    File(String, std::io::Error),
    /// Another process runs the project.
    #[error("{0}")]
    Held(String),
}

/// Marks a project as run by this process.
///
/// # Errors
/// If another process runs it, or the file cannot be written.
pub fn take(folder: &Path, mark: &LocalRunMark) -> Result<HeldMark, MarkError> {
    let path = folder.join(&mark.project);
    let wrong = |error| MarkError::File(path.display().to_string(), error);
    fs::create_dir_all(folder).map_err(wrong)?;
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(wrong)?;
    if file.try_lock().is_err() {
        let holder = read(&path).map_or_else(|| "another process".to_owned(), |other| other.holder());
        return Err(MarkError::Held(holder));
    }
    file.set_len(0).map_err(wrong)?;
    let text = serde_json::to_string(mark).map_err(|error| wrong(error.into()))?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    Ok(HeldMark { file })
}

impl Drop for HeldMark {
    fn drop(&mut self) {
        // An empty file is not a mark. The file stays: another process may be opening it.
        let _ = self.file.set_len(0);
    }
}

fn read(path: &Path) -> Option<LocalRunMark> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Returns the marks of a cluster, and whether each one's process still runs.
fn marks(folder: &Path) -> impl Iterator<Item = (LocalRunMark, bool)> {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    files.filter_map(|path| {
        let mark = read(&path)?;
        let is_held = File::open(&path).ok()?.try_lock_shared().is_err();
        Some((mark, is_held))
    })
}

/// Returns the projects of a cluster that processes of this machine replace now.
pub fn active(folder: &Path) -> BTreeMap<String, LocalRunMark> {
    marks(folder).filter(|(_, is_held)| *is_held).map(|(mark, _)| (mark.project.clone(), mark)).collect()
}

/// Returns the addresses of all runs on this machine: clusters share the Docker network. `clusters` is the folder with
/// the state of all clusters.
pub fn taken_blocks(clusters: &Path) -> BTreeSet<String> {
    let folders = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().filter_map(|it| Some(it.ok()?.path()));
    let of_clusters = folders(clusters.to_owned()).filter(|path| path.extension().is_some_and(|it| it == LOCAL_RUNS));
    of_clusters.flat_map(folders).flat_map(|folder| active(&folder).into_values()).map(|mark| mark.block).collect()
}

/// Returns the marks of runs that were killed.
pub fn abandoned(folder: &Path) -> Vec<LocalRunMark> {
    marks(folder).filter(|(_, is_held)| !is_held).map(|(mark, _)| mark).collect()
}

/// Removes the files of a run that was killed, and its mark.
pub fn forget(folder: &Path, mark: &LocalRunMark) {
    // What cannot be removed is reported by the next local run of the project.
    let _ = fs::remove_dir_all(&mark.files);
    if let Ok(file) = File::options().write(true).open(folder.join(&mark.project))
        && file.try_lock().is_ok()
    {
        let _ = file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_active_while_its_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let clusters = folder.path();
        let folder = &clusters.join("shop.local-runs/shop");
        let mark = LocalRunMark {
            project: "catalog".to_owned(),
            process: 4711,
            user: "jane".to_owned(),
            since: "2026-01-02T03:04:05Z".parse().unwrap(),
            block: "172.18.96.0/24".to_owned(),
            files: folder.join("files"),
        };
        let held = take(folder, &mark).unwrap();
        assert_eq!(active(folder).keys().collect::<Vec<_>>(), ["catalog"]);
        assert_eq!(taken_blocks(clusters), BTreeSet::from([mark.block.clone()]));
        let refused = take(folder, &mark).unwrap_err().to_string();
        assert_eq!(refused, "process 4711 of jane, since 2026-01-02T03:04:05Z");
        drop(held);
        assert!(active(folder).is_empty() && abandoned(folder).is_empty());
        // A process that is killed leaves the text, without a lock.
        fs::write(folder.join("catalog"), serde_json::to_string(&mark).unwrap()).unwrap();
        fs::create_dir(&mark.files).unwrap();
        assert_eq!(abandoned(folder), std::slice::from_ref(&mark));
        forget(folder, &mark);
        assert!(abandoned(folder).is_empty() && !mark.files.exists());
    }
}
