//! Ends a live capture from another thread.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A handle that asks a capture to end; what was captured until then is still handed over.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    asked: bool,
    /// Woken too: captures that sleep on something else than this.
    wakers: Vec<Box<dyn Fn() + Send>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// Two handles are equal if they end the same capture.
impl PartialEq for Stop {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Stop {}

impl Stop {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the capture to end, and wakes it.
    pub fn stop(&self) {
        let mut state = self.state();
        state.asked = true;
        state.wakers.iter().for_each(|wake| wake());
        self.0.1.notify_all();
    }

    /// Has `wake` called when the capture is asked to end. It must not come back to this handle.
    pub fn on_stop(&self, wake: impl Fn() + Send + 'static) {
        self.state().wakers.push(Box::new(wake));
    }

    /// Waits for `time`, or until asked to end; true if asked.
    pub fn wait(&self, time: Duration) -> bool {
        let (guard, _) = self
            .0
            .1
            .wait_timeout_while(self.state(), time, |state| !state.asked)
            .unwrap_or_else(PoisonError::into_inner);
        guard.asked
    }

    /// Whether it was asked to end.
    pub fn is_asked(&self) -> bool {
        self.state().asked
    }
}
