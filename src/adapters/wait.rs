//! Waits for something that cannot be watched: a loop asks, and pauses between its attempts.

use std::{
    iter,
    time::{Duration, Instant},
};

use backon::ExponentialBuilder;
use tokio_util::sync::CancellationToken;

/// The run was interrupted during a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// Why a wait has ended without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitError<E> {
    /// The limit is reached, and this is why the last attempt did not succeed.
    Limit(E),
    Interrupted,
}

/// The clock of one loop. A loop, not a closure with the attempt: the future of a closure that borrows is not `Send`.
#[derive(Debug)]
pub struct Wait<P> {
    pauses: P,
    /// The time after which there is no other attempt; it may depend on the last answer.
    pub limit: Duration,
    start: Instant,
}

/// The same pause, again and again.
pub fn every(interval: Duration) -> iter::Repeat<Duration> {
    iter::repeat(interval)
}

/// Pauses that double, from `first` up to `longest`.
pub fn growing(first: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(first).with_max_delay(longest).without_max_times()
}

impl<P: Iterator<Item = Duration>> Wait<P> {
    /// Starts the clock.
    pub fn new(pauses: P, limit: Duration) -> Self {
        Self { pauses, limit, start: Instant::now() }
    }

    /// Pauses before the next attempt, unless the run is interrupted.
    ///
    /// # Errors
    /// `error`, why the last attempt did not succeed, if the limit is reached; or that the run is interrupted.
    pub async fn pause_or<E>(&mut self, error: E, cancel: &CancellationToken) -> Result<(), WaitError<E>> {
        match self.next() {
            Some(duration) => pause(duration, cancel).await.map_err(|Interrupted| WaitError::Interrupted),
            None => Err(WaitError::Limit(error)),
        }
    }

    /// As [`Self::pause_or`], for short waits that are not interrupted.
    ///
    /// # Errors
    /// `error`, why the last attempt did not succeed, if the limit is reached.
    pub async fn sleep_or<E>(&mut self, error: E) -> Result<(), E> {
        let duration = self.next().ok_or(error)?;
        tokio::time::sleep(duration).await;
        Ok(())
    }

    fn next(&mut self) -> Option<Duration> {
        if self.start.elapsed() < self.limit { self.pauses.next() } else { None }
    }
}

/// Waits, unless the run is interrupted.
///
/// # Errors
/// If the run is interrupted.
pub async fn pause(duration: Duration, cancel: &CancellationToken) -> Result<(), Interrupted> {
    tokio::select! {
        () = tokio::time::sleep(duration) => Ok(()),
        () = cancel.cancelled() => Err(Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use backon::BackoffBuilder;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_wait_ends_at_its_limit() {
        let mut wait = Wait::new(every(SHORT), LONG);
        assert_eq!(wait.sleep_or("missing").await, Ok(()));
        wait.limit = Duration::ZERO;
        assert_eq!(wait.sleep_or("missing").await, Err("missing"));
        assert_eq!(wait.pause_or("missing", &CancellationToken::new()).await, Err(WaitError::Limit("missing")));
    }

    #[tokio::test]
    async fn a_cancel_ends_the_pause() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let mut wait = Wait::new(every(LONG), LONG);
        assert_eq!(wait.pause_or("missing", &cancel).await, Err(WaitError::Interrupted));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = growing(SHORT * 50, SHORT * 150).build().map(|pause| pause.as_millis());
        assert_eq!(pauses.take(4).collect::<Vec<_>>(), [50, 100, 150, 150]);
    }
}
