//! Link types of capture files (<https://www.tcpdump.org/linktypes.html>): finds the IP packet behind each
//! link header, then the shared parser takes over.

use sensor_ebpf::{
    bounds::Cursor,
    frame::{Malformed, Parsed, ether_type, parse_ether_type, parse_ethernet, parse_ip, tunnel},
};

/// A `LINKTYPE_` number as capture files carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// Ethernet
    pub const ETHERNET: Self = Self(1);
}

/// What stands behind a link header, and where it begins.
pub(super) enum Start<'a> {
    /// An Ethernet frame.
    Frame(Cursor<'a>),
    /// What an EtherType says.
    EtherType(u16, Cursor<'a>),
    /// An IP packet of the version in its first four bits.
    Ip(Cursor<'a>),
    /// Nothing that is parsed further.
    Nowhere(Parsed),
}

const CUT: Start<'_> = Start::Nowhere(Parsed::Malformed(Malformed::LinkTruncated));

/// Parses one captured frame.
#[inline]
pub fn parse(link: LinkType, frame: &[u8]) -> Parsed {
    match start(link, frame) {
        Start::Frame(frame) => parse_ethernet(frame),
        Start::EtherType(kind, rest) => parse_ether_type(kind, rest),
        Start::Ip(packet) => parse_ip(packet, 0),
        Start::Nowhere(parsed) => parsed,
    }
}

/// Parses one captured frame and looks inside of tunnels ([`tunnel`]): the packet, and how many tunnels were entered.
#[inline]
pub fn parse_inside(link: LinkType, frame: &[u8]) -> (Parsed, u32) {
    match start(link, frame) {
        Start::Frame(frame) => tunnel::parse_ethernet(frame),
        Start::EtherType(kind, rest) => tunnel::parse_ether_type(kind, rest),
        Start::Ip(packet) => tunnel::parse_ip(packet),
        Start::Nowhere(parsed) => (parsed, 0),
    }
}

#[inline]
pub(super) fn start(link: LinkType, frame: &[u8]) -> Start<'_> {
    let cursor = Cursor::from_slice(frame);
    match link.0 {
        1 => Start::Frame(cursor),
        // LINKTYPE_RAW and the values of BSD's DLT_RAW that ended up in files; IPV4; IPV6.
        12 | 14 | 101 | 228 | 229 => Start::Ip(cursor),
        0 => null(cursor, frame, u32::from_le_bytes),
        108 => null(cursor, frame, u32::from_be_bytes),
        // PPP and PPP in HDLC-like framing: optional address and control, then the protocol (RFC 1661, RFC 1662).
        9 | 50 => ppp(cursor),
        // The same behind a PPPoE session header (RFC 2516 §4).
        51 => cursor.skip(6).map_or(CUT, ppp),
        // Cisco HDLC (RFC 1547 §4.3.1) and Linux cooked captures carry an EtherType.
        104 => behind(cursor, 2, 4),
        113 => behind(cursor, 14, 16),
        276 => behind(cursor, 0, 20),
        _ => Start::Nowhere(Parsed::Malformed(Malformed::LinkType)),
    }
}

/// An EtherType at a fixed place, the packet behind a fixed header.
fn behind(frame: Cursor<'_>, type_at: usize, header_bytes: usize) -> Start<'_> {
    match (frame.u16(type_at), frame.skip(header_bytes)) {
        (Some(kind), Some(rest)) => Start::EtherType(kind, rest),
        _ => CUT,
    }
}

/// BSD loopback: the address family in the byte order of the machine that captured, 2 for IPv4 everywhere and
/// 10, 24, 28 or 30 for IPv6.
fn null<'a>(cursor: Cursor<'a>, frame: &[u8], order: fn([u8; 4]) -> u32) -> Start<'a> {
    let (Some(family), Some(rest)) = (frame.first_chunk::<4>(), cursor.skip(4)) else {
        return CUT;
    };
    let family = order(*family);
    let family = if family > 0xffff {
        family.swap_bytes()
    } else {
        family
    };
    match family {
        2 | 10 | 24 | 28 | 30 => Start::Ip(rest),
        _ => Start::Nowhere(Parsed::NotIp),
    }
}

fn ppp(frame: Cursor<'_>) -> Start<'_> {
    let rest = if frame.u16(0) == Some(0xff03) {
        frame.skip(2)
    } else {
        Some(frame)
    };
    let Some((kind, rest)) = rest.and_then(|rest| Some((rest.u16(0)?, rest.skip(2)?))) else {
        return CUT;
    };
    match kind {
        0x0021 => Start::EtherType(ether_type::IPV4, rest),
        0x0057 => Start::EtherType(ether_type::IPV6, rest),
        _ => Start::Nowhere(Parsed::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every link type finds the same packet.
    #[test]
    fn each_link_header_leads_to_the_packet() {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 54, 0, 8, 0, 0]);
        let expected = parse_ip(Cursor::from_slice(&packet), 0);
        assert!(matches!(expected, Parsed::Flow(_)));
        let headers: [(u16, &[u8]); 14] = [
            (1, &[2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0]),
            (12, &[]),
            (14, &[]),
            (101, &[]),
            (228, &[]),
            (0, &[2, 0, 0, 0]),
            (0, &[0, 0, 0, 2]),
            (108, &[0, 0, 0, 2]),
            (9, &[0xff, 3, 0, 0x21]),
            (50, &[0, 0x21]),
            (51, &[0x11, 0, 0, 7, 0, 30, 0, 0x21]),
            (104, &[0x0f, 0, 8, 0]),
            (113, &[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0]),
            (
                276,
                &[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0],
            ),
        ];
        for (link, header) in headers {
            let frame = [header, &packet].concat();
            assert_eq!(parse(LinkType(link), &frame), expected, "link type {link}");
            for length in 0..header.len() {
                assert!(
                    !matches!(parse(LinkType(link), &frame[..length]), Parsed::Flow(_)),
                    "link type {link} cut to {length}"
                );
            }
        }
        assert_eq!(
            parse(LinkType(105), &packet),
            Parsed::Malformed(Malformed::LinkType)
        );
    }
}
