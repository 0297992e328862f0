//! The build of a new project in the GitLab pipeline of its workspace.

use std::{fs, path::Path};

use crate::{
    config::{EditedFile, PipelineEdit, with_pipeline_build},
    domain::Name,
};

/// The pipeline of a repository.
const FILE: &str = ".gitlab-ci.yml";

/// The edited pipeline with the text that it has now, and what the user has to do.
#[derive(Debug, Default)]
pub(super) struct FoundPipeline {
    pub edit: Option<(EditedFile, String)>,
    pub note: Option<String>,
}

/// Adds the project to the pipeline in the folder of the workspace, if there is one.
pub(super) fn edit(root: &Path, name: &Name, folder: &Path) -> FoundPipeline {
    let path = root.join(FILE);
    let Ok(text) = fs::read_to_string(&path) else { return FoundPipeline::default() };
    let context = folder.strip_prefix(root).unwrap_or(folder);
    let note = match with_pipeline_build(&text, name, context) {
        PipelineEdit::Edited(edited) => {
            return FoundPipeline { edit: Some((EditedFile { path, text: edited }, text)), note: None };
        }
        PipelineEdit::Unknown => format!(
            "{FILE} was not changed: it includes no component of cmdr with `projects` and `builds`; add '{name}' there"
        ),
    };
    FoundPipeline { edit: None, note: Some(note) }
}
