//! The kernel's flow tables seen from the agent: two per CPU, and a spare for each CPU.
//!
//! An epoch that is over is drained in three steps. Empty spares go into the slots of its parity, by a call that
//! returns once no program uses the old tables any more. Then the old tables and the ledgers of that parity stand
//! still, and are read and emptied. Then they are the spares. Packets of the running epoch, which have the other
//! parity, never notice.
//!
//! A table that fills before its epoch is over is swapped and read early; what it held waits for the rest of the epoch. The
//! parts merge exactly, because the packets of one CPU lie in one part or the other, earlier and later.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Map, MapData, PerCpuArray},
};
use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, epoch_of, quality},
    maps::{self, Hook, HookState, Ledger, hook_index, table_index},
};

use super::{
    Copies, XdpError,
    assembly::{Assembly, gather},
    bpf,
};
use crate::capture::Epoch;

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Flows read, before those of several CPUs were merged.
    pub entries: u64,
    /// Flows in the fullest table.
    pub fullest: u64,
    /// System calls for reading.
    pub batches: u32,
    /// Flows whose table had been drained an epoch late.
    pub late: u64,
    /// Packets in no counter; 0, or a defect.
    pub unaccounted: i64,
    /// How often tables were emptied before the epoch was over, because they filled.
    pub early: u32,
    /// From the swap of the tables to the sorted epoch.
    pub took: Duration,
}

/// The tables, the array they are slotted into and the ledgers.
pub(super) struct Tables {
    array: MapData,
    states: PerCpuArray<MapData, HookState>,
    /// In the slots, by [`table_index`].
    slotted: Vec<OwnedFd>,
    /// One for each CPU, empty.
    spares: Vec<OwnedFd>,
    cpus: u32,
    read: bpf::Read,
    /// Of the other tables, where they are read at the same time.
    reads: Vec<bpf::Read>,
    assembly: Assembly,
    /// What the ledgers said at the last drain, by [`hook_index`].
    before: [Ledger; maps::HOOK_STATES_LENGTH],
    totals: [Ledger; Hook::ALL.len()],
    /// What the ledgers and the flows of each parity differed by when a late drain read them while packets were
    /// being counted into them. The next drain that finds them at rest has to make up for it.
    carried: [i64; 2],
    flows_max: u32,
    /// What was read early, by parity.
    pending: [Pending; 2],
}

/// Flows of an epoch that is not over, read because their table filled.
#[derive(Default)]
struct Pending {
    flows: bpf::Read,
    /// How often.
    times: u32,
    batches: u32,
    /// What [`HookState::inserted`] said of each CPU when its table was last empty.
    inserted: Vec<u64>,
}

/// One for each parity, and a spare.
const TABLES_PER_CPU: u64 = 3;

/// Tables full of flows that may wait for the end of their epoch, for each CPU. Beyond, the kernel counts overflow: memory must not
/// follow the number of an attacker's sources.
const PENDING_TABLES: usize = 8;

impl Tables {
    /// When the program rings: after each eighth of a table. Two hooks fill a table, so that five eighths are noticed at
    /// three quarters.
    pub(super) const fn bell_mask(flows_max: u32) -> u64 {
        let eighth = flows_max as u64 / 8;
        let power = if eighth == 0 {
            0
        } else {
            63 - eighth.leading_zeros()
        };
        (1 << power) - 1
    }

    /// Flows one table has room for by default: as many as the kernel program declares, but such that all tables together, which
    /// are allocated from the beginning, take at most a sixteenth of this machine's memory.
    pub(super) fn default_flows(cpus: u32, memory_bytes: u64) -> u32 {
        /// The kernel's part of a hash element (`struct htab_elem`) and its bucket.
        const OVERHEAD_BYTES: u64 = 48 + 16;
        const FEWEST: u64 = 1024;
        let flow = (size_of::<FlowKey>() + size_of::<FlowCounters>()) as u64 + OVERHEAD_BYTES;
        let room = memory_bytes / 16 / (flow * u64::from(cpus) * TABLES_PER_CPU);
        room.clamp(FEWEST, maps::FLOWS_PER_TABLE as u64) as u32
    }

    pub(super) fn new(object: &mut Ebpf, cpus: u32, flows_max: u32) -> Result<Self, XdpError> {
        let Some(Map::ArrayOfMaps(array)) = object.take_map(maps::FLOW_TABLES) else {
            return Err(XdpError::Object {
                what: "the array of flow tables is missing",
            });
        };
        let states = object
            .take_map(maps::HOOK_STATES)
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or(XdpError::Object {
                what: "the ledgers are missing",
            })?;
        let create = |count: u32| {
            (0..count)
                .map(|_| bpf::create_flow_table(flows_max))
                .collect::<Result<Vec<_>, _>>()
                .map_err(failed("create a flow table"))
        };
        let slotted = create(cpus * 2)?;
        let spares = create(cpus)?;
        let slots: Vec<u32> = (0..cpus * 2).collect();
        bpf::swap_tables(array.fd().as_fd(), &slots, &slotted)
            .map_err(failed("put flow tables into their slots"))?;
        Ok(Self {
            array,
            states,
            slotted,
            spares,
            cpus,
            read: bpf::Read::default(),
            reads: Vec::new(),
            assembly: Assembly::default(),
            before: [Ledger::default(); maps::HOOK_STATES_LENGTH],
            totals: [Ledger::default(); Hook::ALL.len()],
            carried: [0; 2],
            flows_max,
            pending: [(); 2].map(|()| Pending {
                inserted: vec![0; cpus as usize],
                ..Pending::default()
            }),
        })
    }

    /// Flows a table has room for.
    pub(super) fn flows_max(&self) -> u32 {
        self.flows_max
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
        let pending = &mut self.pending[(epoch & 1) as usize];
        self.read.clear();
        std::mem::swap(&mut self.read, &mut pending.flows);
        report.early = std::mem::take(&mut pending.times);
        report.batches = std::mem::take(&mut pending.batches);
        let mut parts = u32::from(self.read.len() > 0);
        self.swap(epoch)?;
        let held = self.held(epoch)?;
        let found = gather(&self.spares, held, &mut self.read, &mut self.reads);
        for (entries, calls) in found.map_err(failed(READ))? {
            report.batches += calls;
            report.fullest = report.fullest.max(entries);
            parts += u32::from(entries > 0);
        }
        report.entries = self.read.len() as u64;
        let mut counted = 0;
        for counters in &mut self.read.counters {
            counted += counters.packets();
            if epoch_of(counters.first()) != epoch || epoch_of(counters.last()) != epoch {
                counters.quality |= quality::LATE;
                report.late += 1;
            }
        }
        self.assembly
            .assemble(&mut self.read, parts > 1, &mut into.flows);
        into.ledger = self.read_ledgers(epoch)?;
        let carried = &mut self.carried[(epoch & 1) as usize];
        *carried += into.ledger.unaccounted() + into.ledger.counted as i64 - counted as i64;
        if at_rest() {
            report.unaccounted = std::mem::take(carried);
        }
        report.took = begun.elapsed();
        Ok(report)
    }

    /// Puts the spares into the slots of an epoch's parity, and waits until what was there is at rest: the spares now.
    fn swap(&mut self, epoch: u64) -> Result<(), XdpError> {
        let slots: Vec<u32> = (0..self.cpus).map(|cpu| table_index(cpu, epoch)).collect();
        bpf::swap_tables(self.array.fd().as_fd(), &slots, &self.spares)
            .map_err(failed("swap flow tables"))?;
        for (slot, spare) in slots.iter().zip(&mut self.spares) {
            std::mem::swap(&mut self.slotted[*slot as usize], spare);
        }
        Ok(())
    }

    /// Empties the tables of the running `epoch` if one of them is five eighths full, so that it does not overflow.
    pub(super) fn relieve(&mut self, epoch: u64) -> Result<(), XdpError> {
        let parity = (epoch & 1) as usize;
        let now = self.inserted(epoch)?;
        let fullest = now
            .iter()
            .zip(&self.pending[parity].inserted)
            .map(|(now, empty)| now.saturating_sub(*empty))
            .max()
            .unwrap_or(0);
        let room = PENDING_TABLES * self.flows_max as usize * self.cpus as usize;
        if fullest < u64::from(self.flows_max) * 5 / 8 || self.pending[parity].flows.len() >= room {
            return Ok(());
        }
        self.swap(epoch)?;
        let pending = &mut self.pending[parity];
        for table in &self.spares {
            let calls = pending.flows.empty(table.as_fd());
            pending.batches += calls.map_err(failed(READ))?;
        }
        pending.times += 1;
        // As read before the swap: what was added since is told too early, which only wakes too early.
        pending.inserted = now;
        Ok(())
    }

    /// Flows that the tables at rest of an epoch's parity hold together, which are empty from now on.
    fn held(&mut self, epoch: u64) -> Result<u64, XdpError> {
        let now = self.inserted(epoch)?;
        let before = &mut self.pending[(epoch & 1) as usize].inserted;
        let held = now
            .iter()
            .zip(&*before)
            .map(|(now, before)| now.saturating_sub(*before))
            .sum();
        *before = now;
        Ok(held)
    }

    /// Flows added on each CPU to its tables of an epoch's parity, by all hooks.
    fn inserted(&self, epoch: u64) -> Result<Vec<u64>, XdpError> {
        let mut sums = vec![0; self.cpus as usize];
        for hook in Hook::ALL {
            let values = self
                .states
                .get(&hook_index(hook, epoch), 0)
                .map_err(|error| XdpError::Map {
                    what: "read what was added to the flow tables",
                    error,
                })?;
            for (sum, state) in sums.iter_mut().zip(values.iter()) {
                *sum += state.inserted;
            }
        }
        Ok(sums)
    }

    fn read_ledgers(&mut self, epoch: u64) -> Result<Ledger, XdpError> {
        let mut sum = Ledger::default();
        for hook in Hook::ALL {
            let index = hook_index(hook, epoch);
            let values = self.states.get(&index, 0).map_err(|error| XdpError::Map {
                what: "read a ledger",
                error,
            })?;
            let mut now = Ledger::default();
            for state in values.iter() {
                now.add(&state.ledger);
            }
            let delta = now.since(&self.before[index as usize]);
            self.before[index as usize] = now;
            self.totals[hook as usize].add(&delta);
            sum.add(&delta);
        }
        Ok(sum)
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

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> XdpError {
    move |source| XdpError::System { what, source }
}

const READ: &str = "read a flow table";

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

    #[test]
    fn tables_fit_the_memory() {
        const GIB: u64 = 1 << 30;
        assert_eq!(Tables::default_flows(2, 24 * GIB), 65_536);
        let small = Tables::default_flows(4, GIB);
        assert!((8_000..16_000).contains(&small), "{small}");
        assert_eq!(Tables::default_flows(512, GIB), 1024);
    }

    #[test]
    fn the_bell_rings_before_a_table_is_full() {
        for flows in [1, 7, 8, 1000, 1024, 15_000, 65_536] {
            let every = Tables::bell_mask(flows) + 1;
            assert!(
                every.is_power_of_two() && every <= u64::from(flows).div_ceil(8).max(1),
                "{flows}"
            );
        }
    }
}
