//! What the windows say of traffic made for the purpose.

use sensor::{
    capture::Epoch,
    context,
    features::{self, Row},
    flow::{FlowEndReason, FlowRecord},
};
use sensor_ebpf::{
    account,
    flow::{EPOCH_SHIFT, FlowCounters, FlowKey},
    frame::Packet,
};

use crate::Stages;

fn address(host: u32) -> [u8; 16] {
    let [a, b, c, d] = host.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

const SYN: u8 = 0x02;
const RST_ACK: u8 = 0x14;
const VICTIM: u32 = 0xc000_0201;

/// Deltas of one epoch: each connection is a packet from `source` to `port` of `destination`, perhaps refused.
fn epoch(index: u64, connections: &[(u32, u16, u32, u16, bool)]) -> Epoch {
    let start = index << EPOCH_SHIFT;
    let mut flows: Vec<(FlowKey, FlowCounters)> = connections
        .iter()
        .zip(0..)
        .map(|(&(source, source_port, destination, port, refused), at)| {
            let mut ends = [(address(source), source_port), (address(destination), port)];
            let from = usize::from(ends[0] > ends[1]);
            if from == 1 {
                ends.reverse();
            }
            let key = FlowKey {
                addresses: ends.map(|end| end.0),
                ports: ends.map(|end| end.1),
                protocol: 6,
                form: 0,
                series: 0,
            };
            let packet = |sender, tcp_flags| Packet {
                key,
                sender,
                ip_length: 40,
                payload_length: 0,
                tcp_flags,
                ttl: 64,
                window: 1024,
                vlan: 0,
                inner_vlan: 0,
            };
            let mut counters = FlowCounters::EMPTY;
            account::add(&mut counters, &packet(from, SYN), start + at);
            if refused {
                account::add(&mut counters, &packet(1 - from, RST_ACK), start + at + 1000);
            }
            (key, counters)
        })
        .collect();
    flows.sort_by_key(|(key, counters)| (counters.first(), *key));
    Epoch {
        index,
        flows,
        ..Epoch::default()
    }
}

fn value(row: &Row, name: &str) -> f32 {
    row[features::position(name).unwrap_or_else(|| panic!("no feature {name}"))]
}

const BEGIN: u64 = 3_000_000_000;

#[test]
fn a_port_scan_shows_in_the_window_it_falls_into_and_fades() {
    let mut stages = Stages::new(&context::Settings::default());
    let scan: Vec<_> = (1..=100)
        .map(|port| (0x0a00_0001, 40_000 + port, VICTIM, port, true))
        .collect();
    stages.epoch(&epoch(BEGIN, &scan));
    stages.epoch(&epoch(BEGIN + 2, &[]));
    let (_, row) = stages.rows.last().expect("due after a second");
    for window in ["10s", "60s", "600s"] {
        let of = |name: &str| value(row, &format!("src_{name}_{window}"));
        assert!(
            (90.0..=100.0).contains(&of("flows")),
            "{window} {}",
            of("flows")
        );
        assert!(
            (75.0..=125.0).contains(&of("ports")),
            "{window} {}",
            of("ports")
        );
        assert!(
            (0.9..=1.1).contains(&of("peers")),
            "{window} {}",
            of("peers")
        );
        assert_eq!(of("failed_share"), 1.0);
        assert_eq!(of("bytes_sent"), of("bytes_received"));
    }
    assert!((75.0..=125.0).contains(&value(row, "dst_ports_10s")));

    // Half a minute later the ten seconds are over, the minute and the ten minutes are not.
    let later = BEGIN + 56;
    stages.epoch(&epoch(later, &[(0x0a00_0001, 50_000, VICTIM, 80, false)]));
    stages.epoch(&epoch(later + 2, &[]));
    let (_, row) = stages.rows.last().expect("due after a second");
    assert!(value(row, "src_flows_10s") <= 1.0);
    assert!(value(row, "src_flows_60s") > 25.0);
    assert!(value(row, "src_flows_600s") > 90.0);
    assert_eq!(value(row, "pair_flows"), 2.0, "port 80 was scanned before");
}

#[test]
fn a_flood_of_invented_sources_is_bounded_and_spares_the_known() {
    let settings = context::Settings {
        hosts: 256,
        conversations: 256,
    };
    let mut stages = Stages::new(&settings);
    let known = |index: u64| {
        (
            0x0a00_0001,
            40_000 + (index % 1000) as u16,
            VICTIM,
            443,
            true,
        )
    };
    for index in 0..20 {
        stages.epoch(&epoch(BEGIN + index, &[known(index)]));
    }
    for index in 20..40 {
        let mut flood: Vec<_> = (0..2_000)
            .map(|host| {
                (
                    0x5000_0000 + index as u32 * 2_000 + host,
                    1_000,
                    VICTIM,
                    443,
                    false,
                )
            })
            .collect();
        if index % 5 == 0 {
            flood.push(known(index));
        }
        stages.epoch(&epoch(BEGIN + index, &flood));
    }
    let stats = stages.context.stats();
    assert_eq!(stats.sources, 256);
    assert_eq!(stats.evicted_residents, 0);
    assert!(stats.evicted_newcomers >= 39_000);
    stages.epoch(&epoch(BEGIN + 40, &[known(41)]));
    stages.epoch(&epoch(BEGIN + 42, &[]));
    let rows: Vec<_> = stages
        .rows
        .iter()
        .filter(|(record, _)| record.key.addresses.contains(&address(0x0a00_0001)))
        .collect();
    let (_, row) = rows.last().expect("the known host's flow is due");
    assert!(
        value(row, "src_flows_60s") > 10.0,
        "{}",
        value(row, "src_flows_60s")
    );
    assert!(
        value(row, "dst_peers_60s") > 5_000.0,
        "{}",
        value(row, "dst_peers_60s")
    );
    // Hosts of the flood's beginning were forgotten: not known, not 0.
    let forgotten = stages
        .rows
        .iter()
        .filter(|(_, row)| value(row, "src_flows_10s").is_nan())
        .count();
    assert!(forgotten > 30_000, "{forgotten}");
}

#[test]
fn a_beacon_is_regular_and_a_person_is_not() {
    let mut stages = Stages::new(&context::Settings::default());
    let person = [3, 9, 10, 31, 33, 60, 100, 101, 140, 180_u64];
    for index in 0..200_u64 {
        let mut connections = Vec::new();
        if index % 20 == 0 {
            connections.push((0x0a00_0001, 30_000 + index as u16, VICTIM, 443, true));
        }
        if person.contains(&index) {
            connections.push((0x0a00_0002, 30_000 + index as u16, VICTIM, 443, true));
        }
        stages.epoch(&epoch(BEGIN + index, &connections));
    }
    let last = |host: u32| {
        let of = |(record, _): &&(FlowRecord, Row)| record.key.addresses.contains(&address(host));
        stages
            .rows
            .iter()
            .rev()
            .find(of)
            .map(|(_, row)| row)
            .expect("rows of the host")
    };
    assert!(value(last(0x0a00_0001), "pair_gap_variation") < 0.01);
    assert!((value(last(0x0a00_0001), "pair_gap_mean") - 10.737).abs() < 0.01);
    assert!(value(last(0x0a00_0002), "pair_gap_variation") > 0.5);
}

#[test]
fn what_cannot_be_known_is_missing() {
    let mut stages = Stages::new(&context::Settings::default());
    stages.epoch(&epoch(BEGIN, &[(0x0a00_0001, 40_000, VICTIM, 80, false)]));
    let rows = stages.finish();
    let [(record, row)] = &rows[..] else {
        panic!("one flow")
    };
    assert_eq!(record.end, Some(FlowEndReason::ForcedEnd));
    for missing in [
        "gap_mean",
        "orig_gap_max",
        "packets_per_second",
        "resp_length_mean",
        "resp_window",
        "resp_ttl_min",
        "answer_delay",
        "producer_consumer_ratio",
        "icmp_type",
        "vlan",
        "pair_gap_mean",
        "pair_gap_variation",
    ] {
        assert!(
            value(row, missing).is_nan(),
            "{missing} is {}",
            value(row, missing)
        );
    }
    let known = [
        ("packets", 1.0),
        ("bytes", 40.0),
        ("duration", 0.0),
        ("resp_packets", 0.0),
        ("down_up_ratio", 0.0),
        ("flag_syn", 1.0),
        ("flag_ack", 0.0),
        ("unanswered", 1.0),
        ("conn_state", 0.0),
        ("port_http", 1.0),
        ("src_private", 1.0),
        ("dst_private", 0.0),
        ("pair_first", 1.0),
        ("orig_window", 1024.0),
        ("small_packet_share", 1.0),
        ("src_flows_10s", 1.0),
        ("src_failed_share_10s", 1.0),
        ("protocol", 6.0),
    ];
    for (name, expected) in known {
        assert_eq!(value(row, name), expected, "{name}");
    }
}
