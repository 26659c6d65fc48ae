//! Frames of a schedule: the headers in full, the payload only by its length.

use std::net::Ipv4Addr;

use sensor_ebpf::frame::{ether_type, protocol};

/// Bytes of a frame that a schedule holds: Ethernet, IPv4 or IPv6, TCP.
pub(crate) const HEAD_BYTES: usize = 80;
/// The longest frame.
pub(crate) const LENGTH_MAX: u16 = 1514;
/// The shortest: Ethernet's 60, and room for what is written.
pub(crate) const LENGTH_MIN: u16 = HEAD_BYTES as u16;

/// What changes from one round through the schedule to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Vary {
    /// Nothing: the same flows go on.
    AsIs = 0,
    /// Source address and port are drawn anew for each packet.
    RandomSource = 1,
    /// The source is another host, so that each round has flows of its own.
    RoundSource = 2,
    /// The destination is: the other direction of the same flows.
    RoundDestination = 3,
    /// The source is one of as many as there are flows, at random.
    RandomFlow = 4,
}

/// One frame; `struct slot` of `c/traffic.bpf.c`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Of the frame on the wire, without its checksum.
    pub(crate) length: u16,
    vary: u8,
    pad: [u8; 5],
    head: [u8; HEAD_BYTES],
}

const _: () = assert!(size_of::<Slot>() == 8 + HEAD_BYTES);

// SAFETY: `repr(C)`, only integers, no padding.
unsafe impl aya::Pod for Slot {}

/// Where a packet comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
}

/// Flags of a TCP header.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const PSH: u8 = 8;
    pub(crate) const ACK: u8 = 16;
}

impl Slot {
    /// A UDP datagram.
    pub(crate) fn udp(from: End, to: End, payload: u16) -> Self {
        let mut slot = Self::ipv4(from.address, to.address, protocol::UDP, 8 + payload);
        slot.put(34, &from.port.to_be_bytes());
        slot.put(36, &to.port.to_be_bytes());
        slot.put(38, &(8 + payload).to_be_bytes());
        slot
    }

    /// A TCP segment.
    pub(crate) fn tcp(from: End, to: End, flags: u8, sequence: u32, payload: u16) -> Self {
        let mut slot = Self::ipv4(from.address, to.address, protocol::TCP, 20 + payload);
        slot.put(34, &from.port.to_be_bytes());
        slot.put(36, &to.port.to_be_bytes());
        slot.put(38, &sequence.to_be_bytes());
        slot.put(46, &[5 << 4, flags, 0xfa, 0xf0]);
        slot
    }

    /// Between rounds, this changes.
    pub(crate) fn varied(mut self, vary: Vary) -> Self {
        self.vary = vary as u8;
        self
    }

    /// From one locally administered MAC address to another that no interface has: a stack that gets such a frame drops it
    /// at once, so that what is measured is not how it answers.
    fn ipv4(from: Ipv4Addr, to: Ipv4Addr, kind: u8, behind: u16) -> Self {
        let mut slot = Self {
            length: (14 + 20 + behind).max(LENGTH_MIN),
            vary: Vary::AsIs as u8,
            pad: [0; 5],
            head: [0; HEAD_BYTES],
        };
        slot.put(0, &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        slot.put(12, &ether_type::IPV4.to_be_bytes());
        slot.put(14, &[0x45, 0]);
        slot.put(16, &(20 + behind).to_be_bytes());
        slot.put(20, &[0x40, 0, 64, kind]);
        slot.put(26, &from.octets());
        slot.put(30, &to.octets());
        let sum = slot.header_checksum();
        slot.put(24, &sum.to_be_bytes());
        slot
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.head[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// RFC 1071. Right in the first round; varied addresses leave it as it is.
    fn header_checksum(&self) -> u16 {
        let mut sum: u32 = self.head[14..34]
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[cfg(test)]
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }
}
