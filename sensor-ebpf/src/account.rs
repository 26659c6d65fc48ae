//! Accounting of one packet into [`FlowCounters`], and the exact merge of two deltas.
//!
//! Integer sums, minima, maxima and ORs only: whether a flow was counted packet by packet, epoch by epoch or CPU by
//! CPU, the merged record is the same to the bit, as long as the parts do not overlap in time. Where they do, the
//! gap between them is not known, and the record says so ([`quality`]).

use crate::{
    flow::{FlowCounters, Half, SMALL_PACKET_BYTES, TICK_SHIFT, TimeNs, quality, seen, tcp_flag},
    frame::{Packet, protocol},
};

/// How a GSO super-packet will be cut when it reaches the wire (`struct __sk_buff`: `gso_segs`, `gso_size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Packets on the wire; 1 for an ordinary packet.
    pub count: u32,
    /// Payload bytes of each but the last.
    pub payload: u32,
}

impl Segments {
    /// A packet that goes out as it is.
    pub const ONE: Self = Self {
        count: 1,
        payload: 0,
    };
}

/// Whether the compiler is told to branch and not to compute. BPF has no conditional move, and there a store that is not made is the
/// cheaper one. On the host these branches go by the traffic, two of them the wrong way at each packet, which costs more than
/// the stores.
const BRANCHES: bool = cfg!(target_arch = "bpf");

/// Lowers a minimum. (A macro, as those below: by way of a reference the compiler lays the kernel's code out worse.)
macro_rules! lower {
    ($least:expr, $value:expr) => {
        if BRANCHES {
            if $value < $least {
                $least = $value;
            }
        } else {
            $least = $least.min($value);
        }
    };
}

/// Raises a maximum.
macro_rules! raise {
    ($most:expr, $value:expr) => {
        if BRANCHES {
            if $value > $most {
                $most = $value;
            }
        } else {
            $most = $most.max($value);
        }
    };
}

/// Counts one, if it is one.
macro_rules! count_if {
    ($count:expr, $is:expr) => {
        if BRANCHES {
            if $is {
                $count += 1;
            }
        } else {
            $count += u32::from($is);
        }
    };
}

/// Counts one packet that was seen at `time`.
#[inline(always)]
pub fn add(counters: &mut FlowCounters, packet: &Packet, time: TimeNs) {
    add_segments(counters, packet, Segments::ONE, time);
}

/// Counts one packet, or a super-packet as the segments that reach the wire.
///
/// All segments get the same time; the first carries CWR and the last FIN, PSH and RST, as the kernel cuts them
/// (net/ipv4/tcp_offload.c, `tcp_gso_segment`).
///
/// This runs once per packet in the kernel: minima and maxima are compared and rarely stored (`lower`, `raise`), rare flags have a
/// path of their own, and nothing is computed that is not stored.
#[inline(always)]
pub fn add_segments(
    counters: &mut FlowCounters,
    packet: &Packet,
    segments: Segments,
    time: TimeNs,
) {
    // The mask is what lets the verifier see that the index is in range.
    let sender = packet.sender & 1;
    let (other_packets, other_last) = {
        let other = &counters.halves[1 - sender];
        (other.packets, other.last)
    };
    let half = &mut counters.halves[sender];
    let mut previous = other_last;
    if half.packets == 0 {
        half.first = time;
        half.last = time;
        half.first_window = packet.window;
    } else {
        let last = half.last;
        if last > previous {
            previous = last;
        }
        let gap = ticks(last, time);
        lower!(half.gap_min, gap);
        raise!(half.gap_max, gap);
        half.gap_square_sum = saturating_add(half.gap_square_sum, square(gap));
        if time > last {
            half.last = time;
        } else if time < half.first {
            half.first = time;
        }
    }
    let is_first = half.packets + other_packets == 0;
    half.payload_bytes += u64::from(packet.payload_length);
    if segments.count > 1 {
        add_all_but_last(half, packet, segments);
    } else {
        add_length(half, packet.ip_length);
    }
    lower!(half.ttl_min, packet.ttl);
    raise!(half.ttl_max, packet.ttl);
    if packet.key.protocol == protocol::TCP && packet.key.is_whole() {
        add_flags(half, packet, segments);
    } else if packet.payload_length > 0 {
        half.seen |= seen::DATA;
    }
    if !is_first {
        let gap = ticks(previous, time);
        lower!(counters.gap_min, gap);
        raise!(counters.gap_max, gap);
        counters.gap_square_sum = saturating_add(counters.gap_square_sum, square(gap));
    }
    if packet.vlan != 0 && counters.vlan == 0 {
        counters.vlan = packet.vlan;
        counters.halves[sender].inner_vlan = packet.inner_vlan;
    }
    if segments.count > 1 {
        counters.gap_min = 0;
        counters.halves[sender].gap_min = 0;
    }
}

/// One packet of that IP length.
#[inline(always)]
fn add_length(half: &mut Half, length: u32) {
    half.packets += 1;
    half.ip_bytes += u64::from(length);
    half.length_square_sum += u64::from(length) * u64::from(length);
    note_length(half, length);
    count_if!(half.small_packets, length <= SMALL_PACKET_BYTES);
}

/// Segments of full length, and one with the rest of the payload.
#[inline(always)]
fn add_all_but_last(half: &mut Half, packet: &Packet, segments: Segments) {
    let headers = packet.ip_length - packet.payload_length;
    let full = headers + segments.payload;
    let cut = segments.count - 1;
    half.packets += u64::from(cut);
    half.ip_bytes += u64::from(cut) * u64::from(full);
    half.length_square_sum += u64::from(cut) * u64::from(full) * u64::from(full);
    note_length(half, full);
    if full <= SMALL_PACKET_BYTES {
        half.small_packets += cut;
    }
    let rest = packet.payload_length.saturating_sub(cut * segments.payload);
    add_length(half, headers + rest);
}

#[inline(always)]
fn note_length(half: &mut Half, length: u32) {
    let length = if length > u32::from(u16::MAX) {
        u16::MAX
    } else {
        length as u16
    };
    lower!(half.length_min, length);
    raise!(half.length_max, length);
}

/// Each flag is counted by itself: a Xmas packet is a FIN, a PSH and a URG, a SYN with FIN is both.
#[inline(always)]
fn add_flags(half: &mut Half, packet: &Packet, segments: Segments) {
    const COMMON: u8 = 1 << tcp_flag::ACK | 1 << tcp_flag::PSH;
    const IN_EVERY_SEGMENT: [usize; 3] = [tcp_flag::ACK, tcp_flag::URG, tcp_flag::ECE];
    let flags = u32::from(packet.tcp_flags);
    half.flags[tcp_flag::ACK] += (flags >> tcp_flag::ACK) & 1;
    half.flags[tcp_flag::PSH] += (flags >> tcp_flag::PSH) & 1;
    // Most packets carry no other.
    if packet.tcp_flags & !COMMON != 0 {
        let mut bit = 0;
        while bit < 8 {
            if bit != tcp_flag::ACK && bit != tcp_flag::PSH {
                half.flags[bit] += (flags >> bit) & 1;
            }
            bit += 1;
        }
    }
    if segments.count > 1 {
        for bit in IN_EVERY_SEGMENT {
            half.flags[bit] += ((flags >> bit) & 1) * (segments.count - 1);
        }
    }
    let mut bits = SEEN_BY_FLAGS[usize::from(packet.tcp_flags)];
    if packet.payload_length > 0 {
        bits = (bits & !seen::PURE_ACK) | seen::DATA;
    }
    if packet.window != 0 {
        bits &= !seen::ZERO_WINDOW;
    }
    half.seen |= bits;
}

/// What a TCP packet with these flags, without payload and with window 0 adds to [`Half::seen`].
static SEEN_BY_FLAGS: [u16; 256] = {
    let mut table = [0; 256];
    let mut flags = 0;
    while flags < table.len() {
        table[flags] = seen_by_flags(flags as u8);
        flags += 1;
    }
    table
};

const fn seen_by_flags(flags: u8) -> u16 {
    const FIN: u8 = 1 << tcp_flag::FIN;
    const SYN: u8 = 1 << tcp_flag::SYN;
    const RST: u8 = 1 << tcp_flag::RST;
    const ACK: u8 = 1 << tcp_flag::ACK;
    let mut bits = 0;
    if flags & SYN != 0 {
        bits |= if flags & ACK == 0 {
            seen::SYN
        } else {
            seen::SYN_ACK
        };
        if flags & (FIN | RST) != 0 {
            bits |= seen::INCONSISTENT;
        }
    } else if flags & (FIN | RST) == 0 {
        // Only SYN and RST may come without ACK (RFC 9293 §3.10.7.4): null and Xmas-like probes.
        bits |= if flags & ACK == 0 {
            seen::INCONSISTENT
        } else {
            seen::PURE_ACK
        };
    }
    if flags & FIN != 0 {
        bits |= seen::FIN;
        if flags & ACK == 0 {
            bits |= seen::INCONSISTENT;
        }
    }
    if flags & RST != 0 {
        bits |= seen::RST;
    }
    if flags & (SYN | RST) == 0 {
        bits |= seen::ZERO_WINDOW;
    }
    bits
}

/// Merges `other` into `into`, as if the packets of both had been counted one after the other.
pub fn merge(into: &mut FlowCounters, other: &FlowCounters) {
    if other.packets() == 0 {
        return;
    }
    if into.packets() == 0 {
        *into = *other;
        return;
    }
    let joint = Joint::between((into.first(), into.last()), (other.first(), other.last()));
    let other_is_first = other.first() < into.first();
    // Both tags are those of one packet.
    let tagged = if (other_is_first && other.vlan != 0) || into.vlan == 0 {
        other
    } else {
        &*into
    };
    let (vlan, inner_vlans) = (
        tagged.vlan,
        tagged.halves.each_ref().map(|half| half.inner_vlan),
    );
    into.vlan = vlan;
    if other_is_first {
        into.interface = other.interface;
    }
    into.quality |= other.quality;
    if joint.overlaps {
        into.quality |= quality::INTERLEAVED_FLOW;
    }
    (into.gap_min, into.gap_max, into.gap_square_sum) = joint.gaps(
        (into.gap_min, into.gap_max, into.gap_square_sum),
        (other.gap_min, other.gap_max, other.gap_square_sum),
    );
    for (half, more) in into.halves.iter_mut().zip(&other.halves) {
        if merge_half(half, more) {
            into.quality |= quality::INTERLEAVED;
        }
    }
    for (half, inner_vlan) in into.halves.iter_mut().zip(inner_vlans) {
        half.inner_vlan = inner_vlan;
    }
}

/// Merges one direction; true where the two parts overlap in time.
fn merge_half(into: &mut Half, other: &Half) -> bool {
    if other.packets == 0 {
        return false;
    }
    if into.packets == 0 {
        *into = *other;
        return false;
    }
    let joint = Joint::between((into.first, into.last), (other.first, other.last));
    (into.gap_min, into.gap_max, into.gap_square_sum) = joint.gaps(
        (into.gap_min, into.gap_max, into.gap_square_sum),
        (other.gap_min, other.gap_max, other.gap_square_sum),
    );
    if other.first < into.first {
        into.first_window = other.first_window;
    }
    into.first = into.first.min(other.first);
    into.last = into.last.max(other.last);
    into.packets += other.packets;
    into.ip_bytes += other.ip_bytes;
    into.payload_bytes += other.payload_bytes;
    into.length_square_sum = into
        .length_square_sum
        .saturating_add(other.length_square_sum);
    for (flag, more) in into.flags.iter_mut().zip(other.flags) {
        *flag = flag.saturating_add(more);
    }
    into.small_packets = into.small_packets.saturating_add(other.small_packets);
    into.length_min = into.length_min.min(other.length_min);
    into.length_max = into.length_max.max(other.length_max);
    into.seen |= other.seen;
    into.ttl_min = into.ttl_min.min(other.ttl_min);
    into.ttl_max = into.ttl_max.max(other.ttl_max);
    joint.overlaps
}

/// Where two spans of packets meet.
struct Joint {
    /// Ticks between the last packet of the earlier span and the first of the later; 0 where they overlap.
    gap: u32,
    overlaps: bool,
}

impl Joint {
    fn between(a: (TimeNs, TimeNs), b: (TimeNs, TimeNs)) -> Self {
        let (earlier, later) = if a <= b { (a, b) } else { (b, a) };
        Self {
            gap: ticks(earlier.1, later.0),
            overlaps: later.0 < earlier.1,
        }
    }

    /// Minimum, maximum and square sum of the gaps of both spans and of the one between them.
    fn gaps(&self, a: (u32, u32, u64), b: (u32, u32, u64)) -> (u32, u32, u64) {
        let both = (a.0.min(b.0), a.1.max(b.1), a.2.saturating_add(b.2));
        if self.overlaps {
            return both;
        }
        (
            both.0.min(self.gap),
            both.1.max(self.gap),
            both.2.saturating_add(square(self.gap)),
        )
    }
}

/// Ticks from one time to the other, saturating at both ends.
#[inline(always)]
fn ticks(earlier: TimeNs, later: TimeNs) -> u32 {
    if later <= earlier {
        return 0;
    }
    let ticks = (later - earlier) >> TICK_SHIFT;
    if ticks > u64::from(u32::MAX) {
        u32::MAX
    } else {
        ticks as u32
    }
}

#[inline(always)]
fn square(ticks: u32) -> u64 {
    u64::from(ticks) * u64::from(ticks)
}

/// As `u64::saturating_add`, in a form that costs the kernel one branch that is not taken.
#[inline(always)]
fn saturating_add(sum: u64, more: u64) -> u64 {
    let total = sum.wrapping_add(more);
    if total < more { u64::MAX } else { total }
}
