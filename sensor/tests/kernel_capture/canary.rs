//! Whether the machine let threads run: what is promised about time is judged where it did.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::netns::{cpus, meanwhile, pause, pin};

/// For how long threads that wanted to run were kept from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// At once.
    pub(crate) longest: Duration,
    /// In all, on the CPU where that is most.
    pub(crate) sum: Duration,
}

/// Runs `body` while a thread on each CPU does nothing but sleep for moments, and says how much longer than that they slept: this the machine
/// does to every thread, and to those of the product as well.
pub(crate) fn with_canaries<T>(body: impl FnOnce() -> T) -> (T, Held) {
    const MOMENT: Duration = Duration::from_millis(5);
    let all = Mutex::new(Held::default());
    let canary = |cpu| {
        let all = &all;
        move |over: &AtomicBool| {
            pin(cpu);
            let mut own = Held::default();
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                pause(MOMENT);
                let held = begun.elapsed().saturating_sub(MOMENT);
                own.longest = own.longest.max(held);
                own.sum += held;
            }
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.longest = all.longest.max(own.longest);
            all.sum = all.sum.max(own.sum);
        }
    };
    let canaries: Vec<_> = (0..cpus()).map(canary).collect();
    let canaries: Vec<&(dyn Fn(&AtomicBool) + Sync)> =
        canaries.iter().map(|canary| canary as _).collect();
    let done = meanwhile(&canaries, body);
    let held = *all.lock().unwrap_or_else(PoisonError::into_inner);
    (done, held)
}
