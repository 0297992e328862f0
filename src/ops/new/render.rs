//! Renders the files of a template with its variables.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig};

use crate::domain::{
    Problem,
    project_template::{FileContent, FileTree, MANIFEST, SHARED, TemplateFiles, TemplateManifest},
};

/// The entry of the project in projects.yaml.
const ENTRY: &str = "entry.yaml";
/// The folder of the files for every language.
const FILES: &str = "files";

/// The rendered files, and the entry in projects.yaml.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RenderedTemplate {
    pub files: FileTree,
    pub entry: String,
}

/// Renders the included folders of `shared` in their order, then the template itself: a later file replaces an earlier
/// one, and entries are joined.
pub(super) fn render(
    template: &TemplateFiles,
    manifest: &TemplateManifest,
    variables: &BTreeMap<String, String>,
    language: Option<&str>,
) -> Result<RenderedTemplate, Problem> {
    let renderer = TemplateRenderer::new(variables);
    let mut rendered = RenderedTemplate { files: FileTree::new(), entry: String::new() };
    for layer in &manifest.include {
        let prefix = format!("{layer}/");
        if !template.shared.keys().any(|path| path.starts_with(&prefix)) {
            let cause = format!("{}/{MANIFEST}: the folder {SHARED}/{layer} of `include` not found", template.shown);
            return Err(Problem::new(cause));
        }
        let files = template.shared.iter().filter_map(|(path, file)| Some((path.strip_prefix(&prefix)?, file)));
        renderer.add(&mut rendered, &format!("{SHARED}/{layer}"), files, language)?;
    }
    let own = template.own.iter().map(|(path, file)| (path.as_str(), file));
    renderer.add(&mut rendered, &template.shown, own, language)?;
    if rendered.entry.trim().is_empty() {
        return Err(Problem::new(format!("the template {} has no {ENTRY}", template.shown)));
    }
    Ok(rendered)
}

struct TemplateRenderer<'a> {
    environment: Environment<'a>,
    variables: &'a BTreeMap<String, String>,
}

impl<'a> TemplateRenderer<'a> {
    fn new(variables: &'a BTreeMap<String, String>) -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true);
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        environment.add_filter("upper", |text: String| text.to_uppercase());
        environment.add_filter("lower", |text: String| text.to_lowercase());
        environment.add_filter("replace", |text: String, from: String, to: String| text.replace(&from, &to));
        Self { environment, variables }
    }

    /// Adds the files of one layer.
    fn add<'f>(
        &self,
        rendered: &mut RenderedTemplate,
        shown: &str,
        files: impl Iterator<Item = (&'f str, &'f FileContent)>,
        language: Option<&str>,
    ) -> Result<(), Problem> {
        let files: BTreeMap<&str, &FileContent> = files.collect();
        let entry_of_language = language.map(|language| format!("entry.{language}.yaml"));
        for path in [Some(ENTRY), entry_of_language.as_deref()].into_iter().flatten() {
            if let Some(file) = files.get(path) {
                let text = String::from_utf8_lossy(&file.bytes);
                rendered.entry.push_str(&self.text(&format!("{shown}/{path}"), &text)?);
            }
        }
        for (path, file) in files {
            let name = format!("{shown}/{path}");
            let mut below = [Some(FILES), language].into_iter().flatten();
            let Some(target) = below.find_map(|folder| path.strip_prefix(folder)?.strip_prefix('/')) else {
                continue;
            };
            let target = self.text(&name, target)?;
            if !Path::new(&target).components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(Problem::new(format!("{name}: '{target}' is not a path below the project")));
            }
            // What is not text is copied.
            let bytes = match std::str::from_utf8(&file.bytes) {
                Ok(text) => self.text(&name, text)?.into_bytes(),
                Err(_) => file.bytes.clone(),
            };
            rendered.files.insert(target, FileContent { bytes, is_executable: file.is_executable });
        }
        Ok(())
    }

    fn text(&self, name: &str, text: &str) -> Result<String, Problem> {
        self.environment.render_named_str(name, text, self.variables).map_err(|error| {
            let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            Problem::new(format!("{name}{line}: {}{detail}", error.kind()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> FileTree {
        let file = |text: &str| FileContent { bytes: text.as_bytes().to_vec(), is_executable: false };
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn rendered(own: &[(&str, &str)]) -> Result<RenderedTemplate, Problem> {
        let shared = tree(&[
            ("base/entry.yaml", "build: {context: {{ name }}}\n"),
            ("base/files/README", "of all"),
            ("base/go/main.go", "shared"),
            ("other/files/x", "not included"),
        ]);
        let template = TemplateFiles { shown: "templates/api".to_owned(), own: tree(own), shared };
        let manifest = TemplateManifest { include: vec!["base".to_owned()], ..TemplateManifest::default() };
        let variables = BTreeMap::from([("name".to_owned(), "cart".to_owned())]);
        render(&template, &manifest, &variables, Some("go"))
    }

    #[test]
    fn layers_are_joined() {
        let own = [
            ("template.yaml", ""),
            ("go/main.go", "of {{ name|upper }}\n"),
            ("rust/x", ""),
            ("entry.go.yaml", "a: 1\n"),
        ];
        let expected = tree(&[("README", "of all"), ("main.go", "of CART\n")]);
        assert_eq!(
            rendered(&own).unwrap(),
            RenderedTemplate { files: expected, entry: "build: {context: cart}\na: 1\n".to_owned() }
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        let message = |text| rendered(&[("go/main.go", text)]).unwrap_err().message;
        assert!(
            message("a\n{{ nme }}").starts_with("templates/api/go/main.go:2: undefined value"),
            "{}",
            message("a\n{{ nme }}")
        );
        assert!(message("{% if %}").starts_with("templates/api/go/main.go:1: syntax error"), "{}", message("{% if %}"));
    }

    #[test]
    fn no_file_is_outside_of_the_project() {
        let error = rendered(&[("files/{{ '..' }}/x", "")]).unwrap_err().message;
        assert!(error.ends_with("'../x' is not a path below the project"), "{error}");
    }
}
