//! What a verb is asked to do, free of the command line's own types.

use std::path::{Path, PathBuf};

use crate::{
    error::{CommandError, ErrorKind},
    ui::{self, OutputFile},
};

/// How `up` is to bring an environment to what is described.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct UpRequest {
    /// These projects and what they need; all if empty.
    pub projects: Vec<String>,
    /// Adds the optional projects with one of these profiles.
    pub profiles: Vec<String>,
    pub without: Vec<String>,
    /// Images of projects and bundles, as `PROJECT=TAG`.
    pub tags: Vec<String>,
    /// Helm values of the named projects, as `KEY=VALUE`.
    pub set: Vec<String>,
    pub build: bool,
    pub recreate: bool,
    pub adopt: bool,
    pub refresh: bool,
    pub repair: bool,
    /// The copy whose data a new copy gets.
    pub data_from: Option<String>,
    /// A file that an earlier run exported, from which the environment is rebuilt.
    pub from_ledger: Option<PathBuf>,
    pub change: ChangeRequest,
}

/// How a change of an environment other than `local` is to be made.
#[derive(Debug, Clone, Default)]
pub struct ChangeRequest {
    /// As it was written.
    pub lock_timeout: Option<String>,
    /// Names of gates to override.
    pub overrides: Vec<String>,
    pub because: Option<String>,
    pub export_ledger: Option<PathBuf>,
    pub plan_file: Option<PathBuf>,
    pub use_plan: Option<PathBuf>,
}

impl ChangeRequest {
    /// With files of its own for one of several environments: `plan.production-eu.json` instead of `plan.json`.
    #[must_use]
    pub fn for_environment(self, environment: &str) -> Self {
        let own = |file: Option<PathBuf>| file.map(|file| own_file(&file, environment));
        let Self { export_ledger, plan_file, use_plan, .. } = self;
        Self { export_ledger: own(export_ledger), plan_file: own(plan_file), use_plan: own(use_plan), ..self }
    }

    /// For an operation that no gate blocks.
    #[must_use]
    pub fn without_overrides(&self) -> Self {
        Self { overrides: Vec::new(), ..self.clone() }
    }

    /// The files to write, with their options.
    pub fn output_files(&self) -> impl Iterator<Item = OutputFile<'_>> {
        let files = [("--export-ledger", &self.export_ledger), ("--plan-file", &self.plan_file)];
        files.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    /// The options that were given and have no meaning in the environment `local`.
    pub fn given(&self) -> Vec<&'static str> {
        let given = [
            (self.lock_timeout.is_some(), "--lock-timeout"),
            (!self.overrides.is_empty(), "--override"),
            (self.because.is_some(), "--because"),
            (self.export_ledger.is_some(), "--export-ledger"),
            (self.plan_file.is_some(), "--plan-file"),
            (self.use_plan.is_some(), "--use-plan"),
        ];
        given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, name)| name).collect()
    }
}

fn own_file(file: &Path, environment: &str) -> PathBuf {
    match file.extension() {
        Some(extension) => file.with_extension(format!("{environment}.{}", extension.to_string_lossy())),
        None => file.with_extension(environment),
    }
}

/// Checks the files that options request, before anything is changed.
///
/// # Errors
/// All files that cannot be written, or that several options name.
pub(crate) fn check_output_files<'a>(files: impl Iterator<Item = OutputFile<'a>>) -> Result<(), CommandError> {
    let checked = ui::check_output_files(&files.collect::<Vec<_>>());
    checked.map_err(|problems| CommandError { problems, ..CommandError::reported(ErrorKind::Usage) })
}

/// A promotion that a pipeline's job is to make.
#[derive(Debug, Clone)]
pub struct PipelineRequest {
    /// The target environment.
    pub to: String,
    /// All if empty.
    pub projects: Vec<String>,
    pub record: Option<String>,
    pub because: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_environment_has_files_of_its_own() {
        let own = |file: &str| own_file(Path::new(file), "production-eu");
        assert_eq!(own("out/plan.json"), Path::new("out/plan.production-eu.json"));
        assert_eq!(own("out.d/plan"), Path::new("out.d/plan.production-eu"));
    }
}
