//! Where the keys of projects are written for each environment.

use crate::{
    config::{read, sources::Sources, tree::Cursor},
    domain::{Presence, workspace::LOCAL},
};

/// An environment with the names under which projects override keys for it, highest priority first.
pub(super) struct EnvironmentNames<'a> {
    pub(super) name: &'a str,
    overrides: Vec<&'a str>,
}

impl<'a> EnvironmentNames<'a> {
    /// Returns all environments of the workspace, `local` first.
    pub(super) fn all(sources: &'a Sources) -> Vec<Self> {
        let others = sources.entries("environments").map(|(_, entry)| entry).filter(|entry| entry.key() != LOCAL);
        let others = others.map(|entry| {
            let copied = entry.at(&["review", "from"]).and_then(|from| from.text());
            Self { name: entry.key(), overrides: std::iter::once(entry.key()).chain(copied).collect() }
        });
        std::iter::once(Self { name: LOCAL, overrides: vec![LOCAL] }).chain(others).collect()
    }

    /// Returns the project's overrides for this environment, highest priority first.
    pub(super) fn overrides_of<'b>(&self, project: Cursor<'b>) -> impl Iterator<Item = Cursor<'b>> {
        self.overrides.iter().filter_map(move |name| project.at(&["environments", name]))
    }

    /// Returns the entry that decides about a key here: the override that has one of `keys`, else the project.
    pub(super) fn holder<'b>(&self, project: Cursor<'b>, keys: &[&str]) -> Cursor<'b> {
        let decides = |over: &Cursor<'_>| keys.iter().any(|key| over.get(key).is_some());
        self.overrides_of(project).find(decides).unwrap_or(project)
    }

    /// Whether a project is part of this environment.
    pub(super) fn presence(&self, project: Cursor<'_>) -> Presence {
        self.overrides_of(project).find_map(read::presence_there).unwrap_or_else(|| read::presence(project))
    }
}
