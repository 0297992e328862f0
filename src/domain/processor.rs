//! How busy the processors of this machine were.

use std::sync::{Arc, Mutex, PoisonError};

/// A short while, and the share of the processors' time that was used in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessorUse {
    /// Seconds from the moment when the watch began.
    pub from: f64,
    /// Seconds from the moment when the watch began.
    pub until: f64,
    /// 1 when no processor was ever idle.
    pub share: f64,
}

/// What a watch has seen so far, shared between who watches and who reads.
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
