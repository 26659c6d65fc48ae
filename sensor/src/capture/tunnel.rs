//! Looking inside tunnels: the flow is then that of the innermost packet, and so are its lengths.
//!
//! Off unless asked for, and on the host only: the kernel program and every other source count the packets that
//! are on the wire. A tunnel that is told by its port is a guess, so nothing here is malformed: what does not look
//! like the inside of a tunnel is left alone, and the outer packet is the flow.

use sensor_ebpf::{
    bounds::Cursor,
    frame::{Packet, Parsed, ether_type, parse_ip, protocol},
};

use super::link::{self, LinkType};

/// Tunnels within tunnels that are followed.
const DEPTH_MAX: usize = 4;

/// IP protocol numbers of tunnels.
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;

/// EtherType of a whole Ethernet frame inside GRE (transparent Ethernet bridging, RFC 1701).
const BRIDGED: u16 = 0x6558;

const GTP_U_PORT: u16 = 2152;
const VXLAN_PORT: u16 = 4789;

/// Parses one captured frame and follows IP in IP (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784, RFC 2890,
/// and PPTP's, RFC 2637), GTP-U (3GPP TS 29.281) and VXLAN (RFC 7348).
pub fn parse(link: LinkType, frame: &[u8]) -> Parsed {
    let mut outcome = link::parse(link, frame);
    let Some(mut packet) = network(link, frame) else {
        return outcome;
    };
    for _ in 0..DEPTH_MAX {
        let Parsed::Flow(outer) = outcome else { break };
        let Some(inner) = payload(packet).and_then(|payload| inside(&outer, payload)) else {
            break;
        };
        let found = parse_ip(Cursor::from_slice(inner), outer.vlan);
        if !matches!(found, Parsed::Flow(_)) {
            break;
        }
        (outcome, packet) = (found, inner);
    }
    outcome
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The IP packet behind the link header.
fn network(link: LinkType, frame: &[u8]) -> Option<&[u8]> {
    match link.0 {
        1 => ethernet(frame),
        0 | 108 => frame.get(4..),
        12 | 14 | 101 | 228 | 229 => Some(frame),
        113 => tagged(u16_at(frame, 14)?, frame.get(16..)?),
        276 => tagged(u16_at(frame, 0)?, frame.get(20..)?),
        _ => None,
    }
}

fn ethernet(frame: &[u8]) -> Option<&[u8]> {
    tagged(u16_at(frame, 12)?, frame.get(14..)?)
}

fn tagged(mut kind: u16, mut rest: &[u8]) -> Option<&[u8]> {
    while matches!(
        kind,
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD
    ) {
        kind = u16_at(rest, 2)?;
        rest = rest.get(4..)?;
    }
    matches!(kind, ether_type::IPV4 | ether_type::IPV6).then_some(rest)
}

/// What stands behind the IP header and its extensions.
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let first = packet.first()?;
    if first >> 4 == 4 {
        return packet.get(usize::from(first & 0x0f) * 4..);
    }
    let (mut next, mut rest) = (*packet.get(6)?, packet.get(40..)?);
    loop {
        let length = match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                (usize::from(*rest.get(1)?) + 1) * 8
            }
            protocol::FRAGMENT => 8,
            _ => return Some(rest),
        };
        next = *rest.first()?;
        rest = rest.get(length..)?;
    }
}

/// The IP packet inside `payload`, if `outer` is a tunnel.
fn inside<'a>(outer: &Packet, payload: &'a [u8]) -> Option<&'a [u8]> {
    if outer.key.later_fragment != 0 {
        return None;
    }
    match outer.key.protocol {
        IPV4 | IPV6 => Some(payload),
        GRE => gre(payload),
        protocol::UDP => match outer.key.ports[1 - outer.sender] {
            GTP_U_PORT => gtp_u(payload.get(8..)?),
            VXLAN_PORT => vxlan(payload.get(8..)?),
            _ => None,
        },
        _ => None,
    }
}

fn gre(header: &[u8]) -> Option<&[u8]> {
    let flags = u16_at(header, 0)?;
    let optional = |bits: &[u16]| 4 * bits.iter().filter(|&bit| flags & bit != 0).count();
    match flags & 0x4007 {
        // Without source routing; checksum, key and sequence number take four bytes each.
        0 => {
            let rest = header.get(4 + optional(&[0x8000, 0x2000, 0x1000])..)?;
            match u16_at(header, 2)? {
                ether_type::IPV4 | ether_type::IPV6 => Some(rest),
                BRIDGED => ethernet(rest),
                _ => None,
            }
        }
        // PPTP's variant: the key is always there, then sequence and acknowledgement number.
        1 => ppp(header.get(8 + optional(&[0x1000, 0x0080])..)?),
        _ => None,
    }
}

/// PPP with or without address and control field, and with protocol numbers of one or two bytes (RFC 1661).
fn ppp(frame: &[u8]) -> Option<&[u8]> {
    let frame = frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame);
    let frame = frame.strip_prefix(&[0]).unwrap_or(frame);
    frame
        .strip_prefix(&[0x21])
        .or_else(|| frame.strip_prefix(&[0x57]))
}

fn gtp_u(header: &[u8]) -> Option<&[u8]> {
    // Version 1, protocol type GTP, message type G-PDU.
    if header.first()? & 0xf0 != 0x30 || *header.get(1)? != 0xff {
        return None;
    }
    // Any of the E, S and PN flags brings four more bytes, and extension headers may follow (§5.1, §5.2.1).
    let mut length = 8;
    if header[0] & 0x07 != 0 {
        length = 12;
        while header[0] & 0x04 != 0 && *header.get(length - 1)? != 0 {
            let units = usize::from(*header.get(length)?);
            if units == 0 {
                return None;
            }
            length += units * 4;
        }
    }
    header.get(length..)
}

fn vxlan(header: &[u8]) -> Option<&[u8]> {
    // The I flag is set, all others are reserved.
    (*header.first()? == 0x08).then_some(())?;
    ethernet(header.get(8..)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An IPv4 packet of `protocol` around `payload`.
    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = (20 + payload.len()) as u16;
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend(payload);
        packet
    }

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut segment = 40_000_u16.to_be_bytes().to_vec();
        segment.extend(port.to_be_bytes());
        segment.extend((8 + payload.len() as u16).to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(payload);
        ipv4(protocol::UDP, &segment)
    }

    fn service(parsed: Parsed) -> (u8, u16) {
        match parsed {
            Parsed::Flow(packet) => (packet.key.protocol, packet.key.ports[1 - packet.sender]),
            other => panic!("{other:?}"),
        }
    }

    const RAW: LinkType = LinkType(101);

    #[test]
    fn tunnels_in_tunnels_and_what_only_looks_like_one() {
        let inner = udp(53, b"question");
        let bridged = [&[0; 12], &[8, 0][..], &inner].concat();
        let tunnels = [
            ipv4(IPV4, &inner),
            ipv4(GRE, &[&[0x20, 0, 8, 0, 1, 2, 3, 4][..], &inner].concat()),
            ipv4(GRE, &[&[0, 0, 0x65, 0x58][..], &bridged].concat()),
            udp(
                GTP_U_PORT,
                &[&[0x30, 0xff, 0, 0, 0, 0, 0, 1][..], &inner].concat(),
            ),
            udp(
                VXLAN_PORT,
                &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &bridged].concat(),
            ),
        ];
        for tunnel in tunnels {
            assert_eq!(service(parse(RAW, &tunnel)), (protocol::UDP, 53));
            assert_eq!(
                service(parse(RAW, &ipv4(IPV4, &tunnel))),
                (protocol::UDP, 53)
            );
            assert_ne!(service(link::parse(RAW, &tunnel)), (protocol::UDP, 53));
        }
        assert_eq!(
            service(parse(RAW, &udp(GTP_U_PORT, b"not GTP"))),
            (protocol::UDP, GTP_U_PORT)
        );
        assert_eq!(service(parse(RAW, &ipv4(IPV4, b"not IP"))), (IPV4, 0));
    }

    proptest! {
        /// No bytes make it panic or run on, and without a tunnel it is the plain parser.
        #[test]
        fn any_bytes(link in prop::sample::select(vec![0_u16, 1, 101, 113, 276]), mut frame in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..60, kind in 0_usize..5) {
            let seed = [ipv4(GRE, &[]), udp(GTP_U_PORT, &[0x34, 0xff]), udp(VXLAN_PORT, &[8]), ipv4(IPV4, &[0x45]), ipv4(IPV6, &[0x60])];
            for (byte, value) in frame.iter_mut().skip(at).zip(&seed[kind]) {
                *byte = *value;
            }
            if let (Parsed::Malformed(_) | Parsed::NotIp, expected) = (parse(LinkType(link), &frame), link::parse(LinkType(link), &frame)) {
                prop_assert_eq!(parse(LinkType(link), &frame), expected);
            }
        }
    }
}
