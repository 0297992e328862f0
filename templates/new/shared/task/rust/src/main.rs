//! {{ name }} runs a task and ends.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

fn main() -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        if let Err(error) = flag::register(signal, Arc::clone(&stop)) {
            eprintln!("cannot react to signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    let items = ["first", "second"];
    let done = run(&items, &stop);
    println!("{done} of {} items are done", items.len());
    // The exit code tells Kubernetes to run an interrupted task again.
    if done == items.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Processes the items, and returns how many are done. It stops between two items.
fn run(items: &[&str], stop: &AtomicBool) -> usize {
    let wanted = items.iter().take_while(|_| !stop.load(Ordering::Relaxed));
    wanted.map(|item| println!("processing {item}")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_items_are_processed() {
        assert_eq!(run(&["a", "b"], &AtomicBool::new(false)), 2);
    }

    #[test]
    fn it_stops_between_items() {
        assert_eq!(run(&["a"], &AtomicBool::new(true)), 0);
    }
}
