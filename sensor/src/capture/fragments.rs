//! Later fragments, by option, in the flow of their first.
//!
//! Of the fragments of a packet only the first has ports. The kernel programs count the later ones by address pair, and so does
//! everything else unless it is told otherwise: the same bits on every path. Where packets come to user space they can be told by
//! what a receiver tells them by: IPv4 by addresses, protocol and identification (RFC 791 §3.2), IPv6 by addresses and
//! identification alone (RFC 8200 §4.5: of the next header only the first fragment's counts). VLAN ids belong to it here too, since a
//! mirror port sees networks that may use the same addresses.
//!
//! Bounded: a table of first fragments, of which the oldest leaves when it is full. A flood of first fragments pushes out those of
//! others, whose later fragments then count by address pair; it takes no memory and loses no packet. Which fragments are followed is a
//! function of the frames and their times, the same in every run.

use sensor_ebpf::{
    bounds::Cursor,
    flow::{FlowKey, Side, TimeNs},
    frame::{IPV6_EXTENSIONS_MAX, Packet, ether_type, protocol},
};

use super::{
    container::Record,
    link::{self, Start},
};
use crate::bounded::{Index, Seed};

/// How long fragments belong to a first one, in packet time: what hosts wait for them (RFC 8200 §4.5: 60 s; RFC 1122 §3.3.2: a fixed
/// time between 60 and 120 s). A sender that uses an identification again begins with a first fragment, which takes the place.
const TIMEOUT_NS: TimeNs = 60_000_000_000;
/// First fragments remembered: 1.6 MB, made as they come. Ten milliseconds of a flood of a million of them a second, in which the
/// fragments of a packet have come long since, for they leave their sender one after the other.
const DATAGRAMS_MAX: u32 = 1 << 14;

/// What became of later fragments, and of the memory of first ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Counted in the flow of their first fragment.
    pub followed: u64,
    /// Counted by address pair: no first fragment was seen before them, it was too long ago, or it was pushed out.
    pub without_first: u64,
    /// Counted by address pair: fragments inside of a tunnel, which are not followed.
    pub inside_tunnels: u64,
    /// First fragments pushed out by others before their time was over. In no sum of packets.
    pub pushed_out: u64,
}

impl FragmentCounts {
    /// Adds another source or epoch.
    pub fn add(&mut self, other: &Self) {
        self.followed += other.followed;
        self.without_first += other.without_first;
        self.inside_tunnels += other.inside_tunnels;
        self.pushed_out += other.pushed_out;
    }

    /// Later fragments, however they were counted.
    pub const fn later(&self) -> u64 {
        self.followed + self.without_first + self.inside_tunnels
    }
}

/// Flow and direction in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The flow's key.
    pub key: FlowKey,
    /// Side of the key that sent it.
    pub sender: Side,
}

/// What tells the fragments of one packet from those of all others: source, destination, and in the last word identification, VLAN ids
/// and, of IPv4, the protocol.
type Datagram = [u64; 5];

/// A fragment.
struct Fragment {
    of: Datagram,
    is_first: bool,
}

struct Entry {
    of: Datagram,
    home: Home,
    time: TimeNs,
}

/// Remembers first fragments.
pub struct Fragments {
    /// A ring once it is full: `next` is the oldest.
    entries: Vec<Entry>,
    next: u32,
    most: u32,
    index: Index,
    seed: Seed,
    counts: FragmentCounts,
}

impl Default for Fragments {
    fn default() -> Self {
        Self::new(DATAGRAMS_MAX)
    }
}

impl Fragments {
    /// Remembers at most this many first fragments.
    fn new(most: u32) -> Self {
        Self {
            entries: Vec::new(),
            next: 0,
            most,
            index: Index::new(most),
            seed: Seed::random(),
            counts: FragmentCounts::default(),
        }
    }

    /// Looks at the packet that the parser found on the wire, in the order in which they came; where it is a later fragment whose first
    /// is known, answers where that was counted.
    #[inline]
    pub fn follow(&mut self, record: &Record<'_>, packet: &Packet) -> Option<Home> {
        let fragment = fragment(record, packet)?;
        self.place(&fragment, packet, record.time)
    }

    /// Notes a packet found inside of a tunnel. Its IP header states the length of all of it, also where the tunnel's packet is the first of
    /// several fragments: those that follow are the tunnel's own.
    pub fn pass(&mut self, packet: &Packet) {
        self.counts.inside_tunnels += u64::from(packet.key.is_later_fragment());
    }

    /// What became of fragments since this was asked last.
    pub fn take_counts(&mut self) -> FragmentCounts {
        std::mem::take(&mut self.counts)
    }

    #[cold]
    fn place(&mut self, fragment: &Fragment, packet: &Packet, time: TimeNs) -> Option<Home> {
        let hash = self.seed.hash(&fragment.of);
        let found = self
            .index
            .find(hash, |slot| self.entries[slot as usize].of == fragment.of);
        if fragment.is_first {
            let entry = Entry {
                of: fragment.of,
                home: Home {
                    key: packet.key,
                    sender: packet.sender,
                },
                time,
            };
            match found {
                Some(slot) => self.entries[slot as usize] = entry,
                None => self.remember(hash, entry),
            }
            return None;
        }
        let known = found
            .map(|slot| &self.entries[slot as usize])
            .filter(|entry| time.saturating_sub(entry.time) <= TIMEOUT_NS)
            .map(|entry| entry.home);
        match known {
            Some(_) => self.counts.followed += 1,
            None => self.counts.without_first += 1,
        }
        known
    }

    fn remember(&mut self, hash: u64, entry: Entry) {
        let slot = if (self.entries.len() as u32) < self.most {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let slot = self.next;
            self.next = (slot + 1) % self.most;
            let time = entry.time;
            let old = std::mem::replace(&mut self.entries[slot as usize], entry);
            let is_early = time.saturating_sub(old.time) <= TIMEOUT_NS;
            self.counts.pushed_out += u64::from(is_early);
            self.index.remove(self.seed.hash(&old.of), slot);
            slot
        };
        self.index.insert(hash, slot);
    }
}

/// What of a fragmented packet a frame is; `None` for a whole one, and for what stands inside of a tunnel. The parser has found an IP
/// packet in the frame.
#[inline]
fn fragment(record: &Record<'_>, packet: &Packet) -> Option<Fragment> {
    let (kind, at) = match link::start(record.link, record.frame) {
        Start::Frame(frame) => behind_tags(frame.u16(12)?, frame.skip(14)?)?,
        Start::EtherType(kind, rest) => behind_tags(kind, rest)?,
        Start::Ip(at) => match at.u8(0)? >> 4 {
            4 => (ether_type::IPV4, at),
            _ => (ether_type::IPV6, at),
        },
        Start::Nowhere(_) => return None,
    };
    let vlans = u64::from(packet.vlan) << 52 | u64::from(packet.inner_vlan) << 40;
    match kind {
        ether_type::IPV4 => ipv4(at, vlans),
        ether_type::IPV6 => ipv6(at, vlans),
        _ => None,
    }
}

/// Steps over tags: as many as the parser does, for it has found a packet behind them.
fn behind_tags(mut kind: u16, mut at: Cursor<'_>) -> Option<(u16, Cursor<'_>)> {
    while matches!(
        kind,
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD
    ) {
        kind = at.u16(2)?;
        at = at.skip(4)?;
    }
    Some((kind, at))
}

fn ipv4(at: Cursor<'_>, vlans: u64) -> Option<Fragment> {
    const MORE: u16 = 0x2000;
    const OFFSET: u16 = 0x1fff;
    let place = at.u16(6)?;
    if place & (MORE | OFFSET) == 0 {
        return None;
    }
    let v4_mapped = |address: u32| [0, 0xffff_0000_0000 | u64::from(address)];
    let ([a, b], [c, d]) = (v4_mapped(at.u32(12)?), v4_mapped(at.u32(16)?));
    let identification = u64::from(at.u16(4)?) << 8 | u64::from(at.u8(9)?);
    Some(Fragment {
        of: [a, b, c, d, vlans | identification],
        is_first: place & OFFSET == 0,
    })
}

fn ipv6(at: Cursor<'_>, vlans: u64) -> Option<Fragment> {
    const MORE: u16 = 0x0001;
    const OFFSET: u16 = 0xfff8;
    let (mut next, mut rest) = (at.u8(6)?, at.skip(40)?);
    for _ in 0..IPV6_EXTENSIONS_MAX {
        // Those that a router looks at stand before the fragment header (RFC 8200 §4.5, "Per-Fragment headers"), and the parser steps over
        // the others too.
        let length = match next {
            protocol::FRAGMENT => break,
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => (usize::from(rest.u8(1)?) + 1) * 8,
            protocol::AUTHENTICATION => (usize::from(rest.u8(1)?) + 2) * 4,
            _ => return None,
        };
        (next, rest) = (rest.u8(0)?, rest.skip(length)?);
    }
    if next != protocol::FRAGMENT {
        return None;
    }
    let place = rest.u16(2)?;
    // A whole packet that carries the header all the same (RFC 6946).
    if place & (MORE | OFFSET) == 0 {
        return None;
    }
    let identification = u64::from(rest.u32(4)?);
    Some(Fragment {
        of: [
            at.u64(8)?,
            at.u64(16)?,
            at.u64(24)?,
            at.u64(32)?,
            vlans | identification,
        ],
        is_first: place & OFFSET == 0,
    })
}

#[cfg(test)]
mod tests;
