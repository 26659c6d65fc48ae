//! The packet parser: a frame in, a [`Packet`] or a named reason out. Used in the kernel and on the host.

use crate::flow::{FlowKey, Side};

/// What the accounting needs to know of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Canonical key of the packet's flow.
    pub key: FlowKey,
    /// Side of the key that sent the packet.
    pub sender: Side,
    /// IP length in bytes, from the IP header (not the frame).
    pub ip_length: u32,
    /// Bytes behind the transport header, by the IP length.
    pub payload_length: u32,
    /// TCP flags as in the header, 0 for other protocols.
    pub tcp_flags: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TCP window, unscaled; 0 for other protocols.
    pub window: u16,
    /// VLAN id of the outer tag, 0 for none.
    pub vlan: u16,
}

/// Three-way result of parsing a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An IP packet that belongs to a flow.
    Flow(Packet),
    /// A well-formed frame that carries no IP (ARP, LLDP, ...).
    NotIp,
    /// A frame that claims to be IP and is not, or is cut.
    Malformed(Malformed),
}

/// Why a frame is malformed. The discriminant is the index in the ledger's rejected counters.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than an Ethernet header, or cut inside a tag.
    LinkTruncated = 0,
    /// More VLAN tags than the parser follows (two).
    TooManyTags = 1,
    /// Cut inside the IPv4 or IPv6 header.
    IpTruncated = 2,
    /// Version does not fit the EtherType, IHL below 5, or total length below the header.
    IpHeader = 3,
    /// IPv6 extension headers cut, or more than the parser follows.
    Ipv6Extensions = 4,
    /// Cut inside the TCP, UDP, SCTP or ICMP header, or a header length that does not fit.
    TransportTruncated = 5,
}

/// Number of [`Malformed`] reasons.
pub const MALFORMED_REASONS: usize = 6;
