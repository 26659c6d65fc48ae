//! What found no room in the budget: not told, and passed on to who keeps everything.

use std::collections::BTreeSet;

use super::Place;

/// Incidents whose numbers are passed on, at most: beyond, the oldest stay as they were.
const KEPT: usize = 1024;
/// Those that are new and answered at once, at most: the strongest.
const AT_ONCE: usize = 64;

/// Incidents that are not told, by serial number, and those among them that came when it was asked last.
#[derive(Debug, Default)]
pub(super) struct Untold {
    all: BTreeSet<u64>,
    newly: Vec<(u64, Place)>,
}

impl Untold {
    /// It is asked again.
    pub(super) fn begin(&mut self) {
        self.newly.clear();
    }

    /// Notes one; by evidence, so that the strongest find room. Whether it did.
    pub(super) fn keep(&mut self, serial: u64, place: Place) -> bool {
        if self.all.contains(&serial) {
            return true;
        }
        if self.newly.len() >= AT_ONCE {
            return false;
        }
        self.newly.push((serial, place));
        self.all.insert(serial);
        if self.all.len() > KEPT {
            self.all.pop_first();
        }
        true
    }

    /// It is told.
    pub(super) fn forget(&mut self, serial: u64) {
        self.all.remove(&serial);
    }

    /// Those that came when it was asked last, by evidence.
    pub(super) fn newly(&self) -> &[(u64, Place)] {
        &self.newly
    }

    pub(super) fn has(&self, serial: u64) -> bool {
        self.all.contains(&serial)
    }
}
