//! The flow tables of the kernel programs: plain arrays that program and agent share.
//!
//! A table is a run of [`Entry`]s, filled from the front in the order in which flows appear. Which entry is a flow's is
//! in an index of words beside it, found by hash. A word bears the generation that it was written in, and counts only in
//! that one: a table is emptied by beginning another generation, in no time, whatever was in it. The agent has the
//! entries mapped, and reads a table that is over front to back where it lies, without a system call or a copy.
//!
//! A hash map of the kernel's would do as a table too, and costs more at both ends: a packet pays for calls into the
//! kernel and a hash of three dozen dependent steps, a drain for a walk through all buckets, two copies of each element
//! and giving it back.

use crate::{
    bounds::opaque_number,
    flow::{FlowCounters, FlowKey},
};

/// Words in a line of the index, which is a cache line.
const LINE_WORDS: u32 = 8;
/// Flows for each line of the index. So sparse, a line is full for one flow in a thousand of a full table.
const LINE_FLOWS: u32 = 2;
/// Lines a flow may have its word in. Where all are full there is no room for it: one flow in a thousand million. The verifier
/// goes through each word of each line by itself, so more would be dear.
const LINES_TRIED: u32 = 3;
/// Bits of an index word that are the entry's place in its table.
const ENTRY_BITS: u32 = 24;
/// Entries a table may have.
pub const ENTRIES_MAX: u32 = (1 << ENTRY_BITS) - 1;

/// A flow in a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose counters.
    pub key: FlowKey,
    /// In this table's epoch.
    pub counters: FlowCounters,
}

const _: () = assert!(size_of::<Entry>() == 288);

/// A line of the index. In a word: generation, 32 bits; eight bits of the key's hash; the entry's place, 24 bits.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Line([u64; LINE_WORDS as usize]);

impl Line {
    /// Nothing in it, for any generation but 0.
    pub const EMPTY: Self = Self([0; LINE_WORDS as usize]);
}

/// How many entries of a table are in use, and since which generation. A cache line, so that CPUs do not share one.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    generation: u32,
    entries: u32,
}

impl Fill {
    /// None in use.
    pub const EMPTY: Self = Self {
        generation: 0,
        entries: 0,
    };

    /// Entries in use in that generation.
    #[inline(always)]
    pub const fn entries(&self, generation: u32) -> u32 {
        if self.generation == generation {
            self.entries
        } else {
            0
        }
    }
}

/// Which table is in use, and its generation: one word, so that both change at once. Generation 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slotted(u64);

impl Slotted {
    /// That table, in that generation.
    pub const fn new(table: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | table as u64)
    }

    /// As it is stored.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Which table.
    #[inline(always)]
    pub const fn table(self) -> u32 {
        self.0 as u32
    }

    /// Its generation.
    #[inline(always)]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Size of every table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Entries.
    pub entries: u32,
    /// Lines of the index.
    pub lines: u32,
}

impl Size {
    /// For so many flows.
    pub const fn of(entries: u32) -> Self {
        Self {
            entries,
            lines: entries.div_ceil(LINE_FLOWS),
        }
    }
}

/// Random numbers that [`hash`] is keyed with.
pub const SECRETS: usize = 11;

/// Hash of a key: Thorup's pair-multiply-shift (High Speed Hashing for Integers and Strings, 2015, §3.5), which is
/// strongly universal: who does not know the secrets can do nothing about which keys collide. Ten words are five
/// products that do not wait for each other. It is linear in each word, and would leave the gaps in a row of ports between
/// their hashes; so what it gives is stirred once.
#[inline(always)]
pub fn hash(key: &FlowKey, secret: impl Fn(usize) -> u64) -> u32 {
    // SAFETY: 40 bytes without padding, aligned to 8.
    let words = unsafe { &*(&raw const *key).cast::<[u32; 10]>() };
    let mut sum = secret(SECRETS - 1);
    let mut at = 0;
    while at < words.len() {
        let left = secret(at).wrapping_add(u64::from(words[at + 1]));
        let right = secret(at + 1).wrapping_add(u64::from(words[at]));
        sum = sum.wrapping_add(left.wrapping_mul(right));
        at += 2;
    }
    ((sum ^ sum >> 32).wrapping_mul(0x9fb2_1c65_1e98_df25) >> 32) as u32
}

/// The key as words in memory order: two keys are the same if these are.
#[inline(always)]
pub fn words(key: &FlowKey) -> &[u64; 5] {
    // SAFETY: 40 bytes without padding, aligned to 8.
    unsafe { &*(&raw const *key).cast::<[u64; 5]>() }
}

/// Whether two keys are the same. `==` would call `memcmp`, which costs more than the comparison.
#[inline(always)]
pub fn same(a: &FlowKey, b: &FlowKey) -> bool {
    let (a, b) = (words(a), words(b));
    (a[4] ^ b[4]) | (a[1] ^ b[1]) | (a[3] ^ b[3]) | (a[0] ^ b[0]) | (a[2] ^ b[2]) == 0
}

/// The arrays that tables are made of, each the runs of all tables one after the other.
///
/// # Safety
/// A pointer that is given is valid for reading and writing, and nobody else uses what it points to meanwhile.
pub unsafe trait Memory {
    /// A line of the index.
    fn line(&self, at: u32) -> Option<*mut Line>;
    /// An entry.
    fn entry(&self, at: u32) -> Option<*mut Entry>;
    /// Of a table.
    fn fill(&self, table: u32) -> Option<*mut Fill>;
}

/// Where a flow is to be looked for.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Whose index: [`crate::maps::table_index`].
    pub slot: u32,
    /// Which table is in that slot.
    pub slotted: Slotted,
    /// Of every table.
    pub size: Size,
}

/// A flow's entry.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its memory.
    pub entry: *mut Entry,
    /// If it was not there before: how many entries are in use now. Else 0.
    pub added: u32,
}

/// Why a flow has no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table is full.
    Full,
    /// There is no table.
    Missing,
}

/// Finds the entry of `key`, which hashes to `hash`, or adds one that begins with `empty`.
#[inline(always)]
pub fn find_or_add<M: Memory>(
    memory: &M,
    place: Place,
    key: &FlowKey,
    hash: u32,
    empty: &FlowCounters,
) -> Result<Found, Refused> {
    let Place {
        slot,
        slotted,
        size,
    } = place;
    let generation = slotted.generation();
    let wanted = u64::from(generation) << 32 | u64::from(hash >> 3 & 0xff) << ENTRY_BITS;
    let first_line = slot.wrapping_mul(size.lines);
    let first_entry = slotted.table().wrapping_mul(size.entries);
    // Which line depends on the hash's upper bits, where in it to begin on the lower.
    let line_of = |hash: u32| {
        let line = (u64::from(hash) * u64::from(size.lines)) >> 32;
        memory.line(first_line.wrapping_add(line as u32))
    };
    let mut line = line_of(hash).ok_or(Refused::Missing)?;
    let (mut step, mut spread) = (0_u32, hash);
    loop {
        let at = (hash.wrapping_add(step) & (LINE_WORDS - 1)) as usize;
        // SAFETY: the memory's promise; the index is masked.
        let word = unsafe { &mut (*line).0[at] };
        let found = *word;
        if (found ^ wanted) >> ENTRY_BITS == 0 {
            let entry = memory
                .entry(first_entry.wrapping_add(found as u32 & ENTRIES_MAX))
                .ok_or(Refused::Missing)?;
            // SAFETY: the memory's promise.
            if same(unsafe { &(*entry).key }, key) {
                return Ok(Found { entry, added: 0 });
            }
        } else if (found >> 32) as u32 != generation {
            let fill = memory.fill(slotted.table()).ok_or(Refused::Missing)?;
            // SAFETY: the memory's promise.
            let fill = unsafe { &mut *fill };
            let count = fill.entries(generation);
            if count >= size.entries {
                return Err(Refused::Full);
            }
            let entry = memory
                .entry(first_entry.wrapping_add(count))
                .ok_or(Refused::Missing)?;
            // SAFETY: the memory's promise.
            let new = unsafe { &mut *entry };
            new.key = *key;
            new.counters = *empty;
            *word = wanted | u64::from(count);
            fill.generation = generation;
            fill.entries = count + 1;
            return Ok(Found {
                entry,
                added: count + 1,
            });
        }
        // Opaque, so that the compiler leaves it a loop.
        step = opaque_number(step + 1);
        if step & (LINE_WORDS - 1) == 0 {
            if step >= LINE_WORDS * LINES_TRIED {
                return Err(Refused::Full);
            }
            spread = spread.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            line = line_of(spread).ok_or(Refused::Missing)?;
        }
    }
}

// SAFETY: `repr(C)`, only integers and what is `Pod`, without padding (size asserted above).
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for Entry {}
// SAFETY: `repr(C)`, two integers.
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for Size {}
// SAFETY: `repr(C)`, two integers; what the alignment adds is nobody's.
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for Fill {}
