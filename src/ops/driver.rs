//! The driver of a run: describe, lock, observe, plan, preview or confirm, decrypt, run. The loop is the same for every
//! environment; what differs between `local` and the others are the methods of [`Run`].

use crate::{
    error::CommandError,
    ops::{exit::after_changes, prepared::Prepared, secrets::decrypt, session::Session},
    plan::Plan,
    steps::Decrypted,
};

/// An environment that was described and observed, and what to do about the difference.
#[derive(Debug)]
pub(crate) struct PlannedRun<T> {
    pub prepared: Prepared<T>,
    pub plan: Plan,
}

/// What a new lock means for what was described and observed before it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It is still true.
    Current,
    /// The previous holder of the lock may have changed it.
    Outdated,
}

/// Whether a run is complete.
#[derive(Debug)]
pub(crate) enum RunProgress {
    /// With the URLs whose checks passed.
    Done(Vec<String>),
    /// The plan was preliminary, or is outdated: the remaining steps depend on what has changed.
    Continues,
}

/// A run on an environment that one kind of lock protects. Until [`Run::execute`], nothing is changed but the lock.
pub(crate) trait Run {
    /// What is known about the environment besides its description and its releases.
    type Target;

    /// Reads and checks what is known without the lock.
    ///
    /// # Errors
    /// When anything that is written or requested is invalid: all problems at once.
    async fn describe(&self) -> Result<Prepared<Self::Target>, CommandError>;

    /// Whether other runs must be locked out before the next stage: observing, or, with a plan, running it.
    fn needs_lock(&self, prepared: &Prepared<Self::Target>, plan: Option<&Plan>) -> bool;

    /// Locks out other runs.
    ///
    /// # Errors
    /// With exit code 11 when another run holds the lock.
    async fn lock(&mut self, prepared: &Prepared<Self::Target>) -> Result<Freshness, CommandError>;

    /// Plans the run, from an observation that is as new as the lock.
    ///
    /// # Errors
    /// When a gate refuses the plan, a release is managed by another tool, or the environment cannot be observed.
    async fn plan(&mut self, prepared: &mut Prepared<Self::Target>) -> Result<Plan, CommandError>;

    /// Whether the plan is only shown.
    fn is_preview(&self) -> bool;

    /// Shows the plan.
    ///
    /// # Errors
    /// When the differences cannot be computed, or a file cannot be written.
    async fn preview(&self, planned: &PlannedRun<Self::Target>) -> Result<(), CommandError>;

    /// The last checks before anything is changed.
    ///
    /// # Errors
    /// When the user declines, or the cluster is not the one that was observed.
    async fn confirm(&self, planned: &PlannedRun<Self::Target>) -> Result<(), CommandError>;

    /// Runs the plan, and concludes the run.
    ///
    /// # Errors
    /// As [`RunEnd`](super::exit::RunEnd) decides.
    async fn execute(
        &mut self,
        planned: PlannedRun<Self::Target>,
        decrypted: Decrypted,
    ) -> Result<RunProgress, CommandError>;

    /// Releases the lock, if it was taken.
    async fn release(self);
}

/// Performs a run. Returns the URLs whose checks passed.
///
/// # Errors
/// When anything is refused, or a step fails; the error's kind is the exit code.
pub(crate) async fn drive<R: Run>(session: &Session, mut run: R) -> Result<Vec<String>, CommandError> {
    let result = complete(session, &mut run).await;
    run.release().await;
    result
}

/// Repeats the stages until the plan is not preliminary, and what was described is not older than the lock.
async fn complete<R: Run>(session: &Session, run: &mut R) -> Result<Vec<String>, CommandError> {
    until_done(async |is_changed| pass(session, run, is_changed).await).await
}

/// Once a pass has started to change something, no error is transient anymore.
async fn until_done(
    mut pass: impl AsyncFnMut(&mut bool) -> Result<RunProgress, CommandError>,
) -> Result<Vec<String>, CommandError> {
    let mut is_changed = false;
    loop {
        match pass(&mut is_changed).await {
            Ok(RunProgress::Done(urls)) => return Ok(urls),
            Ok(RunProgress::Continues) => (),
            Err(error) => return Err(if is_changed { after_changes(error) } else { error }),
        }
    }
}

/// The stages once, until the run ends, the lock makes what was described outdated, or a preliminary plan was run.
async fn pass<R: Run>(session: &Session, run: &mut R, is_changed: &mut bool) -> Result<RunProgress, CommandError> {
    let mut prepared = run.describe().await?;
    if run.needs_lock(&prepared, None) && run.lock(&prepared).await? == Freshness::Outdated {
        return Ok(RunProgress::Continues);
    }
    let plan = run.plan(&mut prepared).await?;
    let planned = PlannedRun { prepared, plan };
    if run.is_preview() {
        run.preview(&planned).await?;
        return Ok(RunProgress::Done(Vec::new()));
    }
    // Before a lease is taken, so that a failed decryption changes nothing.
    let decrypted = decrypt(session, &planned.plan).await?;
    let needs_lock = run.needs_lock(&planned.prepared, Some(&planned.plan));
    if needs_lock && run.lock(&planned.prepared).await? == Freshness::Outdated {
        return Ok(RunProgress::Continues);
    }
    run.confirm(&planned).await?;
    *is_changed |= planned.plan.has_changes();
    run.execute(planned, decrypted).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Problem, error::ErrorKind};

    /// The exit code when the connection is lost in the pass after the one that `changes` something or not.
    async fn lost_after(changes: bool) -> i32 {
        let mut passes = 0;
        let done = until_done(async |is_changed| {
            passes += 1;
            if passes == 1 {
                *is_changed |= changes;
                return Ok(RunProgress::Continues);
            }
            Err(CommandError::new(ErrorKind::Transient, Problem::new("no response")))
        });
        done.await.unwrap_err().kind as i32
    }

    #[tokio::test]
    async fn a_lost_connection_is_transient_until_something_was_changed() {
        assert_eq!(lost_after(false).await, 75, "only the lock was taken");
        assert_eq!(lost_after(true).await, 1);
    }
}
