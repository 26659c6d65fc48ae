//! How many flow tables there are, how large, and what they are given at the start.

use sensor_ebpf::{
    maps,
    table::{ENTRIES_MAX, Entry, Line, SECRETS, Size},
};

use crate::bounded::Seed;

/// How many tables there are, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    cpus: u32,
    pub(super) size: Size,
}

impl Shape {
    /// For so many CPUs, and tables of at least `flows`, as far as arrays can be so long.
    pub(super) fn of(cpus: u32, flows: u32) -> Self {
        let most = u32::MAX / (cpus * maps::TABLES_PER_CPU as u32);
        Self {
            cpus,
            size: Size::of(flows.clamp(1, most.min(ENTRIES_MAX))),
        }
    }

    pub(super) const fn cpus(&self) -> u32 {
        self.cpus
    }

    pub(super) const fn slots(&self) -> u32 {
        self.cpus * 2
    }

    /// Lines of the index.
    pub(super) const fn lines(&self) -> u32 {
        self.slots() * self.size.lines
    }

    pub(super) const fn tables(&self) -> u32 {
        self.cpus * maps::TABLES_PER_CPU as u32
    }

    /// Entries of all tables.
    pub(super) const fn entries(&self) -> u32 {
        self.tables() * self.size.entries
    }

    /// When the program rings: after each eighth of a table. Five eighths are then noticed before three quarters.
    pub(super) const fn bell_mask(&self) -> u32 {
        let eighth = self.size.entries / 8;
        let power = if eighth == 0 {
            0
        } else {
            31 - eighth.leading_zeros()
        };
        (1 << power) - 1
    }
}

/// What keys are hashed with, other at each start.
pub(super) fn secrets() -> [u64; SECRETS] {
    std::array::from_fn(|_| Seed::random().0)
}

/// Flows that share a line of an index.
const LINE_FLOWS: u64 = 2;
const _: () = assert!(Size::of(2).lines == 1 && Size::of(3).lines == 2);
/// Bytes that one flow of room takes in all tables of a CPU: three entries, and of the two slots' indexes, in which flows share lines.
const FLOW_BYTES: u64 =
    size_of::<Entry>() as u64 * maps::TABLES_PER_CPU as u64 + size_of::<Line>() as u64 / 2 * 2;
/// Tables with room for fewer are emptied again and again.
const FEWEST: u64 = 1024;

/// Flows one table has room for by default: as many as the kernel program declares, but such that all tables together, which
/// are allocated from the beginning, take at most a sixteenth of this machine's memory.
pub(super) fn default_flows(cpus: u32, memory_bytes: u64) -> u32 {
    flows_within(cpus, memory_bytes / 16)
}

/// The same, with so many bytes for all tables; those of many CPUs may take more than very few.
pub(super) fn flows_within(cpus: u32, bytes: u64) -> u32 {
    let room = bytes / (FLOW_BYTES * u64::from(cpus));
    // Whole lines.
    let room = room - room % LINE_FLOWS;
    room.clamp(FEWEST, maps::FLOWS_PER_TABLE as u64) as u32
}

/// Bytes that tables of this many flows take on so many CPUs.
pub(super) fn table_bytes(cpus: u32, flows: u32) -> u64 {
    FLOW_BYTES * u64::from(cpus) * u64::from(flows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_the_memory() {
        const GIB: u64 = 1 << 30;
        assert_eq!(default_flows(2, 24 * GIB), 65_536);
        let small = default_flows(4, GIB);
        assert!((8_000..20_000).contains(&small), "{small}");
        assert_eq!(default_flows(512, GIB), 1024);
        for (cpus, bytes) in [(1, GIB), (2, GIB / 8), (2, GIB / 32), (16, GIB / 8)] {
            let flows = flows_within(cpus, bytes);
            let shape = Shape::of(cpus, flows);
            let taken = u64::from(shape.entries()) * size_of::<Entry>() as u64
                + u64::from(shape.lines()) * size_of::<Line>() as u64;
            assert!(taken <= bytes, "{flows} flows on {cpus} CPUs take {taken}");
            assert!(taken > bytes / 2 || flows == 65_536, "{flows}: {taken}");
            assert_eq!(table_bytes(cpus, flows), taken);
        }
    }

    #[test]
    fn the_bell_rings_before_a_table_is_full() {
        for flows in [1, 7, 8, 1000, 1024, 15_000, 65_536] {
            let every = Shape::of(2, flows).bell_mask() + 1;
            assert!(
                every.is_power_of_two() && every <= flows.div_ceil(8).max(1),
                "{flows}"
            );
        }
    }
}
