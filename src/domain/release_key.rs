//! The identity of a release in its cluster.

use std::fmt;

/// Identifies a Helm release, or the objects that replace it: Helm allows one release of a name per namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseKey {
    pub namespace: String,
    pub name: String,
}

impl ReleaseKey {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ReleaseKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_by_namespace_first() {
        let mut keys = [ReleaseKey::new("b", "a"), ReleaseKey::new("a", "b"), ReleaseKey::new("a", "a")];
        keys.sort();
        assert_eq!(keys.map(|key| key.to_string()), ["a/a", "a/b", "b/a"]);
    }
}
