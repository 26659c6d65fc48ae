//! The kernel's flow tables seen from the agent: two per CPU, and a spare for each CPU.
//!
//! An epoch that is over is drained in three steps. Empty spares go into the slots of its parity, by a call that
//! returns once no program uses the old tables any more. Then the old tables and the ledgers of that parity stand
//! still, and are read and emptied. Then they are the spares. Packets of the running epoch, which have the other
//! parity, never notice.

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

use super::{XdpError, bpf};
use crate::capture::{Epoch, sort};

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
    batches: bpf::Batches,
    /// What the ledgers said at the last drain, by [`hook_index`].
    before: [Ledger; maps::HOOK_STATES_LENGTH],
    totals: [Ledger; Hook::ALL.len()],
    /// What the ledgers and the flows of each parity differed by when a late drain read them while packets were
    /// being counted into them. The next drain that finds them at rest has to make up for it.
    carried: [i64; 2],
}

impl Tables {
    pub(super) fn new(object: &mut Ebpf, cpus: u32, flows_max: u32) -> Result<Self, XdpError> {
        let failed = |what: &'static str| move |source| XdpError::System { what, source };
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
            batches: bpf::Batches::new(),
            before: [Ledger::default(); maps::HOOK_STATES_LENGTH],
            totals: [Ledger::default(); Hook::ALL.len()],
            carried: [0; 2],
        })
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
        let failed = |what: &'static str| move |source| XdpError::System { what, source };
        let slots: Vec<u32> = (0..self.cpus).map(|cpu| table_index(cpu, epoch)).collect();
        bpf::swap_tables(self.array.fd().as_fd(), &slots, &self.spares)
            .map_err(failed("swap flow tables"))?;
        for (slot, spare) in slots.iter().zip(&mut self.spares) {
            std::mem::swap(&mut self.slotted[*slot as usize], spare);
        }
        let mut report = DrainReport::default();
        into.index = epoch;
        into.flows.clear();
        let mut parts = 0;
        for table in &self.spares {
            let begin = into.flows.len();
            report.batches += self
                .batches
                .empty(table.as_fd(), &mut into.flows)
                .map_err(failed("read a flow table"))?;
            let entries = (into.flows.len() - begin) as u64;
            report.entries += entries;
            report.fullest = report.fullest.max(entries);
            parts += u32::from(entries > 0);
        }
        for (_, counters) in &mut into.flows {
            if epoch_of(counters.first()) != epoch || epoch_of(counters.last()) != epoch {
                counters.quality |= quality::LATE;
                report.late += 1;
            }
        }
        let counted: u64 = into
            .flows
            .iter()
            .map(|(_, counters)| counters.packets())
            .sum();
        if parts > 1 {
            merge(&mut into.flows);
        }
        sort(&mut into.flows);
        into.ledger = self.read_ledgers(epoch)?;
        let carried = &mut self.carried[(epoch & 1) as usize];
        *carried += into.ledger.unaccounted() + into.ledger.counted as i64 - counted as i64;
        if at_rest() {
            report.unaccounted = std::mem::take(carried);
        }
        report.took = begun.elapsed();
        Ok(report)
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

/// Merges the parts that several CPUs counted of the same flow, earlier part first.
fn merge(flows: &mut Vec<(FlowKey, FlowCounters)>) {
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
