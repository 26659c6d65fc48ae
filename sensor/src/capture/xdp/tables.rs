//! The kernel's flow tables seen from the agent: two per CPU, and a spare for each CPU.
//!
//! An epoch that is over is drained in three steps. Empty spares go into the slots of its parity. Once no program
//! runs that might have seen the old tables there, they and the ledgers of that parity stand still, and are read where
//! they lie, in memory that kernel and agent share. Then they are the spares: what is in them counts for nothing in the
//! generation that they are given next. Packets of the running epoch, which have the other parity, never notice.
//!
//! A table that fills before its epoch is over is swapped and read early; what it held waits for the rest of the epoch. The
//! parts merge exactly, because the packets of one CPU lie in one part or the other, earlier and later.

use std::{
    os::fd::AsFd as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use aya::{
    Ebpf, Pod,
    maps::{Map, MapData, PerCpuArray},
};
use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, epoch_of, quality},
    maps::{self, Hook, HookState, Ledger, hook_index, table_index},
    table::{Entry, Fill, Slotted},
};

use super::{Copies, XdpError, assembly::Assembly, bpf::Grace, mapped::Mapped, shape::Shape};
use crate::capture::{Epoch, FragmentCounts};

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Flows read, before those of several CPUs were merged.
    pub entries: u64,
    /// Flows in the fullest table.
    pub fullest: u64,
    /// Flows whose table had been drained an epoch late.
    pub late: u64,
    /// Packets in no counter; 0, or a defect.
    pub unaccounted: i64,
    /// How often tables were emptied before the epoch was over, because they filled.
    pub early: u32,
    /// From the swap of the tables to the sorted epoch.
    pub took: Duration,
}

/// The tables, what says which of them are in use, and the ledgers.
pub(super) struct Tables {
    shape: Shape,
    slots: Mapped<u64>,
    fills: Mapped<Fill>,
    flows: Mapped<Entry>,
    grace: Grace,
    states: PerCpuArray<MapData, HookState>,
    /// What is in the slots, by [`table_index`].
    slotted: Vec<Slotted>,
    /// One for each CPU, at rest.
    spares: Vec<u32>,
    /// The last that was begun.
    generation: u32,
    assembly: Assembly,
    /// What the ledgers said at the last drain, by [`hook_index`].
    before: [Ledger; maps::HOOK_STATES_LENGTH],
    totals: [Ledger; Hook::ALL.len()],
    /// What the ledgers and the flows of each parity differed by when a late drain read them while packets were
    /// being counted into them. The next drain that finds them at rest has to make up for it.
    carried: [i64; 2],
    /// What was read early, by parity.
    pending: [Pending; 2],
    /// How many flows that may be.
    early_flows_max: usize,
}

/// Flows of an epoch that is not over, read because their table filled.
#[derive(Default)]
struct Pending {
    flows: Vec<Entry>,
    /// How often.
    times: u32,
}

/// A table that no program uses any more.
#[derive(Clone, Copy, Debug)]
struct AtRest {
    table: u32,
    /// Entries in use.
    count: u32,
}

impl Tables {
    pub(super) fn new(
        object: &mut Ebpf,
        shape: Shape,
        early_flows_max: usize,
    ) -> Result<Self, XdpError> {
        let states = object
            .take_map(maps::HOOK_STATES)
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or(XdpError::Object {
                what: "the ledgers are missing",
            })?;
        // The index is the program's alone.
        let mut tables = Self {
            slots: mapped(object, maps::FLOW_SLOTS, shape.slots())?,
            fills: mapped(object, maps::FLOW_FILLS, shape.tables())?,
            flows: mapped(object, maps::FLOWS, shape.entries())?,
            grace: Grace::new().map_err(failed("create what to wait for programs by"))?,
            states,
            slotted: Vec::new(),
            spares: Vec::new(),
            generation: 1,
            assembly: Assembly::default(),
            before: [Ledger::default(); maps::HOOK_STATES_LENGTH],
            totals: [Ledger::default(); Hook::ALL.len()],
            carried: [0; 2],
            pending: Default::default(),
            early_flows_max,
            shape,
        };
        for cpu in 0..shape.cpus() {
            let first = cpu * maps::TABLES_PER_CPU as u32;
            for parity in 0..2 {
                tables
                    .slotted
                    .push(Slotted::new(first + parity, tables.generation));
            }
            tables.spares.push(first + 2);
        }
        for (slot, slotted) in tables.slotted.iter().enumerate() {
            tables.put(slot, *slotted);
        }
        Ok(tables)
    }

    /// Flows a table has room for.
    pub(super) fn flows_max(&self) -> u32 {
        self.shape.size.entries
    }

    /// Where all packets drained so far went.
    pub(super) fn totals(&self, hook: Hook) -> Ledger {
        self.totals[hook as usize]
    }

    /// Drains the tables and ledgers of `epoch`, which must be over, into `into`. `at_rest` tells, once all is read,
    /// whether packets of the epoch after next have not begun to be counted in the same place.
    pub(super) fn drain(
        &mut self,
        epoch: u64,
        at_rest: impl FnOnce() -> bool,
        into: &mut Epoch,
    ) -> Result<DrainReport, XdpError> {
        let begun = Instant::now();
        let mut report = DrainReport::default();
        into.index = epoch;
        into.flows.clear();
        let tables = self.swap(epoch)?;
        let Pending { flows, times } = std::mem::take(&mut self.pending[(epoch & 1) as usize]);
        let mut early = flows;
        report.early = times;
        report.fullest = tables
            .iter()
            .map(|table| u64::from(table.count))
            .max()
            .unwrap_or(0);
        let mut counted = 0;
        let look = |counters: &mut FlowCounters| {
            counted += counters.packets();
            report.entries += 1;
            if epoch_of(counters.first()) != epoch || epoch_of(counters.last()) != epoch {
                counters.quality |= quality::LATE;
                report.late += 1;
            }
        };
        let mut parts: Vec<&mut [Entry]> = vec![&mut early];
        let flows_max = self.flows_max();
        parts.extend(
            tables
                .iter()
                .map(|table| entries(&self.flows, flows_max, *table)),
        );
        self.assembly.assemble(&mut parts, look, &mut into.flows);
        let mut ledgers = self.read_ledgers(epoch)?;
        let is_at_rest = at_rest();
        into.ledger = Ledger::default();
        into.fragments = FragmentCounts::default();
        for (hook, delta) in Hook::ALL.into_iter().zip(&mut ledgers) {
            let index = hook_index(hook, epoch) as usize;
            if !is_at_rest {
                leave_for_later(delta, &mut self.before[index]);
            }
            self.totals[hook as usize].add(delta);
            into.ledger.add(delta);
        }
        let carried = &mut self.carried[(epoch & 1) as usize];
        *carried += into.ledger.unaccounted() + into.ledger.counted as i64 - counted as i64;
        if is_at_rest {
            report.unaccounted = std::mem::take(carried);
        }
        report.took = begun.elapsed();
        Ok(report)
    }

    /// Puts the spares into the slots of an epoch's parity, and waits until what was there is at rest: the spares now.
    fn swap(&mut self, epoch: u64) -> Result<Vec<AtRest>, XdpError> {
        // 0 is what the arrays begin with.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        let mut old = Vec::with_capacity(self.spares.len());
        for cpu in 0..self.shape.cpus() {
            let slot = table_index(cpu, epoch) as usize;
            let new = Slotted::new(self.spares[cpu as usize], self.generation);
            self.put(slot, new);
            let over = std::mem::replace(&mut self.slotted[slot], new);
            self.spares[cpu as usize] = over.table();
            old.push(over);
        }
        self.grace
            .wait()
            .map_err(failed("wait until flow tables are at rest"))?;
        let at_rest = |over: Slotted| {
            let fill = self.fills.place(over.table() as usize);
            // SAFETY: an element of the mapping. Programs have ended that wrote to it, and new ones use other tables.
            let fill = unsafe { fill.read_volatile() };
            AtRest {
                table: over.table(),
                count: fill.entries(over.generation()).min(self.flows_max()),
            }
        };
        Ok(old.into_iter().map(at_rest).collect())
    }

    fn put(&self, slot: usize, slotted: Slotted) {
        // SAFETY: an element of the mapping, aligned as every element of 8 bytes is; programs read it in one piece.
        let place = unsafe { AtomicU64::from_ptr(self.slots.place(slot).as_ptr()) };
        place.store(slotted.word(), Ordering::Release);
    }

    /// Empties the tables of the running `epoch` if one of them is five eighths full, so that it does not overflow.
    pub(super) fn relieve(&mut self, epoch: u64) -> Result<(), XdpError> {
        let parity = (epoch & 1) as usize;
        let (mut fullest, mut all) = (0, 0);
        for cpu in 0..self.shape.cpus() {
            let slotted = self.slotted[table_index(cpu, epoch) as usize];
            let fill = self.fills.place(slotted.table() as usize);
            // SAFETY: an element of the mapping. A program may be writing to it: then the numbers are older or newer.
            let count = unsafe { fill.read_volatile() }.entries(slotted.generation());
            fullest = fullest.max(count);
            all += count as usize;
        }
        let is_full = u64::from(fullest) >= u64::from(self.flows_max()) * 5 / 8;
        if !is_full || self.pending[parity].flows.len() + all > self.early_flows_max {
            return Ok(());
        }
        let tables = self.swap(epoch)?;
        let flows_max = self.flows_max();
        let pending = &mut self.pending[parity];
        for table in tables {
            pending
                .flows
                .extend_from_slice(entries(&self.flows, flows_max, table));
        }
        pending.times += 1;
        Ok(())
    }

    /// What the ledger of each hook says since it was read last.
    fn read_ledgers(&mut self, epoch: u64) -> Result<[Ledger; Hook::ALL.len()], XdpError> {
        let mut deltas = [Ledger::default(); Hook::ALL.len()];
        for (hook, delta) in Hook::ALL.into_iter().zip(&mut deltas) {
            let index = hook_index(hook, epoch);
            let values = self.states.get(&index, 0).map_err(|error| XdpError::Map {
                what: "read a ledger",
                error,
            })?;
            let mut now = Ledger::default();
            for state in values.iter() {
                now.add(&state.ledger);
            }
            *delta = now.since(&self.before[index as usize]);
            self.before[index as usize] = now;
        }
        Ok(deltas)
    }

    /// Packets copied for evidence so far, and those lost.
    pub(super) fn copies(&self) -> Result<Copies, XdpError> {
        let mut sum = Copies::default();
        for index in 0..maps::HOOK_STATES_LENGTH as u32 {
            let values = self.states.get(&index, 0).map_err(|error| XdpError::Map {
                what: "read how many packets were copied",
                error,
            })?;
            for state in values.iter() {
                sum.copied += state.copied;
                sum.lost += state.copies_lost;
            }
        }
        Ok(sum)
    }

    /// What the ledgers of a hook say now, both parities together. Packets may be on their way through.
    pub(super) fn peek(&self, hook: Hook) -> Result<Ledger, XdpError> {
        let mut now = Ledger::default();
        for parity in 0..2 {
            let values = self
                .states
                .get(&hook_index(hook, parity), 0)
                .map_err(|error| XdpError::Map {
                    what: "read a ledger",
                    error,
                })?;
            for state in values.iter() {
                now.add(&state.ledger);
            }
        }
        Ok(now)
    }
}

/// A ledger that is read while a packet is on its way through says that the packet was seen, and not yet where it went: it is
/// left for the next reading, which says both.
fn leave_for_later(delta: &mut Ledger, before: &mut Ledger) {
    let on_its_way = delta.unaccounted();
    delta.seen = delta.seen.wrapping_sub_signed(on_its_way);
    before.seen = before.seen.wrapping_sub_signed(on_its_way);
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> XdpError {
    move |source| XdpError::System { what, source }
}

/// The entries of a table, of which a drain asks once.
#[expect(
    clippy::mut_from_ref,
    reason = "the tables of a drain are read together, and each is another"
)]
fn entries(flows: &Mapped<Entry>, flows_max: u32, at_rest: AtRest) -> &mut [Entry] {
    let first = at_rest.table as usize * flows_max as usize;
    // SAFETY: no program uses the table, and its slice is gone before the next drain.
    unsafe { flows.at_rest(first, at_rest.count as usize) }
}

/// Maps an array of the loaded object. It stays there too: programs are yet to be loaded, and refer to it.
fn mapped<T: Pod>(object: &Ebpf, name: &'static str, length: u32) -> Result<Mapped<T>, XdpError> {
    let Some(Map::Array(array)) = object.map(name) else {
        return Err(XdpError::Object {
            what: "an array of the flow tables is missing",
        });
    };
    Mapped::new(array.fd().as_fd(), length).map_err(failed("map the flow tables"))
}

/// Merges the parts that several CPUs counted of the same flow, earlier part first.
pub(in crate::capture) fn merge(flows: &mut Vec<(FlowKey, FlowCounters)>) {
    flows.sort_unstable_by(|a, b| {
        (&a.0, a.1.first(), a.1.last()).cmp(&(&b.0, b.1.first(), b.1.last()))
    });
    flows.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            account::merge(&mut earlier.1, &later.1);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of a ledger that others write to balance each by itself, and together say what it says in the end.
    #[test]
    fn a_packet_on_its_way_is_left_for_the_next_reading() {
        let said = |seen, counted| Ledger {
            seen,
            counted,
            ..Ledger::default()
        };
        let (mut before, mut sum) = (Ledger::default(), Ledger::default());
        // Two are on their way; one of them, and one whose place was read before that it was seen; none.
        for now in [said(100, 98), said(150, 151), said(200, 200)] {
            let mut delta = now.since(&before);
            before = now;
            leave_for_later(&mut delta, &mut before);
            assert_eq!(delta.unaccounted(), 0);
            sum.add(&delta);
        }
        assert_eq!((sum.seen, sum.counted, before.seen), (200, 200, 200));
    }
}
