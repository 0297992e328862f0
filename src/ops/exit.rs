//! How a run ended. This is the only place that decides the exit code of a run.

use tokio_util::sync::CancellationToken;

use crate::{
    domain::Problem,
    engine::Summary,
    error::{CommandError, ErrorKind},
};

/// How the run of a plan ended. Its steps have been reported by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    Succeeded,
    Failed,
    /// A container ended with this exit code.
    Exited(u8),
    /// By a signal or the job timeout.
    Interrupted,
    /// The lease was not renewed in time: another run may have started.
    LockLost,
    /// Only Jobs that verify before a deployment failed.
    Refused,
    RolledBack,
    NotRolledBack,
}

impl RunEnd {
    /// `run` was cancelled when the lock was lost, or together with `user`.
    pub(crate) fn of(summary: &Summary, run: &CancellationToken, user: &CancellationToken) -> Self {
        if user.is_cancelled() {
            Self::Interrupted
        } else if run.is_cancelled() {
            Self::LockLost
        } else if !summary.interrupted.is_empty() {
            Self::Interrupted
        } else if summary.is_success() {
            Self::Succeeded
        } else {
            summary.exit_code.map_or(Self::Failed, Self::Exited)
        }
    }

    /// The same when the ledger could not be closed: only a rollback is known to have succeeded.
    #[must_use]
    pub(crate) fn with_open_ledger(self) -> Self {
        if self == Self::RolledBack { self } else { Self::NotRolledBack }
    }

    /// # Errors
    /// If the run did not succeed: the error's kind is the exit code.
    pub(crate) fn into_result(self) -> Result<(), CommandError> {
        let kind = match self {
            Self::Succeeded => return Ok(()),
            Self::Failed => ErrorKind::Failed,
            Self::Exited(code) => {
                return Err(CommandError { exit_code: Some(code), ..CommandError::reported(ErrorKind::Failed) });
            }
            Self::Interrupted => ErrorKind::Interrupted,
            Self::LockLost => return Err(lock_lost()),
            Self::Refused => ErrorKind::Refused,
            Self::RolledBack => ErrorKind::RolledBack,
            Self::NotRolledBack => ErrorKind::NotRolledBack,
        };
        Err(CommandError::reported(kind))
    }
}

/// The error of a run whose lease was lost. It has the exit code of a held lock, but is not of that kind: the run has
/// started, and is not repeated with the rest.
pub(crate) fn lock_lost() -> CommandError {
    let cause = "the lease was lost during the run: another run may have started";
    let help = "check the state with cmdr status and cmdr history, and run the command again";
    CommandError { exit_code: Some(ErrorKind::Locked as u8), ..CommandError::failed(Problem::new(cause).help(help)) }
}

/// The error of a request that failed after steps were run: a retry is right, but something was changed.
pub(crate) fn after_changes(error: CommandError) -> CommandError {
    match error.kind {
        ErrorKind::Transient => CommandError { kind: ErrorKind::Failed, ..error },
        _ => error,
    }
}

/// Adds the errors of what followed a run, such as its files. The end of the run decides the exit code, and everything
/// that failed is reported.
///
/// # Errors
/// If the run failed, or something that followed it.
pub(crate) fn concluded(
    end: Result<(), CommandError>,
    following: impl IntoIterator<Item = Result<(), CommandError>>,
) -> Result<(), CommandError> {
    following.into_iter().filter_map(Result::err).map(after_changes).fold(end, |end, error| match end {
        Ok(()) => Err(error),
        Err(mut first) => {
            first.problems.extend(error.problems);
            Err(first)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::{Step, graph::tests::plan};

    /// The exit code of a run; 0 if it succeeded.
    fn code(end: RunEnd) -> i32 {
        end.into_result().map_or_else(|error| error.exit_code.map_or(error.kind as i32, i32::from), |()| 0)
    }

    fn interrupted() -> Summary {
        let ids: BTreeSet<_> = plan([(Step::CreateCluster, Vec::new())]).ids().collect();
        Summary { interrupted: ids, ..Summary::default() }
    }

    #[test]
    fn a_lost_lease_is_not_an_interruption() {
        let user = CancellationToken::new();
        let run = user.child_token();
        run.cancel();
        for summary in [interrupted(), Summary::default()] {
            assert_eq!(code(RunEnd::of(&summary, &run, &user)), 11);
        }
        user.cancel();
        assert_eq!(code(RunEnd::of(&interrupted(), &run, &user)), 130);
    }

    #[test]
    fn a_file_that_cannot_be_written_does_not_hide_how_the_run_ended() {
        let full = || Err(CommandError::failed(Problem::new("cannot write ledger.json")));
        let lost = || Err(CommandError::new(ErrorKind::Transient, Problem::new("no response")));
        let shown = |end: RunEnd| {
            let error = concluded(end.into_result(), [full(), lost()]).unwrap_err();
            (error.kind as i32, error.problems.len())
        };
        assert_eq!(shown(RunEnd::RolledBack), (12, 2));
        assert_eq!(shown(RunEnd::NotRolledBack), (13, 2));
        assert_eq!(shown(RunEnd::Succeeded), (1, 2), "something was changed: not transient");
        concluded(Ok(()), [Ok(())]).unwrap();
    }

    #[test]
    fn what_was_changed_is_not_transient() {
        let lost = CommandError::new(ErrorKind::Transient, Problem::new("no response"));
        assert_eq!(after_changes(lost).kind, ErrorKind::Failed);
    }
}
