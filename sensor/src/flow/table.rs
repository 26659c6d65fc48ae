//! The flow table: merges each epoch's deltas into flows.

use std::collections::VecDeque;

use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, TimeNs, epoch_of},
    table::same,
};

use super::{
    Change, Emergency, FlowEndReason, FlowRecord, Note, Settings, Stats,
    boundary::{DueSlot, end_of},
    originator::originator,
    pressure::{Aggregate, Pressure},
    progress::{change, is_half_open, reached},
    settings::{epochs, nanoseconds},
    slot::{Slot, flow_id, has_syn, is_closing, words},
};
use crate::{
    bounded::{Index, Lists, Seed, prefetch},
    capture::{self, Epoch},
};

/// Packets at which a flow first becomes due while it lives.
pub(super) const FIRST_CHECKPOINT_PACKETS: u64 = 8;
/// How many deltas ahead the table asks the cache for a flow.
const AHEAD: usize = 6;

/// List of flows that wait for more packets or the idle timeout.
pub(super) const OPEN: usize = 0;
/// List of flows that wait for the end of the linger.
pub(super) const CLOSING: usize = 1;
/// List of half-open flows: as [`OPEN`], but the first to go when the table is pressed.
pub(super) const HALF_OPEN: usize = 2;
/// List of flows refused before they were complete: as [`CLOSING`], and as dispensable as those half open.
pub(super) const REFUSED: usize = 3;
/// In no list.
pub(super) const FREE: u8 = u8::MAX;

/// Bidirectional flows that live now.
///
/// Time moves in whole epochs, given from outside. For each epoch of the capture call [`Table::advance`] until it
/// answers `None` and then [`Table::merge`]; at the end [`Table::flush`]. The output depends on the deltas alone:
/// not on their order within an epoch, not on the hash seed, not on a clock.
#[derive(Debug)]
pub struct Table {
    pub(super) settings: Settings,
    pub(super) idle_epochs: Option<u64>,
    /// Of half-open flows while the table is pressed.
    pub(super) emergency_epochs: Option<u64>,
    pub(super) pressure: Pressure,
    pub(super) linger_epochs: Option<u64>,
    pub(super) active_ns: u64,
    pub(super) idle_ns: u64,
    pub(super) seed: Seed,
    pub(super) index: Index,
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    pub(super) lists: Lists<4>,
    /// Flows not yet due for the first time, in order of their first epoch; the id tells whether the slot was reused.
    pub(super) fresh: VecDeque<(u64, u32, u64)>,
    /// Flows that reached a checkpoint in the epoch being merged.
    pub(super) reached: Vec<(u32, u64)>,
    pub(super) due: Vec<DueSlot>,
    /// Records that ended while their slot was needed again.
    pub(super) replaced: Vec<(FlowRecord, Note)>,
    /// Of the records handed out in the last call, in their order.
    pub(super) notes: Vec<Note>,
    pub(super) order: Vec<(TimeNs, u32)>,
    pub(super) hashes: Vec<u64>,
    /// Order of an epoch's deltas, where they did not come in order.
    pub(super) sequence: Vec<u32>,
    /// Epoch that was processed last.
    pub(super) now: u64,
    pub(super) stats: Stats,
}

impl Table {
    /// An empty table. Reserves address space for [`Settings::capacity`] flows, uses memory as they come.
    pub fn new(settings: Settings) -> Self {
        Self::with_seed(settings, Seed::random())
    }

    fn with_seed(mut settings: Settings, seed: Seed) -> Self {
        settings.capacity = settings.capacity.clamp(1, 1 << 28);
        let capacity = settings.capacity;
        // Without an idle timeout nothing is in a hurry.
        let emergency = settings
            .emergency
            .filter(|_| settings.idle_timeout.is_some());
        let limits = emergency.map(|emergency| Emergency {
            half_open: emergency.half_open.clamp(1, (capacity / 2).max(1)),
            ..emergency
        });
        Self {
            emergency_epochs: epochs(emergency.map(|emergency| emergency.idle_timeout)),
            pressure: Pressure::new(limits),
            idle_epochs: epochs(settings.idle_timeout),
            linger_epochs: epochs(settings.close_linger),
            active_ns: nanoseconds(settings.active_timeout),
            idle_ns: nanoseconds(settings.idle_timeout),
            settings,
            seed,
            index: Index::new(capacity),
            slots: Vec::with_capacity(capacity as usize),
            free: Vec::new(),
            lists: Lists::new(capacity),
            fresh: VecDeque::new(),
            reached: Vec::new(),
            due: Vec::new(),
            replaced: Vec::new(),
            notes: Vec::new(),
            order: Vec::new(),
            hashes: Vec::new(),
            sequence: Vec::new(),
            now: 0,
            stats: Stats::default(),
        }
    }

    /// Flows that live now.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether no flow lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Flows that may live at once.
    pub fn capacity(&self) -> u32 {
        self.settings.capacity
    }

    /// What is known beside the records that the last call of [`Table::advance`], [`Table::merge`] or [`Table::flush`]
    /// handed out: one for each, in their order.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Running totals.
    pub fn stats(&self) -> Stats {
        Stats {
            aggregated: self.pressure.total,
            pressed: self.pressure.times,
            ..self.stats
        }
    }

    /// Flows in the table that were never completed: half open, or refused a moment ago.
    pub fn half_open(&self) -> u32 {
        self.lists.len(HALF_OPEN) + self.lists.len(REFUSED)
    }

    /// Whether half-open flows pour in, so that they expire sooner and not each of them gets a place.
    pub fn is_pressed(&self) -> bool {
        self.pressure.is_on()
    }

    /// Appends what got no place in the epoch merged last, by prefix. Every packet of an epoch's deltas is in a flow or in
    /// one of these.
    pub fn aggregates(&mut self, into: &mut Vec<Aggregate>) {
        self.pressure.take(into);
    }

    /// Merges the deltas of `epoch` in order of (first packet, key), writes one [`Change`] for each into `changes`
    /// (cleared first), and appends the flows due at the epoch's end to `due`, in the same order.
    pub fn merge(&mut self, epoch: &Epoch, changes: &mut Vec<Change>, due: &mut Vec<FlowRecord>) {
        debug_assert!(epoch.index >= self.now, "epochs do not go back");
        self.now = epoch.index;
        changes.clear();
        self.notes.clear();
        self.sequence.clear();
        if !capture::is_sorted(&epoch.flows) {
            // Sources sort; one that does not must not make evictions depend on the order of its hash table.
            let delta = |at: &u32| &epoch.flows[*at as usize];
            self.sequence.extend(0..epoch.flows.len() as u32);
            self.sequence
                .sort_unstable_by(|a, b| capture::order(delta(a), delta(b)));
        }
        let at = |position: usize, sequence: &[u32]| {
            sequence
                .get(position)
                .map_or(position, |&delta| delta as usize)
        };
        self.hashes.clear();
        for position in 0..epoch.flows.len() {
            let hash = self
                .seed
                .hash(&words(&epoch.flows[at(position, &self.sequence)].0));
            self.index.prefetch(hash);
            self.hashes.push(hash);
        }
        for position in 0..AHEAD {
            self.look_ahead(position);
        }
        for position in 0..epoch.flows.len() {
            self.look_ahead(position + AHEAD);
            let delta = at(position, &self.sequence);
            let (key, counters) = &epoch.flows[delta];
            let (originator, what) = self.merge_one(self.hashes[position], key, counters);
            changes.push(Change {
                delta: delta as u32,
                originator,
                what,
            });
        }
        self.boundary(due);
    }

    #[inline(always)]
    fn look_ahead(&self, delta: usize) {
        if let Some(&hash) = self.hashes.get(delta)
            && let Some(slot) = self.index.guess(hash)
        {
            self.lists.prefetch(slot);
            for line in 0..size_of::<Slot>() / 64 {
                prefetch(&self.slots, slot as usize, line * 64);
            }
        }
    }

    #[inline]
    fn merge_one(&mut self, hash: u64, key: &FlowKey, delta: &FlowCounters) -> (u8, u8) {
        let Some(slot) = self
            .index
            .find(hash, |slot| same(&self.slots[slot as usize].key, key))
        else {
            return self.begin(hash, key, delta, None);
        };
        let flow = &mut self.slots[slot as usize];
        let (first, last) = (flow.counters.first(), flow.counters.last());
        let start = delta.first();
        let list = usize::from(flow.list);
        // The flow may have ended before this delta: by its own close, by a gap, or by its length.
        let end = if matches!(list, CLOSING | REFUSED) && start > last && has_syn(delta) {
            Some(FlowEndReason::EndOfFlow)
        } else if start.saturating_sub(last) > self.idle_ns {
            Some(FlowEndReason::IdleTimeout)
        } else if start.saturating_sub(first) >= self.active_ns {
            Some(FlowEndReason::ActiveTimeout)
        } else {
            None
        };
        if let Some(reason) = end {
            let continued =
                (reason == FlowEndReason::ActiveTimeout).then_some((flow.originator, flow.reached));
            self.replace(slot, reason);
            return self.begin(hash, key, delta, continued);
        }
        account::merge(&mut flow.counters, delta);
        flow.unchanged = false;
        let now = reached(&flow.counters, usize::from(flow.originator));
        let what = now & !flow.reached;
        flow.reached |= now;
        let originator = flow.originator;
        self.lists.remove(list, slot);
        self.settle(slot);
        (originator, what)
    }

    /// Puts a flow that just got packets at the end of its list and sees whether it reached a checkpoint.
    #[inline]
    fn settle(&mut self, slot: u32) {
        let flow = &mut self.slots[slot as usize];
        let counters = &flow.counters;
        let closing = self.linger_epochs.is_some() && is_closing(counters);
        let lasts =
            counters.packets() >= FIRST_CHECKPOINT_PACKETS && epoch_of(counters.first()) < self.now;
        let half_open = !lasts && is_half_open(flow.key.protocol, counters, flow.reached);
        let list = match (half_open, closing) {
            (false, false) => OPEN,
            (false, true) => CLOSING,
            (true, false) => HALF_OPEN,
            (true, true) => REFUSED,
        };
        flow.list = list as u8;
        self.lists.push_back(usize::from(flow.list), slot, self.now);
        let age = end_of(self.now).saturating_sub(flow.counters.first());
        if self.settings.checkpoints
            && (flow.counters.packets() >= flow.next_packets || age >= flow.next_age)
        {
            self.reached.push((slot, flow.id));
        }
    }

    fn begin(
        &mut self,
        hash: u64,
        key: &FlowKey,
        delta: &FlowCounters,
        continued: Option<(u8, u8)>,
    ) -> (u8, u8) {
        let (side, before) = match continued {
            Some((side, reached)) => (usize::from(side), reached),
            None => (originator(key, delta), 0),
        };
        let now = reached(delta, side);
        if continued.is_none()
            && is_half_open(key.protocol, delta, now)
            && let Some(unkept) = self.pressure.turn_away(key, side, delta, self.half_open())
        {
            return (side as u8, change::BEGAN | now | unkept);
        }
        let flow = Slot {
            counters: *delta,
            key: *key,
            id: flow_id(key, delta.first()),
            next_packets: FIRST_CHECKPOINT_PACKETS,
            next_age: u64::MAX,
            checkpoint: 0,
            originator: side as u8,
            reached: before | now,
            list: FREE,
            unchanged: false,
        };
        let id = flow.id;
        let slot = self.room(flow);
        self.index.insert(hash, slot);
        self.settle(slot);
        if self.settings.checkpoints {
            self.fresh.push_back((self.now, slot, id));
        }
        self.stats.begun += 1;
        let began = if continued.is_some() {
            change::CONTINUED
        } else {
            change::BEGAN
        };
        (side as u8, began | now & !before)
    }

    fn room(&mut self, flow: Slot) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = flow;
            return slot;
        }
        if self.slots.len() < self.settings.capacity as usize {
            self.slots.push(flow);
            return self.slots.len() as u32 - 1;
        }
        let lists: &[usize] = if self.half_open() > self.pressure.kept() {
            &[REFUSED, HALF_OPEN]
        } else {
            &[CLOSING, OPEN, REFUSED, HALF_OPEN]
        };
        let victim = self.oldest(lists).expect("a full table has flows");
        self.replace(victim, FlowEndReason::LackOfResources);
        let slot = self.free.pop().expect("replacing frees a slot");
        self.slots[slot as usize] = flow;
        slot
    }

    /// The flow of these lists that has been idle longest.
    pub(super) fn oldest(&self, lists: &[usize]) -> Option<u32> {
        let fronts = lists.iter().filter_map(|list| self.lists.front(*list));
        fronts
            .min_by_key(|&(_, touched)| touched)
            .map(|(slot, _)| slot)
    }

    pub(super) fn unlink(&mut self, slot: u32) {
        let flow = &mut self.slots[slot as usize];
        self.lists.remove(usize::from(flow.list), slot);
        flow.list = FREE;
        let hash = self.seed.hash(&words(&flow.key));
        self.index.remove(hash, slot);
    }

    /// Ends a flow whose slot is needed at once.
    fn replace(&mut self, slot: u32, reason: FlowEndReason) {
        self.unlink(slot);
        self.stats.ended[reason as usize - 1] += 1;
        let record = self.record(slot, Some(reason));
        self.replaced.push((record, self.note(slot)));
        self.free.push(slot);
    }
}
