//! The decisions that are taken at the end of an epoch: which flows have ended, which are due while they live.

use std::iter;

use sensor_ebpf::flow::{EPOCH_SHIFT, TimeNs};

use super::{
    FlowEndReason, FlowRecord, Note, Table,
    table::{CLOSING, FIRST_CHECKPOINT_PACKETS, FREE, HALF_OPEN, OPEN, REFUSED},
};

/// Boundaries after its first packet at which a flow first becomes due: 1.07 s to 1.61 s old.
const FIRST_CHECKPOINT_EPOCHS: u64 = 2;

/// No boundary: epochs are times divided by 2^29, so none has this number.
const NEVER: u64 = u64::MAX;

/// Something due at this boundary that is still in its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueSlot {
    pub(super) first: TimeNs,
    pub(super) slot: u32,
    pub(super) end: Option<FlowEndReason>,
}

/// End of an epoch, the moment at which its decisions are taken. Time stamps can be anything that fits 64 bits.
#[inline]
pub(crate) const fn end_of(epoch: u64) -> TimeNs {
    (epoch << EPOCH_SHIFT).saturating_add(1 << EPOCH_SHIFT)
}

impl Table {
    /// Steps to the next boundary before `epoch` at which a flow is due, appends what is due there in order of
    /// (first packet, key), and answers that boundary's epoch; `None` when nothing more is due before `epoch`.
    pub fn advance(&mut self, epoch: u64, due: &mut Vec<FlowRecord>) -> Option<u64> {
        self.notes.clear();
        loop {
            let next = self.next_boundary().max(self.now);
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

    /// Ends every flow, for example because the capture has ended.
    pub fn flush(&mut self, reason: FlowEndReason, due: &mut Vec<FlowRecord>) {
        self.notes.clear();
        for list in [CLOSING, OPEN, HALF_OPEN, REFUSED] {
            while let Some((slot, _)) = self.lists.front(list) {
                self.end_in_place(slot, reason);
            }
        }
        self.fresh.clear();
        self.hand_out(due);
    }

    /// Ends a flow at a boundary; its slot stays until the record is handed out.
    #[inline(never)]
    fn end_in_place(&mut self, slot: u32, reason: FlowEndReason) {
        self.unlink(slot);
        self.stats.ended[reason as usize - 1] += 1;
        self.due.push(DueSlot {
            first: self.slots[slot as usize].counters.first(),
            slot,
            end: Some(reason),
        });
    }

    pub(super) fn record(&self, slot: u32, end: Option<FlowEndReason>) -> FlowRecord {
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

    pub(super) fn note(&self, slot: u32) -> Note {
        Note {
            slot,
            unchanged: self.slots[slot as usize].unchanged,
        }
    }

    /// The earliest boundary at which something may be due; [`NEVER`] where nothing waits.
    fn next_boundary(&self) -> u64 {
        let ends = |list: usize, after: Option<u64>| match (self.lists.front(list), after) {
            (Some((_, touched)), Some(after)) => touched.saturating_add(after),
            _ => NEVER,
        };
        let fresh = match self.fresh.front() {
            Some(&(began, ..)) => began + FIRST_CHECKPOINT_EPOCHS,
            None => NEVER,
        };
        // Under pressure each epoch's end decides something, whether packets came or not.
        let pressed = if self.is_pressed() {
            self.now.saturating_add(1)
        } else {
            NEVER
        };
        ends(OPEN, self.idle_epochs)
            .min(ends(HALF_OPEN, self.idle_epochs))
            .min(ends(CLOSING, self.linger_epochs))
            .min(ends(REFUSED, self.linger_epochs))
            .min(fresh)
            .min(pressed)
    }

    /// Takes the decisions of the end of epoch `self.now`.
    pub(super) fn boundary(&mut self, due: &mut Vec<FlowRecord>) {
        let half_open = match (self.is_pressed(), self.idle_epochs, self.emergency_epochs) {
            (true, Some(idle), Some(emergency)) => Some(idle.min(emergency)),
            _ => self.idle_epochs,
        };
        self.expire(CLOSING, self.linger_epochs, FlowEndReason::EndOfFlow);
        self.expire(REFUSED, self.linger_epochs, FlowEndReason::EndOfFlow);
        self.expire(OPEN, self.idle_epochs, FlowEndReason::IdleTimeout);
        self.expire(HALF_OPEN, half_open, FlowEndReason::IdleTimeout);
        self.relieve();
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

    /// Ends the flows of a list that have waited for so many epochs.
    #[inline(always)]
    fn expire(&mut self, list: usize, after: Option<u64>, reason: FlowEndReason) {
        let Some(after) = after else { return };
        while let Some((slot, touched)) = self.lists.front(list)
            && touched.saturating_add(after) <= self.now
        {
            let ordinary = self.idle_epochs.unwrap_or(u64::MAX);
            self.stats.hurried +=
                u64::from(list == HALF_OPEN && touched.saturating_add(ordinary) > self.now);
            self.end_in_place(slot, reason);
        }
    }

    /// Under pressure: ends half-open flows beyond those that are kept, oldest first, and sees whether it is over.
    fn relieve(&mut self) {
        if self.is_pressed() {
            for _ in 0..self.pressure.ended_at_once() {
                if self.half_open() <= self.pressure.kept() {
                    break;
                }
                let Some(slot) = self.oldest(&[REFUSED, HALF_OPEN]) else {
                    break;
                };
                self.stats.hurried += 1;
                self.end_in_place(slot, FlowEndReason::LackOfResources);
            }
        }
        self.pressure.end_epoch(self.half_open(), self.idle_epochs);
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
                .map(|(record, _)| record.start())
                .zip(in_slots as u32..),
        );
        let key = |entry: u32| match self.replaced.get((entry as usize).wrapping_sub(in_slots)) {
            Some((record, _)) => &record.key,
            None => &self.slots[self.due[entry as usize].slot as usize].key,
        };
        self.order
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        due.reserve(self.order.len());
        for at in 0..self.order.len() {
            let entry = self.order[at].1 as usize;
            if let Some((record, note)) = self.replaced.get(entry.wrapping_sub(in_slots)) {
                due.push(record.clone());
                self.notes.push(*note);
                continue;
            }
            let DueSlot { slot, end, .. } = self.due[entry];
            // Made where it stays, not made and then moved.
            due.extend(iter::once_with(|| self.record(slot, end)));
            self.notes.push(self.note(slot));
            if end.is_some() {
                self.free.push(slot);
            } else {
                self.stats.checkpoints += 1;
                let flow = &mut self.slots[slot as usize];
                flow.checkpoint += 1;
                flow.unchanged = true;
            }
        }
        self.due.clear();
        self.replaced.clear();
    }
}
