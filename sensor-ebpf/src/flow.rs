//! Flow key and per-flow counters: the kernel/user ABI.
//!
//! Layout rules: `repr(C)`, explicit padding, no `bool`, no enum with payload, size asserted below. A change of
//! any field is a change of the ABI and of the committed object.

/// Nanoseconds since the Unix epoch, as an unsigned integer (good until the year 2554).
pub type TimeNs = u64;

/// An epoch is 2^29 ns (0.537 s) of packet time: the unit in which counters are drained and decisions are taken.
///
/// Which epoch a packet belongs to depends on its own time stamp and on nothing else, so a capture splits in the
/// same places as the live traffic did. A power of two spares the kernel a division per packet.
pub const EPOCH_SHIFT: u32 = 29;

/// The epoch a packet time belongs to.
#[inline(always)]
pub const fn epoch_of(time: TimeNs) -> u64 {
    time >> EPOCH_SHIFT
}

/// Inter-arrival times are kept in ticks of 2^10 ns (1.024 µs): squares of a whole active timeout still fit 64 bits.
pub const TICK_SHIFT: u32 = 10;

/// IP packets of at most this many IP bytes count as small (RFC 2544 smallest frame plus options; ACKs and probes).
pub const SMALL_PACKET_BYTES: u32 = 100;

/// One end of a flow as the key stores it: an index into `addresses`, `ports` and [`FlowCounters::halves`].
pub type Side = usize;

/// Bidirectional flow key in canonical order: endpoint 0 is the smaller `(address, port)`, bytes compared big-endian.
///
/// IPv4 addresses are v4-mapped IPv6 (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2), so one map holds both families.
/// For ICMP and ICMPv6 the ports hold type and counterpart type or code, as Zeek does, and for ARP likewise its operation. 40 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Addresses of the two endpoints, network byte order.
    pub addresses: [[u8; 16]; 2],
    /// Ports of the two endpoints, host byte order; 0 where the protocol has none.
    pub ports: [u16; 2],
    /// IP protocol number (IANA), after IPv6 extension headers; 0 for ARP.
    pub protocol: u8,
    /// What is counted under this key, a [`form`]. An IP packet may bear any protocol number, so what is not an IP packet
    /// with ports is told apart here.
    pub form: u8,
    /// 0; or, where each interface's flows are counted apart, the lower half of its index. (No padding: the kernel hashes
    /// every byte.)
    pub series: u16,
}

impl FlowKey {
    /// Sets everything but the addresses, in one store: the kernel hashes the key at once, word by word, and a processor
    /// must wait before it can read a word that was just written in pieces.
    #[inline(always)]
    pub fn set_ports(&mut self, ports: [u16; 2], protocol: u8, form: u8) {
        let [[a, b], [c, d]] = [ports[0].to_ne_bytes(), ports[1].to_ne_bytes()];
        let word = u64::from_ne_bytes([a, b, c, d, protocol, form, 0, 0]);
        let end = (&raw mut *self).cast::<u64>().wrapping_add(4);
        // SAFETY: the last 8 of the key's 40 bytes, aligned to 8 as the key is; any value is valid for its fields.
        unsafe { end.write(word) };
    }

    /// Whether these are IP packets, of which the transport header was read.
    #[inline(always)]
    pub const fn is_whole(&self) -> bool {
        self.form == form::WHOLE
    }

    /// Whether these are later fragments.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.form == form::LATER_FRAGMENT
    }

    /// Whether these are ARP packets.
    #[inline(always)]
    pub const fn is_arp(&self) -> bool {
        self.form == form::ARP
    }
}

/// Values of [`FlowKey::form`].
pub mod form {
    /// IP packets, with the ports of their transport header.
    pub const WHOLE: u8 = 0;
    /// Later fragments of IP packets, whose ports are unknown: they are counted by address pair and protocol.
    pub const LATER_FRAGMENT: u8 = 1;
    /// ARP packets that ask for an IPv4 address over Ethernet or tell one (RFC 826): between the sender's protocol address and the
    /// target's.
    pub const ARP: u8 = 2;
}

const _: () = assert!(core::mem::offset_of!(FlowKey, ports) == 32);
const _: () = assert!(core::mem::offset_of!(FlowKey, protocol) == 36);
const _: () = assert!(core::mem::offset_of!(FlowKey, form) == 37);

/// Index of a TCP flag in [`Half::flags`]: its bit number in the TCP header (RFC 9293 §3.1).
pub mod tcp_flag {
    /// FIN
    pub const FIN: usize = 0;
    /// SYN
    pub const SYN: usize = 1;
    /// RST
    pub const RST: usize = 2;
    /// PSH
    pub const PSH: usize = 3;
    /// ACK
    pub const ACK: usize = 4;
    /// URG
    pub const URG: usize = 5;
    /// ECE
    pub const ECE: usize = 6;
    /// CWR
    pub const CWR: usize = 7;
}

/// Bits of [`Half::seen`]: what one side has sent at least once. OR-ed, so merging does not depend on order.
/// The letters are those of Zeek's `history`.
pub mod seen {
    /// `S`: SYN without ACK.
    pub const SYN: u16 = 1 << 0;
    /// `H`: SYN with ACK.
    pub const SYN_ACK: u16 = 1 << 1;
    /// `A`: ACK without payload, SYN, FIN or RST.
    pub const PURE_ACK: u16 = 1 << 2;
    /// `D`: payload.
    pub const DATA: u16 = 1 << 3;
    /// `F`: FIN.
    pub const FIN: u16 = 1 << 4;
    /// `R`: RST.
    pub const RST: u16 = 1 << 5;
    /// `I`: inconsistent flags: SYN with FIN, SYN with RST, or no flag at all.
    pub const INCONSISTENT: u16 = 1 << 6;
    /// `W`: zero window without RST or SYN.
    pub const ZERO_WINDOW: u16 = 1 << 7;
}

/// Counters of one direction. 112 bytes.
///
/// `packets` and `last` come first because the other direction's packets read them too, see [`FlowCounters`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// Packets on the wire (a GSO super-packet counts as its segments).
    pub packets: u64,
    /// Time of the last packet; 0 while there is none.
    pub last: TimeNs,
    /// IP bytes: IP header and everything behind it, without link header, tags and padding. (Of ARP, the packet.)
    pub ip_bytes: u64,
    /// Bytes behind the transport header.
    pub payload_bytes: u64,
    /// Sum of squares of the IP length of each packet.
    pub length_square_sum: u64,
    /// Sum of squares of inter-arrival times, in ticks².
    pub gap_square_sum: u64,
    /// Shortest inter-arrival time in ticks; `u32::MAX` while there are fewer than two packets.
    pub gap_min: u32,
    /// Longest inter-arrival time in ticks, saturating (73 minutes).
    pub gap_max: u32,
    /// Packets that carried each TCP flag, by [`tcp_flag`].
    pub flags: [u32; 8],
    /// Packets of at most [`SMALL_PACKET_BYTES`].
    pub small_packets: u32,
    /// Shortest IP length; `u16::MAX` while there is no packet.
    pub length_min: u16,
    /// Longest IP length.
    pub length_max: u16,
    /// OR of [`seen`] bits.
    pub seen: u16,
    /// Smallest TTL or hop limit, 0 for ARP; `u8::MAX` while there is no packet.
    pub ttl_min: u8,
    /// Largest TTL or hop limit.
    pub ttl_max: u8,
    /// TCP window of the first packet of this direction, unscaled.
    pub first_window: u16,
    /// Behind [`FlowCounters::vlan`], if it was this side that sent the first tagged packet: VLAN id of the inner tag, 0
    /// for none (IEEE 802.1ad, "QinQ").
    pub inner_vlan: u16,
    /// Time of the first packet; `u64::MAX` while there is none.
    pub first: TimeNs,
}

/// Counters of one flow, in one epoch (a delta) or over its life. 248 bytes.
///
/// The order of the fields is that of the cache lines a packet touches: a hash element is 48 bytes of the kernel's, the
/// key and then this, so what every packet touches shares a line with the end of the key and with the beginning of the
/// first half.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCounters {
    /// Sum of squares of inter-arrival times over both directions, in ticks².
    pub gap_square_sum: u64,
    /// Shortest inter-arrival time over both directions, in ticks.
    pub gap_min: u32,
    /// Longest inter-arrival time over both directions, in ticks, saturating.
    pub gap_max: u32,
    /// VLAN id of the flow's first tagged packet (outer tag), 0 for none.
    pub vlan: u16,
    /// [`quality`] bits.
    pub quality: u16,
    /// Interface index on which the first packet was seen; 0 for a capture file.
    pub interface: u32,
    /// By the side that sent: index 0 is endpoint 0 of the key.
    pub halves: [Half; 2],
}

/// Bits of [`FlowCounters::quality`]: what about a record is less than exact.
pub mod quality {
    /// Two CPUs counted one direction in overlapping spans: its inter-arrival statistics are approximate.
    pub const INTERLEAVED: u16 = 1 << 0;
    /// A capture was cut (snap length): payload lengths were taken from the headers.
    pub const SNAPPED: u16 = 1 << 1;
    /// The drain came late and this delta spans more than one epoch.
    pub const LATE: u16 = 1 << 2;
    /// Two CPUs counted the two directions in overlapping spans: the inter-arrival statistics over both
    /// directions are approximate, those of each direction are exact.
    pub const INTERLEAVED_FLOW: u16 = 1 << 3;
}

const _: () = assert!(size_of::<FlowKey>() == 40 && align_of::<FlowKey>() == 8);
const _: () = assert!(size_of::<Half>() == 112);
const _: () = assert!(size_of::<FlowCounters>() == 248);

impl Half {
    /// No packet yet.
    pub const EMPTY: Self = Self {
        packets: 0,
        ip_bytes: 0,
        payload_bytes: 0,
        length_square_sum: 0,
        first: u64::MAX,
        last: 0,
        gap_square_sum: 0,
        gap_min: u32::MAX,
        gap_max: 0,
        flags: [0; 8],
        small_packets: 0,
        length_min: u16::MAX,
        length_max: 0,
        first_window: 0,
        seen: 0,
        ttl_min: u8::MAX,
        ttl_max: 0,
        inner_vlan: 0,
    };
}

impl FlowCounters {
    /// No packet yet.
    pub const EMPTY: Self = Self {
        halves: [Half::EMPTY; 2],
        gap_square_sum: 0,
        gap_min: u32::MAX,
        gap_max: 0,
        vlan: 0,
        quality: 0,
        interface: 0,
    };

    /// Time of the first packet of either direction.
    #[inline]
    pub const fn first(&self) -> TimeNs {
        let [a, b] = &self.halves;
        if a.first < b.first { a.first } else { b.first }
    }

    /// Time of the last packet of either direction.
    #[inline]
    pub const fn last(&self) -> TimeNs {
        let [a, b] = &self.halves;
        if a.last > b.last { a.last } else { b.last }
    }

    /// VLAN id of the inner tag of the flow's first tagged packet, 0 for none.
    #[inline]
    pub const fn inner_vlan(&self) -> u16 {
        self.halves[0].inner_vlan | self.halves[1].inner_vlan
    }

    /// Packets of both directions.
    #[inline]
    pub const fn packets(&self) -> u64 {
        self.halves[0].packets + self.halves[1].packets
    }
}

// SAFETY: `repr(C)`, only integers and arrays of integers, padding explicit (sizes asserted above).
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for FlowKey {}
// SAFETY: as for `FlowKey`.
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for FlowCounters {}
