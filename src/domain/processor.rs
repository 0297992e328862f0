//! CPU usage of this machine.

use std::sync::{Arc, Mutex, PoisonError};

/// The CPU usage in a short interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessorUse {
    /// In seconds since the measurement started.
    pub from: f64,
    /// In seconds since the measurement started.
    pub until: f64,
    /// The used share of CPU time; 1 if no CPU was idle.
    pub share: f64,
}

/// All samples so far, shared between the task that measures and its readers.
#[derive(Debug, Clone, Default)]
pub struct ProcessorUses(Arc<Mutex<Vec<ProcessorUse>>>);

impl ProcessorUses {
    pub fn add(&self, used: ProcessorUse) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }

    pub fn seen(&self) -> Vec<ProcessorUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
