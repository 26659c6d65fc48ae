//! Makes an epoch of what was read from the tables: the parts of a flow that several CPUs counted become one, and the flows
//! stand in the order an [`crate::capture::Epoch`] promises.
//!
//! A flow is 300 bytes, and a busy epoch has a million: what is sorted are numbers, and each flow is moved once.

use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, TimeNs},
    table::{Entry, same, words},
};

use crate::bounded::{Seed, prefetch};

/// How many flows ahead the cache is asked for what comes next.
const AHEAD: usize = 8;

/// First packet of a flow; and where it is: in which part, at which place.
type Placed = (TimeNs, u32, u32);

/// The time of a part whose packets have gone into another.
const GONE: TimeNs = TimeNs::MAX;

/// Memory of the assembly, kept from drain to drain.
#[derive(Default)]
pub(super) struct Assembly {
    order: Vec<Placed>,
    spare: Vec<Placed>,
    /// Open addressing: a tag of the key's hash above, the number of the entry plus 1 below; 0 is free.
    index: Vec<u64>,
    hashes: Vec<u64>,
    /// A later part of a flow with the one that was found first, by number.
    parts: Vec<(u32, u32)>,
}

impl Assembly {
    /// Copies what tables hold to `flows`, sorted. `look` is shown each entry's counters once before. A flow may be in
    /// several tables, but in each of them only once.
    pub(super) fn assemble(
        &mut self,
        tables: &mut [&mut [Entry]],
        mut look: impl FnMut(&mut FlowCounters),
        flows: &mut Vec<(FlowKey, FlowCounters)>,
    ) {
        let in_parts = tables.iter().filter(|table| !table.is_empty()).count() > 1;
        // Of one drain only, and the result does not depend on it: who wants collisions would have to guess it.
        let seed = Seed::random();
        self.order.clear();
        self.hashes.clear();
        for (table, part) in tables.iter_mut().zip(0..) {
            for (entry, at) in table.iter_mut().zip(0..) {
                look(&mut entry.counters);
                self.order.push((entry.counters.first(), part, at));
                if in_parts {
                    self.hashes.push(seed.hash(words(&entry.key)));
                }
            }
        }
        if in_parts {
            self.find_parts(tables);
            self.join_parts(tables);
        }
        by_time(&mut self.order, &mut self.spare);
        let key = |placed: &Placed| &tables[placed.1 as usize][placed.2 as usize].key;
        for same_time in self.order.chunk_by_mut(|a, b| a.0 == b.0) {
            same_time.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        }
        flows.reserve(self.order.len());
        for (number, &(_, part, at)) in self.order.iter().enumerate() {
            if let Some(&(_, part, at)) = self.order.get(number + AHEAD) {
                let table = &*tables[part as usize];
                for line in 0..=size_of::<Entry>() / 64 {
                    prefetch(table, at as usize, line * 64);
                }
            }
            let entry = &tables[part as usize][at as usize];
            flows.push((entry.key, entry.counters));
        }
        self.forget();
    }

    /// Finds keys that occur again.
    fn find_parts(&mut self, tables: &[&mut [Entry]]) {
        let slots = (self.hashes.len() * 2).next_power_of_two();
        let mask = slots - 1;
        self.index.clear();
        self.index.resize(slots, 0);
        self.parts.clear();
        let key = |number: u32| {
            let (_, part, at) = self.order[number as usize];
            &tables[part as usize][at as usize].key
        };
        for (hash, number) in self.hashes.iter().zip(0_u32..) {
            if let Some(next) = self.hashes.get(number as usize + AHEAD) {
                prefetch(&self.index, *next as usize & mask, 0);
            }
            let tag = hash & !u64::from(u32::MAX);
            let mut at = *hash as usize & mask;
            loop {
                let slot = self.index[at];
                if slot == 0 {
                    self.index[at] = tag | u64::from(number + 1);
                    break;
                }
                let first = slot as u32 - 1;
                if slot & !u64::from(u32::MAX) == tag && same(key(first), key(number)) {
                    self.parts.push((first, number));
                    break;
                }
                at = (at + 1) & mask;
            }
        }
    }

    /// Merges the parts of each flow, earlier part first, into the one that was found first; the others are gone.
    fn join_parts(&mut self, tables: &mut [&mut [Entry]]) {
        let mut firsts: Vec<u32> = self.parts.iter().map(|(first, _)| *first).collect();
        firsts.sort_unstable();
        firsts.dedup();
        self.parts
            .extend(firsts.into_iter().map(|first| (first, first)));
        let order = &mut self.order;
        let place = |order: &[Placed], number: u32| {
            let (_, part, at) = order[number as usize];
            (part as usize, at as usize)
        };
        self.parts.sort_unstable_by_key(|&(flow, number)| {
            let (part, at) = place(order, number);
            let counters = &tables[part][at].counters;
            (flow, counters.first(), counters.last())
        });
        for parts in self.parts.chunk_by(|a, b| a.0 == b.0) {
            let mut whole = FlowCounters::EMPTY;
            for &(_, number) in parts {
                let (part, at) = place(order, number);
                account::merge(&mut whole, &tables[part][at].counters);
                order[number as usize].0 = GONE;
            }
            let first = parts[0].0;
            let (part, at) = place(order, first);
            order[first as usize].0 = whole.first();
            tables[part][at].counters = whole;
        }
        if !self.parts.is_empty() {
            order.retain(|placed| placed.0 != GONE);
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

/// Sorts by time. An epoch has 2^29 moments: for many flows three passes of counting beat twenty of comparing.
fn by_time(order: &mut Vec<Placed>, spare: &mut Vec<Placed>) {
    const DIGIT_BITS: u32 = 11;
    const FEW: usize = 1 << 13;
    // One table's flows are in order as they are, but for tests that bring their own time.
    if order.is_sorted_by_key(|placed| placed.0) {
        return;
    }
    let least = order.iter().map(|placed| placed.0).min().unwrap_or(0);
    let most = order.iter().map(|placed| placed.0).max().unwrap_or(0);
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
        for placed in &*order {
            counts[digit(placed.0)] += 1;
        }
        let mut sum = 0;
        for count in &mut counts {
            sum += std::mem::replace(count, sum);
        }
        spare.resize(order.len(), (0, 0, 0));
        for entry in &*order {
            let place = &mut counts[digit(entry.0)];
            spare[*place] = *entry;
            *place += 1;
        }
        std::mem::swap(order, spare);
    }
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
            let mut order: Vec<Placed> = (0..20_000)
                .map(|place| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (
                        (1 << 60) + (state >> 3 & ((1 << spread_bits) - 1)),
                        0,
                        place,
                    )
                })
                .collect();
            let mut wanted = order.clone();
            wanted.sort();
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
            let mut tables = Vec::new();
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
                // The order in a table means nothing.
                let table = table.into_iter().rev();
                tables.push(table.map(|(key, counters)| Entry { key, counters }).collect::<Vec<_>>());
            }
            let (mut flows, mut seen) = (Vec::new(), 0);
            let mut slices: Vec<_> = tables.iter_mut().map(Vec::as_mut_slice).collect();
            Assembly::default().assemble(&mut slices, |counters| seen += counters.packets(), &mut flows);
            prop_assert_eq!(seen, packets.len() as u64);
            let mut wanted: Vec<_> = expected.into_iter().collect();
            wanted.sort_by_key(|(key, counters)| (counters.first(), *key));
            prop_assert_eq!(flows, wanted);
        }
    }
}
