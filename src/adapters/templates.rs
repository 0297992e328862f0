//! Templates for `cmdr new`: those of cmdr, those in folders, and those of Git repositories.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};
use tokio_util::sync::CancellationToken;

use super::{
    cache::{UNFINISHED, mark_used},
    git,
    process::ProcessError,
};
use crate::domain::{
    digest::sha256,
    project_template::{FileContent, FileTree, MANIFEST, SHARED, TemplateFiles, TemplateSource},
};

/// The templates that are embedded in cmdr.
static OWN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates/new");
/// The folder of Git repositories with templates, in the cache.
const CACHE: &str = "templates";
/// Hexadecimal digits of the name of a repository in the cache.
const KEY: usize = 20;

/// Why a template cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("{} is not a template: {MANIFEST} not found", .0.display())]
    NoManifest(PathBuf),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is a symbolic link, which a template cannot contain", .0.display())]
    Link(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot fetch {reference} from the Git repository {url}")]
    Fetch { url: String, reference: String, source: Box<ProcessError> },
    #[error("the Git repository {url} has another commit for {reference}")]
    OtherCommit { url: String, reference: String },
}

/// The names of the templates that are part of cmdr.
pub fn own_templates() -> impl Iterator<Item = &'static str> {
    let folders = OWN.dirs().filter_map(|folder| folder.path().to_str());
    folders.filter(|name| *name != SHARED)
}

/// Returns a template that is part of cmdr.
pub fn own_template(name: &str) -> Option<TemplateFiles> {
    let own = embedded(OWN.get_dir(name)?);
    let shared = OWN.get_dir(SHARED).map(embedded).unwrap_or_default();
    Some(TemplateFiles { shown: name.to_owned(), own, shared })
}

fn embedded(folder: &Dir<'_>) -> FileTree {
    let mut found = FileTree::new();
    let mut open = vec![folder];
    while let Some(next) = open.pop() {
        open.extend(next.dirs());
        for file in next.files() {
            let path = file.path().strip_prefix(folder.path()).unwrap_or(file.path());
            let content = FileContent { bytes: file.contents().to_vec(), is_executable: false };
            found.insert(path.to_string_lossy().into_owned(), content);
        }
    }
    found
}

/// Reads a template of a workspace; a Git repository is fetched into the `cache` once.
///
/// # Errors
/// If the repository cannot be fetched, or the folder is not a template or cannot be read.
pub async fn read(
    source: &TemplateSource,
    cache: &Path,
    cancel: &CancellationToken,
) -> Result<TemplateFiles, TemplateError> {
    let (folder, shown) = match source {
        TemplateSource::Folder(path) => (path.clone(), path.display().to_string()),
        TemplateSource::Git { url, reference, folder } => {
            let repository = fetched(url, reference, cache, cancel).await?;
            (repository.join(folder), if folder.is_empty() { url.clone() } else { format!("{url}/{folder}") })
        }
    };
    if !folder.join(MANIFEST).is_file() {
        return Err(TemplateError::NoManifest(folder));
    }
    let shared = folder.parent().map(|parent| parent.join(SHARED)).filter(|shared| shared.is_dir());
    Ok(TemplateFiles { shown, own: tree(&folder)?, shared: shared.as_deref().map_or(Ok(FileTree::new()), tree)? })
}

/// The folder of a repository in the cache.
async fn fetched(
    url: &str,
    reference: &str,
    cache: &Path,
    cancel: &CancellationToken,
) -> Result<PathBuf, TemplateError> {
    let key = sha256(format!("{url}\n{reference}").as_bytes());
    let folder = cache.join(CACHE).join(&key[..KEY]);
    if folder.is_dir() {
        mark_used(&folder);
        return Ok(folder);
    }
    let unfinished = folder.with_file_name(format!("{}{UNFINISHED}{}", &key[..KEY], std::process::id()));
    let write = |source| TemplateError::Write { path: unfinished.clone(), source };
    fs::create_dir_all(&unfinished).map_err(write)?;
    let done = fetch_into(&unfinished, url, reference, cancel).await.and_then(|()| {
        let renamed = fs::rename(&unfinished, &folder);
        // Another run may have fetched the same.
        renamed.or_else(|error| if folder.is_dir() { Ok(()) } else { Err(write(error)) })
    });
    let _ = fs::remove_dir_all(&unfinished);
    done.map(|()| folder)
}

async fn fetch_into(
    folder: &Path,
    url: &str,
    reference: &str,
    cancel: &CancellationToken,
) -> Result<(), TemplateError> {
    let (own_url, own_reference) = (url.to_owned(), reference.to_owned());
    match git::fetch(folder, url, reference, cancel).await {
        Ok(commit) if is_commit(reference) && commit != reference => {
            Err(TemplateError::OtherCommit { url: own_url, reference: own_reference })
        }
        Ok(_) => Ok(()),
        Err(error) => Err(TemplateError::Fetch { url: own_url, reference: own_reference, source: Box::new(error) }),
    }
}

fn is_commit(reference: &str) -> bool {
    reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// All files below a folder, without those of Git.
fn tree(folder: &Path) -> Result<FileTree, TemplateError> {
    let (mut found, mut open) = (FileTree::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        let wrong = |source| TemplateError::Read { path: next.clone(), source };
        for entry in fs::read_dir(&next).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let wrong = |source| TemplateError::Read { path: path.clone(), source };
            let kind = fs::symlink_metadata(&path).map_err(wrong)?;
            if path.file_name().is_some_and(|name| name == ".git") {
                continue;
            }
            if kind.is_symlink() {
                return Err(TemplateError::Link(path));
            }
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            let content = FileContent {
                bytes: fs::read(&path).map_err(wrong)?,
                is_executable: kind.permissions().mode() & 0o111 != 0,
            };
            let below = path.strip_prefix(folder).unwrap_or(&path);
            found.insert(below.to_string_lossy().into_owned(), content);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_templates_have_a_manifest() {
        let names: Vec<&str> = own_templates().collect();
        assert_eq!(names, ["cron", "job", "store", "web", "worker"]);
        for name in names {
            let template = own_template(name).unwrap();
            assert!(template.own.contains_key(MANIFEST) && template.shared.contains_key("base/go/Dockerfile"));
        }
    }

    #[tokio::test]
    async fn a_repository_is_fetched_once_at_its_tag() {
        let place = tempfile::tempdir().unwrap();
        let (repository, cache) = (place.path().join("templates"), place.path().join("cache"));
        fs::create_dir_all(repository.join("api/files")).unwrap();
        fs::write(repository.join("api/template.yaml"), "description: one\n").unwrap();
        let cancel = CancellationToken::new();
        let git = async |words: &[&str]| {
            let tool = crate::adapters::process::Tool::new("git").directory(&repository).args(words);
            let tool = tool.env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@b").env("GIT_COMMITTER_NAME", "a");
            tool.env("GIT_COMMITTER_EMAIL", "a@b").run(&cancel).await.unwrap()
        };
        for words in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "one"], &["tag", "v1"]] {
            git(words).await;
        }
        let source = |reference: &str| TemplateSource::Git {
            url: repository.display().to_string(),
            reference: reference.to_owned(),
            folder: "api".to_owned(),
        };
        let found = read(&source("v1"), &cache, &cancel).await.unwrap();
        assert_eq!(found.own["template.yaml"].bytes, b"description: one\n");
        let missing = read(&source("v2"), &cache, &cancel).await.unwrap_err();
        assert!(missing.to_string().starts_with("cannot fetch v2 from the Git repository "), "{missing}");
        assert_eq!(fs::read_dir(cache.join(CACHE)).unwrap().count(), 1, "nothing unfinished is left");
        fs::remove_dir_all(&repository).unwrap();
        read(&source("v1"), &cache, &cancel).await.unwrap();
    }

    #[test]
    fn links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("name")).unwrap();
        assert!(matches!(tree(folder.path()), Err(TemplateError::Link(_))));
    }
}
