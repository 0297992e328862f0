//! Validates the paths of `dev.sync`, and that its keys have an effect.

use std::collections::BTreeMap;

use super::neighbour;
use crate::config::{
    error::{ConfigError, quoted},
    format::Format,
    read::{dev_folder, join},
    sources::{Document, Sources},
    tree::Cursor,
};

pub(super) fn check(sources: &Sources, found: &mut Vec<ConfigError>) {
    for (document, project) in sources.entries("projects") {
        let Some(dev) = project.get("dev") else { continue };
        let sync = dev.get("sync");
        let needs_sync = ["restart", "compile"].into_iter().filter(|_| sync.is_none());
        found.extend(needs_sync.filter_map(|key| dev.get(key)).map(without_sync));
        found.extend(dev.get("compile").filter(|_| project.get("build").is_none()).map(without_build));
        check_sync(document, project, sync, found);
    }
}

/// For `restart` and `compile`.
fn without_sync(entry: Cursor<'_>) -> ConfigError {
    let message = format!("{} has no effect without `sync`", quoted(entry.key()));
    let why = if entry.key() == "compile" {
        "only `sync` copies what it writes"
    } else {
        "a build replaces the pods in any case"
    };
    ConfigError::error(entry.key_location(), message, "expected `sync` beside it")
        .with_help(format!("add `sync`, or remove it: {why}"))
}

fn without_build(compile: Cursor<'_>) -> ConfigError {
    let message = "`compile` has no effect without `build`";
    ConfigError::error(compile.key_location(), message, "expected `build` beside `dev`")
        .with_help("add `build: {context: FOLDER}`: its folder contains the sources that are compiled".to_owned())
}

fn check_sync(document: &Document, project: Cursor<'_>, sync: Option<Cursor<'_>>, found: &mut Vec<ConfigError>) {
    let folder = dev_folder(document, project);
    let is_compiled = project.get("dev").is_some_and(|dev| dev.get("compile").is_some());
    let mut targets: BTreeMap<&str, Cursor<'_>> = BTreeMap::new();
    for entry in sync.into_iter().flat_map(|sync| sync.entries()) {
        let source = entry.key();
        if !is_compiled && folder.is_dir() && Format::FilePath.check(source).is_ok() && !join(&folder, source).exists()
        {
            found.push(without_source(entry, neighbour(&folder, source)));
        }
        let Some(target) = entry.text() else { continue };
        found.extend(wrong_target(entry, target));
        let clean = target.trim_end_matches('/');
        if let Some(other) = targets.insert(clean, entry) {
            let message = format!("{} is the target of two paths", quoted(clean));
            let error = ConfigError::error(entry.location(), message, "expected another path in the container");
            found.push(error.with_other(other.location(), "first used here"));
        }
    }
}

/// Only a warning: a deployment needs no sources.
fn without_source(entry: Cursor<'_>, near: Option<String>) -> ConfigError {
    let message = format!("{} does not exist", quoted(entry.key()));
    let expected = "expected a folder or file, relative to the build context, or to this file without one";
    ConfigError::error(entry.key_location(), message, expected).warning().with_help(near)
}

fn wrong_target(entry: Cursor<'_>, target: &str) -> Option<ConfigError> {
    let expected = "expected an absolute path in the container, such as `/app/src`";
    let error = |why: &str| ConfigError::error(entry.location(), format!("{} {why}", quoted(target)), expected);
    if !target.starts_with('/') {
        return Some(error("is not absolute").with_help(format!("did you mean `/{target}`?")));
    }
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Some(error("is the whole file system of the container")),
        ["proc" | "sys" | "dev", ..] => Some(error("is a folder of the system")),
        parts if parts.contains(&"..") || parts.contains(&".") => Some(error("contains `.` or `..`")),
        _ => None,
    }
}
