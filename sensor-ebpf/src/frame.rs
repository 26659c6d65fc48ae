//! The packet parser: a frame in, a [`Packet`] or a named reason out. Used in the kernel and on the host.
//!
//! Lengths are those the headers state, so a capture cut at a snap length counts like the full one as long as the
//! headers are there. What a header states must fit the header around it: a TCP header that would reach beyond
//! the IP packet is padding read as ports, and is refused.

use crate::{
    bounds::Cursor,
    flow::{FlowKey, Side, tcp_flag},
};

mod arp;
mod network;
mod transport;
pub mod tunnel;

pub use arp::{ARP_BYTES, ARP_REQUEST, arp_ports};
pub use network::IPV6_EXTENSIONS_MAX;
pub use transport::icmp_ports;

/// What the accounting needs to know of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Canonical key of the packet's flow.
    pub key: FlowKey,
    /// Side of the key that sent the packet.
    pub sender: Side,
    /// IP length in bytes, from the IP header (not the frame); the length of the packet for ARP.
    pub ip_length: u32,
    /// Bytes behind the transport header, by the IP length.
    pub payload_length: u32,
    /// TCP flags as in the header, 0 for other protocols.
    pub tcp_flags: u8,
    /// TTL or hop limit, 0 for ARP.
    pub ttl: u8,
    /// TCP window, unscaled; 0 for other protocols.
    pub window: u16,
    /// VLAN id of the outer tag, 0 for none.
    pub vlan: u16,
    /// VLAN id of the tag behind that one, 0 for none.
    pub inner_vlan: u16,
}

impl Packet {
    /// Nothing parsed yet.
    pub const EMPTY: Self = Self {
        key: FlowKey {
            addresses: [[0; 16]; 2],
            ports: [0; 2],
            protocol: 0,
            form: 0,
            series: 0,
        },
        sender: 0,
        ip_length: 0,
        payload_length: 0,
        tcp_flags: 0,
        ttl: 0,
        window: 0,
        vlan: 0,
        inner_vlan: 0,
    };
}

/// Three-way result of parsing a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An IP or ARP packet that belongs to a flow.
    Flow(Packet),
    /// A well-formed frame that carries neither IP nor ARP for it (LLDP, spanning tree, ...).
    NotIp,
    /// One of the sensor's own probe frames.
    Probe,
    /// A frame that claims to be IP or ARP and is not, or is cut.
    Malformed(Malformed),
}

/// Why a frame belongs to no flow: the other two ways of [`Parsed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFlow {
    /// As [`Parsed::NotIp`].
    NotIp,
    /// As [`Parsed::Probe`].
    Probe,
    /// As [`Parsed::Malformed`].
    Malformed(Malformed),
}

impl From<Malformed> for NoFlow {
    #[inline(always)]
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
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
    /// Cut inside an ARP packet, or its address lengths are not those of Ethernet and IPv4, which it says it is about.
    Arp = 7,
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
        Self::Arp,
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
            Self::Arp => "arp",
        }
    }
}

/// Number of [`Malformed`] reasons.
pub const MALFORMED_REASONS: usize = 8;

/// EtherTypes (IEEE 802 numbers) the parser acts on.
pub mod ether_type {
    /// IPv4
    pub const IPV4: u16 = 0x0800;
    /// IPv6
    pub const IPV6: u16 = 0x86dd;
    /// ARP (RFC 826)
    pub const ARP: u16 = 0x0806;
    /// IEEE 802.1Q customer tag
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag
    pub const QINQ: u16 = 0x88a8;
    /// The service tag of equipment from before 802.1ad
    pub const QINQ_OLD: u16 = 0x9100;
    /// An Ethernet frame, inside a tunnel (transparent Ethernet bridging, RFC 1701)
    pub const BRIDGED: u16 = 0x6558;
    /// MPLS (RFC 3032)
    pub const MPLS: u16 = 0x8847;
    /// MPLS with upstream-assigned label (RFC 5332)
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// PPPoE session stage (RFC 2516)
    pub const PPPOE_SESSION: u16 = 0x8864;
    /// IEEE 802 local experimental 1: the sensor's own probe frames.
    pub const PROBE: u16 = 0x88b5;
}

/// IP protocol numbers (IANA) the parser acts on.
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3)
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP (RFC 792)
    pub const ICMP: u8 = 1;
    /// IPv4 in IP (RFC 2003)
    pub const IPV4: u8 = 4;
    /// TCP (RFC 9293)
    pub const TCP: u8 = 6;
    /// UDP (RFC 768)
    pub const UDP: u8 = 17;
    /// DCCP (RFC 4340)
    pub const DCCP: u8 = 33;
    /// IPv6 in IP (RFC 2473, RFC 4213)
    pub const IPV6: u8 = 41;
    /// IPv6 routing header (RFC 8200 §4.4)
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5)
    pub const FRAGMENT: u8 = 44;
    /// GRE (RFC 2784)
    pub const GRE: u8 = 47;
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

/// Parses an Ethernet II frame without preamble and FCS.
#[inline(always)]
pub fn parse_ethernet(frame: Cursor<'_>) -> Parsed {
    let mut packet = Packet::EMPTY;
    let outcome = parse_ethernet_into(frame, frame.remaining() as u32, &mut packet);
    parsed(outcome, packet)
}

/// Parses what stands behind an EtherType: VLAN tags, then the packet.
#[inline(always)]
pub fn parse_ether_type(kind: u16, rest: Cursor<'_>) -> Parsed {
    let mut packet = Packet::EMPTY;
    let layer = Layer {
        at: rest,
        length: rest.remaining() as u32,
    };
    let outcome = parse_tagged(kind, layer, &mut packet);
    parsed(outcome, packet)
}

/// Parses an IP packet whose version is in its first four bits (raw IP link types, and the inside of tunnels).
#[inline(always)]
pub fn parse_ip(packet: Cursor<'_>, vlan: u16) -> Parsed {
    let layer = Layer {
        at: packet,
        length: packet.remaining() as u32,
    };
    let mut packet = Packet {
        vlan,
        ..Packet::EMPTY
    };
    let outcome = match layer.at.u8(0) {
        None => Err(Malformed::IpTruncated.into()),
        Some(first) => match first >> 4 {
            4 => parse_tagged(ether_type::IPV4, layer, &mut packet),
            6 => parse_tagged(ether_type::IPV6, layer, &mut packet),
            _ => Err(Malformed::IpHeader.into()),
        },
    };
    parsed(outcome, packet)
}

/// As [`parse_ethernet`], but writes the packet, field by field as it is read, to where it is wanted. In the kernel
/// that is a map's memory: it spares the few registers, and what is in a map the verifier does not follow. What
/// `packet` holds when this is no flow is unspecified; the VLAN ids are only written where there is a tag.
///
/// `length` is the length of the frame on the wire, for packets that leave theirs to the frame. It must be at least
/// what `frame` has.
///
/// # Errors
/// Why the frame belongs to no flow.
#[inline(always)]
pub fn parse_ethernet_into(
    frame: Cursor<'_>,
    length: u32,
    packet: &mut Packet,
) -> Result<(), NoFlow> {
    let Some(header) = frame.header::<ETHERNET_HEADER_BYTES>() else {
        return Err(Malformed::LinkTruncated.into());
    };
    let layer = Layer { at: frame, length };
    parse_tagged(header.u16(12), layer.behind(ETHERNET_HEADER_BYTES), packet)
}

const ETHERNET_HEADER_BYTES: usize = 14;
const TAG_BYTES: usize = 4;

/// The rest of a frame from some layer on.
#[derive(Clone, Copy)]
struct Layer<'a> {
    at: Cursor<'a>,
    /// Bytes from here to the end of the frame on the wire: at least as many as were captured.
    length: u32,
}

impl Layer<'_> {
    /// The rest behind a header of a constant length that has been read.
    #[inline(always)]
    fn behind(self, header: usize) -> Self {
        Self {
            at: self.at.behind(header),
            length: self.length.wrapping_sub(header as u32),
        }
    }
}

#[inline(always)]
fn parsed(outcome: Result<(), NoFlow>, packet: Packet) -> Parsed {
    match outcome {
        Ok(()) => Parsed::Flow(packet),
        Err(NoFlow::NotIp) => Parsed::NotIp,
        Err(NoFlow::Probe) => Parsed::Probe,
        Err(NoFlow::Malformed(reason)) => Parsed::Malformed(reason),
    }
}

#[inline(always)]
fn parse_tagged(mut kind: u16, mut layer: Layer<'_>, packet: &mut Packet) -> Result<(), NoFlow> {
    parse_tags(&mut kind, &mut layer, packet)?;
    let mut segment = network::Segment::at(layer.at);
    parse_network(kind, layer, packet, &mut segment)
}

/// Steps over VLAN tags.
#[inline(always)]
fn parse_tags(kind: &mut u16, layer: &mut Layer<'_>, packet: &mut Packet) -> Result<(), NoFlow> {
    let mut tags = 0;
    while is_tag(*kind) {
        if tags == TAGS_MAX {
            return Err(Malformed::TooManyTags.into());
        }
        let Some(tag) = layer.at.header::<TAG_BYTES>() else {
            return Err(Malformed::LinkTruncated.into());
        };
        let id = tag.u16(0) & 0x0fff;
        if tags == 0 {
            packet.vlan = id;
        } else {
            packet.inner_vlan = id;
        }
        tags += 1;
        *kind = tag.u16(2);
        *layer = layer.behind(TAG_BYTES);
    }
    Ok(())
}

#[inline(always)]
const fn is_tag(kind: u16) -> bool {
    matches!(
        kind,
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD
    )
}

/// Parses an IP or ARP packet. `segment` is then what an IP packet carries.
#[inline(always)]
fn parse_network<'a>(
    kind: u16,
    mut layer: Layer<'a>,
    packet: &mut Packet,
    segment: &mut network::Segment<'a>,
) -> Result<(), NoFlow> {
    layer.at = layer.at.settle();
    match kind {
        ether_type::IPV4 => network::parse_ipv4(layer, packet, segment)?,
        ether_type::IPV6 => network::parse_ipv6(layer, packet, segment)?,
        ether_type::ARP => return arp::parse(layer, packet),
        ether_type::PROBE => return Err(NoFlow::Probe),
        _ => return Err(NoFlow::NotIp),
    }
    transport::parse(segment, packet)?;
    Ok(())
}

const _: () = assert!(1 << tcp_flag::CWR == 0x80);
