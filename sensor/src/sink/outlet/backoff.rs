//! How long to wait before the next try.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// Twice as long each time, and by chance up to half less, so that many sensors do not return to a receiver at once
/// (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015: equal jitter).
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// It works again.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures.min(30));
        self.failures += 1;
        let whole = self.first.saturating_mul(factor).min(self.longest);
        let chance = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        whole.mul_f64(0.5 + chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_never_agree() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(60));
        let waits = || {
            let mut backoff = Backoff::new(first, longest);
            (0..40).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        let one = waits();
        for (at, wait) in one.iter().enumerate() {
            let whole = first.saturating_mul(1 << at.min(20)).min(longest);
            assert!(*wait >= whole / 2 && *wait <= whole, "{at}: {wait:?}");
        }
        assert_ne!(one, waits());
        let mut backoff = Backoff::new(first, longest);
        for _ in 0..9 {
            backoff.next();
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
