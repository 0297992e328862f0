//! What a verb is asked to do, free of the command line's own types.

use std::path::PathBuf;

/// How `up` is to bring an environment to what is described.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct UpRequest {
    /// These projects and what they need; all if empty.
    pub projects: Vec<String>,
    /// Adds the optional projects with one of these profiles.
    pub profiles: Vec<String>,
    pub without: Vec<String>,
    /// Helm values of the named projects, as `KEY=VALUE`.
    pub set: Vec<String>,
    pub build: bool,
    pub recreate: bool,
    pub adopt: bool,
    pub refresh: bool,
    pub repair: bool,
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
