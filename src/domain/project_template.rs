//! Templates of projects, from which `cmdr new` creates one.

use std::{collections::BTreeMap, path::PathBuf};

/// The folder beside templates with the files that several of them have.
pub const SHARED: &str = "shared";
/// The file that describes a template.
pub const MANIFEST: &str = "template.yaml";

/// Where a template of a workspace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSource {
    Folder(PathBuf),
    /// `folder` is the folder of the template in the repository; empty for the repository itself.
    Git {
        url: String,
        reference: String,
        folder: String,
    },
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    pub bytes: Vec<u8>,
    pub is_executable: bool,
}

/// Files by their paths, with `/` as separator.
pub type FileTree = BTreeMap<String, FileContent>;

/// The files of a template, as they were found.
#[derive(Debug, Clone)]
pub struct TemplateFiles {
    /// The folder of the template, for messages.
    pub shown: String,
    /// By their paths below the folder of the template.
    pub own: FileTree,
    /// By their paths below [`SHARED`], beside the folder of the template.
    pub shared: FileTree,
}

/// The content of [`MANIFEST`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateManifest {
    pub description: String,
    /// Empty if the template has no choice of languages.
    pub languages: Vec<String>,
    /// Folders of [`SHARED`].
    pub include: Vec<String>,
    /// In the order in which they are asked.
    pub questions: Vec<TemplateQuestion>,
    pub variables: BTreeMap<String, String>,
}

/// A question of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateQuestion {
    /// The variable that gets the answer.
    pub variable: String,
    pub ask: String,
    pub default: Option<String>,
    /// The valid answers; any text if empty.
    pub choices: Vec<String>,
}
