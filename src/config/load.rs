//! Loads a workspace from a folder: finds the files, reads them, and collects all errors.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{ConfigError, Severity, quoted, render},
    exposed,
    fields::Shape,
    meaning, parse, read, shape,
    source::{Location, SourceFile},
    sources::{Document, SourceRole, Sources},
    tables,
    tree::{Content, Cursor, Node},
    universal,
};
use crate::domain::{LocatedProblem, Workspace, yaml};

/// The file that describes a workspace.
pub const FILE: &str = "projects.yaml";
/// The file with overrides for one machine.
pub const LOCAL_FILE: &str = "projects.local.yaml";

/// A valid workspace.
#[derive(Debug)]
pub struct Loaded {
    pub workspace: Workspace,
    pub sources: Sources,
    /// Possible problems: missing folders that not every command needs.
    pub warnings: Vec<ConfigError>,
}

impl Loaded {
    /// The files that were read, and the file for this machine, which need not exist: absolute paths.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let root = &self.workspace.root;
        let local = [root.join(LOCAL_FILE)];
        self.sources.paths().map(|path| root.join(path)).chain(local)
    }
}

/// All errors and warnings of a workspace's files, in the order of files and lines.
#[derive(Debug, Clone)]
pub struct Report {
    pub diagnostics: Vec<ConfigError>,
}

impl Report {
    /// Renders all diagnostics, separated by empty lines.
    pub fn render(&self, color: bool) -> String {
        let rendered: Vec<String> = self.diagnostics.iter().map(|diagnostic| render(diagnostic, color)).collect();
        rendered.join("\n\n")
    }

    /// The same as data.
    pub fn mistakes(&self) -> Vec<LocatedProblem> {
        self.diagnostics.iter().map(ConfigError::mistake).collect()
    }

    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

/// Why a workspace could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no {FILE} found in {} or in any parent folder", looked_in.display())]
    NotFound { looked_in: PathBuf },
    #[error("failed to read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Invalid(Report),
}

/// Loads the workspace that contains the folder `start`.
///
/// # Errors
/// Fails if neither `start` nor a parent folder contains a `projects.yaml`, or if a file cannot be read. Otherwise it
/// returns all errors of all files.
pub fn load(start: &Path) -> Result<Loaded, LoadError> {
    load_with(start, None)
}

/// A file of a workspace with a text that is not written yet.
#[derive(Debug, Clone)]
pub struct EditedFile {
    pub path: PathBuf,
    pub text: String,
}

/// Loads the workspace as it will be when `edited` is written.
///
/// # Errors
/// As [`load`].
pub fn load_edited(start: &Path, edited: &EditedFile) -> Result<Loaded, LoadError> {
    load_with(start, Some(edited))
}

fn load_with(start: &Path, edited: Option<&EditedFile>) -> Result<Loaded, LoadError> {
    let start =
        std::path::absolute(start).map_err(|source| LoadError::Unreadable { path: start.to_owned(), source })?;
    let folder = find_root(&start).ok_or_else(|| LoadError::NotFound { looked_in: start.clone() })?;
    let mut loader = Loader::new(&folder, edited);
    loader.read_all()?;
    let Loader { documents, mut found, complete, .. } = loader;
    let sources = Sources { documents };
    if complete {
        meaning::check(&sources, &mut found);
    }
    let workspace = read::workspace(&sources, &folder);
    if let Some(workspace) = workspace.as_ref().filter(|_| complete) {
        universal::check(&sources, workspace, &mut found);
        meaning::rollouts::check_projects(&sources, workspace, &mut found);
        meaning::procedures::check_projects(&sources, workspace, &mut found);
        exposed::check(&sources, workspace, &mut found);
    }
    let diagnostics = in_order(found, &sources);
    let valid = diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning);
    match workspace {
        Some(workspace) if valid => Ok(Loaded { workspace, sources, warnings: diagnostics }),
        _ => Err(LoadError::Invalid(Report { diagnostics })),
    }
}

/// Returns the files of the workspace that contains the folder `start`, even if they are invalid.
///
/// # Errors
/// Fails if there is no workspace, or if a file cannot be read.
pub fn read_files(start: &Path) -> Result<Vec<Arc<SourceFile>>, LoadError> {
    let start =
        std::path::absolute(start).map_err(|source| LoadError::Unreadable { path: start.to_owned(), source })?;
    let folder = find_root(&start).ok_or(LoadError::NotFound { looked_in: start })?;
    let mut loader = Loader::new(&folder, None);
    loader.read_all()?;
    Ok(loader.documents.into_iter().map(|document| document.file).collect())
}

/// Returns the nearest folder with a `projects.yaml`, or that of the workspace above it that includes this file.
///
/// A file that is empty or cannot be read is an error of its own: the workspace above must not answer in its place.
fn find_root(start: &Path) -> Option<PathBuf> {
    let mut candidates = start.ancestors().filter(|folder| fs::symlink_metadata(folder.join(FILE)).is_ok());
    let nearest = candidates.next()?;
    let file = nearest.join(FILE);
    if names_workspace(&file) {
        return Some(nearest.to_owned());
    }
    let above = candidates.find(|folder| names_workspace(&folder.join(FILE)) && may_include(folder, &file));
    Some(above.unwrap_or(nearest).to_owned())
}

/// Whether the workspace in `folder` includes `file`, or is not valid YAML, which must be corrected first.
fn may_include(folder: &Path, file: &Path) -> bool {
    let text = fs::read(folder.join(FILE)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let source = Arc::new(SourceFile { path: FILE.into(), text: text.unwrap_or_default() });
    let Some(root) = parse::parse(&source, &mut Vec::new()) else { return true };
    let patterns = Cursor::root(&source, &root).get("include");
    let mut patterns = patterns.into_iter().flat_map(|include| include.items()).filter_map(|pattern| pattern.text());
    patterns.any(|pattern| matches(folder, pattern).is_ok_and(|paths| paths.iter().any(|path| path == file)))
}

/// Whether a file has a key that included files cannot have. It searches the lines because the YAML may be invalid.
fn names_workspace(path: &Path) -> bool {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if text.trim_start().starts_with('{') {
        // JSON, or YAML in flow style: the lines do not show which map a key belongs to.
        let whole: serde_json::Value = yaml::read(&text).unwrap_or_default();
        return whole.get("version").is_some() || whole.get("name").is_some();
    }
    text.lines().any(|line| line.starts_with("version:") || line.starts_with("name:"))
}

struct Loader<'a> {
    folder: PathBuf,
    edited: Option<&'a EditedFile>,
    documents: Vec<Document>,
    found: Vec<ConfigError>,
    /// Whether every file could be parsed as YAML; if not, names from the other files would be missing.
    complete: bool,
}

impl<'a> Loader<'a> {
    fn new(folder: &Path, edited: Option<&'a EditedFile>) -> Self {
        Self { folder: folder.to_owned(), edited, documents: Vec::new(), found: Vec::new(), complete: true }
    }

    fn read_all(&mut self) -> Result<(), LoadError> {
        let root = self.folder.join(FILE);
        self.read(&root, SourceRole::Root)?;
        for path in self.included_files() {
            self.read(&path, SourceRole::Included)?;
        }
        let local = self.folder.join(LOCAL_FILE);
        if local.is_file() {
            self.read(&local, SourceRole::Local)?;
        }
        Ok(())
    }

    /// Reads one file and validates its structure; an empty file counts as a file without keys.
    fn read(&mut self, path: &Path, role: SourceRole) -> Result<(), LoadError> {
        let edited = self.edited.filter(|edited| edited.path == path).map(|edited| edited.text.clone().into_bytes());
        let bytes = edited.map_or_else(|| fs::read(path), Ok);
        let bytes = bytes.map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
        let shown = path.strip_prefix(&self.folder).unwrap_or(path).to_owned();
        let (text, broken) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
            }
        };
        let file = Arc::new(SourceFile { path: shown, text });
        let root = match broken {
            Some(at) => {
                let location = Location::new(&file, at..at + '\u{fffd}'.len_utf8());
                self.found.push(ConfigError::error(location, "not a text file", "expected UTF-8"));
                None
            }
            None => parse::parse(&file, &mut self.found),
        };
        if let Some(root) = &root {
            self.check_shape(&file, root, role);
        }
        self.complete &= root.is_some();
        let root = root.unwrap_or(Node { range: 0..0, content: Content::Null });
        let folder = path.parent().unwrap_or(&self.folder).to_owned();
        self.documents.push(Document { role, file, folder, root });
        Ok(())
    }

    fn check_shape(&mut self, file: &Arc<SourceFile>, root: &Node, role: SourceRole) {
        let table = match role {
            SourceRole::Root => &tables::WORKSPACE,
            SourceRole::Included => &tables::INCLUDED,
            SourceRole::Local => &tables::LOCAL_FILE,
        };
        // A local file in which all lines are commented out is valid.
        if role != SourceRole::Local || root.content != Content::Null {
            shape::check(Cursor::root(file, root), &Shape::Table(table), &mut self.found);
        }
    }

    /// Returns the files that `include` matches, each once, by pattern and path.
    fn included_files(&mut self) -> Vec<PathBuf> {
        let Some(root) = self.documents.first() else { return Vec::new() };
        let mut files: Vec<PathBuf> = Vec::new();
        for pattern in root.cursor().get("include").into_iter().flat_map(|include| include.items()) {
            let Some(text) = pattern.text().filter(|text| super::format::Format::Pattern.check(text).is_ok()) else {
                continue;
            };
            match matches(&self.folder, text) {
                Ok(paths) if paths.is_empty() => {
                    let message = format!("no file matches {}", quoted(text));
                    self.found.push(ConfigError::error(
                        pattern.location(),
                        message,
                        "expected the path of an existing file",
                    ));
                    self.complete = false;
                }
                Ok(paths) => files.extend(paths),
                Err(error) => {
                    let message = format!("{} is not a valid pattern: {}", quoted(text), error.msg);
                    let expected = "expected a pattern such as `teams/*/projects.yaml`";
                    self.found.push(ConfigError::error(pattern.location(), message, expected));
                    self.complete = false;
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        let own = [self.folder.join(FILE), self.folder.join(LOCAL_FILE)];
        files.retain(|file| !own.contains(file) && seen.insert(file.clone()));
        files
    }
}

/// Returns the files below `folder` that `pattern` matches, sorted by path.
fn matches(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, glob::PatternError> {
    let whole = format!("{}/{pattern}", glob::Pattern::escape(&folder.to_string_lossy()));
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let mut paths: Vec<PathBuf> =
        glob::glob_with(&whole, options)?.filter_map(Result::ok).filter(|path| path.is_file()).collect();
    paths.sort();
    Ok(paths)
}

/// Sorts by file and line and removes duplicates: the content of an anchor is validated once for each alias, and values
/// once for each environment.
fn in_order(found: Vec<ConfigError>, sources: &Sources) -> Vec<ConfigError> {
    let place = |diagnostic: &ConfigError| {
        let file = &diagnostic.location.file;
        let index = sources.documents.iter().position(|document| Arc::ptr_eq(&document.file, file));
        (index, diagnostic.location.range.start)
    };
    let mut diagnostics: Vec<ConfigError> = Vec::with_capacity(found.len());
    let mut seen = std::collections::HashSet::new();
    for diagnostic in found {
        // Through an anchor, the message can name another project or key.
        let ConfigError { message, expected, .. } = &diagnostic;
        let range = (place(&diagnostic), diagnostic.location.range.end);
        let is_new = [message, expected].map(|text| seen.insert((range, text.clone())));
        if is_new == [true, true] {
            diagnostics.push(diagnostic);
        }
    }
    diagnostics.sort_by_key(place);
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder in which the workspace of `team/` is found, or why none is.
    fn root(above: &str, team: &[u8]) -> String {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("team");
        fs::create_dir(&folder).unwrap();
        fs::write(place.path().join(FILE), above).unwrap();
        fs::write(folder.join(FILE), team).unwrap();
        find_root(&folder).unwrap().strip_prefix(place.path()).unwrap().display().to_string()
    }

    #[test]
    fn the_nearest_file_counts_unless_it_is_included() {
        let includes = "version: 1\nname: above\ninclude: [team/*.yaml]\n";
        let other = "version: 1\nname: above\n";
        assert_eq!(root(includes, b"projects: {}\n"), "");
        assert_eq!(root(includes, b""), "");
        for own in [b"".as_slice(), b"# nothing yet\n", b"projects: {}\n", b"\xff\xfe", b"version: 1\n"] {
            assert_eq!(root(other, own), "team");
        }
        assert_eq!(root("version: 1\nname: [", b"projects: {}\n"), "");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("team");
        fs::create_dir_all(folder.join(FILE)).unwrap();
        fs::write(place.path().join(FILE), "version: 1\nname: above\n").unwrap();
        let error = load(&folder).unwrap_err().to_string();
        assert!(error.contains("team/projects.yaml"), "{error}");
    }
}
