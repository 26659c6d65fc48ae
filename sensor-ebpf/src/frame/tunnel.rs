//! Looking inside tunnels, by option: the flow is then that of the innermost packet, and so are its lengths. A packet
//! counts once, in that flow, and not in the flow between the tunnel's ends.
//!
//! Followed are IP in IP and 6in4 (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784, RFC 2890) and PPTP's (RFC 2637),
//! VXLAN (RFC 7348), Geneve (RFC 8926), GTP-U (3GPP TS 29.281), MPLS (RFC 3032, RFC 4385) and PPPoE (RFC 2516).
//! Much of that is a guess, by a port or by the first bits of a payload. So nothing in here is malformed: what does
//! not look like the inside of a tunnel is left alone, and counts as it would without this option.

use super::{
    ETHERNET_HEADER_BYTES, Layer, NoFlow, Packet, Parsed, TAG_BYTES, TAGS_MAX, ether_type, is_tag,
    network::Segment, parse_network, parse_tags, parsed, protocol,
};
use crate::bounds::{Cursor, opaque, opaque_number};

/// Tunnels within tunnels that are followed.
pub const TUNNELS_MAX: u32 = 2;

/// UDP ports of tunnels (IANA), and the one Linux used for VXLAN before there was one.
mod port {
    pub(super) const GTP_U: u16 = 2152;
    pub(super) const VXLAN: u16 = 4789;
    pub(super) const GENEVE: u16 = 6081;
    pub(super) const VXLAN_LINUX: u16 = 8472;
}

/// MPLS labels and GTP-U extension headers that are stepped over.
const LABELS_MAX: usize = 4;

/// What stands in front of a packet: the EtherType and where the packet begins.
type Entrance<'a> = Option<(u16, Layer<'a>)>;

/// What is kept between one tunnel and the next.
///
/// In the kernel that is a map's memory: what is in there the verifier does not follow, so that it checks the parser once
/// for each depth, and not once more for every way that leads there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    /// Where an inner packet is tried.
    packet: Packet,
    /// Where in the frame the next packet begins.
    offset: u32,
    /// Bytes from there to the end of the frame on the wire.
    length: u32,
    /// Its EtherType.
    kind: u32,
    /// Tunnels that were entered to find the packet.
    pub entered: u32,
}

impl Scratch {
    /// Nothing found yet.
    pub const EMPTY: Self = Self {
        packet: Packet::EMPTY,
        offset: 0,
        length: 0,
        kind: 0,
        entered: 0,
    };

    /// Notes where the next packet begins.
    #[inline(always)]
    fn set(&mut self, kind: u16, layer: Layer<'_>) {
        self.kind = u32::from(kind);
        self.length = layer.length;
        self.offset = layer.at.offset();
    }
}

/// As [`super::parse_ethernet_into`], and then inside of tunnels. How many were entered is in `scratch`.
///
/// # Errors
/// Why the frame belongs to no flow.
#[inline(always)]
pub fn parse_ethernet_into(
    frame: Cursor<'_>,
    length: u32,
    packet: &mut Packet,
    scratch: &mut Scratch,
) -> Result<(), NoFlow> {
    scratch.entered = 0;
    let Some(header) = frame.header::<ETHERNET_HEADER_BYTES>() else {
        return Err(super::Malformed::LinkTruncated.into());
    };
    let layer = Layer { at: frame, length };
    parse_into(
        header.u16(12),
        layer.behind(ETHERNET_HEADER_BYTES),
        packet,
        scratch,
    )
}

/// As [`super::parse_ethernet`], with the number of tunnels entered.
#[inline]
pub fn parse_ethernet(frame: Cursor<'_>) -> (Parsed, u32) {
    let (mut packet, mut scratch) = (Packet::EMPTY, Scratch::EMPTY);
    let outcome = parse_ethernet_into(frame, frame.remaining() as u32, &mut packet, &mut scratch);
    (parsed(outcome, packet), scratch.entered)
}

/// As [`super::parse_ether_type`], with the number of tunnels entered.
#[inline]
pub fn parse_ether_type(kind: u16, rest: Cursor<'_>) -> (Parsed, u32) {
    let (mut packet, mut scratch) = (Packet::EMPTY, Scratch::EMPTY);
    let layer = Layer {
        at: rest,
        length: rest.remaining() as u32,
    };
    let outcome = parse_into(kind, layer, &mut packet, &mut scratch);
    (parsed(outcome, packet), scratch.entered)
}

/// As [`super::parse_ip`], with the number of tunnels entered.
#[inline]
pub fn parse_ip(packet: Cursor<'_>) -> (Parsed, u32) {
    match packet.u8(0).map(|first| first >> 4) {
        Some(4) => parse_ether_type(ether_type::IPV4, packet),
        Some(6) => parse_ether_type(ether_type::IPV6, packet),
        _ => (super::parse_ip(packet, 0), 0),
    }
}

#[inline(always)]
fn parse_into(
    mut kind: u16,
    mut layer: Layer<'_>,
    packet: &mut Packet,
    scratch: &mut Scratch,
) -> Result<(), NoFlow> {
    parse_tags(&mut kind, &mut layer, packet)?;
    let frame = layer.at;
    scratch.set(kind, layer);
    let mut depth = 0;
    if let Some((kind, layer)) = labelled(kind, layer) {
        scratch.set(kind, layer);
        depth = 1;
    }
    let mut found = Err(NoFlow::NotIp);
    // 0 for the packet on the wire, then one more for each tunnel.
    loop {
        // Neither the compiler nor the verifier shall know what the round before has left here.
        let scratch = forget(scratch);
        let layer = Layer {
            at: frame.at_offset(scratch.offset),
            length: scratch.length,
        };
        let mut segment = Segment::at(layer.at);
        match parse_network(
            scratch.kind as u16,
            layer,
            &mut scratch.packet,
            &mut segment,
        ) {
            Ok(()) => {}
            Err(reason) => {
                if depth == 0 {
                    found = Err(reason);
                }
                break;
            }
        }
        // Tags are those of the link that the frame was seen on.
        let tags = (packet.vlan, packet.inner_vlan);
        // An assignment would become a call of `memmove`, byte by byte: the compiler no longer knows that they are apart.
        // SAFETY: two exclusive references, so they are valid and do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(&raw const scratch.packet, &raw mut *packet, 1) };
        (packet.vlan, packet.inner_vlan) = tags;
        scratch.entered = depth;
        found = Ok(());
        if depth == TUNNELS_MAX {
            break;
        }
        let Some((kind, layer)) = inside(&segment, layer) else {
            break;
        };
        scratch.set(kind, layer);
        depth = opaque_number(depth + 1);
    }
    found
}

/// The very reference, of which the compiler no longer knows what was written to it.
#[inline(always)]
fn forget(scratch: &mut Scratch) -> &mut Scratch {
    let pointer = opaque((&raw mut *scratch).cast_const());
    // SAFETY: the reference that went in, which is not used while this one lives.
    unsafe { &mut *pointer.cast_mut() }
}

/// What `segment`, that of a packet which began at `outer`, holds if it is a tunnel.
#[inline(always)]
fn inside<'a>(segment: &Segment<'a>, outer: Layer<'a>) -> Entrance<'a> {
    if segment.later_fragment {
        return None;
    }
    let layer = outer.moved_to(segment.at.settle());
    let (kind, layer) = match segment.protocol {
        protocol::IPV4 => (ether_type::IPV4, layer),
        protocol::IPV6 => (ether_type::IPV6, layer),
        protocol::GRE => gre(layer)?,
        protocol::UDP => udp(layer)?,
        _ => return None,
    };
    if kind == ether_type::BRIDGED {
        return bridged(layer);
    }
    Some((kind, layer))
}

/// The tunnel behind a UDP header, by its destination port.
#[inline(always)]
fn udp(layer: Layer<'_>) -> Entrance<'_> {
    let header = layer.at.header::<16>()?;
    match header.u16(2) {
        // The I flag is set, all others are reserved.
        port::VXLAN | port::VXLAN_LINUX if header.u8(8) == 0x08 => {
            Some((ether_type::BRIDGED, layer.behind(16)))
        }
        // Version 0; the options' length is in words.
        port::GENEVE if header.u8(8) >> 6 == 0 => {
            let options = usize::from(header.u8(8) & 0x3f) * 4;
            Some((header.u16(10), layer.skip(16 + options)?))
        }
        port::GTP_U => gtp_u(layer.behind(8)),
        _ => None,
    }
}

#[inline(always)]
fn gtp_u(layer: Layer<'_>) -> Entrance<'_> {
    let header = layer.at.header::<8>()?;
    // Version 1, protocol type GTP, message type G-PDU.
    if header.u8(0) & 0xf0 != 0x30 || header.u8(1) != 0xff {
        return None;
    }
    let flags = header.u8(0);
    let mut layer = layer.behind(8);
    // Any of the E, S and PN flags brings four more bytes, and extension headers may follow (§5.1, §5.2.1).
    if flags & 0x07 != 0 {
        let mut next = layer.at.u8(3)?;
        layer = layer.behind(4);
        if flags & 0x04 == 0 {
            next = 0;
        }
        let mut extensions = 0;
        while next != 0 {
            let units = layer.at.u8(0)?;
            if units == 0 || extensions == LABELS_MAX {
                return None;
            }
            extensions += 1;
            // The last byte says what the next one is.
            let last = layer.skip(usize::from(units) * 4 - 1)?.settled();
            next = last.at.u8(0)?;
            layer = last.behind(1).settled();
        }
    }
    by_version(layer)
}

#[inline(always)]
fn gre(layer: Layer<'_>) -> Entrance<'_> {
    let header = layer.at.header::<4>()?;
    let flags = header.u16(0);
    // Bytes of the optional field that a flag announces.
    let word = |bit: u16| if flags & bit != 0 { 4 } else { 0 };
    match flags & 0x4007 {
        // Without source routing; checksum, key and sequence number take four bytes each.
        0 => {
            let rest = layer.skip(4 + word(0x8000) + word(0x2000) + word(0x1000))?;
            Some((header.u16(2), rest.settled()))
        }
        // PPTP's variant: the key is always there, then sequence and acknowledgement number.
        1 => ppp(layer.skip(8 + word(0x1000) + word(0x0080))?.settled()),
        _ => None,
    }
}

/// PPP with or without address and control field, and with protocol numbers of one or two bytes (RFC 1661).
#[inline(always)]
fn ppp(mut layer: Layer<'_>) -> Entrance<'_> {
    if layer.at.u16(0)? == 0xff03 {
        layer = layer.behind(2);
    }
    if layer.at.u8(0)? == 0 {
        layer = layer.behind(1);
    }
    match layer.at.u8(0)? {
        0x21 => Some((ether_type::IPV4, layer.behind(1))),
        0x57 => Some((ether_type::IPV6, layer.behind(1))),
        _ => None,
    }
}

/// The packet behind an MPLS label stack or a PPPoE session header.
#[inline(always)]
fn labelled(kind: u16, mut layer: Layer<'_>) -> Entrance<'_> {
    match kind {
        ether_type::PPPOE_SESSION => {
            // Version 1, type 1, code 0 (§4).
            let header = layer.at.header::<6>()?;
            if header.u16(0) != 0x1100 {
                return None;
            }
            ppp(layer.behind(6))
        }
        ether_type::MPLS | ether_type::MPLS_MULTICAST => {
            let mut labels = 0;
            while labels < LABELS_MAX {
                let label = layer.at.header::<4>()?;
                layer = layer.behind(4);
                if label.u8(2) & 1 != 0 {
                    return behind_labels(layer.settled());
                }
                labels += 1;
            }
            None
        }
        _ => None,
    }
}

/// Behind the bottom of the stack nothing says what follows: an IP packet, or an Ethernet frame behind a control word,
/// whose first four bits are 0 so that it looks like neither version of IP (RFC 4385 §3).
#[inline(always)]
fn behind_labels(layer: Layer<'_>) -> Entrance<'_> {
    if layer.at.u8(0)? >> 4 == 0 {
        layer.at.u32(0)?;
        return bridged(layer.behind(4));
    }
    by_version(layer)
}

/// The packet in an Ethernet frame, behind its tags.
#[inline(always)]
fn bridged(layer: Layer<'_>) -> Entrance<'_> {
    let header = layer.at.header::<ETHERNET_HEADER_BYTES>()?;
    let (mut kind, mut layer) = (header.u16(12), layer.behind(ETHERNET_HEADER_BYTES));
    let mut tags = 0;
    while is_tag(kind) {
        if tags == TAGS_MAX {
            return None;
        }
        let tag = layer.at.header::<TAG_BYTES>()?;
        (kind, layer) = (tag.u16(2), layer.behind(TAG_BYTES));
        tags += 1;
    }
    Some((kind, layer))
}

/// A packet whose version is in its first four bits.
#[inline(always)]
fn by_version(layer: Layer<'_>) -> Entrance<'_> {
    match layer.at.u8(0)? >> 4 {
        4 => Some((ether_type::IPV4, layer)),
        6 => Some((ether_type::IPV6, layer)),
        _ => None,
    }
}

impl<'a> Layer<'a> {
    /// The rest from a place further on.
    #[inline(always)]
    fn moved_to(self, at: Cursor<'a>) -> Self {
        let moved = self.at.remaining().wrapping_sub(at.remaining());
        Self {
            at,
            length: self.length.wrapping_sub(moved as u32),
        }
    }

    #[inline(always)]
    fn skip(self, count: usize) -> Option<Self> {
        Some(Self {
            at: self.at.skip(count)?,
            length: self.length.wrapping_sub(count as u32),
        })
    }

    #[inline(always)]
    fn settled(self) -> Self {
        Self {
            at: self.at.settle(),
            ..self
        }
    }
}
