//! What `cmdr dev` does when a source of a project changes.

use std::path::{Path, PathBuf};

/// The key `dev` of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dev {
    /// The folder of the build, or of projects.yaml without one: absolute.
    pub folder: PathBuf,
    pub sync: Vec<SyncPath>,
    pub restart: DevRestart,
    /// A shell command that writes what `sync` copies.
    pub compile: Option<String>,
    /// A shell command that tests the project after each update.
    pub test: Option<String>,
}

/// A shell command that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevCommand {
    pub command: String,
    /// The folder in which it runs.
    pub folder: PathBuf,
}

/// A folder or a file, and where containers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPath {
    /// Absolute.
    pub source: PathBuf,
    /// An absolute path in the container, without `/` at its end.
    pub target: String,
}

/// What happens to the program after its files were copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DevRestart {
    /// It notices the change itself.
    #[default]
    No,
    /// Its pods are replaced.
    Pods,
    /// This command runs in its containers.
    Command(String),
}

/// A change of a file below the source of a [`SyncPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncedFile {
    /// The position of the [`SyncPath`] in the project.
    pub number: usize,
    /// Relative to its source; empty for the source itself.
    pub below: PathBuf,
    pub is_deleted: bool,
}

impl Dev {
    /// Returns a command of `dev` with the folder in which it runs.
    pub fn in_folder(&self, command: Option<&String>) -> Option<DevCommand> {
        command.map(|command| DevCommand { command: command.clone(), folder: self.folder.clone() })
    }

    /// Returns whether a changed path is compiled: one that is not copied, and is not the Dockerfile.
    pub fn is_compiled(&self, path: &Path, dockerfile: Option<&Path>) -> bool {
        self.compile.is_some() && dockerfile != Some(path) && self.files_at(path, false).is_empty()
    }

    /// Returns the synced files among changed paths; `None` if some are not below any source.
    pub fn synced(&self, changes: &[(PathBuf, bool)]) -> Option<Vec<SyncedFile>> {
        let one = |(path, is_deleted): &(PathBuf, bool)| {
            let files = self.files_at(path, *is_deleted);
            (!files.is_empty()).then_some(files)
        };
        let files: Option<Vec<Vec<SyncedFile>>> = changes.iter().map(one).collect();
        files.map(|files| files.into_iter().flatten().collect())
    }

    /// A file may be below several sources.
    fn files_at(&self, path: &Path, is_deleted: bool) -> Vec<SyncedFile> {
        let below = |(number, sync): (usize, &SyncPath)| {
            let below = path.strip_prefix(&sync.source).ok()?.to_owned();
            Some(SyncedFile { number, below, is_deleted })
        };
        self.sync.iter().enumerate().filter_map(below).collect()
    }
}

impl DevCommand {
    /// Returns the program that the command starts first: `go` of `CGO_ENABLED=0 go build`. `None` if it does not begin
    /// with the plain name of one.
    pub fn program(&self) -> Option<&str> {
        let is_plain =
            |word: &&str| word.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/+".contains(letter));
        self.command.split_whitespace().find(|word| !word.contains('=')).filter(is_plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_outside_the_sources_need_a_build() {
        let sync = |source: &str| SyncPath { source: source.into(), target: "/app".to_owned() };
        let dev = Dev {
            folder: "/w".into(),
            sync: vec![sync("/w/src"), sync("/w/src/web")],
            restart: DevRestart::No,
            compile: None,
            test: None,
        };
        let change = |path: &str| (PathBuf::from(path), false);
        let both = dev.synced(&[change("/w/src/web/a.js")]).unwrap();
        assert_eq!(both.iter().map(|file| file.below.to_str().unwrap()).collect::<Vec<_>>(), ["web/a.js", "a.js"]);
        assert_eq!(dev.synced(&[change("/w/src/a.py"), change("/w/Dockerfile")]), None);
        assert_eq!(dev.synced(&[change("/w/src2/a.py")]), None);
        let compiled = Dev { compile: Some("make".to_owned()), ..dev.clone() };
        let is_compiled = |dev: &Dev, path: &str| dev.is_compiled(path.as_ref(), Some("/w/Dockerfile".as_ref()));
        assert!(is_compiled(&compiled, "/w/main.go") && !is_compiled(&dev, "/w/main.go"));
        assert!(!is_compiled(&compiled, "/w/Dockerfile") && !is_compiled(&compiled, "/w/src/web/a.js"));
    }

    #[test]
    fn the_program_of_a_command_is_found() {
        let program = |command: &str| {
            let command = DevCommand { command: command.to_owned(), folder: PathBuf::new() };
            command.program().map(str::to_owned)
        };
        assert_eq!(program("CGO_ENABLED=0 GOOS=linux go build -ldflags=-s -o x .").as_deref(), Some("go"));
        assert_eq!(program("./gradlew jar").as_deref(), Some("./gradlew"));
        assert_eq!(program("(cd web; npm run build)"), None);
        assert_eq!(program("A=1"), None);
    }
}
