//! Small edits to a user's file that keep everything else, including comments and order.

use super::{sources::Sources, tree::Content};
use crate::domain::Name;

/// Returns the text of the workspace's `projects.yaml` with `key: value` set in an environment: it replaces the old
/// value or becomes the first key. `None` if the environment is not written as a map with keys.
pub fn with_environment_key(sources: &Sources, environment: &Name, key: &str, value: &str) -> Option<String> {
    let entry = sources.find(&["environments", environment.as_str()])?;
    let text = &entry.file.text;
    let mut edited = text.clone();
    if let Some(old) = entry.get(key) {
        edited.replace_range(old.node.range.clone(), value);
        return Some(edited);
    }
    let Content::Map(keys) = &entry.node.content else { return None };
    let first = keys.first()?.key_range.start;
    let line = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = &text[line..first];
    let written = if indent.trim().is_empty() {
        format!("{key}: {value}\n{indent}")
    } else {
        // A flow map in braces, on one line.
        format!("{key}: {value}, ")
    };
    edited.insert_str(first, &written);
    Some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(text: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("projects.yaml"), text).unwrap();
        let loaded = crate::config::load(folder.path()).unwrap();
        with_environment_key(&loaded.sources, &Name::new("staging").unwrap(), "cluster-id", "12-34")
    }

    #[test]
    fn everything_else_stays() {
        let text = "version: 1 # one\nname: tunes\nenvironments:\n  # tests\n  staging:\n    context: s   # here\n    only: ci\n";
        let expected = text.replace("    context: s", "    cluster-id: 12-34\n    context: s");
        assert_eq!(pinned(text), Some(expected.clone()));
        assert_eq!(pinned(&expected.replace("12-34", "\"old\"")), Some(expected));
        let flow = "version: 1\nname: tunes\nenvironments: {staging: {context: s}}\n";
        assert_eq!(pinned(flow), Some(flow.replace("context: s", "cluster-id: 12-34, context: s")));
    }
}
