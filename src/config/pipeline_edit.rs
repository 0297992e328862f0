//! Adds a project to the inputs of cmdr's component in `.gitlab-ci.yml`, and keeps everything else.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    parse,
    source::SourceFile,
    tree::{Content, Cursor},
};
use crate::domain::Name;

/// The result of an edit of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineEdit {
    Edited(String),
    /// The pipeline does not include cmdr's component with a list of builds, or is written in a way that cmdr does not
    /// edit.
    Unknown,
}

/// Returns the text of `.gitlab-ci.yml` with `name` in the inputs `projects` and `builds` of cmdr's component. `context`
/// is the folder of its Dockerfile.
pub fn with_pipeline_build(text: &str, name: &Name, context: &Path) -> PipelineEdit {
    edited(text, name, context).map_or(PipelineEdit::Unknown, PipelineEdit::Edited)
}

fn edited(text: &str, name: &Name, context: &Path) -> Option<String> {
    let file = Arc::new(SourceFile { path: PathBuf::new(), text: text.to_owned() });
    let root = parse::parse(&file, &mut Vec::new())?;
    let (projects, builds) = inputs(Cursor::root(&file, &root))?;
    let (_, builds_after) = (projects.text()?, builds.items().count() + 1);
    let in_projects = end_of_text(text, projects)?;
    let (in_builds, build) =
        new_item(text, builds, &format!("{{IMAGE: $CI_REGISTRY_IMAGE/{name}, CONTEXT: {}}}", context.display()))?;
    let mut result = text.to_owned();
    let mut edits = [(in_projects, format!(" {name}")), (in_builds, build)];
    edits.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    for (at, added) in edits {
        result.insert_str(at, &added);
    }
    // The edit is right only if the parser finds what was added.
    let file = Arc::new(SourceFile { path: PathBuf::new(), text: result.clone() });
    let root = parse::parse(&file, &mut Vec::new())?;
    let (after, builds) = inputs(Cursor::root(&file, &root))?;
    let is_right =
        after.text() == Some(&format!("{} {name}", projects.text()?)) && builds.items().count() == builds_after;
    is_right.then_some(result)
}

/// The inputs `projects` and `builds` of the first include that has both.
fn inputs(root: Cursor<'_>) -> Option<(Cursor<'_>, Cursor<'_>)> {
    let include = root.get("include")?;
    let mut all = std::iter::once(include).chain(include.items());
    all.find_map(|item| Some((item.at(&["inputs", "projects"])?, item.at(&["inputs", "builds"])?)))
}

/// Where text is added at the end of a scalar, inside of its quotes.
fn end_of_text(text: &str, value: Cursor<'_>) -> Option<usize> {
    let written = text[value.node.range.clone()].trim_end();
    let end = value.node.range.start + written.len();
    match written.chars().next()? {
        '"' | '\'' => Some(end - 1),
        '|' | '>' => None,
        _ => Some(end),
    }
}

/// Where an item is added to a list, and its text.
fn new_item(text: &str, list: Cursor<'_>, item: &str) -> Option<(usize, String)> {
    let written = &text[list.node.range.clone()];
    if written.starts_with('[') {
        let empty = matches!(&list.node.content, Content::List(items) if items.is_empty());
        let comma = if empty { "" } else { ", " };
        return Some((list.node.range.start + written.rfind(']')?, format!("{comma}{item}")));
    }
    let last = list.items().last()?.node.range.clone();
    let line = text[..last.start].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = text[line..last.start].find('-')?;
    let end = last.start + text[last.clone()].trim_end().len();
    let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
    Some((end, format!("\n{}- {item}", &text[line..line + indent])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: &str) -> PipelineEdit {
        with_pipeline_build(text, &Name::new("cart").unwrap(), Path::new("services/cart"))
    }

    #[test]
    fn the_component_gets_the_project_and_its_build() {
        let text = "# pipeline\ninclude:\n  - local: other.yml\n  - component: $CI_SERVER_FQDN/platform/cmdr/gitlab@0.1.0\n    inputs:\n      projects: shop  # all\n      builds:\n        - {IMAGE: $CI_REGISTRY_IMAGE/shop, CONTEXT: shop} # one\n      review: true\n";
        let expected = text
            .replace("projects: shop ", "projects: shop cart ")
            .replace("# one\n", "# one\n        - {IMAGE: $CI_REGISTRY_IMAGE/cart, CONTEXT: services/cart}\n");
        assert_eq!(edit(text), PipelineEdit::Edited(expected));
        let flow = "include: [{component: x, inputs: {projects: \"a b\", builds: [{IMAGE: i, CONTEXT: .}]}}]\n";
        let PipelineEdit::Edited(result) = edit(flow) else { panic!("not edited") };
        assert!(result.contains("projects: \"a b cart\", builds: [{IMAGE: i, CONTEXT: .}, {IMAGE: "), "{result}");
    }

    #[test]
    fn another_pipeline_stays_as_it_is() {
        for text in ["test: {script: [make]}\n", "include: [{component: x, inputs: {projects: a}}]\n", "a: [\n"] {
            assert_eq!(edit(text), PipelineEdit::Unknown, "{text}");
        }
    }
}
