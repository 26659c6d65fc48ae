//! The flow tables on the host: the very code that runs in the kernel, on arrays of this process.

use std::{cell::UnsafeCell, collections::HashMap};

use sensor_ebpf::{
    flow::{FlowCounters, FlowKey},
    table::{self, Entry, Fill, Found, Line, Memory, Place, Refused, SECRETS, Size, Slotted},
};

/// Tables as the loader makes them.
struct Arrays {
    size: Size,
    lines: UnsafeCell<Vec<Line>>,
    entries: UnsafeCell<Vec<Entry>>,
    fills: UnsafeCell<Vec<Fill>>,
    secrets: [u64; SECRETS],
}

// SAFETY: one thread, which uses a pointer before it asks for the next.
unsafe impl Memory for Arrays {
    fn line(&self, at: u32) -> Option<*mut Line> {
        // SAFETY: as said above.
        unsafe { &mut *self.lines.get() }
            .get_mut(at as usize)
            .map(|line| &raw mut *line)
    }

    fn entry(&self, at: u32) -> Option<*mut Entry> {
        // SAFETY: as said above.
        unsafe { &mut *self.entries.get() }
            .get_mut(at as usize)
            .map(|entry| &raw mut *entry)
    }

    fn fill(&self, table: u32) -> Option<*mut Fill> {
        // SAFETY: as said above.
        unsafe { &mut *self.fills.get() }
            .get_mut(table as usize)
            .map(|fill| &raw mut *fill)
    }
}

impl Arrays {
    fn new(slots: u32, tables: u32, flows: u32) -> Self {
        let size = Size::of(flows);
        let nothing = Entry {
            key: key(0),
            counters: FlowCounters::EMPTY,
        };
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        Self {
            size,
            lines: vec![Line::EMPTY; (slots * size.lines) as usize].into(),
            entries: vec![nothing; (tables * flows) as usize].into(),
            fills: vec![Fill::EMPTY; tables as usize].into(),
            secrets: std::array::from_fn(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random
            }),
        }
    }

    fn find_or_add(&self, slot: u32, slotted: Slotted, key: &FlowKey) -> Result<Found, Refused> {
        let hash = table::hash(key, |at| self.secrets[at]);
        let place = Place {
            slot,
            slotted,
            size: self.size,
        };
        table::find_or_add(self, place, key, hash, &FlowCounters::EMPTY)
    }

    /// Counts a packet.
    fn count(&self, slot: u32, slotted: Slotted, key: &FlowKey) -> Result<u32, Refused> {
        let found = self.find_or_add(slot, slotted, key)?;
        // SAFETY: the only pointer in use.
        let entry = unsafe { &mut *found.entry };
        assert_eq!(entry.key, *key);
        entry.counters.halves[0].packets += 1;
        Ok(found.added)
    }

    /// As the agent reads a table.
    fn read(&mut self, slotted: Slotted) -> Vec<(FlowKey, u64)> {
        let count = self.fills.get_mut()[slotted.table() as usize].entries(slotted.generation());
        let first = slotted.table() as usize * self.size.entries as usize;
        self.entries.get_mut()[first..][..count as usize]
            .iter()
            .map(|entry| (entry.key, entry.counters.packets()))
            .collect()
    }
}

/// Keys as a scan or a flood has them: neighbours.
fn key(number: u32) -> FlowKey {
    let mut key = FlowKey {
        addresses: [[0; 16]; 2],
        ports: [443, number as u16],
        protocol: 6,
        form: 0,
        series: 0,
    };
    key.addresses[0][10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    key.addresses[1][10..14].copy_from_slice(&[0xff, 0xff, 10, 7]);
    key.addresses[1][14..].copy_from_slice(&((number >> 16) as u16).to_be_bytes());
    key
}

#[test]
fn every_flow_has_one_entry_until_the_table_is_full() {
    for flows in [1, 7, 1000, 65_536, 300_000] {
        let mut arrays = Arrays::new(1, 1, flows);
        let slotted = Slotted::new(0, 1);
        for number in 0..flows {
            assert_eq!(
                arrays.count(0, slotted, &key(number)),
                Ok(number + 1),
                "flow {number} of {flows}"
            );
        }
        for number in (0..flows).rev() {
            assert_eq!(
                arrays.count(0, slotted, &key(number)),
                Ok(0),
                "flow {number} of {flows}"
            );
        }
        assert_eq!(arrays.count(0, slotted, &key(flows)), Err(Refused::Full));
        assert_eq!(
            arrays.count(0, slotted, &key(0)),
            Ok(0),
            "a full table still knows its flows"
        );
        let read = arrays.read(slotted);
        assert_eq!(read.len(), flows as usize);
        for (number, (found, packets)) in read.iter().enumerate() {
            let wanted = 2 + u64::from(number == 0);
            assert_eq!(
                (*found, *packets),
                (key(number as u32), wanted),
                "in the order of their coming"
            );
        }
    }
}

#[test]
fn a_new_generation_finds_nothing_of_the_old_one() {
    const FLOWS: u32 = 500;
    let mut arrays = Arrays::new(2, 3, FLOWS);
    // Two slots and three tables that take turns, as on one CPU.
    let mut tables = [0, 1, 2];
    for generation in 1..200 {
        let slot = generation & 1;
        tables.rotate_left(1);
        let slotted = Slotted::new(tables[0], generation);
        let mut wanted: HashMap<FlowKey, u64> = HashMap::new();
        for packet in 0..1000 {
            let key = key(packet * generation % FLOWS);
            arrays.count(slot, slotted, &key).expect("room");
            *wanted.entry(key).or_default() += 1;
        }
        let read = arrays.read(slotted);
        assert_eq!(read.len(), wanted.len());
        assert_eq!(read.into_iter().collect::<HashMap<_, _>>(), wanted);
    }
}

#[test]
fn what_is_not_there_is_said() {
    let arrays = Arrays::new(1, 1, 10);
    assert_eq!(
        arrays.count(1, Slotted::new(0, 1), &key(1)),
        Err(Refused::Missing)
    );
    assert_eq!(
        arrays.count(0, Slotted::new(1, 1), &key(1)),
        Err(Refused::Missing)
    );
}

#[test]
fn neighbours_are_spread() {
    const LINES: usize = 4096;
    let arrays = Arrays::new(1, 1, 1);
    let mut lines = vec![0_u32; LINES];
    for number in 0..LINES as u32 * 4 {
        let hash = table::hash(&key(number), |at| arrays.secrets[at]);
        lines[((u64::from(hash) * LINES as u64) >> 32) as usize] += 1;
    }
    // Thrown at random, four to a line on average, some 75 lines stay empty, and none gets twenty.
    let most = lines.iter().max().copied();
    assert!(most < Some(24), "{most:?} in one line");
    let empty = lines.iter().filter(|count| **count == 0).count();
    assert!(empty < 150, "{empty} lines are empty");
}
