//! Splitting a packet sequence anywhere and merging the parts gives what counting it in one go gives.

use proptest::prelude::*;
use sensor_ebpf::{
    account::{Segments, add, add_segments, merge},
    bounds::Cursor,
    flow::{FlowCounters, FlowKey, Half, seen, tcp_flag},
    frame::{Packet, Parsed, parse_ethernet, parse_ip},
};

fn packet(sender: usize, ip_length: u32, tcp_flags: u8, ttl: u8) -> Packet {
    Packet {
        key: FlowKey {
            addresses: [[1; 16], [2; 16]],
            ports: [1000, 80],
            protocol: 6,
            form: 0,
            series: 0,
        },
        sender,
        ip_length,
        payload_length: ip_length - 40,
        tcp_flags,
        ttl,
        window: ip_length as u16,
        vlan: u16::from(ttl % 3),
        inner_vlan: u16::from(ttl % 3) * u16::from(ttl / 3 % 3),
    }
}

prop_compose! {
    fn sequence()(
        steps in prop::collection::vec((0usize..2, 40u32..1500, any::<u8>(), any::<u8>(), 0u64..5_000_000_000), 1..60)
    ) -> Vec<(Packet, u64)> {
        let mut now = 1_500_000_000_000_000_000;
        steps
            .into_iter()
            .map(|(sender, length, flags, ttl, gap)| {
                now += gap;
                (packet(sender, length, flags, ttl), now)
            })
            .collect()
    }
}

fn count(packets: &[(Packet, u64)]) -> FlowCounters {
    let mut counters = FlowCounters::EMPTY;
    for (packet, time) in packets {
        add(&mut counters, packet, *time);
    }
    counters
}

proptest! {
    #[test]
    fn merging_any_split_equals_counting(packets in sequence(), cut in any::<prop::sample::Index>()) {
        let whole = count(&packets);
        let (front, back) = packets.split_at(cut.index(packets.len()));
        let mut merged = count(front);
        merge(&mut merged, &count(back));
        prop_assert_eq!(&merged, &whole);
        let mut reversed = count(back);
        merge(&mut reversed, &count(front));
        // The side without packets keeps nothing to compare: the merge is symmetric.
        prop_assert_eq!(&reversed, &whole);
    }

    #[test]
    fn totals_are_sums_whatever_the_interleaving(packets in sequence(), mask in any::<u64>()) {
        let whole = count(&packets);
        let (mut a, mut b) = (FlowCounters::EMPTY, FlowCounters::EMPTY);
        for (index, (packet, time)) in packets.iter().enumerate() {
            let part = if mask >> (index % 64) & 1 == 0 { &mut a } else { &mut b };
            add(part, packet, *time);
        }
        merge(&mut a, &b);
        for (half, expected) in a.halves.iter().zip(&whole.halves) {
            // Only what depends on the gaps between packets may differ.
            let exact = |half: &Half| Half { gap_min: 0, gap_max: 0, gap_square_sum: 0, first_window: 0, inner_vlan: 0, ..*half };
            prop_assert_eq!(exact(half), exact(expected));
        }
        // The inner tag is that of one packet, which of both where their times are the same is open.
        prop_assert_eq!(a.vlan == 0, whole.vlan == 0);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_ethernet(Cursor::from_slice(&bytes));
        let _ = parse_ip(Cursor::from_slice(&bytes), 0);
    }
}

#[test]
fn flags_are_counted_one_by_one() {
    let all = count(&[(packet(0, 40, 0xff, 64), 5)]);
    assert_eq!(all.halves[0].flags, [1; 8]);
    assert_eq!(all.halves[0].seen & seen::INCONSISTENT, seen::INCONSISTENT);
    let null = count(&[(packet(0, 40, 0, 64), 5)]);
    assert_eq!(null.halves[0].flags, [0; 8]);
    assert_eq!(null.halves[0].seen & seen::INCONSISTENT, seen::INCONSISTENT);
}

#[test]
fn a_super_packet_counts_as_its_segments() {
    // 40 bytes of headers, 3,500 of payload in segments of 1,448: two full ones and one of 604.
    let mut counters = FlowCounters::EMPTY;
    let super_packet = packet(0, 3540, 1 << tcp_flag::ACK | 1 << tcp_flag::PSH, 64);
    add_segments(
        &mut counters,
        &super_packet,
        Segments {
            count: 3,
            payload: 1448,
        },
        9,
    );
    let mut wire = FlowCounters::EMPTY;
    for (length, flags) in [
        (1488, 1 << tcp_flag::ACK),
        (1488, 1 << tcp_flag::ACK),
        (644, 1 << tcp_flag::ACK | 1 << tcp_flag::PSH),
    ] {
        add(
            &mut wire,
            &Packet {
                window: super_packet.window,
                ..packet(0, length, flags, 64)
            },
            9,
        );
    }
    assert_eq!(counters, wire);
}

#[test]
fn an_ipv4_header_with_options_keeps_its_ports() {
    let mut frame = vec![0u8; 12];
    frame.extend([0x81, 0x00, 0x60, 0x64, 0x08, 0x00]); // 802.1Q, id 100
    frame.extend([
        0x47, 0, 0, 36, 0, 0, 0x20, 0, 63, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
        1,
    ]);
    frame.extend([0x14, 0xe9, 0x00, 0x35, 0, 8, 0, 0]);
    let Parsed::Flow(packet) = parse_ethernet(Cursor::from_slice(&frame)) else {
        panic!("not a flow");
    };
    assert_eq!(packet.key.ports, [53, 5353]);
    assert_eq!(
        (
            packet.sender,
            packet.vlan,
            packet.ttl,
            packet.ip_length,
            packet.payload_length
        ),
        (1, 100, 63, 36, 0)
    );
}
