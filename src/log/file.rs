//! The log file of a run. A folder that cannot be written must not fail a run, so errors end the log silently.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use tracing_subscriber::fmt::MakeWriter;

/// The number of files that are kept.
pub const KEPT: usize = 20;

/// The file, which is created with the first event. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct LogFile(Arc<Mutex<LogState>>);

#[derive(Debug, Default)]
enum LogState {
    /// Nothing is logged: before the start, or after an error.
    #[default]
    Closed,
    Planned {
        path: PathBuf,
        head: String,
    },
    Open {
        path: PathBuf,
        file: File,
    },
}

impl LogFile {
    /// Sets the name and the first line.
    pub(super) fn plan(&self, folder: &Path, verb: &str, head: String) {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
        let path = folder.join(format!("{time}-{verb}-{}.log", std::process::id()));
        if let Ok(mut state) = self.0.lock() {
            *state = LogState::Planned { path, head };
        }
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        match &*self.0.lock().ok()? {
            LogState::Open { path, .. } => Some(path.clone()),
            LogState::Planned { .. } | LogState::Closed => None,
        }
    }
}

impl LogState {
    fn write(&mut self, bytes: &[u8]) {
        if let Self::Planned { path, head } = self {
            *self = match create(path, head) {
                Ok(file) => Self::Open { path: std::mem::take(path), file },
                Err(_) => Self::Closed,
            };
        }
        if let Self::Open { file, .. } = self
            && writeln!(file, "{}", one_line(bytes)).is_err()
        {
            *self = Self::Closed;
        }
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LogFile {
    /// Receives whole events.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut state) = self.0.lock() {
            state.write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event without its final line break, and without control characters inside.
pub(super) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let escaped = |letter: char| match letter {
        '\t' => "\t".to_owned(),
        control if control.is_control() => control.escape_default().to_string(),
        letter => letter.to_string(),
    };
    text.trim_end_matches('\n').chars().map(escaped).collect()
}

/// Creates the file, which only its user can read, and deletes the oldest ones.
fn create(path: &Path, head: &str) -> io::Result<File> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{} {}", Timestamp::now(), one_line(head.as_bytes()))?;
    for old in newest(folder).iter().skip(KEPT) {
        // Another run may have deleted it.
        let _ = fs::remove_file(old);
    }
    Ok(file)
}

/// The log files in a folder, newest first; none if the folder cannot be read.
pub fn newest(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_log(path)).collect();
    files.sort_by(|one, other| other.cmp(one));
    files
}

/// Whether cmdr named the file, so that other files in the folder are kept.
fn is_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = name.strip_suffix(".log") else { return false };
    let Some((time, rest)) = stem.split_once("Z-") else { return false };
    let is_process = |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit());
    let is_time = |letter: char| letter.is_ascii_digit() || "T.".contains(letter);
    time.len() == 19 && time.chars().all(is_time) && rest.rsplit_once('-').is_some_and(|(_, id)| is_process(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(folder: &Path) -> LogFile {
        let file = LogFile::default();
        file.plan(folder, "up", "cmdr up".to_owned());
        file
    }

    #[test]
    fn a_file_is_created_with_its_first_event() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("state/logs");
        let mut log = planned(&logs);
        assert_eq!((log.path(), logs.exists()), (None, false));
        log.write_all(b"one\ntwo \x1b[31m\n").unwrap();
        log.write_all(b"three\n").unwrap();
        let path = log.path().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("Z cmdr up"), "{text}");
        assert_eq!(lines[1..], ["one\\ntwo \\u{1b}[31m", "three"]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(newest(&logs), [path]);
    }

    #[test]
    fn the_newest_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let name = |second: usize| format!("20200101T0000{second:02}.000Z-up-7.log");
        for second in 0..30 {
            fs::write(folder.path().join(name(second)), "").unwrap();
        }
        for other in ["notes.log", "20200101T000000.000Z-up-7.txt"] {
            fs::write(folder.path().join(other), "").unwrap();
        }
        let mut log = planned(folder.path());
        log.write_all(b"x\n").unwrap();
        let files = newest(folder.path());
        assert_eq!((files.len(), files.first().cloned()), (KEPT, log.path()));
        assert_eq!(files[1].file_name().unwrap(), name(29).as_str());
        assert!(folder.path().join("notes.log").exists());
        assert!(folder.path().join("20200101T000000.000Z-up-7.txt").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_ends_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("state");
        fs::write(&taken, "").unwrap();
        let mut log = planned(&taken.join("logs"));
        log.write_all(b"x\n").unwrap();
        assert_eq!(log.path(), None);
    }
}
