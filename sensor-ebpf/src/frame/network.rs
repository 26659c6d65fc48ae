//! IPv4 and IPv6, up to the transport header.

use super::{Layer, Malformed, Packet, protocol};
use crate::bounds::Cursor;

/// IPv6 extension headers followed before the packet is refused; RFC 8200 §4.1 lists six, one of them twice.
pub const IPV6_EXTENSIONS_MAX: usize = 8;

const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// What stands behind the IP header and its extensions.
///
/// An out-parameter of the functions below, and not their result: a `Result` would keep the reason of an error in the
/// bytes of the pointer, and the verifier does not take pointers apart.
pub(super) struct Segment<'a> {
    pub(super) at: Cursor<'a>,
    /// By the IP header.
    pub(super) length: u32,
    /// After extension headers.
    pub(super) protocol: u8,
    pub(super) later_fragment: bool,
    /// Both addresses are the same: the ports decide the order of the key.
    pub(super) tie: bool,
}

impl<'a> Segment<'a> {
    /// Nothing parsed yet.
    #[inline(always)]
    pub(super) const fn at(at: Cursor<'a>) -> Self {
        Self {
            at,
            length: 0,
            protocol: 0,
            later_fragment: false,
            tie: false,
        }
    }
}

/// An IPv6 or v4-mapped address as two words in memory order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    high: u64,
    low: u64,
}

impl Address {
    /// `raw` in memory order.
    #[inline(always)]
    pub(super) const fn v4_mapped(raw: u32) -> Self {
        let [a, b, c, d] = raw.to_ne_bytes();
        Self {
            high: 0,
            low: u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d]),
        }
    }

    #[inline(always)]
    fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        let (high, low) = octets.split_at_mut(8);
        high.copy_from_slice(&self.high.to_ne_bytes());
        low.copy_from_slice(&self.low.to_ne_bytes());
        octets
    }
}

/// Puts the addresses into the key in canonical order.
#[inline(always)]
pub(super) fn set_addresses(
    packet: &mut Packet,
    source: Address,
    destination: Address,
    swapped: bool,
) {
    let (low, high) = if swapped {
        (destination, source)
    } else {
        (source, destination)
    };
    packet.key.addresses = [low.octets(), high.octets()];
    packet.sender = usize::from(swapped);
}

/// Parses an IPv4 packet (RFC 791 §3.1).
#[inline(always)]
pub(super) fn parse_ipv4<'a>(
    layer: Layer<'a>,
    packet: &mut Packet,
    segment: &mut Segment<'a>,
) -> Result<(), Malformed> {
    let Some(header) = layer.at.header::<IPV4_HEADER_BYTES>() else {
        return Err(Malformed::IpTruncated);
    };
    let header_length = usize::from(header.u8(0) & 0x0f) * 4;
    if header.u8(0) >> 4 != 4 || header_length < IPV4_HEADER_BYTES {
        return Err(Malformed::IpHeader);
    }
    // A total length of 0 is what a capture of a TSO super-packet shows; the frame's length is the only one left.
    let mut ip_length = u32::from(header.u16(2));
    if ip_length == 0 {
        ip_length = layer.length;
    }
    if ip_length < header_length as u32 {
        return Err(Malformed::IpHeader);
    }
    let Some(at) = layer.at.skip(header_length) else {
        return Err(Malformed::IpTruncated);
    };
    packet.ip_length = ip_length;
    packet.ttl = header.u8(8);
    let (source, destination) = (header.raw_u32(12), header.raw_u32(16));
    set_addresses(
        packet,
        Address::v4_mapped(source),
        Address::v4_mapped(destination),
        u32::from_be(source) > u32::from_be(destination),
    );
    *segment = Segment {
        at,
        length: ip_length - header_length as u32,
        protocol: header.u8(9),
        later_fragment: header.u16(6) & 0x1fff != 0,
        tie: source == destination,
    };
    Ok(())
}

/// Parses an IPv6 packet and its extension headers (RFC 8200).
#[inline(always)]
pub(super) fn parse_ipv6<'a>(
    layer: Layer<'a>,
    packet: &mut Packet,
    segment: &mut Segment<'a>,
) -> Result<(), Malformed> {
    let Some(header) = layer.at.header::<IPV6_HEADER_BYTES>() else {
        return Err(Malformed::IpTruncated);
    };
    if header.u8(0) >> 4 != 6 {
        return Err(Malformed::IpHeader);
    }
    let behind = layer.behind(IPV6_HEADER_BYTES);
    // 0 is a jumbogram (RFC 2675) or a capture of a super-packet.
    let mut length = u32::from(header.u16(4));
    if length == 0 {
        length = behind.length;
    }
    packet.ip_length = length + IPV6_HEADER_BYTES as u32;
    packet.ttl = header.u8(7);
    let source = Address {
        high: header.raw_u64(8),
        low: header.raw_u64(16),
    };
    let destination = Address {
        high: header.raw_u64(24),
        low: header.raw_u64(32),
    };
    let order = |address: Address| (u64::from_be(address.high), u64::from_be(address.low));
    let swapped = order(source) > order(destination);
    set_addresses(packet, source, destination, swapped);
    *segment = Segment {
        at: behind.at,
        length,
        protocol: header.u8(6),
        later_fragment: false,
        tie: source == destination,
    };
    parse_extensions(segment)
}

/// Steps over extension headers to the transport header, or to the payload of a later fragment (RFC 8200 §4).
#[inline(always)]
fn parse_extensions(segment: &mut Segment<'_>) -> Result<(), Malformed> {
    for _ in 0..=IPV6_EXTENSIONS_MAX {
        let rest = segment.at;
        let mut later_fragment = false;
        let length = match segment.protocol {
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
                    later_fragment = offset & 0xfff8 != 0;
                    8
                }
                None => return Err(Malformed::Ipv6Extensions),
            },
            _ => return Ok(()),
        };
        let (Some(following), Some(behind)) = (rest.u8(0), rest.skip(length)) else {
            return Err(Malformed::Ipv6Extensions);
        };
        if length as u32 > segment.length {
            return Err(Malformed::Ipv6Extensions);
        }
        segment.length -= length as u32;
        segment.at = behind.settle();
        segment.protocol = following;
        // What follows in a later fragment is payload, whatever its bytes look like.
        if later_fragment {
            segment.later_fragment = true;
            return Ok(());
        }
    }
    Err(Malformed::Ipv6Extensions)
}
