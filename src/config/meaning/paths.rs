//! Validates paths to charts and build contexts.

use std::path::Path;

use crate::config::{
    error::{ConfigError, did_you_mean, quoted},
    format::Format,
    read::join,
    sources::{Document, Sources},
    tree::Cursor,
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for key in ["projects", "platform"] {
        for (document, entry) in sources.entries(key) {
            let overrides = entry.get("environments").into_iter().flat_map(|map| map.entries());
            overrides.chain([entry]).for_each(|holder| check_chart(document, holder, found));
            check_build(document, entry, found);
        }
    }
}

fn path_at<'a>(entry: Cursor<'a>, path: &[&str]) -> Option<(Cursor<'a>, &'a str)> {
    let value = entry.at(path)?;
    value.text().filter(|text| Format::FilePath.check(text).is_ok()).map(|text| (value, text))
}

fn check_chart(document: &Document, entry: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let Some((value, path)) = path_at(entry, &["chart", "path"]) else { return };
    let folder = join(&document.folder, path);
    if folder.join("Chart.yaml").is_file() {
        return;
    }
    let what = if folder.is_dir() { "contains no chart" } else { "does not exist" };
    let message = format!("folder {} {what}", quoted(path));
    let expected = "expected a folder with a `Chart.yaml`, relative to this file";
    found.push(ConfigError::error(value.location(), message, expected).with_help(neighbour(&document.folder, path)));
}

/// Only a warning: an image that is built elsewhere can be deployed without its source folder.
fn check_build(document: &Document, entry: Cursor<'_>, found: &mut Vec<ConfigError>) {
    let Some((value, path)) = path_at(entry, &["build", "context"]) else { return };
    if join(&document.folder, path).is_dir() {
        return;
    }
    let message = format!("folder {} does not exist", quoted(path));
    let expected = "expected a folder to build, relative to this file";
    let help = neighbour(&document.folder, path);
    found.push(ConfigError::error(value.location(), message, expected).warning().with_help(help));
}

/// Returns the sibling of a missing file or folder below `folder` whose name is closest.
pub(in crate::config) fn neighbour(folder: &Path, path: &str) -> Option<String> {
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", path));
    let entries = std::fs::read_dir(join(folder, parent)).ok()?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).take(1000).collect();
    names.sort();
    did_you_mean(name, names.iter().map(String::as_str).filter(|near| *near != name))
}
