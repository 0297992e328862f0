//! Reads the manifest of a template for `cmdr new`.

use std::{path::Path, sync::Arc};

use super::{
    fields::Shape,
    load::Report,
    parse, shape,
    source::SourceFile,
    tables::templates,
    tree::{Content, Cursor, Node},
};
use crate::domain::project_template::{TemplateManifest, TemplateQuestion};

/// Reads a manifest; `path` is the one to show.
///
/// # Errors
/// Every error in it, with its location.
pub fn read_manifest(path: &Path, text: &str) -> Result<TemplateManifest, Report> {
    let file = Arc::new(SourceFile { path: path.to_owned(), text: text.to_owned() });
    let mut diagnostics = Vec::new();
    let root = parse::parse(&file, &mut diagnostics);
    if let Some(root) = &root {
        shape::check(Cursor::root(&file, root), &Shape::Table(&templates::MANIFEST), &mut diagnostics);
    }
    let root = root.unwrap_or(Node { range: 0..0, content: Content::Null });
    if diagnostics.is_empty() { Ok(manifest(Cursor::root(&file, &root))) } else { Err(Report { diagnostics }) }
}

fn manifest(root: Cursor<'_>) -> TemplateManifest {
    let entries = |key: &str| root.get(key).into_iter().flat_map(|map| map.entries());
    TemplateManifest {
        description: text(root, "description").unwrap_or_default(),
        languages: texts(root, "languages"),
        include: texts(root, "include"),
        questions: entries("questions").map(question).collect(),
        variables: entries("variables")
            .filter_map(|one| Some((one.key().to_owned(), one.text()?.to_owned())))
            .collect(),
    }
}

fn question(entry: Cursor<'_>) -> TemplateQuestion {
    TemplateQuestion {
        variable: entry.key().to_owned(),
        ask: text(entry, "ask").unwrap_or_default(),
        default: text(entry, "default"),
        choices: texts(entry, "choices"),
    }
}

fn text(value: Cursor<'_>, key: &str) -> Option<String> {
    value.get(key).and_then(|value| value.text()).map(str::to_owned)
}

fn texts(value: Cursor<'_>, key: &str) -> Vec<String> {
    let items = value.get(key).into_iter().flat_map(|list| list.items());
    items.filter_map(|item| item.text().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_their_lines() {
        let text = "description: A service\nlanguges: [go]\nquestions:\n  Team: {ask: Which team}\n";
        let report = read_manifest(Path::new("templates/api/template.yaml"), text).unwrap_err().render(false);
        for part in ["templates/api/template.yaml:2:1", "did you mean `languages`?", "templates/api/template.yaml:4:3"]
        {
            assert!(report.contains(part), "{part}: {report}");
        }
    }

    #[test]
    fn questions_keep_their_order() {
        let text =
            "description: x\nquestions: {team: {ask: T}, size: {ask: S, default: small, choices: [small, big]}}\n";
        let manifest = read_manifest(Path::new("template.yaml"), text).unwrap();
        let asked: Vec<_> = manifest.questions.iter().map(|question| question.variable.as_str()).collect();
        assert_eq!((asked, manifest.questions[1].choices.len()), (vec!["team", "size"], 2));
    }
}
