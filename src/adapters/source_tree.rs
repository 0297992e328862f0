//! The files that `cmdr dev` watches: what a build would send and what is synced, without ignored files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ignore::{DirEntry, WalkBuilder};

use super::build_context::IgnoredFiles;
use crate::domain::Build;

/// Files that change which others are ignored.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".dockerignore"];
/// git changes files in its folder whenever it looks at them.
const GIT: &str = ".git";
/// The names of files that editors and file managers write for a moment, and their beginnings and ends.
const TEMPORARY: [&str; 2] = ["4913", ".DS_Store"];
const TEMPORARY_START: &str = ".#";
const TEMPORARY_ENDS: [&str; 5] = ["~", ".swp", ".swx", "___jb_tmp___", "___jb_old___"];

/// A changed path, and whether it is gone.
pub type SourceChange = (PathBuf, bool);

/// The watched files of a project, as they were when they were last read.
#[derive(Debug, Default)]
pub struct SourceTree {
    roots: Vec<SourceRoot>,
    entries: BTreeMap<PathBuf, SourceEntry>,
    /// Files that are never watched.
    excluded: Arc<BTreeSet<PathBuf>>,
}

#[derive(Debug)]
struct SourceRoot {
    path: PathBuf,
    /// The build context's `.dockerignore`, with the Dockerfile that may have one of its own.
    build: Option<Build>,
}

/// What shows whether a path has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceEntry {
    kind: EntryKind,
    inode: u64,
    mode: u32,
    /// 0 for folders, whose entries are compared instead.
    size: u64,
    modified: (i64, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Folder,
    Link,
    File,
}

impl SourceTree {
    /// Reads the files of a build and of further folders and files.
    pub fn read(build: Option<&Build>, further: &[PathBuf], excluded: Arc<BTreeSet<PathBuf>>) -> Self {
        let mut tree = Self { roots: Vec::new(), entries: BTreeMap::new(), excluded };
        if let Some(build) = build {
            tree.add(SourceRoot { path: build.context.clone(), build: Some(build.clone()) });
        }
        let dockerfile = build.and_then(Build::dockerfile);
        for path in further.iter().cloned().chain(dockerfile) {
            // What is ignored elsewhere but synced, such as compiled files, is watched.
            if !tree.entries.contains_key(&path) {
                tree.add(SourceRoot { path, build: None });
            }
        }
        tree
    }

    fn add(&mut self, root: SourceRoot) {
        self.entries.extend(self.walk(&root, &root.path));
        self.roots.push(root);
    }

    /// The folders to watch, and those that contain single files and synced folders, which may be re-created.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let below = self.entries.iter().filter(|(_, entry)| entry.kind == EntryKind::Folder);
        let roots = self.roots.iter().filter(|root| root.build.is_none());
        below.map(|(path, _)| path.as_path()).chain(roots.filter_map(|root| root.path.parent()))
    }

    pub fn is_folder(&self, path: &Path) -> bool {
        self.entries.get(path).is_some_and(|entry| entry.kind == EntryKind::Folder)
    }

    /// All paths below a folder or file, itself included.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        let range = self.entries.range(path.to_owned()..).map(|(found, _)| found.as_path());
        range.take_while(move |found| found.starts_with(path))
    }

    /// Reads the places again that may have changed, and returns what has.
    pub fn update(&mut self, places: &BTreeSet<PathBuf>) -> Vec<SourceChange> {
        let is_rule = |path: &PathBuf| IGNORE_FILES.iter().any(|name| path.to_string_lossy().ends_with(name));
        if places.iter().any(is_rule) {
            return self.update_all();
        }
        let (mut changes, mut folders) = (Vec::new(), BTreeSet::new());
        for path in places {
            match self.entries.get(path).map(|entry| entry.kind) {
                Some(EntryKind::File | EntryKind::Link) => changes.extend(self.update_file(path)),
                _ => folders.extend(self.nearest_folder(path)),
            }
        }
        let covered = folders.clone();
        let is_first = |folder: &PathBuf| !folder.ancestors().skip(1).any(|parent| covered.contains(parent));
        for folder in folders.iter().filter(|folder| is_first(folder)) {
            changes.extend(self.update_below(folder));
        }
        changes
    }

    /// Reads everything again, and returns what has changed.
    pub fn update_all(&mut self) -> Vec<SourceChange> {
        let paths: Vec<PathBuf> = self.roots.iter().map(|root| root.path.clone()).collect();
        paths.iter().flat_map(|path| self.update_below(path)).collect()
    }

    fn update_file(&mut self, path: &Path) -> Option<SourceChange> {
        let found = fs::symlink_metadata(path).ok().map(|metadata| SourceEntry::of(&metadata));
        match found.filter(|entry| entry.kind != EntryKind::Folder) {
            Some(entry) if self.entries.get(path) == Some(&entry) => None,
            Some(entry) => {
                self.entries.insert(path.to_owned(), entry);
                Some((path.to_owned(), false))
            }
            None => {
                self.entries.remove(path);
                Some((path.to_owned(), true))
            }
        }
    }

    /// The nearest known folder of a path: a folder that is not known may be ignored.
    fn nearest_folder(&self, path: &Path) -> Option<PathBuf> {
        let root = self.root_of(path)?;
        let known = path.ancestors().take_while(|parent| parent.starts_with(&root.path));
        let known = known.filter(|parent| self.is_folder(parent)).map(Path::to_owned).next();
        Some(known.unwrap_or_else(|| root.path.clone()))
    }

    /// The innermost root of a path.
    fn root_of(&self, path: &Path) -> Option<&SourceRoot> {
        let around = self.roots.iter().filter(|root| path.starts_with(&root.path));
        around.max_by_key(|root| root.path.components().count())
    }

    fn update_below(&mut self, folder: &Path) -> Vec<SourceChange> {
        let Some(root) = self.root_of(folder) else { return Vec::new() };
        let new = self.walk(root, folder);
        // What is ignored here may be watched on its own.
        let others: Vec<&Path> =
            self.roots.iter().map(|root| root.path.as_path()).filter(|it| *it != root.path).collect();
        let is_other = |path: &&Path| others.iter().any(|other| other.starts_with(folder) && path.starts_with(other));
        let known = self.below(folder).filter(|path| new.contains_key(*path) || !is_other(path));
        let known: Vec<PathBuf> = known.map(Path::to_owned).collect();
        let mut changes = Vec::new();
        for path in known {
            let old = self.entries.get(&path);
            // What has another kind is removed first.
            if new.get(&path).map(|entry| entry.kind) != old.map(|entry| entry.kind) {
                self.entries.remove(&path);
                changes.push((path, true));
            }
        }
        for (path, entry) in new {
            if self.entries.get(&path) != Some(&entry) {
                changes.push((path.clone(), false));
                self.entries.insert(path, entry);
            }
        }
        changes
    }

    /// The entries of a folder of a root.
    fn walk(&self, root: &SourceRoot, folder: &Path) -> BTreeMap<PathBuf, SourceEntry> {
        let ignored = root.build.as_ref().and_then(|build| IgnoredFiles::of(build).ok());
        let (context, excluded) = (root.path.clone(), Arc::clone(&self.excluded));
        let mut walk = WalkBuilder::new(folder);
        // A folder need not be a repository to have a `.gitignore`.
        walk.hidden(false).ignore(false).git_global(false).require_git(false).follow_links(false);
        walk.filter_entry(move |entry| {
            let below = entry.path().strip_prefix(&context).map(|path| path.to_string_lossy().into_owned());
            let is_ignored = ignored.as_ref().zip(below.ok()).is_some_and(|(ignored, path)| {
                let is_open = is_folder(entry) && !ignored.has_no_exceptions();
                !is_open && !path.is_empty() && ignored.contains(&path)
            });
            !is_ignored && !is_temporary(entry) && !excluded.contains(entry.path())
        });
        let entries = walk.build().filter_map(Result::ok);
        entries.filter_map(|entry| Some((entry.path().to_owned(), SourceEntry::of(&entry.metadata().ok()?)))).collect()
    }
}

impl SourceEntry {
    fn of(metadata: &Metadata) -> Self {
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => EntryKind::Folder,
            kind if kind.is_symlink() => EntryKind::Link,
            _ => EntryKind::File,
        };
        let (mode, inode) = (metadata.mode(), metadata.ino());
        if kind == EntryKind::Folder {
            return Self { kind, inode, mode, size: 0, modified: (0, 0) };
        }
        Self { kind, inode, mode, size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
}

/// Whether a name is that of git's folder, or of a file that is written for a moment.
fn is_temporary(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_named = name == GIT || TEMPORARY.contains(&name.as_ref());
    is_named || name.starts_with(TEMPORARY_START) || TEMPORARY_ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::build::{BuildMethod, DockerBuild};

    struct Sources(tempfile::TempDir);

    impl Sources {
        fn new() -> Self {
            let sources = Self(tempfile::tempdir().unwrap());
            sources.write("Dockerfile", "FROM scratch\n");
            sources.write("src/main.py", "pass\n");
            sources
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn tree(&self, further: &[&str]) -> SourceTree {
            let method = BuildMethod::Docker(DockerBuild::default());
            let build = Build { context: self.0.path().to_owned(), method };
            let further: Vec<PathBuf> = further.iter().map(|name| self.path(name)).collect();
            SourceTree::read(Some(&build), &further, Arc::default())
        }

        /// What an update reports for these places, relative to the folder.
        fn changes(&self, tree: &mut SourceTree, places: &[&str]) -> Vec<(String, bool)> {
            let places = places.iter().map(|place| self.path(place)).collect();
            let below = |path: PathBuf| path.strip_prefix(self.0.path()).unwrap().display().to_string();
            tree.update(&places).into_iter().map(|(path, is_gone)| (below(path), is_gone)).collect()
        }
    }

    fn changed(name: &str) -> (String, bool) {
        (name.to_owned(), false)
    }

    fn gone(name: &str) -> (String, bool) {
        (name.to_owned(), true)
    }

    #[test]
    fn created_changed_deleted_and_renamed_files_are_found() {
        let sources = Sources::new();
        let mut tree = sources.tree(&[]);
        assert_eq!(sources.changes(&mut tree, &["src/main.py", "src"]), []);
        sources.write("src/main.py", "print(1)\n");
        assert_eq!(sources.changes(&mut tree, &["src/main.py"]), [changed("src/main.py")]);
        fs::rename(sources.path("src/main.py"), sources.path("src/app.py")).unwrap();
        let found = sources.changes(&mut tree, &["src/main.py", "src/app.py"]);
        assert_eq!(found, [gone("src/main.py"), changed("src/app.py")]);
        sources.write("src/new/a.py", "");
        assert_eq!(sources.changes(&mut tree, &["src/new"]), [changed("src/new"), changed("src/new/a.py")]);
        fs::remove_dir_all(sources.path("src/new")).unwrap();
        assert_eq!(sources.changes(&mut tree, &["src/new"]), [gone("src/new"), gone("src/new/a.py")]);
    }

    #[test]
    fn a_file_that_becomes_a_link_is_removed_first() {
        let sources = Sources::new();
        let mut tree = sources.tree(&[]);
        fs::remove_file(sources.path("src/main.py")).unwrap();
        std::os::unix::fs::symlink("other.py", sources.path("src/main.py")).unwrap();
        let found = sources.changes(&mut tree, &["src"]);
        assert_eq!(found, [gone("src/main.py"), changed("src/main.py")]);
    }

    #[test]
    fn ignored_files_do_not_count_unless_they_are_synced() {
        let sources = Sources::new();
        sources.write(".gitignore", "dist/\n*.log\n");
        sources.write(".dockerignore", "docs\n");
        let mut tree = sources.tree(&["dist"]);
        for name in ["app.log", "docs/a.md", ".git/index", "src/.main.py.swp", "src/main.py~"] {
            sources.write(name, "new");
            assert_eq!(sources.changes(&mut tree, &[name]), [], "{name}");
        }
        sources.write("src/4913.txt", "1");
        assert_eq!(sources.changes(&mut tree, &["src/4913.txt"]), [changed("src/4913.txt")], "only `4913` is vim's");
        sources.write("dist/app.js", "1");
        assert_eq!(sources.changes(&mut tree, &["dist"]), [changed("dist"), changed("dist/app.js")]);
        assert_eq!(tree.update_all(), [], "what is watched on its own is not removed");
        sources.write(".gitignore", "dist/\n");
        let found = sources.changes(&mut tree, &[".gitignore"]);
        assert!(found.contains(&changed("app.log")), "{found:?}");
    }

    #[test]
    fn missed_changes_are_found_by_reading_everything() {
        let sources = Sources::new();
        let mut tree = sources.tree(&[]);
        sources.write("src/deep/er/a.py", "1");
        fs::remove_file(sources.path("src/main.py")).unwrap();
        let found = tree.update_all();
        assert_eq!(found.iter().filter(|(_, is_gone)| *is_gone).count(), 1);
        assert!(found.contains(&(sources.path("src/deep/er/a.py"), false)));
        assert_eq!(tree.folders().count(), 4);
    }
}
