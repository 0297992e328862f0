//! Values that name other projects of the environment.

use serde_json::Value;

use super::{Mistake, containers::entries, references::Provided};
use crate::{
    config::error::{choice, quoted},
    domain::ResolvedProject,
};

/// A value that names a project, and its path from the values on.
type NamedProject<'a> = (Vec<String>, &'a str);

/// Returns a mistake for each name of a project that the environment does not have.
pub(super) fn unknown(project: &ResolvedProject, provided: &Provided) -> Vec<Mistake> {
    let wrong = peers(project).into_iter().filter(|(_, name)| provided.project_names().all(|known| known != *name));
    wrong.map(|(path, name)| unknown_name(path, name, provided)).collect()
}

fn unknown_name(path: Vec<String>, name: &str, provided: &Provided) -> Mistake {
    let message = format!("there is no project {} in this environment", quoted(name));
    let expected = format!("expected {}", choice(name, provided.project_names()));
    Mistake::new(path, message, expected).with_nearest(name, provided.project_names())
}

/// The projects of `networkPolicy`.
fn peers(project: &ResolvedProject) -> Vec<NamedProject<'_>> {
    let named = all_peers(project).into_iter().filter_map(|(side, name, peer)| {
        let path = ["networkPolicy", side, name, "project"].map(str::to_owned).to_vec();
        Some((path, peer.get("project").and_then(Value::as_str)?))
    });
    named.collect()
}

/// The peers of `networkPolicy`: the side, the name and the peer.
fn all_peers(project: &ResolvedProject) -> Vec<(&str, &str, &Value)> {
    let policy = project.values.get("networkPolicy");
    let sides = ["from", "to"].into_iter().filter_map(|side| Some((side, policy?.get(side)?)));
    sides.flat_map(|(side, peers)| entries(Some(peers)).map(move |(name, peer)| (side, name, peer))).collect()
}

/// Returns a mistake for each peer of `networkPolicy` that is two things.
pub(super) fn ambiguous_peers(project: &ResolvedProject) -> Vec<Mistake> {
    let is_ambiguous = |peer: &Value| {
        let has = |key: &str| peer.get(key).is_some_and(|value| !value.is_null());
        [has("project"), has("network"), has("labels") || has("namespace")].into_iter().filter(|is| *is).count() > 1
    };
    let wrong = all_peers(project).into_iter().filter(|(_, _, peer)| is_ambiguous(peer));
    let mistake = |(side, name, _): (&str, &str, &Value)| {
        let path = ["networkPolicy", side, name].map(str::to_owned).to_vec();
        let expected = "expected a `project`, a `network`, or `namespace` and `labels`".to_owned();
        Mistake::new(path, format!("the peer {} is several things", quoted(name)), expected)
    };
    wrong.map(mistake).collect()
}
