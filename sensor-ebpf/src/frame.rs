//! The packet parser: a frame in, a [`Packet`] or a named reason out. Used in the kernel and on the host.
//!
//! Lengths are those the headers state, so a capture cut at a snap length counts like the full one as long as the
//! headers are there. What a header states must fit the header around it: a TCP header that would reach beyond
//! the IP packet is padding read as ports, and is refused.

use crate::{
    bounds::Cursor,
    flow::{FlowKey, Side, tcp_flag},
};

/// What the accounting needs to know of one packet.
#[repr(C)]
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
    /// One of the sensor's own probe frames.
    Probe,
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
    /// A capture file's link type that the sensor does not read. Never counted by the kernel programs.
    LinkType = 6,
}

impl Malformed {
    /// Every reason, in the order of the ledger.
    pub const ALL: [Self; MALFORMED_REASONS] = [
        Self::LinkTruncated,
        Self::TooManyTags,
        Self::IpTruncated,
        Self::IpHeader,
        Self::Ipv6Extensions,
        Self::TransportTruncated,
        Self::LinkType,
    ];

    /// The reason as metrics and messages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkTruncated => "link_truncated",
            Self::TooManyTags => "too_many_tags",
            Self::IpTruncated => "ip_truncated",
            Self::IpHeader => "ip_header",
            Self::Ipv6Extensions => "ipv6_extensions",
            Self::TransportTruncated => "transport_truncated",
            Self::LinkType => "link_type",
        }
    }
}

/// Number of [`Malformed`] reasons.
pub const MALFORMED_REASONS: usize = 7;

/// EtherTypes (IEEE 802 numbers) the parser acts on.
pub mod ether_type {
    /// IPv4
    pub const IPV4: u16 = 0x0800;
    /// IPv6
    pub const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q customer tag
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag
    pub const QINQ: u16 = 0x88a8;
    /// The service tag of equipment from before 802.1ad
    pub const QINQ_OLD: u16 = 0x9100;
    /// IEEE 802 local experimental 1: the sensor's own probe frames.
    pub const PROBE: u16 = 0x88b5;
}

/// IP protocol numbers (IANA) the parser acts on.
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3)
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP (RFC 792)
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293)
    pub const TCP: u8 = 6;
    /// UDP (RFC 768)
    pub const UDP: u8 = 17;
    /// DCCP (RFC 4340)
    pub const DCCP: u8 = 33;
    /// IPv6 routing header (RFC 8200 §4.4)
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5)
    pub const FRAGMENT: u8 = 44;
    /// Authentication header (RFC 4302)
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6 (RFC 4443)
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options (RFC 8200 §4.6)
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP (RFC 9260)
    pub const SCTP: u8 = 132;
    /// Mobility header (RFC 6275)
    pub const MOBILITY: u8 = 135;
    /// UDP-Lite (RFC 3828)
    pub const UDP_LITE: u8 = 136;
    /// Host Identity Protocol (RFC 7401)
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533)
    pub const SHIM6: u8 = 140;
}

/// VLAN tags followed before the frame is refused.
pub const TAGS_MAX: usize = 2;
/// IPv6 extension headers followed before the packet is refused; RFC 8200 §4.1 lists six, one of them twice.
pub const IPV6_EXTENSIONS_MAX: usize = 8;

const ETHERNET_HEADER_BYTES: usize = 14;
const TAG_BYTES: usize = 4;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// Parses an Ethernet II frame without preamble and FCS.
#[inline(always)]
pub fn parse_ethernet(frame: Cursor<'_>) -> Parsed {
    match (frame.u16(12), frame.skip(ETHERNET_HEADER_BYTES)) {
        (Some(kind), Some(rest)) => parse_ether_type(kind, rest),
        _ => Parsed::Malformed(Malformed::LinkTruncated),
    }
}

/// Parses what stands behind an EtherType: VLAN tags, then the packet.
#[inline(always)]
pub fn parse_ether_type(mut kind: u16, mut rest: Cursor<'_>) -> Parsed {
    let mut vlan = 0;
    let mut tags = 0;
    while matches!(
        kind,
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD
    ) {
        if tags == TAGS_MAX {
            return Parsed::Malformed(Malformed::TooManyTags);
        }
        let (Some(control), Some(inner), Some(behind)) =
            (rest.u16(0), rest.u16(2), rest.skip(TAG_BYTES))
        else {
            return Parsed::Malformed(Malformed::LinkTruncated);
        };
        if tags == 0 {
            vlan = control & 0x0fff;
        }
        tags += 1;
        kind = inner;
        rest = behind;
    }
    let rest = rest.settle();
    match kind {
        ether_type::IPV4 => parse_transport(&parse_ipv4(rest, vlan)),
        ether_type::IPV6 => parse_transport(&parse_ipv6(rest, vlan)),
        ether_type::PROBE => Parsed::Probe,
        _ => Parsed::NotIp,
    }
}

/// Parses an IP packet whose version is in its first four bits (raw IP link types, and the inside of tunnels).
#[inline(always)]
pub fn parse_ip(packet: Cursor<'_>, vlan: u16) -> Parsed {
    match packet.u8(0) {
        None => Parsed::Malformed(Malformed::IpTruncated),
        Some(first) => match first >> 4 {
            4 => parse_transport(&parse_ipv4(packet, vlan)),
            6 => parse_transport(&parse_ipv6(packet, vlan)),
            _ => Parsed::Malformed(Malformed::IpHeader),
        },
    }
}

/// What the IP header says, for the transport layer behind it.
struct Network<'a> {
    /// The transport header.
    segment: Cursor<'a>,
    later_fragment: bool,
    source: Address,
    destination: Address,
    ip_length: u32,
    /// Bytes behind the IP header and its extensions.
    transport_length: u32,
    ttl: u8,
    vlan: u16,
    protocol: u8,
}

/// An IPv6 or v4-mapped address as two big-endian halves, so that comparing numbers is comparing bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    high: u64,
    low: u64,
}

impl Address {
    #[inline(always)]
    const fn v4_mapped(address: u32) -> Self {
        Self {
            high: 0,
            low: 0xffff_0000_0000 | address as u64,
        }
    }
}

/// Parses an IPv4 packet (RFC 791 §3.1).
#[inline(always)]
fn parse_ipv4(packet: Cursor<'_>, vlan: u16) -> Result<Network<'_>, Malformed> {
    let (Some(version_ihl), Some(total_length), Some(fragment), Some(ttl), Some(protocol)) = (
        packet.u8(0),
        packet.u16(2),
        packet.u16(6),
        packet.u8(8),
        packet.u8(9),
    ) else {
        return Err(Malformed::IpTruncated);
    };
    let (Some(source), Some(destination)) = (packet.u32(12), packet.u32(16)) else {
        return Err(Malformed::IpTruncated);
    };
    let header_length = usize::from(version_ihl & 0x0f) * 4;
    if version_ihl >> 4 != 4 || header_length < IPV4_HEADER_BYTES {
        return Err(Malformed::IpHeader);
    }
    // A total length of 0 is what a capture of a TSO super-packet shows; the frame's length is the only one left.
    let ip_length = if total_length == 0 {
        packet.remaining() as u32
    } else {
        u32::from(total_length)
    };
    if (ip_length as usize) < header_length {
        return Err(Malformed::IpHeader);
    }
    let Some(transport) = packet.skip(header_length) else {
        return Err(Malformed::IpTruncated);
    };
    Ok(Network {
        segment: transport,
        later_fragment: fragment & 0x1fff != 0,
        source: Address::v4_mapped(source),
        destination: Address::v4_mapped(destination),
        ip_length,
        transport_length: ip_length - header_length as u32,
        ttl,
        vlan,
        protocol,
    })
}

/// Parses an IPv6 packet and its extension headers (RFC 8200).
#[inline(always)]
fn parse_ipv6(packet: Cursor<'_>, vlan: u16) -> Result<Network<'_>, Malformed> {
    let (Some(version), Some(payload_length), Some(next), Some(ttl)) =
        (packet.u8(0), packet.u16(4), packet.u8(6), packet.u8(7))
    else {
        return Err(Malformed::IpTruncated);
    };
    if version >> 4 != 6 {
        return Err(Malformed::IpHeader);
    }
    let (Some(source_high), Some(source_low), Some(destination_high), Some(destination_low)) = (
        packet.u64(8),
        packet.u64(16),
        packet.u64(24),
        packet.u64(32),
    ) else {
        return Err(Malformed::IpTruncated);
    };
    let Some(mut rest) = packet.skip(IPV6_HEADER_BYTES) else {
        return Err(Malformed::IpTruncated);
    };
    // 0 is a jumbogram (RFC 2675) or a capture of a super-packet.
    let payload = if payload_length == 0 {
        rest.remaining() as u32
    } else {
        u32::from(payload_length)
    };
    let mut network = Network {
        segment: rest,
        later_fragment: false,
        source: Address {
            high: source_high,
            low: source_low,
        },
        destination: Address {
            high: destination_high,
            low: destination_low,
        },
        ip_length: payload + IPV6_HEADER_BYTES as u32,
        transport_length: payload,
        ttl,
        vlan,
        protocol: next,
    };
    for _ in 0..=IPV6_EXTENSIONS_MAX {
        let length = match network.protocol {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6 => match rest.u8(1) {
                Some(units) => (usize::from(units) + 1) * 8,
                None => return Err(Malformed::Ipv6Extensions),
            },
            // The fixed part is 12 bytes (RFC 4302 §2.2), so 0 words less 2 is too short.
            protocol::AUTHENTICATION => match rest.u8(1) {
                Some(units) if units > 0 => (usize::from(units) + 2) * 4,
                _ => return Err(Malformed::Ipv6Extensions),
            },
            protocol::FRAGMENT => match rest.u16(2) {
                Some(offset) => {
                    network.later_fragment = offset & 0xfff8 != 0;
                    8
                }
                None => return Err(Malformed::Ipv6Extensions),
            },
            _ => {
                network.segment = rest;
                return Ok(network);
            }
        };
        let (Some(next), Some(behind)) = (rest.u8(0), rest.skip(length)) else {
            return Err(Malformed::Ipv6Extensions);
        };
        if length as u32 > network.transport_length {
            return Err(Malformed::Ipv6Extensions);
        }
        network.transport_length -= length as u32;
        network.protocol = next;
        rest = behind.settle();
        // What follows in a later fragment is payload, whatever its bytes look like.
        if network.later_fragment {
            return Ok(network);
        }
    }
    Err(Malformed::Ipv6Extensions)
}

/// Ports and flags of the transport header; for protocols without ports both are 0.
#[inline(always)]
fn parse_transport(network: &Result<Network<'_>, Malformed>) -> Parsed {
    const CUT: Parsed = Parsed::Malformed(Malformed::TransportTruncated);
    let network = match network {
        Ok(network) => network,
        Err(reason) => return Parsed::Malformed(*reason),
    };
    if network.later_fragment {
        return Parsed::Flow(later_fragment(network));
    }
    let segment = network.segment.settle();
    let available = network.transport_length;
    match network.protocol {
        protocol::TCP => {
            let (Some(source), Some(destination), Some(offset), Some(flags), Some(window)) = (
                segment.u16(0),
                segment.u16(2),
                segment.u8(12),
                segment.u8(13),
                segment.u16(14),
            ) else {
                return CUT;
            };
            let header_length = u32::from(offset >> 4) * 4;
            if header_length < 20 || header_length > available {
                return CUT;
            }
            Parsed::Flow(Packet {
                tcp_flags: flags,
                window,
                ..packet(network, source, destination, header_length)
            })
        }
        protocol::UDP | protocol::UDP_LITE => ports(segment, network, 8),
        protocol::SCTP | protocol::DCCP => ports(segment, network, 12),
        protocol::ICMP | protocol::ICMPV6 => {
            let (Some(kind), Some(code)) = (segment.u8(0), segment.u8(1)) else {
                return CUT;
            };
            if available < 8 {
                return CUT;
            }
            let (from, to) = icmp_ports(network.protocol, kind, code);
            Parsed::Flow(packet(network, from, to, 8))
        }
        _ => Parsed::Flow(packet(network, 0, 0, 0)),
    }
}

/// A transport whose header begins with two ports and has a fixed length.
#[inline(always)]
fn ports(segment: Cursor<'_>, network: &Network<'_>, header_length: u32) -> Parsed {
    match (segment.u16(0), segment.u16(2)) {
        (Some(source), Some(destination)) if header_length <= network.transport_length => {
            Parsed::Flow(packet(network, source, destination, header_length))
        }
        _ => Parsed::Malformed(Malformed::TransportTruncated),
    }
}

/// ICMP type and code in place of ports, as Zeek and Community ID do: type and the type of the answer where
/// the type has one, so that request and reply are one flow, else type and code.
#[inline(always)]
pub const fn icmp_ports(protocol: u8, kind: u8, code: u8) -> (u16, u16) {
    let counterpart = if protocol == protocol::ICMP {
        match kind {
            0 => 8,
            8 => 0,
            9 => 10,
            10 => 9,
            13 => 14,
            14 => 13,
            15 => 16,
            16 => 15,
            17 => 18,
            18 => 17,
            _ => return (kind as u16, code as u16),
        }
    } else {
        match kind {
            128 => 129,
            129 => 128,
            130 => 131,
            131 => 130,
            133 => 134,
            134 => 133,
            135 => 136,
            136 => 135,
            139 => 140,
            140 => 139,
            144 => 145,
            145 => 144,
            _ => return (kind as u16, code as u16),
        }
    };
    (kind as u16, counterpart)
}

#[inline(always)]
fn later_fragment(network: &Network<'_>) -> Packet {
    let mut packet = packet(network, 0, 0, 0);
    packet.key.later_fragment = 1;
    packet
}

/// Puts key and lengths together; flags and window are the caller's.
#[inline(always)]
fn packet(
    network: &Network<'_>,
    source_port: u16,
    destination_port: u16,
    header_length: u32,
) -> Packet {
    let source = (network.source, source_port);
    let destination = (network.destination, destination_port);
    let (low, high, sender) = if source <= destination {
        (source, destination, 0)
    } else {
        (destination, source, 1)
    };
    Packet {
        key: FlowKey {
            addresses: [octets(low.0), octets(high.0)],
            ports: [low.1, high.1],
            protocol: network.protocol,
            later_fragment: 0,
            pad: [0; 2],
        },
        sender,
        ip_length: network.ip_length,
        payload_length: network.transport_length - header_length,
        tcp_flags: 0,
        ttl: network.ttl,
        window: 0,
        vlan: network.vlan,
    }
}

#[inline(always)]
fn octets(address: Address) -> [u8; 16] {
    let mut octets = [0; 16];
    let (high, low) = octets.split_at_mut(8);
    high.copy_from_slice(&address.high.to_be_bytes());
    low.copy_from_slice(&address.low.to_be_bytes());
    octets
}

const _: () = assert!(1 << tcp_flag::CWR == 0x80);
