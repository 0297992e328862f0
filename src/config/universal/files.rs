//! `files` with `from`: files and folders of the workspace that containers get.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Mistake,
    containers::{ContainerValues, containers},
};
use crate::{
    config::{
        error::{choice, quoted},
        meaning::neighbour,
    },
    domain::{
        ResolvedProject,
        disk_files::{LARGEST_FILE, LARGEST_SUM, MOST_FILES},
    },
};

const EXPECTED: &str = "expected a file or a folder of the workspace, relative to the file that names it";
/// The most files that a message names.
const FILES_SHOWN: usize = 3;

/// A file that a container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is on this machine.
    pub source: PathBuf,
    pub is_executable: bool,
    /// In bytes.
    size: u64,
}

/// A key of `files` with `from`.
struct FromDisk<'a> {
    /// The path of `from`, from the values on.
    path: Vec<String>,
    /// The path in the container.
    target: &'a str,
    /// The path in the workspace.
    source: &'a str,
}

/// Returns the files of a project on the universal chart, by their path in the volume: the name of the container, and
/// the path there. `root` is the folder of the workspace. What is a mistake is left out.
pub fn disk_files(project: &ResolvedProject, root: &Path) -> BTreeMap<String, FoundFile> {
    if !project.is_on_universal_chart() || project.external.is_some() {
        return BTreeMap::new();
    }
    find_all(project, root).0
}

/// Returns a mistake for each path that is not a usable file or folder of the workspace, and if there are too many.
pub(super) fn check(project: &ResolvedProject, root: &Path) -> Vec<Mistake> {
    let (found, mut mistakes) = find_all(project, root);
    mistakes.extend(too_many(&found));
    mistakes.extend(containers(&project.values).iter().flat_map(|container| hidden(project, container, &found)));
    mistakes
}

fn find_all(project: &ResolvedProject, root: &Path) -> (BTreeMap<String, FoundFile>, Vec<Mistake>) {
    let (mut all, mut mistakes) = (BTreeMap::new(), Vec::new());
    for container in containers(&project.values) {
        for entry in from_disk(&container) {
            let inside = entry.target.trim_matches('/');
            if inside.split('/').any(|part| matches!(part, "" | "." | "..")) {
                let message = format!("{} is not the path of a file or folder", quoted(entry.target));
                let expected = "expected an absolute path without `.` and `..`".to_owned();
                mistakes.push(Mistake::new(entry.path[..entry.path.len() - 1].to_vec(), message, expected));
                continue;
            }
            let volume = format!("{}/{inside}", container.name(project));
            match find(root, entry.source) {
                // A later path is longer: it replaces a file of a folder.
                Ok(found) => all.extend(found.into_iter().map(|(below, file)| (volume.clone() + &below, file))),
                Err(wrong) => mistakes.push(wrong.mistake(entry.path, root, entry.source)),
            }
        }
    }
    (all, mistakes)
}

fn from_disk<'a>(container: &ContainerValues<'a>) -> Vec<FromDisk<'a>> {
    let entry = |(target, value): (&'a str, &'a Value)| {
        let source = value.get("from")?.as_str()?;
        Some(FromDisk { path: container.path(&["files", target, "from"]), target, source })
    };
    container.entries("files").filter_map(entry).collect()
}

/// Why a path cannot be used.
pub(super) enum Wrong {
    Absent,
    /// Files with a reason each, by their paths.
    Files(Vec<(String, String)>),
}

impl Wrong {
    fn one(path: &str, reason: impl Into<String>) -> Self {
        Self::Files(vec![(path.to_owned(), reason.into())])
    }

    pub(super) fn mistake(self, path: Vec<String>, root: &Path, source: &str) -> Mistake {
        match self {
            Self::Absent => {
                let message = format!("{} does not exist", quoted(source));
                Mistake::new(path, message, EXPECTED.to_owned()).with_help(neighbour(root, source))
            }
            Self::Files(files) => {
                let reasons = files.iter().take(FILES_SHOWN).map(|(file, reason)| format!("{} {reason}", quoted(file)));
                let mut message = reasons.collect::<Vec<_>>().join("; ");
                if files.len() > FILES_SHOWN {
                    message += &format!("; and {} more files cannot be used", files.len() - FILES_SHOWN);
                }
                Mistake::new(path, message, EXPECTED.to_owned())
            }
        }
    }
}

/// Returns the file at a path of the workspace, or all files below the folder there, by the rest of their path: empty, or
/// starting with `/`.
pub(super) fn find(root: &Path, source: &str) -> Result<BTreeMap<String, FoundFile>, Wrong> {
    if Path::new(source).is_absolute() {
        return Err(Wrong::one(source, "is an absolute path"));
    }
    let outside = || Wrong::one(source, "is outside of the workspace");
    if Path::new(source).starts_with("..") {
        return Err(outside());
    }
    let root = root.canonicalize().map_err(|error| Wrong::one(".", unreadable(&error)))?;
    let mut search = Search { root: &root, source, found: BTreeMap::new(), wrong: Vec::new(), open: BTreeSet::new() };
    match root.join(source).canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Wrong::Absent),
        _ => search.visit(&root.join(source), ""),
    }
    let Search { found, wrong, .. } = search;
    match (found.is_empty(), wrong.is_empty()) {
        (_, false) => Err(Wrong::Files(wrong)),
        (true, true) => Err(Wrong::one(source, "contains no files")),
        (false, true) => Ok(found),
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// A search below one path.
struct Search<'a> {
    root: &'a Path,
    source: &'a str,
    found: BTreeMap<String, FoundFile>,
    /// Paths in the workspace, each with the reason why it cannot be used.
    wrong: Vec<(String, String)>,
    /// The folders above the current one, without symbolic links.
    open: BTreeSet<PathBuf>,
}

impl Search<'_> {
    /// Adds a file, or the files of a folder. `below` is the path from the start of the search on.
    fn visit(&mut self, path: &Path, below: &str) {
        // More are refused anyway.
        if self.found.len() > MOST_FILES {
            return;
        }
        if let Err(reason) = self.add(path, below) {
            self.wrong.push((format!("{}{below}", self.source), reason));
        }
    }

    fn add(&mut self, path: &Path, below: &str) -> Result<(), String> {
        let real = path.canonicalize().map_err(|error| unreadable(&error))?;
        if !real.starts_with(self.root) {
            return Err("is a symbolic link out of the workspace".to_owned());
        }
        let metadata = fs::metadata(&real).map_err(|error| unreadable(&error))?;
        if metadata.is_dir() {
            return self.visit_folder(&real, below);
        }
        if !metadata.is_file() {
            return Err("is not a regular file".to_owned());
        }
        if metadata.len() > LARGEST_FILE {
            return Err(format!(
                "has {}, and a file may have at most {}",
                mebibytes(metadata.len()),
                mebibytes(LARGEST_FILE)
            ));
        }
        fs::File::open(&real).map_err(|error| unreadable(&error))?;
        let file = FoundFile { is_executable: is_executable(&metadata), size: metadata.len(), source: real };
        self.found.insert(below.to_owned(), file);
        Ok(())
    }

    fn visit_folder(&mut self, folder: &Path, below: &str) -> Result<(), String> {
        if !self.open.insert(folder.to_owned()) {
            return Err("is a symbolic link to a folder that contains it".to_owned());
        }
        for entry in fs::read_dir(folder).map_err(|error| unreadable(&error))? {
            let entry = entry.map_err(|error| unreadable(&error))?;
            match entry.file_name().to_str() {
                Some(name) if name.starts_with("..") => {
                    return Err(format!(
                        "contains {}: Kubernetes does not allow names that start with `..`",
                        quoted(name)
                    ));
                }
                Some(name) => self.visit(&entry.path(), &format!("{below}/{name}")),
                None => return Err("contains a file whose name is not UTF-8".to_owned()),
            }
        }
        self.open.remove(folder);
        Ok(())
    }
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

/// `2.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "the size is shown with one digit")]
fn mebibytes(bytes: u64) -> String {
    let text = format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    format!("{} MiB", text.trim_end_matches(".0"))
}

fn too_many(found: &BTreeMap<String, FoundFile>) -> Option<Mistake> {
    let sum = found.values().map(|file| file.size).sum();
    let problem = if found.len() > MOST_FILES {
        format!("more than {MOST_FILES} files come from disk")
    } else if sum > LARGEST_SUM {
        format!("the files from disk have {} in all", mebibytes(sum))
    } else {
        return None;
    };
    let expected = format!("expected at most {MOST_FILES} files, and {} in all", mebibytes(LARGEST_SUM));
    let help = Some("add them to the image, or copy them into a volume from an init container".to_owned());
    Some(Mistake::new(vec!["files".to_owned()], problem, expected).with_help(help))
}

/// Returns a mistake for each other path in a folder from disk that does not exist there: the folder is read-only, so
/// nothing can be mounted there.
fn hidden(
    project: &ResolvedProject,
    container: &ContainerValues<'_>,
    found: &BTreeMap<String, FoundFile>,
) -> Vec<Mistake> {
    let folders: Vec<&str> = from_disk(container).into_iter().map(|entry| entry.target).collect();
    let exists = |target: &str| {
        let path = format!("{}{}", container.name(project), target.trim_end_matches('/'));
        found.contains_key(&path) || found.keys().any(|file| file.starts_with(&format!("{path}/")))
    };
    let mistake = |(path, target): (Vec<String>, &str)| {
        let is_below = |folder: &&&str| target.starts_with(&format!("{}/", folder.trim_end_matches('/')));
        let folder = folders.iter().find(is_below)?;
        if exists(target) {
            return None;
        }
        let message = format!("{} is in {}, a folder from disk, which is read-only", quoted(target), quoted(folder));
        let expected =
            format!("expected a path outside of {}, or one that the folder contains", choice(folder, [*folder]));
        Some(Mistake::new(path, message, expected))
    };
    mounts(container).into_iter().filter_map(mistake).collect()
}

/// The paths of a container at which something is mounted, each with its place in the values.
fn mounts<'a>(container: &ContainerValues<'a>) -> Vec<(Vec<String>, &'a str)> {
    let by_path = ["files", "secretFiles"]
        .into_iter()
        .flat_map(|key| container.entries(key).map(move |(target, _)| (container.path(&[key, target]), target)));
    let volumes = container
        .entries("volumes")
        .filter_map(|(name, volume)| Some((container.path(&["volumes", name, "path"]), volume.get("path")?.as_str()?)));
    let mounts = container
        .entries("mounts")
        .filter_map(|(name, path)| Some((container.path(&["mounts", name]), path.as_str()?)));
    by_path.chain(volumes).chain(mounts).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn workspace() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let conf = place.path().join("conf");
        fs::create_dir_all(conf.join("grafana/dashboards")).unwrap();
        fs::create_dir(conf.join("empty")).unwrap();
        fs::write(conf.join("grafana/grafana.ini"), "a").unwrap();
        fs::write(conf.join("grafana/dashboards/a b.json"), [0, 159, 146, 150]).unwrap();
        fs::write(conf.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(conf.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn found(root: &Path, source: &str) -> Vec<String> {
        let found = find(root, source).unwrap_or_default();
        found.into_iter().map(|(path, file)| format!("{path}{}", if file.is_executable { " x" } else { "" })).collect()
    }

    fn message(root: &Path, source: &str) -> String {
        match find(root, source) {
            Ok(found) => panic!("{found:?}"),
            Err(wrong) => wrong.mistake(Vec::new(), root, source).message,
        }
    }

    #[test]
    fn a_folder_is_found_with_its_subfolders() {
        let place = workspace();
        assert_eq!(found(place.path(), "conf/grafana"), ["/dashboards/a b.json", "/grafana.ini"]);
        assert_eq!(found(place.path(), "conf/run.sh"), [" x"]);
        symlink("grafana.ini", place.path().join("conf/grafana/link.ini")).unwrap();
        assert_eq!(found(place.path(), "conf/grafana"), ["/dashboards/a b.json", "/grafana.ini", "/link.ini"]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let place = workspace();
        let root = place.path();
        let conf = root.join("conf");
        assert_eq!(message(root, "conf/grafana.ini"), "`conf/grafana.ini` does not exist");
        assert_eq!(message(root, "conf/empty"), "`conf/empty` contains no files");
        assert_eq!(message(root, "../x"), "`../x` is outside of the workspace");
        assert_eq!(message(root, "/etc/passwd"), "`/etc/passwd` is an absolute path");
        symlink("/etc/passwd", conf.join("empty/out")).unwrap();
        assert_eq!(message(root, "conf/empty"), "`conf/empty/out` is a symbolic link out of the workspace");
        symlink("..", conf.join("grafana/up")).unwrap();
        assert_eq!(
            message(root, "conf"),
            "`conf/empty/out` is a symbolic link out of the workspace; \
             `conf/grafana/up` is a symbolic link to a folder that contains it"
        );
        fs::File::create(conf.join("large")).unwrap().set_len(LARGEST_FILE * 5 / 2).unwrap();
        assert_eq!(message(root, "conf/large"), "`conf/large` has 2.5 MiB, and a file may have at most 1 MiB");
    }
}
