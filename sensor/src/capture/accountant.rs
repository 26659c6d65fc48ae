//! The user-space counterpart of the kernel's flow tables: counts the packets of one epoch and hands them over.
//!
//! Replay, libpcap and AF_XDP all count through this, with the very functions the kernel program is made of. The
//! table holds one epoch only, so on ordinary traffic it stays in the cache.

use std::hash::{BuildHasher, RandomState};

use sensor_ebpf::{
    account,
    bounds::Cursor,
    flow::{EPOCH_SHIFT, FlowCounters, FlowKey, TimeNs, epoch_of, quality},
    frame::{Malformed, NoFlow, Packet, Parsed, parse_ethernet_into},
    maps::Ledger,
    table::{same, words},
};

use super::{
    Epoch,
    container::Record,
    fragments::{FragmentCounts, Fragments, Home},
    link::{self, LinkType},
};

/// Counts packets into the deltas of the current epoch.
pub struct Accountant {
    /// Open addressing, linear probing: upper half a tag of the hash, lower half the index of the entry plus 1,
    /// 0 for a free slot. A power of two, at most half full.
    slots: Vec<u64>,
    entries: Vec<(FlowKey, FlowCounters)>,
    /// Where in `slots` each entry stands.
    places: Vec<usize>,
    /// The entry of the packet before: packets of a flow come in bursts.
    latest: usize,
    ledger: Ledger,
    flows_max: usize,
    /// Keyed per process, so that nobody outside can choose colliding flows. What is handed over is sorted and
    /// does not depend on it.
    seeds: [u64; 2],
    epoch: Option<u64>,
    /// First and last time of the open epoch; all of time while none is open.
    first: TimeNs,
    last: TimeNs,
    late_packets: u64,
    inside_tunnels: bool,
    /// First fragments, where later ones are counted with them.
    fragments: Option<Box<Fragments>>,
    /// Whether either of these makes a packet more than what stands on the wire.
    looks_further: bool,
}

/// What [`Accountant::parse`] found in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    parsed: Parsed,
    /// Tunnels entered to find it.
    entered: u32,
    /// Where the first of its fragments was counted.
    home: Option<Home>,
}

impl Found {
    /// The flow it counts in, if it is of one.
    pub const fn key(&self) -> Option<&FlowKey> {
        match (&self.home, &self.parsed) {
            (Some(home), _) => Some(&home.key),
            (None, Parsed::Flow(packet)) => Some(&packet.key),
            _ => None,
        }
    }
}

const SLOTS_MIN: usize = 1 << 10;

/// An entry before its first packet.
static NOTHING_YET: [(FlowKey, FlowCounters); 1] = [(Packet::EMPTY.key, FlowCounters::EMPTY)];

impl Accountant {
    /// An accountant that counts at most `flows_max` flows an epoch; packets of further ones overflow.
    pub fn new(flows_max: usize) -> Self {
        let random = RandomState::new();
        Self {
            slots: vec![0; SLOTS_MIN],
            entries: Vec::new(),
            places: Vec::new(),
            latest: 0,
            ledger: Ledger::default(),
            flows_max: flows_max.clamp(1, (u32::MAX - 1) as usize),
            seeds: [random.hash_one(0), random.hash_one(1) | 1],
            epoch: None,
            first: 0,
            last: TimeNs::MAX,
            late_packets: 0,
            inside_tunnels: false,
            fragments: None,
            looks_further: false,
        }
    }

    /// Whether flows are those inside of tunnels ([`sensor_ebpf::frame::tunnel`]) and not those on the wire.
    #[must_use]
    pub fn inside_tunnels(mut self, inside: bool) -> Self {
        self.inside_tunnels = inside;
        self.looks_further |= inside;
        self
    }

    /// Whether later fragments count in the flow of their first (see `fragments.rs`) and not by address pair.
    #[must_use]
    pub fn following_fragments(mut self, follow: bool) -> Self {
        self.fragments = follow.then(Box::default);
        self.looks_further |= follow;
        self
    }

    /// Opens an epoch before its first packet, so that packets from before it count as late. Live sources do; a
    /// replay lets the packets open their own.
    pub fn open(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
        self.first = epoch << EPOCH_SHIFT;
        self.last = self.first | ((1 << EPOCH_SHIFT) - 1);
    }

    /// Whether a packet of `time` would open a new epoch while one is open: then [`Self::finish`] comes first.
    #[inline]
    pub fn is_due(&self, time: TimeNs) -> bool {
        time > self.last
    }

    /// Packets whose time lay before the epoch they were counted in (the capture was out of order).
    pub fn late_packets(&self) -> u64 {
        self.late_packets
    }

    /// Parses and counts one captured frame, and marks the flow if the frame was cut.
    #[inline(always)]
    pub(super) fn count_frame(&mut self, record: &Record<'_>) {
        if self.looks_further {
            let found = self.parse(record);
            return self.count_found(&found, record.time, cut(record));
        }
        if record.link != LinkType::ETHERNET {
            return self.count_marked(
                link::parse(record.link, record.frame),
                record.time,
                cut(record),
            );
        }
        let frame = Cursor::from_slice(record.frame);
        // Parsed to where it is counted from: no copy of the packet in between.
        let mut packet = Packet::EMPTY;
        let outcome = parse_ethernet_into(frame, frame.remaining() as u32, &mut packet);
        self.count_outcome(outcome, &packet.key, &packet, record.time, cut(record));
    }

    /// Parses one frame as this accountant wants it: inside of tunnels or not, with its first fragment or not. To be called once for
    /// each frame, in the order in which they came.
    #[inline(never)]
    pub fn parse(&mut self, record: &Record<'_>) -> Found {
        let (parsed, entered) = if self.inside_tunnels {
            link::parse_inside(record.link, record.frame)
        } else {
            (link::parse(record.link, record.frame), 0)
        };
        let mut home = None;
        if let (Some(fragments), Parsed::Flow(packet)) = (&mut self.fragments, &parsed) {
            if entered > 0 {
                fragments.pass(packet);
            } else {
                home = fragments.follow(record, packet);
            }
        }
        Found {
            parsed,
            entered,
            home,
        }
    }

    /// Counts what [`Self::parse`] found in one frame.
    #[inline]
    pub fn count_parsed(&mut self, found: &Found, time: TimeNs) {
        self.count_found(found, time, 0);
    }

    fn count_found(&mut self, found: &Found, time: TimeNs, quality: u16) {
        match (&found.home, found.parsed) {
            (Some(home), Parsed::Flow(mut packet)) => {
                packet.sender = home.sender;
                // Under the first one's key, but as the fragment that it is: what would be its flags is payload.
                self.count_outcome(Ok(()), &home.key, &packet, time, quality);
            }
            (_, parsed) => self.count_marked(parsed, time, quality),
        }
        self.ledger.inside_tunnels += u64::from(found.entered != 0);
    }

    /// Counts what the parser made of one frame.
    #[inline]
    pub fn count(&mut self, parsed: Parsed, time: TimeNs) {
        self.count_marked(parsed, time, 0);
    }

    #[inline]
    fn count_marked(&mut self, parsed: Parsed, time: TimeNs, quality: u16) {
        let (outcome, packet) = match parsed {
            Parsed::Flow(packet) => (Ok(()), packet),
            Parsed::NotIp => (Err(NoFlow::NotIp), Packet::EMPTY),
            Parsed::Probe => (Err(NoFlow::Probe), Packet::EMPTY),
            Parsed::Malformed(reason) => (Err(NoFlow::Malformed(reason)), Packet::EMPTY),
        };
        self.count_outcome(outcome, &packet.key, &packet, time, quality);
    }

    #[inline(always)]
    fn count_outcome(
        &mut self,
        outcome: Result<(), NoFlow>,
        key: &FlowKey,
        packet: &Packet,
        time: TimeNs,
        quality: u16,
    ) {
        if self.epoch.is_none() {
            self.open(epoch_of(time));
        }
        self.late_packets += u64::from(time < self.first);
        self.ledger.seen += 1;
        match outcome {
            Ok(()) => self.count_packet(key, packet, time, quality),
            Err(NoFlow::NotIp) => self.ledger.not_ip += 1,
            Err(NoFlow::Probe) => self.ledger.probe += 1,
            Err(NoFlow::Malformed(reason)) => self.reject(reason),
        }
    }

    fn reject(&mut self, reason: Malformed) {
        self.ledger.malformed[reason as usize] += 1;
    }

    #[inline(always)]
    fn count_packet(&mut self, key: &FlowKey, packet: &Packet, time: TimeNs, quality: u16) {
        match self.entry(key) {
            Some(counters) => {
                account::add(counters, packet, time);
                counters.quality |= quality;
                self.ledger.counted += 1;
            }
            None => {
                self.ledger.overflow_full += 1;
                self.ledger.overflow_bytes += u64::from(packet.ip_length);
            }
        }
    }

    #[inline(always)]
    fn entry(&mut self, key: &FlowKey) -> Option<&mut FlowCounters> {
        let is_latest = self
            .entries
            .get(self.latest)
            .is_some_and(|(latest, _)| same(latest, key));
        if !is_latest {
            self.latest = self.find(key)?;
        }
        Some(&mut self.entries[self.latest].1)
    }

    /// Index of the entry of `key`, made if need be; `None` where there is no room for it.
    fn find(&mut self, key: &FlowKey) -> Option<usize> {
        let hash = self.hash(key);
        let tag = hash & !u64::from(u32::MAX);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let index = (slot as u32 - 1) as usize;
            if slot & !u64::from(u32::MAX) == tag && same(&self.entries[index].0, key) {
                return Some(index);
            }
            at = (at + 1) & mask;
        }
        if self.entries.len() == self.flows_max {
            return None;
        }
        let index = self.entries.len();
        // Made where it stays: `push` would make it on the stack and copy its 288 bytes.
        self.entries.extend_from_slice(&NOTHING_YET);
        self.entries[index].0 = *key;
        self.places.push(at);
        self.slots[at] = tag | (index as u64 + 1);
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(index)
    }

    #[cold]
    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(length, 0);
        for index in 0..self.entries.len() {
            let hash = self.hash(&self.entries[index].0);
            let mut at = hash as usize & (length - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (length - 1);
            }
            self.slots[at] = (hash & !u64::from(u32::MAX)) | (index as u64 + 1);
            self.places[index] = at;
        }
    }

    /// Folded multiplication over the five words of the key (as in wyhash), keyed by two secrets.
    #[inline]
    fn hash(&self, key: &FlowKey) -> u64 {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let [a_high, a_low, b_high, b_low, tail] = *words(key);
        let [first, second] = self.seeds;
        let low = fold(a_low ^ first, b_low ^ second);
        let high = fold(a_high ^ second, b_high ^ first.rotate_left(32));
        fold(low ^ tail ^ second, high ^ first)
    }

    /// Hands the open epoch over, sorted, and is ready for the next; false where none is open.
    pub fn finish(&mut self, into: &mut Epoch) -> bool {
        let Some(index) = self.epoch.take() else {
            return false;
        };
        (self.first, self.last) = (0, TimeNs::MAX);
        if self.places.len() * 8 < self.slots.len() {
            // A large table that few flows used: freeing their slots costs less than clearing it.
            for &at in &self.places {
                self.slots[at] = 0;
            }
        } else {
            self.slots.fill(0);
        }
        self.places.clear();
        self.latest = 0;
        into.index = index;
        into.ledger = Ledger::default();
        std::mem::swap(&mut into.ledger, &mut self.ledger);
        into.fragments = match &mut self.fragments {
            Some(fragments) => fragments.take_counts(),
            None => FragmentCounts::default(),
        };
        into.flows.clear();
        std::mem::swap(&mut into.flows, &mut self.entries);
        super::sort(&mut into.flows);
        true
    }
}

/// The mark of a frame that was cut when it was captured.
#[inline(always)]
fn cut(record: &Record<'_>) -> u16 {
    if record.frame.len() < record.wire_length as usize {
        quality::SNAPPED
    } else {
        0
    }
}

#[cfg(test)]
mod tests;
