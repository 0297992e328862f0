//! All files of a workspace as trees, so that later errors can still be shown at their location.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    source::{Location, SourceFile},
    tree::{Cursor, Node},
    values::ValuesHolder,
};
use crate::domain::Environment;

/// The role of a file in its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceRole {
    /// `projects.yaml` itself.
    Root,
    /// Matched by `include`.
    Included,
    /// `projects.local.yaml`.
    Local,
}

#[derive(Debug)]
pub struct Document {
    pub role: SourceRole,
    pub file: Arc<SourceFile>,
    /// The base of relative paths in the file.
    pub folder: PathBuf,
    pub root: Node,
}

impl Document {
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::root(&self.file, &self.root)
    }
}

/// The files of a workspace: `projects.yaml`, the included ones in path order, then `projects.local.yaml`.
#[derive(Debug)]
pub struct Sources {
    pub(super) documents: Vec<Document>,
}

impl Sources {
    /// The paths of the files, relative to the workspace.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.documents.iter().map(|document| document.file.path.as_path())
    }

    /// The files that all machines share: the path and the text of each.
    pub fn texts(&self) -> impl Iterator<Item = (String, String)> {
        self.shared().map(|document| (document.file.path.to_string_lossy().into_owned(), document.file.text.clone()))
    }

    /// The folder of the workspace.
    pub(super) fn folder(&self) -> &Path {
        self.documents.first().map_or(Path::new("."), |document| &document.folder)
    }

    /// Returns the value at a path of keys in the first file that has it, excluding `projects.local.yaml`.
    pub fn find(&self, path: &[&str]) -> Option<Cursor<'_>> {
        self.shared().find_map(|document| document.cursor().at(path))
    }

    /// Returns the location of the value at a path of keys: `["projects", "storefront", "values", "ports"]`.
    pub fn locate(&self, path: &[&str]) -> Option<Location> {
        self.find(path).map(|value| value.location())
    }

    /// Returns the location of the key at the end of a path.
    pub fn locate_key(&self, path: &[&str]) -> Option<Location> {
        self.find(path).map(|value| value.key_location())
    }

    /// All entries of a map that can be spread over several files, each with its document.
    pub(super) fn entries<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a Document, Cursor<'a>)> {
        self.shared().flat_map(move |document| {
            let map = document.cursor().get(key);
            map.into_iter().flat_map(|map| map.entries()).map(move |entry| (document, entry))
        })
    }

    /// The keys of a map that can be spread over several files.
    pub(super) fn names<'a>(&'a self, key: &'a str) -> Vec<&'a str> {
        self.entries(key).map(|(_, entry)| entry.key()).collect()
    }

    /// The layers of a holder's Helm values, highest priority first.
    pub(super) fn value_layers(
        &self,
        environment: &Environment,
        holder: ValuesHolder<'_>,
        with_defaults: bool,
    ) -> Vec<Cursor<'_>> {
        let path = holder.path();
        let own = self.find(&path);
        let local = self.local().filter(|_| environment.is_local());
        let local = local.and_then(|local| local.cursor().at(&path)?.get("values"));
        let overrides =
            environment.overrides().rev().filter_map(|name| own?.at(&["environments", name.as_str(), "values"]));
        let shared =
            [own.and_then(|own| own.get("values")), self.find(&["defaults", "values"]).filter(|_| with_defaults)];
        local.into_iter().chain(overrides).chain(shared.into_iter().flatten()).collect()
    }

    /// `projects.yaml` itself.
    pub(super) fn root(&self) -> Option<&Document> {
        self.documents.iter().find(|document| document.role == SourceRole::Root)
    }

    pub(super) fn local(&self) -> Option<&Document> {
        self.documents.iter().find(|document| document.role == SourceRole::Local)
    }

    fn shared(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.role != SourceRole::Local)
    }
}
