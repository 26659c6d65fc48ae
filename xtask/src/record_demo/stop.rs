//! A stop flag that wakes whoever waits.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Set once; waits end at once from then on.
#[derive(Default)]
pub(super) struct Stop {
    set: Mutex<bool>,
    woken: Condvar,
}

impl Stop {
    /// Ends all waits.
    pub(super) fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_all();
    }

    /// Waits at most this long; true when it is time to stop.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, _) = self
            .woken
            .wait_timeout_while(set, time, |set| !*set)
            .unwrap_or_else(PoisonError::into_inner);
        *set
    }
}
