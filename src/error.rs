//! One error at the edge: its kind picks the exit code, its diagnoses say what happened and what to do.

use std::process::ExitCode;

use crate::domain::Diagnosis;

/// Why a verb ends without having done what was asked. The numbers are part of the contract (`docs/design.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something that was tried failed.
    Failed = 1,
    /// The command line or a file is wrong; nothing was touched.
    Usage = 2,
    /// `--exit-code`: something differs.
    Differs = 3,
    /// A gate, a freeze or a hold says no.
    Refused = 10,
    /// Somebody else is at work on the same environment.
    Locked = 11,
    /// It failed, and what ran before runs again.
    RolledBack = 12,
    /// It failed, and what ran before does not run again.
    NotRolledBack = 13,
    /// Not the cluster that was meant.
    WrongCluster = 14,
    /// Nothing was changed, and trying again may do.
    Transient = 75,
    /// The run was interrupted.
    Interrupted = 130,
}

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> Self {
        Self::from(kind as u8)
    }
}

/// What a verb fails with.
#[derive(Debug, Clone)]
pub struct CommandError {
    pub kind: ErrorKind,
    pub diagnoses: Vec<Diagnosis>,
    /// Text that stands as it is: the excerpts of a configuration's mistakes.
    pub report: Option<String>,
}

impl CommandError {
    pub fn new(kind: ErrorKind, diagnosis: Diagnosis) -> Self {
        Self { kind, diagnoses: vec![diagnosis], report: None }
    }

    /// Something that was tried failed.
    pub fn failed(diagnosis: Diagnosis) -> Self {
        Self::new(ErrorKind::Failed, diagnosis)
    }

    /// The command line or a file is wrong.
    pub fn usage(diagnosis: Diagnosis) -> Self {
        Self::new(ErrorKind::Usage, diagnosis)
    }

    /// The run already told everything: only the exit code is left.
    pub fn told(kind: ErrorKind) -> Self {
        Self { kind, diagnoses: Vec::new(), report: None }
    }
}
