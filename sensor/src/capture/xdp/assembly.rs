//! Makes an epoch of what was read from the tables: the parts of a flow that several CPUs counted become one, and the flows
//! stand in the order an [`crate::capture::Epoch`] promises.
//!
//! A flow is 300 bytes, and a busy epoch has a million: what is sorted are numbers, and each flow is moved once.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, TimeNs},
};

use super::bpf::Read;
use crate::{
    bounded::{Seed, prefetch},
    capture::same,
};

/// How many flows ahead the cache is asked for what comes next.
const AHEAD: usize = 8;

/// Memory of the assembly, kept from drain to drain.
#[derive(Default)]
pub(super) struct Assembly {
    /// First packet and place of each flow.
    order: Vec<(TimeNs, u32)>,
    spare: Vec<(TimeNs, u32)>,
    /// Open addressing: a tag of the key's hash above, the place plus 1 below; 0 is free.
    index: Vec<u64>,
    hashes: Vec<u64>,
    /// A later part with the place of the part that was found first.
    parts: Vec<(u32, u32)>,
}

impl Assembly {
    /// Moves what was `read` into `flows`, sorted. Where it is of several tables, flows may be in parts.
    pub(super) fn assemble(
        &mut self,
        read: &mut Read,
        in_parts: bool,
        flows: &mut Vec<(FlowKey, FlowCounters)>,
    ) {
        if in_parts {
            self.find_parts(&read.keys);
            self.join_parts(&mut read.counters);
        }
        self.order.clear();
        let whole = read
            .counters
            .iter()
            .zip(0..)
            .filter(|(counters, _)| counters.packets() > 0);
        self.order
            .extend(whole.map(|(counters, place)| (counters.first(), place)));
        by_time(&mut self.order, &mut self.spare);
        let keys = &read.keys;
        for same_time in self.order.chunk_by_mut(|a, b| a.0 == b.0) {
            same_time.sort_unstable_by(|a, b| keys[a.1 as usize].cmp(&keys[b.1 as usize]));
        }
        flows.reserve(self.order.len());
        for (at, &(_, place)) in self.order.iter().enumerate() {
            if let Some(&(_, next)) = self.order.get(at + AHEAD) {
                prefetch(&read.keys, next as usize, 0);
                for line in 0..size_of::<FlowCounters>() / 64 {
                    prefetch(&read.counters, next as usize, line * 64);
                }
            }
            let place = place as usize;
            flows.push((read.keys[place], read.counters[place]));
        }
        read.clear();
        self.forget();
    }

    /// Finds keys that occur again.
    fn find_parts(&mut self, keys: &[FlowKey]) {
        // Of one drain only, and the result does not depend on it: who wants collisions would have to guess it.
        let seed = Seed::random();
        let slots = (keys.len() * 2).next_power_of_two();
        let mask = slots - 1;
        self.index.clear();
        self.index.resize(slots, 0);
        self.hashes.clear();
        self.hashes
            .extend(keys.iter().map(|key| seed.hash(&words(key))));
        self.parts.clear();
        for (place, hash) in self.hashes.iter().enumerate() {
            if let Some(next) = self.hashes.get(place + AHEAD) {
                prefetch(&self.index, *next as usize & mask, 0);
            }
            let tag = hash & !u64::from(u32::MAX);
            let mut at = *hash as usize & mask;
            loop {
                let slot = self.index[at];
                if slot == 0 {
                    self.index[at] = tag | (place as u64 + 1);
                    break;
                }
                let first = slot as u32 - 1;
                if slot & !u64::from(u32::MAX) == tag && same(&keys[first as usize], &keys[place]) {
                    self.parts.push((first, place as u32));
                    break;
                }
                at = (at + 1) & mask;
            }
        }
    }

    /// Merges the parts of each flow, earlier part first, into one of them; the others are left without packets.
    fn join_parts(&mut self, counters: &mut [FlowCounters]) {
        let mut firsts: Vec<u32> = self.parts.iter().map(|(first, _)| *first).collect();
        firsts.sort_unstable();
        firsts.dedup();
        self.parts
            .extend(firsts.into_iter().map(|first| (first, first)));
        self.parts.sort_unstable_by_key(|&(flow, part)| {
            let part = &counters[part as usize];
            (flow, part.first(), part.last())
        });
        for parts in self.parts.chunk_by(|a, b| a.0 == b.0) {
            let mut whole = FlowCounters::EMPTY;
            for (_, part) in parts {
                account::merge(&mut whole, &counters[*part as usize]);
                counters[*part as usize] = FlowCounters::EMPTY;
            }
            if let Some((first, _)) = parts.first() {
                counters[*first as usize] = whole;
            }
        }
    }

    /// Gives back the memory of a rare large epoch.
    fn forget(&mut self) {
        const KEPT: usize = 1 << 17;
        if self.order.len() < KEPT {
            self.order.shrink_to(KEPT);
            self.spare.clear();
            self.spare.shrink_to(KEPT);
            self.index.clear();
            self.index.shrink_to(4 * KEPT);
            self.hashes.clear();
            self.hashes.shrink_to(KEPT);
        }
    }
}

/// Moves what `tables` at rest hold to `into`, and gives for each of them how much it was and in how many calls. What is
/// much, about `held` flows, is read by a thread for each table: most of the time goes into waiting for memory.
pub(super) fn gather(
    tables: &[OwnedFd],
    held: u64,
    into: &mut Read,
    others: &mut Vec<Read>,
) -> io::Result<Vec<(u64, u32)>> {
    const MUCH: u64 = 1 << 17;
    let read_one = |table: &OwnedFd, into: &mut Read| {
        let before = into.len();
        let calls = into.empty(table.as_fd())?;
        Ok(((into.len() - before) as u64, calls))
    };
    let [first, rest @ ..] = tables else {
        return Ok(Vec::new());
    };
    if held < MUCH || rest.is_empty() {
        // The memory of a rare large epoch.
        others.clear();
        return tables.iter().map(|table| read_one(table, into)).collect();
    }
    others.resize_with(rest.len(), Read::default);
    let found = thread::scope(|scope| {
        let readers: Vec<_> = rest
            .iter()
            .zip(&mut *others)
            .map(|(table, read)| scope.spawn(move || read_one(table, read)))
            .collect();
        let mut found = vec![read_one(first, into)];
        let all = readers.into_iter().map(|reader| {
            reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        found.extend(all);
        found
    });
    for read in others {
        into.append(read);
    }
    found.into_iter().collect()
}

/// Sorts by time. An epoch has 2^29 moments: for many flows three passes of counting beat twenty of comparing.
fn by_time(order: &mut Vec<(TimeNs, u32)>, spare: &mut Vec<(TimeNs, u32)>) {
    const DIGIT_BITS: u32 = 11;
    const FEW: usize = 1 << 13;
    let least = order.iter().map(|(time, _)| *time).min().unwrap_or(0);
    let most = order.iter().map(|(time, _)| *time).max().unwrap_or(0);
    let bits = (most - least).checked_ilog2().map_or(0, |log| log + 1);
    if order.len() < FEW || bits > 4 * DIGIT_BITS {
        order.sort_unstable();
        return;
    }
    let mut counts = [0_usize; 1 << DIGIT_BITS];
    for pass in 0..bits.div_ceil(DIGIT_BITS) {
        let digit = |time: TimeNs| {
            ((time - least) >> (pass * DIGIT_BITS)) as usize & ((1 << DIGIT_BITS) - 1)
        };
        counts.fill(0);
        for (time, _) in &*order {
            counts[digit(*time)] += 1;
        }
        let mut sum = 0;
        for count in &mut counts {
            sum += std::mem::replace(count, sum);
        }
        spare.resize(order.len(), (0, 0));
        for entry in &*order {
            let place = &mut counts[digit(entry.0)];
            spare[*place] = *entry;
            *place += 1;
        }
        std::mem::swap(order, spare);
    }
}

fn words(key: &FlowKey) -> [u64; 5] {
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    let [a, b] = &key.addresses;
    let rest = u64::from(key.ports[0])
        | u64::from(key.ports[1]) << 16
        | u64::from(key.protocol) << 32
        | u64::from(key.later_fragment) << 40
        | u64::from(key.series) << 48;
    [
        word(&a[..8]),
        word(&a[8..]),
        word(&b[..8]),
        word(&b[8..]),
        rest,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sensor_ebpf::frame::Packet;

    use super::*;

    fn packet(host: u8) -> Packet {
        let mut packet = Packet::EMPTY;
        packet.key.addresses[0] = [host; 16];
        packet.key.addresses[1] = [200; 16];
        packet.key.protocol = 17;
        packet.ip_length = 100 + u32::from(host);
        packet
    }

    #[test]
    fn many_flows_are_sorted_by_counting_as_by_comparing() {
        for spread_bits in [0, 5, 20, 29, 44, 60] {
            let mut state = 7_u64;
            let mut order: Vec<(TimeNs, u32)> = (0..20_000)
                .map(|place| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    ((1 << 60) + (state >> 3 & ((1 << spread_bits) - 1)), place)
                })
                .collect();
            let mut wanted = order.clone();
            wanted.sort_unstable();
            by_time(&mut order, &mut Vec::new());
            assert_eq!(order, wanted, "{spread_bits} bits");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Packets counted by three CPUs, each its own stretch of time, are as if one had counted them.
        #[test]
        fn parts_become_whole_and_stand_in_order(
            packets in prop::collection::vec((0_u8..12, 0_u64..5), 0..200)
        ) {
            let mut read = Read::default();
            let mut expected: BTreeMap<FlowKey, FlowCounters> = BTreeMap::new();
            let mut time = 1_700_000_000_000_000_000;
            for stretch in packets.chunks(packets.len() / 3 + 1) {
                let mut table: BTreeMap<FlowKey, FlowCounters> = BTreeMap::new();
                for &(host, pause) in stretch {
                    time += pause * 1_000_000;
                    let packet = packet(host);
                    account::add(table.entry(packet.key).or_insert(FlowCounters::EMPTY), &packet, time);
                    account::add(expected.entry(packet.key).or_insert(FlowCounters::EMPTY), &packet, time);
                }
                // Tables are read in no order that means anything.
                for (key, counters) in table.into_iter().rev() {
                    read.keys.push(key);
                    read.counters.push(counters);
                }
            }
            let mut flows = Vec::new();
            Assembly::default().assemble(&mut read, true, &mut flows);
            prop_assert_eq!(read.len(), 0);
            let mut wanted: Vec<_> = expected.into_iter().collect();
            wanted.sort_by_key(|(key, counters)| (counters.first(), *key));
            prop_assert_eq!(flows, wanted);
        }
    }
}
