//! All files of a workspace as trees, so that a later mistake can still be shown where it was written.

use std::{path::PathBuf, sync::Arc};

use super::{
    source::{Location, SourceFile},
    tree::{Cursor, Node},
};
use crate::domain::Environment;

/// What a file is to its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `projects.yaml` itself.
    Root,
    /// Named by `include`.
    Included,
    /// `projects.local.yaml`.
    Local,
}

#[derive(Debug)]
pub struct Document {
    pub role: Role,
    pub file: Arc<SourceFile>,
    /// Where the file's relative paths start.
    pub folder: PathBuf,
    pub root: Node,
}

impl Document {
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::root(&self.file, &self.root)
    }
}

/// The files of a workspace: its own, the included ones in the order of their paths, then `projects.local.yaml`.
#[derive(Debug)]
pub struct Sources {
    pub(super) documents: Vec<Document>,
}

impl Sources {
    /// The value at a path of keys, in the first file that has it; `projects.local.yaml` is not asked.
    pub fn find(&self, path: &[&str]) -> Option<Cursor<'_>> {
        self.shared().find_map(|document| document.cursor().at(path))
    }

    /// Where the value at a path of keys is written: `["projects", "storefront", "values", "ports"]`.
    pub fn locate(&self, path: &[&str]) -> Option<Location> {
        self.find(path).map(|value| value.location())
    }

    /// Where the key at the end of a path is written.
    pub fn locate_key(&self, path: &[&str]) -> Option<Location> {
        self.find(path).map(|value| value.key_location())
    }

    /// Every entry of a map that may be spread over files, with the document that holds it.
    pub(super) fn entries<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a Document, Cursor<'a>)> {
        self.shared().flat_map(move |document| {
            let map = document.cursor().get(key);
            map.into_iter().flat_map(|map| map.entries()).map(move |entry| (document, entry))
        })
    }

    /// The keys of a map that may be spread over files.
    pub(super) fn names<'a>(&'a self, key: &'a str) -> Vec<&'a str> {
        self.entries(key).map(|(_, entry)| entry.key()).collect()
    }

    /// The layers of a project's Helm values as they are written, the one that wins first.
    pub(super) fn value_layers(
        &self,
        environment: &Environment,
        project: &str,
        with_defaults: bool,
    ) -> Vec<Cursor<'_>> {
        let own = self.find(&["projects", project]);
        let local = self.local().filter(|_| environment.is_local());
        let layers = [
            local.and_then(|local| local.cursor().at(&["projects", project, "values"])),
            own.and_then(|project| project.at(&["environments", environment.name.as_str(), "values"])),
            own.and_then(|project| project.get("values")),
            self.find(&["defaults", "values"]).filter(|_| with_defaults),
        ];
        layers.into_iter().flatten().collect()
    }

    pub(super) fn local(&self) -> Option<&Document> {
        self.documents.iter().find(|document| document.role == Role::Local)
    }

    fn shared(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.role != Role::Local)
    }
}
