//! Ends a live capture from another thread.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// A handle that asks a capture to end; what was captured until then is still handed over.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Asks the capture to end, and wakes it.
    pub fn stop(&self) {
        let (asked, wake) = &*self.0;
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_all();
    }

    /// Waits for `time`, or until asked to end; true if asked.
    pub fn wait(&self, time: Duration) -> bool {
        let (asked, wake) = &*self.0;
        let guard = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = wake
            .wait_timeout_while(guard, time, |asked| !*asked)
            .unwrap_or_else(PoisonError::into_inner);
        *guard
    }

    /// Whether it was asked to end.
    pub fn is_asked(&self) -> bool {
        let (asked, _) = &*self.0;
        *asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
