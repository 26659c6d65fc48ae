//! What happened lately, by thing: an address, an account, a host. Bounded.

use std::collections::{HashMap, HashSet, VecDeque};

use sensor_ebpf::flow::TimeNs;

/// The longest window.
pub(super) const HOUR: TimeNs = 3_600_000_000_000;
/// Addresses, accounts, hosts, ... remembered of each kind. Beyond, the one unused for longest is forgotten.
const THINGS_MAX: usize = 1 << 16;
/// Events remembered of one thing: a count stays at this number.
const EVENTS_MAX: usize = 4096;

/// Events of one thing in the last hour, each with what it was about.
#[derive(Debug, Default)]
pub(super) struct Recent {
    events: VecDeque<(TimeNs, u64)>,
}

impl Recent {
    /// Something happened, about something.
    pub(super) fn add(&mut self, now: TimeNs, about: u64) {
        while self.events.len() >= EVENTS_MAX
            || self
                .events
                .front()
                .is_some_and(|(time, _)| now.saturating_sub(*time) > HOUR)
        {
            self.events.pop_front();
        }
        self.events.push_back((now, about));
    }

    fn within(&self, now: TimeNs, window: TimeNs) -> impl Iterator<Item = u64> {
        self.events
            .iter()
            .rev()
            .take_while(move |(time, _)| now.saturating_sub(*time) <= window)
            .map(|(_, about)| *about)
    }

    /// Events in the window that ends now.
    pub(super) fn count(&self, now: TimeNs, window: TimeNs) -> f32 {
        self.within(now, window).count() as f32
    }

    /// Distinct things they were about.
    pub(super) fn distinct(&self, now: TimeNs, window: TimeNs) -> f32 {
        self.within(now, window).collect::<HashSet<_>>().len() as f32
    }
}

/// Things by their hash, at most [`THINGS_MAX`] of them.
#[derive(Debug)]
pub(super) struct Things<T> {
    all: HashMap<u64, (TimeNs, T)>,
}

impl<T> Default for Things<T> {
    fn default() -> Self {
        Self {
            all: HashMap::new(),
        }
    }
}

impl<T: Default> Things<T> {
    pub(super) fn entry(&mut self, of: u64, now: TimeNs) -> &mut T {
        if self.all.len() >= THINGS_MAX && !self.all.contains_key(&of) {
            self.forget();
        }
        let entry = self.all.entry(of).or_default();
        entry.0 = now;
        &mut entry.1
    }

    pub(super) fn get(&self, of: u64) -> Option<&T> {
        self.all.get(&of).map(|(_, thing)| thing)
    }

    /// The quarter unused for longest.
    fn forget(&mut self) {
        let mut times: Vec<(TimeNs, u64)> = self
            .all
            .iter()
            .map(|(of, (time, _))| (*time, *of))
            .collect();
        times.sort_unstable();
        for (_, of) in &times[..times.len() / 4] {
            self.all.remove(of);
        }
    }
}
