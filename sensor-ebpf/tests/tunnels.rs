//! What is found inside of tunnels, and that all else is left alone.

use proptest::prelude::*;
use sensor_ebpf::{
    bounds::Cursor,
    frame::{Packet, Parsed, ether_type, parse_ethernet, protocol, tunnel},
};

/// An IPv4 packet of `protocol` around `payload`.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(payload);
    packet
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20; 16]);
    packet.extend([0x30; 16]);
    packet.extend(payload);
    packet
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut segment = 40_000_u16.to_be_bytes().to_vec();
    segment.extend(port.to_be_bytes());
    segment.extend((8 + payload.len() as u16).to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(payload);
    segment
}

fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12], &kind.to_be_bytes()[..], payload].concat()
}

/// Header and what it carries.
fn around(header: &[u8], payload: &[u8]) -> Vec<u8> {
    [header, payload].concat()
}

/// One way to carry an IPv4 packet: an Ethernet frame with it inside.
fn tunnels(inner: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let bridged = frame(ether_type::IPV4, inner);
    let tagged = frame(
        ether_type::QINQ,
        &around(&[0, 7, 0x81, 0, 0, 8, 8, 0], inner),
    );
    let in_ip = |protocol, payload: &[u8]| frame(ether_type::IPV4, &ipv4(protocol, payload));
    let in_udp = |port, header: &[u8], payload: &[u8]| {
        in_ip(protocol::UDP, &udp(port, &around(header, payload)))
    };
    let gtp_extended = [
        0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0x40, 2, 0, 0, 0, 0, 0, 0, 0,
    ];
    vec![
        ("IP in IP", in_ip(protocol::IPV4, inner)),
        (
            "4in6",
            frame(ether_type::IPV6, &ipv6(protocol::IPV4, inner)),
        ),
        ("GRE", in_ip(protocol::GRE, &around(&[0, 0, 8, 0], inner))),
        (
            "GRE with key and sequence number",
            in_ip(
                protocol::GRE,
                &around(&[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2], inner),
            ),
        ),
        (
            "GRE, bridged",
            in_ip(protocol::GRE, &around(&[0, 0, 0x65, 0x58], &bridged)),
        ),
        (
            "PPTP",
            in_ip(
                protocol::GRE,
                &around(
                    &[
                        0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0,
                        0x21,
                    ],
                    inner,
                ),
            ),
        ),
        ("VXLAN", in_udp(4789, &[8, 0, 0, 0, 0, 0, 1, 0], &bridged)),
        (
            "VXLAN, tags inside",
            in_udp(8472, &[8, 0, 0, 0, 0, 0, 1, 0], &tagged),
        ),
        ("Geneve", in_udp(6081, &[0, 0, 8, 0, 0, 0, 1, 0], inner)),
        (
            "Geneve with options, bridged",
            in_udp(
                6081,
                &[2, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 1, 1, 1, 2, 2, 2, 2],
                &bridged,
            ),
        ),
        (
            "GTP-U",
            in_udp(2152, &[0x30, 0xff, 0, 0, 0, 0, 0, 1], inner),
        ),
        (
            "GTP-U with sequence number",
            in_udp(2152, &[0x32, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0], inner),
        ),
        ("GTP-U with extensions", in_udp(2152, &gtp_extended, inner)),
        (
            "MPLS",
            frame(ether_type::MPLS, &around(&[0, 1, 1, 64], inner)),
        ),
        (
            "MPLS, three labels",
            frame(
                ether_type::MPLS,
                &around(&[0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64], inner),
            ),
        ),
        (
            "MPLS, bridged behind a control word",
            frame(
                ether_type::MPLS,
                &around(&[0, 1, 1, 64, 0, 0, 0, 5], &tagged),
            ),
        ),
        (
            "PPPoE",
            frame(
                ether_type::PPPOE_SESSION,
                &around(&[0x11, 0, 0, 1, 0, 99, 0, 0x21], inner),
            ),
        ),
    ]
}

fn flow(parsed: Parsed) -> Packet {
    match parsed {
        Parsed::Flow(packet) => packet,
        other => panic!("{other:?}"),
    }
}

fn inside(frame: &[u8]) -> (Parsed, u32) {
    tunnel::parse_ethernet(Cursor::from_slice(frame))
}

#[test]
fn each_tunnel_leads_to_the_packet_in_it() {
    let inner = ipv4(protocol::UDP, &udp(53, b"question"));
    let expected = flow(parse_ethernet(Cursor::from_slice(&frame(
        ether_type::IPV4,
        &inner,
    ))));
    for (name, carried) in tunnels(&inner) {
        let (found, depth) = inside(&carried);
        assert_eq!((flow(found), depth), (expected, 1), "{name}");
        assert_ne!(
            parse_ethernet(Cursor::from_slice(&carried)),
            Parsed::Flow(expected),
            "{name} without looking inside"
        );
        // Cut anywhere in the tunnel's header or the inner one: as if nobody had looked inside.
        let begin = carried.len() - inner.len();
        for length in 14..begin + 28 - 4 {
            let cut = &carried[..length];
            assert_eq!(
                inside(cut),
                (parse_ethernet(Cursor::from_slice(cut)), 0),
                "{name} cut to {length}"
            );
        }
    }
}

#[test]
fn tunnels_in_tunnels_and_the_tags_of_the_link() {
    let inner = ipv4(protocol::UDP, &udp(53, b"question"));
    for (name, outer) in tunnels(&ipv4(protocol::IPV4, &inner)) {
        let (found, depth) = inside(&outer);
        assert_eq!((flow(found).key.ports, depth), ([40_000, 53], 2), "{name}");
    }
    // A third one is not followed.
    for (name, outer) in tunnels(&ipv4(protocol::IPV4, &ipv4(protocol::IPV4, &inner))) {
        let (found, depth) = inside(&outer);
        assert_eq!(
            (flow(found).key.protocol, depth),
            (protocol::IPV4, 2),
            "{name}"
        );
    }
    let tagged = frame(
        ether_type::QINQ,
        &around(&[0, 7, 0x81, 0, 0, 8, 8, 0], &ipv4(protocol::IPV4, &inner)),
    );
    let packet = flow(inside(&tagged).0);
    assert_eq!(
        (packet.vlan, packet.inner_vlan, packet.key.ports),
        (7, 8, [40_000, 53])
    );
}

#[test]
fn what_only_looks_like_a_tunnel_is_left_alone() {
    let alone = [
        ipv4(protocol::UDP, &udp(2152, b"not GTP")),
        ipv4(
            protocol::UDP,
            &udp(4789, b"not VXLAN at all, though long enough for it"),
        ),
        ipv4(protocol::UDP, &udp(6081, b"\x00\x00\x08\x00neither IPv4")),
        ipv4(protocol::IPV4, b"not IP"),
        ipv4(
            protocol::IPV6,
            &ipv4(protocol::UDP, &udp(53, b"the other version")),
        ),
        ipv4(protocol::GRE, b"\x00\x00\x08\x00nothing"),
    ];
    for packet in alone {
        let outer = frame(ether_type::IPV4, &packet);
        assert_eq!(
            inside(&outer),
            (parse_ethernet(Cursor::from_slice(&outer)), 0)
        );
    }
    for kind in [ether_type::MPLS, ether_type::PPPOE_SESSION] {
        let outer = frame(kind, b"\x11\x00\x01\x40\x00\x2a\xc0\x21 link control");
        assert_eq!(inside(&outer), (Parsed::NotIp, 0));
    }
}

proptest! {
    /// No bytes make it panic or run on, and where there is no tunnel it says what the plain parser says.
    #[test]
    fn any_bytes(which in 0_usize..17, changes in prop::collection::vec((14_usize..90, any::<u8>()), 0..6), length in 0_usize..120) {
        let carried = tunnels(&ipv4(protocol::UDP, &udp(4789, &[8; 40])));
        let mut bytes = carried[which % carried.len()].1.clone();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        let plain = parse_ethernet(Cursor::from_slice(&bytes));
        let (found, depth) = inside(&bytes);
        prop_assert!(depth <= tunnel::TUNNELS_MAX);
        if depth == 0 {
            prop_assert_eq!(found, plain);
        } else {
            prop_assert!(matches!(found, Parsed::Flow(_)));
        }
    }
}
