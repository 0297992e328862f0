//! The containers of a project: the main one, its sidecars and its init containers.

use serde_json::Value;

use crate::domain::{ResolvedProject, Values};

/// The keys of the values with containers besides the main one.
pub(super) const BESIDE: [&str; 2] = ["sidecars", "initContainers"];

/// A container, and where its values are written.
pub(super) struct ContainerValues<'a> {
    path: Vec<&'a str>,
    values: &'a Values,
    pub(super) is_main: bool,
}

impl<'a> ContainerValues<'a> {
    /// The path of a key of this container, from the values on.
    pub(super) fn path(&self, below: &[&str]) -> Vec<String> {
        self.path.iter().chain(below).map(|key| (*key).to_owned()).collect()
    }

    /// Whether the container ends before the main one starts.
    pub(super) fn is_init(&self) -> bool {
        self.path.first() == Some(&"initContainers")
    }

    /// The name of the container in the pod.
    pub(super) fn name(&self, project: &'a ResolvedProject) -> &'a str {
        self.path.last().copied().unwrap_or(project.name.as_str())
    }

    /// The entries of a map of this container that are not `null`.
    pub(super) fn entries(&self, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        entries(self.values.get(key))
    }
}

/// Returns all containers of a project, the main one first.
pub(super) fn containers(values: &Values) -> Vec<ContainerValues<'_>> {
    let mut all = vec![ContainerValues { path: Vec::new(), values, is_main: true }];
    for kind in BESIDE {
        let named = entries(values.get(kind)).filter_map(|(name, values)| Some((name, values.as_object()?)));
        all.extend(named.map(|(name, values)| ContainerValues { path: vec![kind, name], values, is_main: false }));
    }
    all
}

/// The entries of a map that are not `null`; none of anything else.
pub(super) fn entries(map: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.as_str(), value))
}
