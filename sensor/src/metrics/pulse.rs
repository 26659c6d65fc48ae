//! Whether the loop that handles packets turns: what `/healthz` and `/readyz` answer, and what feeds a watchdog.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Longest time between two turns of a loop that is well: it turns twice a second.
const HUNG: Duration = Duration::from_secs(30);
/// The same while a baseline is learned: the loop waits for the training at its end.
const HUNG_LEARNING: Duration = Duration::from_secs(600);
/// Nothing has turned yet.
const NEVER: u64 = u64::MAX;
/// All of the baseline is learned.
const LEARNED: u32 = 1000;

/// Shared between the loop and those who ask; no lock.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// Milliseconds from the beginning to the last turn.
    turned: AtomicU64,
    /// How much of the baseline is learned, in thousandths.
    learned: AtomicU32,
    is_ending: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            turned: AtomicU64::new(NEVER),
            learned: AtomicU32::new(LEARNED),
            is_ending: AtomicBool::new(false),
        }))
    }
}

impl Pulse {
    /// The loop has turned.
    pub fn beat(&self) {
        let age = self.0.began.elapsed().as_millis();
        (self.0.turned).store(u64::try_from(age).unwrap_or(NEVER - 1), Relaxed);
    }

    /// A baseline is being learned: so much of it, from 0 to 1.
    pub fn learned(&self, share: f64) {
        let thousandths = (share.clamp(0.0, 1.0) * f64::from(LEARNED)) as u32;
        self.0.learned.store(thousandths, Relaxed);
    }

    /// The sensor was told to end.
    pub fn end(&self) {
        self.0.is_ending.store(true, Relaxed);
    }

    /// Whether the loop turns, and a line about it. Before its first turn it has as long as between two.
    pub fn health(&self) -> (bool, String) {
        let since = match self.0.turned.load(Relaxed) {
            NEVER => self.0.began.elapsed(),
            turned => (self.0.began.elapsed()).saturating_sub(Duration::from_millis(turned)),
        };
        self.judge(since)
    }

    fn judge(&self, since: Duration) -> (bool, String) {
        let is_learning = self.0.learned.load(Relaxed) < LEARNED;
        let most = if is_learning { HUNG_LEARNING } else { HUNG };
        if since <= most {
            (true, "ok".to_owned())
        } else {
            let seconds = since.as_secs();
            (false, format!("no epoch of packets for {seconds} s"))
        }
    }

    /// Whether packets are being watched, and a line about it. Also while the baseline is being learned: what is learned
    /// from is watched.
    pub fn readiness(&self) -> (bool, String) {
        if self.0.is_ending.load(Relaxed) {
            return (false, "ending".to_owned());
        }
        if self.0.turned.load(Relaxed) == NEVER {
            return (false, "beginning".to_owned());
        }
        let (is_well, line) = self.health();
        if !is_well {
            return (false, line);
        }
        match self.0.learned.load(Relaxed) {
            LEARNED => (true, "watching".to_owned()),
            learned => (true, format!("learning what is usual, {} %", learned / 10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_between_the_first_turn_and_the_end() {
        let pulse = Pulse::default();
        assert_eq!(pulse.readiness(), (false, "beginning".to_owned()));
        assert!(pulse.health().0);
        pulse.learned(0.4);
        pulse.beat();
        assert_eq!(
            pulse.readiness(),
            (true, "learning what is usual, 40 %".to_owned())
        );
        pulse.learned(1.0);
        assert_eq!(pulse.readiness(), (true, "watching".to_owned()));
        pulse.end();
        assert_eq!(pulse.readiness(), (false, "ending".to_owned()));
    }

    #[test]
    fn a_loop_that_hangs_is_ill_and_training_is_no_illness() {
        let pulse = Pulse::default();
        pulse.beat();
        let minute = Duration::from_secs(60);
        assert_eq!(
            pulse.judge(minute),
            (false, "no epoch of packets for 60 s".to_owned())
        );
        assert!(pulse.judge(HUNG).0);
        pulse.learned(0.99);
        assert!(pulse.judge(minute).0);
        assert!(!pulse.judge(minute * 11).0);
    }
}
