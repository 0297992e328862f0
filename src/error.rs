//! The error that a command returns: its kind determines the exit code, its problems describe the failure and the fix.

use std::process::ExitCode;

use crate::domain::{LocatedProblem, Problem};

/// Why a command failed. The numbers are exit codes and part of the contract (`docs/design.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// An operation failed.
    Failed = 1,
    /// The command line or a file is invalid; nothing was changed.
    Usage = 2,
    /// `--exit-code`: something differs.
    Differs = 3,
    /// A gate, a closed deployment window or a hold refuses the change.
    Refused = 10,
    /// Another cmdr run holds the lock on the environment.
    Locked = 11,
    /// The deployment failed and was rolled back automatically.
    RolledBack = 12,
    /// The deployment failed and was not rolled back.
    NotRolledBack = 13,
    /// The cluster is not the expected one.
    WrongCluster = 14,
    /// Nothing was changed, and a retry may succeed.
    Transient = 75,
    /// The run was interrupted.
    Interrupted = 130,
}

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> Self {
        Self::from(kind as u8)
    }
}

/// Mistakes in files or options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MistakeReport {
    /// With excerpts, for people.
    pub text: String,
    /// The same as data, each with its position.
    pub mistakes: Vec<LocatedProblem>,
}

/// The error that a command returns.
#[derive(Debug, Clone)]
pub struct CommandError {
    pub kind: ErrorKind,
    pub problems: Vec<Problem>,
    /// Mistakes in files or options, which are shown with excerpts.
    pub report: Option<MistakeReport>,
    /// The exit code that is returned instead of that of the kind, such as that of a container.
    pub exit_code: Option<u8>,
}

impl CommandError {
    pub fn new(kind: ErrorKind, problem: Problem) -> Self {
        Self { problems: vec![problem], ..Self::reported(kind) }
    }

    /// An operation failed.
    pub fn failed(problem: Problem) -> Self {
        Self::new(ErrorKind::Failed, problem)
    }

    /// The command line or a file is invalid.
    pub fn usage(problem: Problem) -> Self {
        Self::new(ErrorKind::Usage, problem)
    }

    /// Mistakes in files or options.
    pub fn mistakes(report: MistakeReport) -> Self {
        Self { report: Some(report), ..Self::reported(ErrorKind::Usage) }
    }

    /// # Errors
    /// All problems at once, if there are any.
    pub fn require_none(kind: ErrorKind, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems, ..Self::reported(kind) }) }
    }

    /// The run has already reported everything: only the exit code is left.
    pub fn reported(kind: ErrorKind) -> Self {
        Self { kind, problems: Vec::new(), report: None, exit_code: None }
    }
}
