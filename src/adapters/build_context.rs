//! The state of a build's folder, to tell whether it has changed since the last build.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{Build, digest::hexadecimal};

/// git changes files in its folder whenever it looks at them.
const GIT: &str = ".git";
const IGNORE_FILE: &str = ".dockerignore";
/// Bytes that are read at once.
const BLOCK: usize = 64 * 1024;

/// The state of a folder and of its Dockerfile, and how it was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextState {
    /// The hash of the build's options.
    #[serde(default)]
    options: String,
    /// The hash of names, sizes and modification times.
    seen: String,
    /// The hash of names and contents.
    content: String,
}

impl ContextState {
    /// Reads what `docker build` would send, and the Dockerfile.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(build: &Build) -> io::Result<Self> {
        let files = files(build)?;
        Ok(Self { options: build.options(), seen: seen(&files)?, content: content(&files)? })
    }

    /// Returns what has changed: the options of the build, or the content of its folder. The contents are read only if
    /// sizes or times differ.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn change(&self, build: &Build) -> io::Result<Option<&'static str>> {
        if self.options != build.options() {
            return Ok(Some("its build options have changed"));
        }
        let files = files(build)?;
        let has_changed = self.seen != seen(&files)? && self.content != content(&files)?;
        Ok(has_changed.then_some("its folder has changed"))
    }
}

/// A file of a build: its name in the context, and its path.
type FileOfContext = (String, PathBuf);

fn files(build: &Build) -> io::Result<Vec<FileOfContext>> {
    let dockerfile = build.dockerfile();
    let ignored = IgnoredFiles::of(build)?;
    let mut files = Vec::new();
    walk(&build.context, "", &ignored, &mut files)?;
    files.extend(dockerfile.map(|dockerfile| (String::new(), dockerfile)));
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, below: &str, ignored: &IgnoredFiles, files: &mut Vec<FileOfContext>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if name == GIT {
            continue;
        }
        let is_folder = entry.file_type()?.is_dir();
        let is_left_out = ignored.contains(&name);
        if is_folder && !(is_left_out && ignored.has_no_exceptions()) {
            walk(&entry.path(), &format!("{name}/"), ignored, files)?;
        } else if !is_folder && !is_left_out {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}

fn seen(files: &[FileOfContext]) -> io::Result<String> {
    let mut hash = Sha256::new();
    for (name, path) in files {
        let metadata = fs::symlink_metadata(path)?;
        let time = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        hash.update(format!("{name}\0{}\0{}\n", metadata.len(), time.as_nanos()));
    }
    Ok(hexadecimal(&hash.finalize()))
}

fn content(files: &[FileOfContext]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    for (name, path) in files {
        hash.update(format!("{name}\0"));
        let kind = fs::symlink_metadata(path)?.file_type();
        if kind.is_symlink() {
            hash.update(fs::read_link(path)?.as_os_str().as_encoded_bytes());
        } else if kind.is_file() {
            let mut file = fs::File::open(path)?;
            loop {
                match file.read(&mut block)? {
                    0 => break,
                    count => hash.update(&block[..count]),
                }
            }
        }
        hash.update(b"\0");
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// The patterns of a `.dockerignore`, each with whether it is an exception (`!`). The last one that matches counts.
pub(super) struct IgnoredFiles(Vec<(Pattern, bool)>);

impl IgnoredFiles {
    /// Reads what a build does not send.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub(super) fn of(build: &Build) -> io::Result<Self> {
        Self::read(&build.context, build.dockerfile().as_deref())
    }

    /// Reads `DOCKERFILE.dockerignore`, otherwise `.dockerignore` of the context, as `docker build` does.
    fn read(context: &Path, dockerfile: Option<&Path>) -> io::Result<Self> {
        let own = dockerfile.map(|dockerfile| {
            let mut own = dockerfile.as_os_str().to_owned();
            own.push(IGNORE_FILE);
            PathBuf::from(own)
        });
        for path in own.into_iter().chain([context.join(IGNORE_FILE)]) {
            match fs::read_to_string(path) {
                Ok(text) => return Ok(Self::parse(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(Self(Vec::new()))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pattern = |line: &str| {
            let (is_exception, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let line = line.trim_start_matches("./").trim_matches('/');
            Some((Pattern::new(line).ok()?, is_exception))
        };
        Self(lines.filter_map(pattern).collect())
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let matches = |pattern: &Pattern| {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            parents.chain([path]).any(|path| pattern.matches_with(path, options))
        };
        let last = self.0.iter().rev().find(|(pattern, _)| matches(pattern));
        last.is_some_and(|(_, is_exception)| !is_exception)
    }

    pub(super) fn has_no_exceptions(&self) -> bool {
        self.0.iter().all(|(_, is_exception)| !is_exception)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::build::{BuildMethod, DockerBuild};

    fn docker(context: &Path, dockerfile: Option<&Path>) -> Build {
        let options = DockerBuild { dockerfile: dockerfile.map(Path::to_path_buf), ..DockerBuild::default() };
        Build { context: context.to_owned(), method: BuildMethod::Docker(options) }
    }

    #[test]
    fn only_what_docker_sends_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        };
        write("Dockerfile", "FROM scratch\n");
        write("src/main.py", "print(1)\n");
        write(".dockerignore", "# caches\n**/__pycache__\nbuild/\n*.md\n!README.md\n");
        let build = docker(root, None);
        let state = ContextState::read(&build).unwrap();
        let has_changed = || state.change(&build).unwrap().is_some();
        for name in ["src/__pycache__/main.pyc", "build/out/app", "notes.md", ".git/index"] {
            write(name, "new");
            assert!(!has_changed(), "{name}");
        }
        write("src/main.py", "print(1)\n");
        assert!(!has_changed(), "the same content at another time");
        for name in ["src/main.py", "README.md", "docs/notes.md", "src/empty", "Dockerfile"] {
            let before = fs::read(root.join(name)).ok();
            write(name, "something else");
            assert!(has_changed(), "{name}");
            match before {
                Some(content) => fs::write(root.join(name), content).unwrap(),
                None => fs::remove_file(root.join(name)).unwrap(),
            }
            assert!(!has_changed(), "{name}");
        }
    }

    #[test]
    fn a_dockerfile_elsewhere_counts_with_its_own_patterns() {
        let folder = tempfile::tempdir().unwrap();
        let (root, file) = (folder.path().join("app"), folder.path().join("other.Dockerfile"));
        fs::create_dir_all(&root).unwrap();
        fs::write(&file, "FROM scratch\n").unwrap();
        fs::write(folder.path().join("other.Dockerfile.dockerignore"), "*.log\n").unwrap();
        let build = docker(&root, Some(&file));
        let state = ContextState::read(&build).unwrap();
        fs::write(root.join("x.log"), "x").unwrap();
        assert_eq!(state.change(&build).unwrap(), None);
        fs::write(&file, "FROM busybox\n").unwrap();
        assert_eq!(state.change(&build).unwrap(), Some("its folder has changed"));
        assert!(ContextState::read(&docker(&root, None)).is_err(), "without a Dockerfile there is no state");
        let command = Build { context: root, method: BuildMethod::Command("make".to_owned()) };
        assert_eq!(state.change(&command).unwrap(), Some("its build options have changed"));
        let state = ContextState::read(&command).unwrap();
        assert_eq!(state.change(&command).unwrap(), None, "a command needs no Dockerfile");
    }
}
