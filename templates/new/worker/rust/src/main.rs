//! {{ name }} works in the background.

mod server;

use std::{
    sync::{Mutex, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use server::{Answer, Call, ITEMS, Service};

/// The time between two items.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an item may take before the worker is not healthy.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let worker = Worker { last: Mutex::new(Instant::now()) };
    let (stop, stopped) = mpsc::channel();
    thread::scope(|scope| {
        let work = &worker;
        scope.spawn(move || work.run(&stopped));
        let served = server::serve(&worker);
        drop(stop);
        served
    })
}

/// Processes items one after the other.
struct Worker {
    /// When the last item was finished.
    last: Mutex<Instant>,
}

impl Worker {
    /// Processes items until the other side of `stopped` is dropped; the item in work is finished.
    fn run(&self, stopped: &mpsc::Receiver<()>) {
        while stopped.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
            self.process();
        }
    }

    /// Where the work belongs, such as one message of a queue.
    fn process(&self) {
        ITEMS.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut last) = self.last.lock() {
            *last = Instant::now();
        }
    }
}

impl Service for Worker {
    fn answer(&self, _: &Call<'_>) -> Answer {
        Answer::new(404, "not found\n")
    }

    fn problem(&self) -> Option<String> {
        let makes_progress = self.last.lock().is_ok_and(|last| last.elapsed() < PATIENCE);
        (!makes_progress).then(|| "no item was processed for a minute\n".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_processed() {
        let worker = Worker { last: Mutex::new(Instant::now() - PATIENCE) };
        assert!(worker.problem().is_some());
        worker.process();
        assert!(worker.problem().is_none());
        assert!(ITEMS.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn it_stops_when_it_is_asked_to() {
        let (stop, stopped) = mpsc::channel();
        drop(stop);
        Worker { last: Mutex::new(Instant::now()) }.run(&stopped);
    }
}
