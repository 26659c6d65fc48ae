//! Flows of ARP: who asks whom, and that nothing else is taken for it.

use proptest::prelude::*;
use sensor_ebpf::{
    bounds::Cursor,
    flow::form,
    frame::{ARP_BYTES, Malformed, Packet, Parsed, ether_type, parse_ethernet, protocol, tunnel},
};

const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// An ARP packet about IPv4 over Ethernet.
fn arp(operation: u16, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let [high, low] = operation.to_be_bytes();
    let mut packet = vec![0, 1, 8, 0, 6, 4, high, low];
    packet.extend([2, 0, 0, 0, 0, 1]);
    packet.extend(sender);
    packet.extend([0; 6]);
    packet.extend(target);
    packet
}

fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12], &kind.to_be_bytes()[..], payload].concat()
}

fn parse(frame: &[u8]) -> Parsed {
    parse_ethernet(Cursor::from_slice(frame))
}

fn flow(frame: &[u8]) -> Packet {
    match parse(frame) {
        Parsed::Flow(packet) => packet,
        other => panic!("{other:?}"),
    }
}

fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[10..12].fill(0xff);
    octets[12..].copy_from_slice(&address);
    octets
}

const A: [u8; 4] = [192, 168, 1, 7];
const B: [u8; 4] = [192, 168, 1, 200];

#[test]
fn a_request_and_its_reply_are_one_flow_and_a_question_in_return_another() {
    let asks = flow(&frame(ether_type::ARP, &arp(REQUEST, A, B)));
    let answers = flow(&frame(ether_type::ARP, &arp(REPLY, B, A)));
    assert_eq!(asks.key, answers.key);
    assert_eq!((asks.sender, answers.sender), (0, 1));
    assert_eq!(asks.key.addresses, [mapped(A), mapped(B)]);
    assert_eq!(asks.key.ports, [REQUEST, REPLY]);
    assert_eq!((asks.key.protocol, asks.key.form), (0, form::ARP));
    assert_eq!((asks.ip_length, asks.payload_length), (28, 0));
    assert_eq!((asks.ttl, asks.tcp_flags, asks.window), (0, 0, 0));
    let asks_back = flow(&frame(ether_type::ARP, &arp(REQUEST, B, A)));
    assert_eq!(
        (asks_back.key.ports, asks_back.sender),
        ([REPLY, REQUEST], 1)
    );
    assert_ne!(asks_back.key, asks.key);
}

#[test]
fn who_asks_for_himself_is_one_flow_however_he_does() {
    let asks = flow(&frame(ether_type::ARP, &arp(REQUEST, A, A)));
    let tells = flow(&frame(ether_type::ARP, &arp(REPLY, A, A)));
    assert_eq!(asks.key, tells.key);
    assert_eq!((asks.sender, tells.sender), (0, 1));
}

#[test]
fn no_packet_of_ip_has_the_key_of_an_arp_packet() {
    let ours = flow(&frame(ether_type::ARP, &arp(REQUEST, A, B))).key;
    for protocol in 0..=u8::MAX {
        for fragment in [[0, 0], [0, 7]] {
            let mut packet = vec![
                0x45,
                0,
                0,
                60,
                0,
                0,
                fragment[0],
                fragment[1],
                64,
                protocol,
                0,
                0,
            ];
            packet.extend(A);
            packet.extend(B);
            // Ports, or type and code, as ARP's operation; a TCP header of 20 bytes.
            packet.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0]);
            packet.resize(60, 0);
            assert_ne!(
                flow(&frame(ether_type::IPV4, &packet)).key,
                ours,
                "{protocol}"
            );
        }
    }
}

#[test]
fn tags_are_kept_and_padding_is_not_counted() {
    let mut behind = vec![0, 5, 0x81, 0, 0, 6, 8, 6];
    behind.extend(arp(REQUEST, A, B));
    behind.extend([0xee; 18]);
    let packet = flow(&frame(ether_type::QINQ, &behind));
    assert_eq!((packet.vlan, packet.inner_vlan), (5, 6));
    assert_eq!(packet.ip_length, 28);
}

#[test]
fn a_packet_that_is_cut_is_malformed_wherever_it_is() {
    let whole = arp(REQUEST, A, B);
    assert_eq!(whole.len(), ARP_BYTES);
    for length in 0..whole.len() {
        let got = parse(&frame(ether_type::ARP, &whole[..length]));
        assert_eq!(got, Parsed::Malformed(Malformed::Arp), "{length}");
    }
}

#[test]
fn other_hardware_and_other_protocols_are_not_ours_and_wrong_lengths_are_wrong() {
    let changed = |at: usize, to: u8| {
        let mut packet = arp(REQUEST, A, B);
        packet[at] = to;
        parse(&frame(ether_type::ARP, &packet))
    };
    // IEEE 802, Frame Relay, InfiniBand; Chaosnet, IPv6.
    for (at, to) in [(1, 6), (1, 15), (1, 32), (0, 1), (3, 4), (2, 0x86)] {
        assert_eq!(changed(at, to), Parsed::NotIp, "{at} {to}");
    }
    for (at, to) in [(4, 0), (4, 7), (5, 0), (5, 16)] {
        assert_eq!(
            changed(at, to),
            Parsed::Malformed(Malformed::Arp),
            "{at} {to}"
        );
    }
}

#[test]
fn arp_inside_of_a_tunnel_is_a_flow_too() {
    let inner = frame(ether_type::ARP, &arp(REQUEST, A, B));
    let mut packet = vec![
        0x45,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        64,
        protocol::UDP,
        0,
        0,
        10,
        0,
        0,
        1,
        10,
        0,
        0,
        2,
    ];
    packet.extend([0x80, 0, 0x12, 0xb5, 0, 58, 0, 0, 8, 0, 0, 0, 0, 0, 9, 0]);
    packet.extend(&inner);
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    let outer = frame(ether_type::IPV4, &packet);
    let (found, entered) = tunnel::parse_ethernet(Cursor::from_slice(&outer));
    assert_eq!(entered, 1);
    assert_eq!(found, parse(&inner));
    assert_eq!(flow(&outer).key.protocol, protocol::UDP);
}

proptest! {
    #[test]
    fn any_operation_between_any_two_has_a_key_in_order(
        operation: u16, sender: [u8; 4], target: [u8; 4],
    ) {
        let packet = flow(&frame(ether_type::ARP, &arp(operation, sender, target)));
        let end = |side: usize| (packet.key.addresses[side], packet.key.ports[side]);
        prop_assert!(end(0) <= end(1));
        prop_assert_eq!(end(packet.sender).0, mapped(sender));
        prop_assert_eq!(end(1 - packet.sender).0, mapped(target));
        prop_assert_eq!(end(packet.sender).1, operation);
    }
}
