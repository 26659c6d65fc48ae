//! What may be learned, and when: ordinary rows at once, unusual ones only after they have come again for hours, rows of
//! attacks never.

use std::collections::{BTreeMap, BTreeSet};

use sensor_ebpf::flow::TimeNs;

use super::reservoir::{Host, Values};
use crate::{
    features::model_row,
    score::{Scored, is_attack},
};

/// What separates a new habit from an attack that would like to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A habit comes back in at least so many different hours.
    pub hours: usize,
    /// Hosts that attacked teach nothing for so long after.
    pub banned_ns: u64,
    /// Unusual rows that are held of one habit, at most.
    pub rows: usize,
    /// Habits that are watched, at most.
    pub habits: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hours: 4,
            banned_ns: 24 * HOUR_NS,
            rows: 64,
            habits: 1024,
        }
    }
}

const HOUR_NS: u64 = 3_600_000_000_000;
/// Banned hosts that are remembered, at most: beyond, the one that attacked longest ago is pardoned.
const BANNED: usize = 65_536;

/// Whether a flow is part of something that nobody does by accident.
pub(super) fn attacks(scored: &Scored) -> bool {
    scored.kind.is_some_and(|kind| !kind.is_mild())
}

/// Who does it, to whom, by which service.
type Habit = (Host, Host, u16);

#[derive(Debug, Default)]
struct Held {
    hours: BTreeSet<u64>,
    rows: Vec<(TimeNs, Box<Values>)>,
    unusual: u64,
    ordinary: u64,
    last: TimeNs,
}

/// What may be done with a row.
#[derive(Debug, PartialEq)]
pub enum Lesson {
    /// Learn it.
    Learn,
    /// Learn it and these, which waited to be sure: it is a habit.
    Habit(Vec<(TimeNs, Box<Values>)>),
    /// Not yet.
    Wait,
    /// Never.
    Never,
}

/// Rows that wait, and hosts that teach nothing.
#[derive(Debug)]
pub struct Quarantine {
    patience: Patience,
    habits: BTreeMap<Habit, Held>,
    banned: BTreeMap<Host, TimeNs>,
}

impl Quarantine {
    /// Empty.
    pub const fn new(patience: Patience) -> Self {
        Self {
            patience,
            habits: BTreeMap::new(),
            banned: BTreeMap::new(),
        }
    }

    /// Bars a host: what it did so far unusually is thrown away, and it teaches nothing for a while.
    pub fn ban(&mut self, host: Host, now: TimeNs) {
        self.habits.retain(|habit, _| habit.0 != host);
        self.banned.insert(host, now);
        if self.banned.len() > BANNED
            && let Some(oldest) = self.banned.iter().min_by_key(|(_, since)| **since)
        {
            let oldest = *oldest.0;
            self.banned.remove(&oldest);
        }
    }

    /// What may be done with this row.
    pub fn judge(&mut self, scored: &Scored) -> Lesson {
        let record = &scored.record;
        let now = record.due;
        let source = record.key.addresses[record.originator];
        if let Some(since) = self.banned.get(&source) {
            if now.saturating_sub(*since) < self.patience.banned_ns {
                return Lesson::Never;
            }
            self.banned.remove(&source);
        }
        if attacks(scored) || is_attack(record, &scored.row) {
            return Lesson::Never;
        }
        let target = record.key.addresses[record.responder()];
        let habit = (source, target, record.destination_port());
        if !scored.unusual && scored.kind.is_none() {
            // Where much is unusual, what just passes as ordinary is the same thing, and waits with it.
            return match self.habits.get_mut(&habit) {
                Some(held) if held.hours.len() < self.patience.hours => {
                    held.ordinary += 1;
                    if held.unusual * 4 > held.ordinary {
                        Lesson::Wait
                    } else {
                        Lesson::Learn
                    }
                }
                _ => Lesson::Learn,
            };
        }
        if !self.habits.contains_key(&habit) && self.habits.len() >= self.patience.habits {
            let stalest = self.habits.iter().min_by_key(|(_, held)| held.last);
            if let Some(stalest) = stalest.map(|(habit, _)| *habit) {
                self.habits.remove(&stalest);
            }
        }
        let held = self.habits.entry(habit).or_default();
        held.last = now;
        held.unusual += 1;
        held.hours.insert(now / HOUR_NS);
        if held.hours.len() >= self.patience.hours {
            // What is a habit stays one; only the hours are bounded.
            while held.hours.len() > self.patience.hours {
                held.hours.pop_first();
            }
            return Lesson::Habit(std::mem::take(&mut held.rows));
        }
        if held.rows.len() < self.patience.rows {
            held.rows.push((now, Box::new(model_row(&scored.row))));
        }
        Lesson::Wait
    }

    /// Rows that wait.
    pub fn len(&self) -> usize {
        self.habits.values().map(|held| held.rows.len()).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
