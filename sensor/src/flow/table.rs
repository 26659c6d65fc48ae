//! The flow table: merges each epoch's deltas and says at its end which flows are due.

use std::{collections::VecDeque, time::Duration};

use sensor_ebpf::{
    account,
    flow::{EPOCH_SHIFT, FlowCounters, FlowKey, Side, TimeNs, seen},
};

use super::{FlowEndReason, FlowRecord, originator::originator};
use crate::{
    bounded::{Index, Lists, Seed, fixed_hash, prefetch},
    capture::Epoch,
};

/// When flows end, and how many may live. `None` switches that way of ending off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A flow without a packet for this long has ended; a later packet begins another.
    pub idle_timeout: Option<Duration>,
    /// A flow that lasts longer is cut into records of this length.
    pub active_timeout: Option<Duration>,
    /// How long a closed TCP connection (RST, or FIN from both sides) waits for stragglers.
    pub close_linger: Option<Duration>,
    /// Flows that may live at once; one more ends the flow that has been idle longest.
    pub capacity: u32,
    /// Whether flows become due while they live, not only when they end.
    pub checkpoints: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(120)),
            active_timeout: Some(Duration::from_secs(1800)),
            close_linger: Some(Duration::from_secs(5)),
            capacity: 1 << 18,
            checkpoints: true,
        }
    }
}

impl Settings {
    /// Nothing ever ends a flow but the end of the capture (or a full table): one record per key.
    pub fn no_expiry() -> Self {
        Self {
            idle_timeout: None,
            active_timeout: None,
            close_linger: None,
            ..Self::default()
        }
    }
}

/// Bits of [`Change::what`]: what a flow did for the first time in this epoch.
pub mod change {
    /// The flow (or its record, after an active timeout) began.
    pub const BEGAN: u8 = 1 << 0;
    /// The originator sent its first SYN.
    pub const ATTEMPTED: u8 = 1 << 1;
    /// The responder sent its first packet.
    pub const ANSWERED: u8 = 1 << 2;
    /// The originator answered the responder's part of a handshake that it had begun with SYN.
    pub const ESTABLISHED: u8 = 1 << 3;
    /// The responder sent RST before anything else.
    pub const REJECTED: u8 = 1 << 4;
    /// The record goes on from one that the active timeout closed: [`BEGAN`] is not set again.
    pub const CONTINUED: u8 = 1 << 5;
}

/// What one delta of an epoch meant for its flow: what the context needs to absorb the delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the delta in [`Epoch::flows`].
    pub delta: u32,
    /// Originator side of its flow.
    pub originator: u8,
    /// [`change`] bits.
    pub what: u8,
}

/// Running totals of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records begun.
    pub begun: u64,
    /// Records ended, by [`FlowEndReason`] minus 1.
    pub ended: [u64; 5],
    /// Checkpoints handed out.
    pub checkpoints: u64,
}

impl Stats {
    /// Records ended for `reason`.
    pub const fn ended(&self, reason: FlowEndReason) -> u64 {
        self.ended[reason as usize - 1]
    }
}

/// Packets at which a flow first becomes due while it lives.
const FIRST_CHECKPOINT_PACKETS: u64 = 8;
/// Boundaries after its first packet at which a flow first becomes due: 1.07 s to 1.61 s old.
const FIRST_CHECKPOINT_EPOCHS: u64 = 2;
/// How many deltas ahead the table asks the cache for a flow.
const AHEAD: usize = 6;

const OPEN: usize = 0;
const CLOSING: usize = 1;
const FREE: u8 = u8::MAX;

/// A live flow. Five cache lines.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot {
    counters: FlowCounters,
    key: FlowKey,
    id: u64,
    /// Packets at which the next checkpoint is due.
    next_packets: u64,
    /// Age at which the next checkpoint is due, nanoseconds.
    next_age: u64,
    checkpoint: u32,
    originator: u8,
    /// [`change`] bits reached so far.
    reached: u8,
    list: u8,
}

const _: () = assert!(size_of::<Slot>() == 320);

/// Something due at this boundary that is still in its slot.
#[derive(Clone, Copy, Debug)]
struct DueSlot {
    first: TimeNs,
    slot: u32,
    end: Option<FlowEndReason>,
}

/// Bidirectional flows that live now.
///
/// Time moves in whole epochs, given from outside. For each epoch of the capture call [`Table::advance`] until it
/// answers `None` and then [`Table::merge`]; at the end [`Table::flush`]. The output depends on the deltas alone:
/// not on their order within an epoch, not on the hash seed, not on a clock.
#[derive(Debug)]
pub struct Table {
    settings: Settings,
    idle_epochs: Option<u64>,
    linger_epochs: Option<u64>,
    active_ns: u64,
    idle_ns: u64,
    seed: Seed,
    index: Index,
    slots: Vec<Slot>,
    free: Vec<u32>,
    lists: Lists<2>,
    /// Flows not yet due for the first time, in order of their first epoch; the id tells whether the slot was reused.
    fresh: VecDeque<(u64, u32, u64)>,
    /// Flows that reached a checkpoint in the epoch being merged.
    reached: Vec<(u32, u64)>,
    due: Vec<DueSlot>,
    /// Records that ended while their slot was needed again.
    replaced: Vec<FlowRecord>,
    order: Vec<(TimeNs, u32)>,
    hashes: Vec<u64>,
    /// Epoch that was processed last.
    now: u64,
    stats: Stats,
}

/// End of an epoch, the moment at which its decisions are taken.
#[inline]
const fn end_of(epoch: u64) -> TimeNs {
    (epoch + 1) << EPOCH_SHIFT
}

fn nanoseconds(duration: Option<Duration>) -> u64 {
    duration.map_or(u64::MAX, |duration| {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Boundaries after the last packet until `duration` has surely passed; at least one.
fn epochs(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| {
        nanoseconds(Some(duration))
            .div_ceil(1 << EPOCH_SHIFT)
            .max(1)
    })
}

#[inline(always)]
fn words(key: &FlowKey) -> [u64; 5] {
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    let [a, b] = &key.addresses;
    let rest = u64::from(key.ports[0])
        | u64::from(key.ports[1]) << 16
        | u64::from(key.protocol) << 32
        | u64::from(key.later_fragment) << 40;
    [
        word(&a[..8]),
        word(&a[8..]),
        word(&b[..8]),
        word(&b[8..]),
        rest,
    ]
}

/// The flow's id: the same on every machine, big-endian reading of the addresses or not.
fn flow_id(key: &FlowKey, first: TimeNs) -> u64 {
    let [a, b, c, d, rest] = words(key);
    fixed_hash(&[
        u64::from_be(a),
        u64::from_be(b),
        u64::from_be(c),
        u64::from_be(d),
        rest,
        first,
    ])
}

fn reached(counters: &FlowCounters, originator: Side) -> u8 {
    let (orig, resp) = (
        &counters.halves[originator],
        &counters.halves[1 - originator],
    );
    let opened = seen::SYN_ACK | seen::DATA;
    let mut what = 0;
    if orig.seen & seen::SYN != 0 {
        what |= change::ATTEMPTED;
    }
    if resp.packets > 0 {
        what |= change::ANSWERED;
        let acknowledged = orig.seen & (seen::PURE_ACK | seen::DATA) != 0;
        if what & change::ATTEMPTED != 0 && resp.seen & opened != 0 && acknowledged {
            what |= change::ESTABLISHED;
        }
        if resp.seen & seen::RST != 0 && resp.seen & opened == 0 {
            what |= change::REJECTED;
        }
    }
    what
}

fn is_closing(counters: &FlowCounters) -> bool {
    let [a, b] = counters.halves.each_ref().map(|half| half.seen);
    (a | b) & seen::RST != 0 || a & b & seen::FIN != 0
}

fn has_syn(counters: &FlowCounters) -> bool {
    (counters.halves[0].seen | counters.halves[1].seen) & seen::SYN != 0
}

impl Table {
    /// An empty table. Reserves address space for [`Settings::capacity`] flows, uses memory as they come.
    pub fn new(settings: Settings) -> Self {
        Self::with_seed(settings, Seed::random())
    }

    fn with_seed(mut settings: Settings, seed: Seed) -> Self {
        settings.capacity = settings.capacity.clamp(1, 1 << 28);
        let capacity = settings.capacity;
        Self {
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
            order: Vec::new(),
            hashes: Vec::new(),
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

    /// Running totals.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Steps to the next boundary before `epoch` at which a flow is due, appends what is due there in order of
    /// (first packet, key), and answers that boundary's epoch; `None` when nothing more is due before `epoch`.
    pub fn advance(&mut self, epoch: u64, due: &mut Vec<FlowRecord>) -> Option<u64> {
        loop {
            let next = self.next_boundary()?.max(self.now);
            if next >= epoch {
                return None;
            }
            self.now = next;
            let before = due.len();
            self.boundary(due);
            // A boundary can turn out empty: the flow that waited for it was already due by its packets.
            if due.len() > before {
                return Some(next);
            }
        }
    }

    /// Merges the deltas of `epoch`, writes one [`Change`] for each into `changes` (cleared first), and appends the
    /// flows due at the epoch's end to `due`, in order of (first packet, key).
    pub fn merge(&mut self, epoch: &Epoch, changes: &mut Vec<Change>, due: &mut Vec<FlowRecord>) {
        debug_assert!(epoch.index >= self.now, "epochs do not go back");
        self.now = epoch.index;
        changes.clear();
        self.hashes.clear();
        for (key, _) in &epoch.flows {
            let hash = self.seed.hash(&words(key));
            self.index.prefetch(hash);
            self.hashes.push(hash);
        }
        for (delta, (key, counters)) in epoch.flows.iter().enumerate() {
            self.look_ahead(delta + AHEAD);
            let (originator, what) = self.merge_one(self.hashes[delta], key, counters);
            changes.push(Change {
                delta: delta as u32,
                originator,
                what,
            });
        }
        self.boundary(due);
    }

    /// Ends every flow, for example because the capture has ended.
    pub fn flush(&mut self, reason: FlowEndReason, due: &mut Vec<FlowRecord>) {
        for list in [CLOSING, OPEN] {
            while let Some((slot, _)) = self.lists.front(list) {
                self.end_in_place(slot, reason);
            }
        }
        self.fresh.clear();
        self.hand_out(due);
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
            .find(hash, |slot| self.slots[slot as usize].key == *key)
        else {
            return self.begin(hash, key, delta, None);
        };
        let flow = &mut self.slots[slot as usize];
        let (first, last) = (flow.counters.first(), flow.counters.last());
        let start = delta.first();
        let list = usize::from(flow.list);
        // The flow may have ended before this delta: by its own close, by a gap, or by its length.
        let end = if list == CLOSING && start > last && has_syn(delta) {
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
        let closing = self.linger_epochs.is_some() && is_closing(&flow.counters);
        flow.list = if closing { CLOSING as u8 } else { OPEN as u8 };
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
        let oldest = [CLOSING, OPEN]
            .into_iter()
            .filter_map(|list| self.lists.front(list));
        let (victim, _) = oldest
            .min_by_key(|&(_, touched)| touched)
            .expect("a full table has flows");
        self.replace(victim, FlowEndReason::LackOfResources);
        let slot = self.free.pop().expect("replacing frees a slot");
        self.slots[slot as usize] = flow;
        slot
    }

    fn unlink(&mut self, slot: u32) {
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
        self.replaced.push(record);
        self.free.push(slot);
    }

    /// Ends a flow at a boundary; its slot stays until the record is handed out.
    fn end_in_place(&mut self, slot: u32, reason: FlowEndReason) {
        self.unlink(slot);
        self.stats.ended[reason as usize - 1] += 1;
        self.due.push(DueSlot {
            first: self.slots[slot as usize].counters.first(),
            slot,
            end: Some(reason),
        });
    }

    fn record(&self, slot: u32, end: Option<FlowEndReason>) -> FlowRecord {
        let flow = &self.slots[slot as usize];
        FlowRecord {
            id: flow.id,
            key: flow.key,
            originator: usize::from(flow.originator),
            counters: flow.counters,
            end,
            checkpoint: flow.checkpoint,
            due: end_of(self.now),
        }
    }

    /// The earliest boundary at which something may be due.
    fn next_boundary(&self) -> Option<u64> {
        let ends = |list: usize, after: Option<u64>| {
            let (_, touched) = self.lists.front(list)?;
            Some(touched.saturating_add(after?))
        };
        let fresh = self
            .fresh
            .front()
            .map(|&(began, ..)| began + FIRST_CHECKPOINT_EPOCHS);
        [
            ends(OPEN, self.idle_epochs),
            ends(CLOSING, self.linger_epochs),
            fresh,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes the decisions of the end of epoch `self.now`.
    fn boundary(&mut self, due: &mut Vec<FlowRecord>) {
        let timeouts = [
            (CLOSING, self.linger_epochs, FlowEndReason::EndOfFlow),
            (OPEN, self.idle_epochs, FlowEndReason::IdleTimeout),
        ];
        for (list, after, reason) in timeouts {
            let Some(after) = after else { continue };
            while let Some((slot, touched)) = self.lists.front(list)
                && touched.saturating_add(after) <= self.now
            {
                self.end_in_place(slot, reason);
            }
        }
        while let Some(&(began, slot, id)) = self.fresh.front()
            && began + FIRST_CHECKPOINT_EPOCHS <= self.now
        {
            self.fresh.pop_front();
            let flow = &self.slots[slot as usize];
            if flow.id == id
                && flow.list != FREE
                && flow.checkpoint == 0
                && flow.next_age == u64::MAX
            {
                self.reached.push((slot, id));
            }
        }
        self.checkpoint_reached();
        self.hand_out(due);
    }

    fn checkpoint_reached(&mut self) {
        let mut reached = std::mem::take(&mut self.reached);
        let now = end_of(self.now);
        for (slot, id) in reached.drain(..) {
            let flow = &mut self.slots[slot as usize];
            let age = now.saturating_sub(flow.counters.first());
            let packets = flow.counters.packets();
            // Reused since, or twice in the list: marks are set below, so the second finds nothing reached.
            let again =
                flow.next_age != u64::MAX && packets < flow.next_packets && age < flow.next_age;
            if flow.id != id || flow.list == FREE || again {
                continue;
            }
            flow.next_packets = packets.max(FIRST_CHECKPOINT_PACKETS / 2) * 2;
            flow.next_age = age.saturating_mul(2);
            self.due.push(DueSlot {
                first: flow.counters.first(),
                slot,
                end: None,
            });
        }
        self.reached = reached;
    }

    /// Appends everything due in order of (first packet, key) and frees the slots of what ended.
    fn hand_out(&mut self, due: &mut Vec<FlowRecord>) {
        if self.due.is_empty() && self.replaced.is_empty() {
            return;
        }
        let in_slots = self.due.len();
        self.order.clear();
        self.order
            .extend(self.due.iter().map(|entry| entry.first).zip(0..));
        self.order.extend(
            self.replaced
                .iter()
                .map(|record| record.start())
                .zip(in_slots as u32..),
        );
        let key = |entry: u32| match self.replaced.get((entry as usize).wrapping_sub(in_slots)) {
            Some(record) => &record.key,
            None => &self.slots[self.due[entry as usize].slot as usize].key,
        };
        self.order
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        due.reserve(self.order.len());
        for at in 0..self.order.len() {
            let entry = self.order[at].1 as usize;
            if let Some(record) = self.replaced.get(entry.wrapping_sub(in_slots)) {
                due.push(record.clone());
                continue;
            }
            let DueSlot { slot, end, .. } = self.due[entry];
            due.push(self.record(slot, end));
            if end.is_some() {
                self.free.push(slot);
            } else {
                self.stats.checkpoints += 1;
                self.slots[slot as usize].checkpoint += 1;
            }
        }
        self.due.clear();
        self.replaced.clear();
    }
}
