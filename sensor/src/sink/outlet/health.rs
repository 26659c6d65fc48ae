//! How each sink is: for metrics, and for whoever looks at all of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::level::Level;
use crate::{
    metrics::{Id, Metrics},
    time,
};

/// How one sink is.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Label of its metrics.
    pub sink: &'static str,
    /// Its name among those of its kind, which is also its folder.
    pub name: String,
    /// Where it delivers to.
    pub target: String,
    /// Whether the last delivery succeeded; true before the first.
    pub is_up: bool,
    /// What the last failure was, until a delivery succeeds.
    pub why: Option<String>,
    /// When something was delivered last, wall clock.
    pub last_success_ns: Option<u64>,
    /// Parcels delivered since the start.
    pub delivered: u64,
    /// Failed tries.
    pub retries: u64,
    /// Parcels refused for good.
    pub dead: u64,
    /// What waits.
    pub level: Level,
}

/// Every sink with its standing; a clone is the same board.
#[derive(Clone)]
pub struct Board {
    metrics: Metrics,
    standings: Arc<Mutex<BTreeMap<String, Standing>>>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Board").field(&self.standings).finish()
    }
}

impl Board {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            standings: Arc::default(),
        }
    }

    /// All of them, by name.
    pub fn standings(&self) -> Vec<Standing> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn add(&self, sink: &'static str, name: &str, target: &str, level: Level) -> Health {
        self.lock().insert(
            name.to_owned(),
            Standing {
                sink,
                name: name.to_owned(),
                target: target.to_owned(),
                is_up: true,
                why: None,
                last_success_ns: None,
                delivered: 0,
                retries: 0,
                dead: 0,
                // What was lost to damage before is counted below.
                level: Level::default(),
            },
        );
        let health = Health {
            board: self.clone(),
            sink,
            name: name.to_owned(),
            fault: Arc::default(),
        };
        health.level(level);
        health
    }

    /// Takes sinks of these names off the board; their counters stay, and what they say later goes nowhere.
    pub(super) fn remove(&self, names: &[String]) {
        let mut standings = self.lock();
        let removed: Vec<_> = names
            .iter()
            .filter_map(|name| standings.remove(name))
            .collect();
        for one in removed {
            self.show(&standings, one.sink);
        }
    }

    /// Brings the gauges of all sinks of a kind in line.
    fn show(&self, standings: &BTreeMap<String, Standing>, sink: &'static str) {
        let (mut is_up, mut memory, mut disk, mut parcels) = (true, 0, 0, 0);
        for one in standings.values().filter(|one| one.sink == sink) {
            is_up &= one.is_up;
            memory += one.level.memory_bytes;
            disk += one.level.disk_bytes;
            parcels += one.level.parcels;
        }
        let metrics = &self.metrics;
        metrics.set(Id::SinkUp, &[sink], f64::from(u8::from(is_up)));
        metrics.set(Id::SinkSpoolBytes, &[sink, "memory"], memory as f64);
        metrics.set(Id::SinkSpoolBytes, &[sink, "disk"], disk as f64);
        metrics.set(Id::SinkSpoolParcels, &[sink], parcels as f64);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line of one sink on the board.
#[derive(Clone, Debug)]
pub(super) struct Health {
    board: Board,
    sink: &'static str,
    name: String,
    /// The fault of the disk that was told last.
    fault: Arc<Mutex<String>>,
}

impl Health {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// So many more were delivered; whether it was down before.
    pub(super) fn delivered(&self, count: usize, level: Level) -> bool {
        let was_down = self.change(level, |standing| {
            standing.delivered += count as u64;
            standing.last_success_ns = Some(time::now());
            standing.why = None;
            !std::mem::replace(&mut standing.is_up, true)
        });
        let metrics = &self.board.metrics;
        let labels = [self.sink, "delivered"];
        metrics.add(Id::SinkParcelsTotal, &labels, count as f64);
        metrics.set(
            Id::SinkLastSuccessTimestampSeconds,
            &[self.sink],
            time::now() as f64 / 1e9,
        );
        was_down
    }

    /// A try failed; whether it was up before, or fails for another reason now.
    pub(super) fn failed(&self, why: &str, level: Level) -> bool {
        let metrics = &self.board.metrics;
        metrics.add(Id::SinkRetriesTotal, &[self.sink], 1.0);
        self.change(level, |standing| {
            standing.retries += 1;
            let is_news = standing.why.as_deref() != Some(why);
            standing.why = Some(why.to_owned());
            std::mem::replace(&mut standing.is_up, false) && is_news
        })
    }

    /// A parcel was refused for good.
    pub(super) fn dead(&self) {
        let metrics = &self.board.metrics;
        metrics.add(Id::SinkParcelsTotal, &[self.sink, "dead"], 1.0);
        if let Some(standing) = self.board.lock().get_mut(&self.name) {
            standing.dead += 1;
        }
    }

    /// What waits now.
    pub(super) fn level(&self, level: Level) {
        self.change(level, |_| ());
    }

    /// Whether this is not what was told last.
    pub(super) fn is_first_fault(&self, fault: &str) -> bool {
        let mut told = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = *told != fault;
        fault.clone_into(&mut told);
        is_first
    }

    /// Changes the standing and brings the metrics of all sinks of this kind in line with it.
    fn change<T: Default>(&self, level: Level, change: impl FnOnce(&mut Standing) -> T) -> T {
        let mut standings = self.board.lock();
        let Some(standing) = standings.get_mut(&self.name) else {
            return T::default();
        };
        let result = change(standing);
        let before = standing.level.lost;
        // Keeper and courier both tell; what one saw earlier may come later.
        let lost = before.at_least(level.lost);
        standing.level = Level { lost, ..level };
        let metrics = &self.board.metrics;
        for (reason, now, before) in [
            ("full", lost.full, before.full),
            ("disk", lost.disk, before.disk),
            ("damaged", lost.damaged, before.damaged),
        ] {
            if now > before {
                let more = (now - before) as f64;
                metrics.add(Id::SinkParcelsTotal, &[self.sink, "lost"], more);
                metrics.add(Id::SinkLostParcelsTotal, &[self.sink, reason], more);
            }
        }
        self.board.show(&standings, self.sink);
        result
    }
}
