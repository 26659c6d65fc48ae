//! Flows as IPFIX: what was encoded, decoded by a decoder of its own, and by programs of others.

#[path = "../cli_support/mod.rs"]
mod cli;
mod collectors;
mod decoder;
mod nfcapd;
#[cfg(target_os = "linux")]
#[path = "../support/nobody.rs"]
mod nobody;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/program.rs"]
mod program;
mod sending;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use decoder::{Collector, REVERSE, Record, number};
use proptest::prelude::*;
use sensor::{
    flow::FlowRecord,
    sink::ipfix::{Encoder, Form, Refresh, Session},
};
use sensor_ebpf::flow::Side;
use std::time::Duration;

/// What a collector gets of these flows.
fn export(
    flows: &[FlowRecord],
    form: Form,
    refresh: Option<Refresh>,
    message_bytes: usize,
) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(form);
    let mut parcels = Vec::new();
    for flow in flows {
        encoder.flow(flow, &mut parcels);
    }
    encoder.flush(&mut parcels);
    let most = form.message_bytes - 16 + 4;
    assert!(parcels.iter().all(|parcel| parcel.len() <= most));
    Session::new(7, refresh)
        .messages(&parcels, message_bytes, 1_763_733_600_000_000_000)
        .expect("parcels just made")
}

fn collect(messages: &[Vec<u8>]) -> Collector {
    let mut collector = Collector::default();
    for message in messages {
        collector.message(message);
    }
    collector
}

/// What a record must say of what `source` sent, where `reverse` of what the other side sent.
fn check(record: &Record, flow: &FlowRecord, source: Side, both: bool, nanoseconds: bool) {
    let value = |enterprise: u32, id: u16| record.get(&(enterprise, id)).map(|v| number(v));
    let key = &flow.key;
    let v4 = flow.source().is_ipv4();
    for (enterprise, side) in [(0, source), (REVERSE, 1 - source)] {
        let half = &flow.counters.halves[side];
        if enterprise == REVERSE && !both {
            assert!(record.keys().all(|(pen, _)| *pen == 0));
            continue;
        }
        let some = half.packets > 0;
        assert_eq!(value(enterprise, 1), Some(half.ip_bytes));
        assert_eq!(value(enterprise, 2), Some(half.packets));
        assert_eq!(value(enterprise, 401), Some(half.payload_bytes));
        let least = if some { half.length_min } else { 0 };
        assert_eq!(value(enterprise, 25), Some(u64::from(least)));
        assert_eq!(value(enterprise, 26), Some(u64::from(half.length_max)));
        let least = if some { half.ttl_min } else { 0 };
        let hops = |value: u8| (!key.is_arp()).then_some(u64::from(value));
        assert_eq!(value(enterprise, 52), hops(least));
        assert_eq!(value(enterprise, 53), hops(half.ttl_max));
        let flags = (0..8).filter(|bit| half.flags[*bit] > 0);
        let tcp = key.protocol == 6 && key.is_whole();
        let wanted = tcp.then(|| flags.map(|bit| 1 << bit).sum());
        assert_eq!(value(enterprise, 6), wanted);
    }
    let address = |side: Side| key.addresses[side][if v4 { 12.. } else { 0.. }].to_vec();
    let (source_id, destination_id) = if v4 { (8, 12) } else { (27, 28) };
    assert_eq!(record[&(0, source_id)], address(source));
    assert_eq!(record[&(0, destination_id)], address(1 - source));
    let ports = key.is_whole() && matches!(key.protocol, 6 | 17 | 33 | 132 | 136);
    let port = |side: Side| ports.then(|| u64::from(key.ports[side]));
    assert_eq!(value(0, 7), port(source));
    assert_eq!(value(0, 11), port(1 - source));
    let icmp = key.is_whole() && matches!(key.protocol, 1 | 58);
    let icmp_type = value(0, if v4 { 32 } else { 139 }).map(|both| both >> 8);
    assert_eq!(icmp_type, icmp.then(|| u64::from(key.ports[source])));
    let (protocol, ether_type) = match key.is_arp() {
        true => (None, Some(0x0806)),
        false => (Some(u64::from(key.protocol)), None),
    };
    assert_eq!((value(0, 4), value(0, 256)), (protocol, ether_type));
    assert_eq!(value(0, 10), Some(u64::from(flow.counters.interface)));
    assert_eq!(value(0, 136), flow.end.map(|end| end as u64));
    let direction = if source == flow.originator { 1 } else { 2 };
    assert_eq!(value(0, 239), Some(direction));
    assert_eq!(value(0, 148), Some(flow.id));
    let vlan = flow.counters.vlan;
    assert_eq!(value(0, 58), (vlan != 0).then(|| u64::from(vlan)));
    let (start, end) = match both {
        true => (flow.start(), flow.last()),
        false => {
            let half = &flow.counters.halves[source];
            (half.first, half.last)
        }
    };
    if nanoseconds {
        assert_eq!(value(0, 156).map(from_ntp), Some(from_ntp_era(start)));
        assert_eq!(value(0, 157).map(from_ntp), Some(from_ntp_era(end)));
    } else {
        assert_eq!(value(0, 152), Some(start / 1_000_000));
        assert_eq!(value(0, 153), Some(end / 1_000_000));
    }
}

/// Seconds of the era and nanoseconds of an NTP time stamp.
fn from_ntp(stamp: u64) -> (u64, u64) {
    (stamp >> 32, ((stamp & 0xffff_ffff) * 1_000_000_000) >> 32)
}

fn from_ntp_era(time: u64) -> (u64, u64) {
    let seconds = time / 1_000_000_000 + 2_208_988_800;
    (seconds & 0xffff_ffff, time % 1_000_000_000)
}

/// The records that flows must become.
fn check_all(collector: &Collector, flows: &[FlowRecord], form: Form) {
    let mut records = collector.records.iter();
    for flow in flows {
        let sides = [flow.originator, flow.responder()];
        if form.biflow && flow.resp().packets > 0 {
            let record = records.next().expect("a record for each flow");
            check(record, flow, flow.originator, true, form.nanoseconds);
            continue;
        }
        for side in sides {
            if flow.counters.halves[side].packets > 0 {
                let record = records.next().expect("a record for each direction");
                check(record, flow, side, false, form.nanoseconds);
            }
        }
    }
    assert!(records.next().is_none(), "more records than flows");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any flows, however told, come back as they were; no message is too long; sequence numbers count records.
    #[test]
    fn what_was_encoded_is_decoded(
        flows in prop::collection::vec(traffic::flow(), 1..60),
        biflow in any::<bool>(),
        nanoseconds in any::<bool>(),
        message_bytes in 512..4000_usize,
        path_bytes in 400..4000_usize,
        refresh in prop::option::of(1..20_u32),
    ) {
        let form = Form { biflow, nanoseconds, message_bytes };
        let refresh = refresh.map(|messages| Refresh {
            interval: Duration::from_secs(60),
            messages,
        });
        let messages = export(&flows, form, refresh, path_bytes);
        let collector = collect(&messages);
        prop_assert!(collector.longest <= path_bytes);
        prop_assert_eq!(collector.gaps, 0);
        check_all(&collector, &flows, form);
        if refresh.is_none() {
            // Only what a collector has not been told yet.
            let templates: usize = messages.iter().filter(|message| message[16..18] == [0, 2]).count();
            prop_assert_eq!(templates, collector.template_messages);
        }
    }

    /// What a damaged spool holds is refused or told, and never more than it was.
    #[test]
    fn damaged_parcels_are_refused(
        flows in prop::collection::vec(traffic::flow(), 1..10),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        cut in any::<prop::sample::Index>(),
    ) {
        let form = Form { biflow: true, nanoseconds: false, message_bytes: 60_000 };
        let mut encoder = Encoder::new(form);
        let mut parcels = Vec::new();
        for flow in &flows {
            encoder.flow(flow, &mut parcels);
        }
        encoder.flush(&mut parcels);
        prop_assume!(!parcels.is_empty());
        let whole = parcels[0].clone();
        let mut flipped = whole.clone();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        let mut short = whole;
        short.truncate(cut.index(short.len()));
        for parcel in [flipped, short] {
            // What is taken is decoded whole: the collector asserts it.
            if let Ok(messages) = Session::new(1, None).messages(&[parcel], 1400, 0) {
                let collector = collect(&messages);
                prop_assert!(collector.records.len() <= flows.len());
            }
        }
    }
}

#[test]
fn an_office_of_flows_comes_back() {
    let flows = traffic::demo();
    for (biflow, nanoseconds) in [(true, false), (true, true), (false, false)] {
        let form = Form {
            biflow,
            nanoseconds,
            message_bytes: 1400,
        };
        let messages = export(&flows, form, None, 1400);
        let collector = collect(&messages);
        check_all(&collector, &flows, form);
        println!(
            "{} flows: {} records in {} messages",
            flows.len(),
            collector.records.len(),
            collector.messages
        );
    }
}

/// Over UDP templates come again, soon at first and then as configured; over TCP once.
#[test]
fn templates_come_again_over_udp() {
    let flows = traffic::demo();
    let form = Form {
        biflow: true,
        nanoseconds: false,
        message_bytes: 512,
    };
    let refresh = Refresh {
        interval: Duration::from_secs(60),
        messages: 100,
    };
    let placed = |refresh| -> Vec<usize> {
        let messages = export(&flows, form, refresh, 512);
        let is_template = |message: &Vec<u8>| message[16..18] == [0, 2];
        let data_before = |at: usize| messages[..at].iter().filter(|m| !is_template(m)).count();
        let mut places: Vec<usize> = (0..messages.len())
            .filter(|at| is_template(&messages[*at]))
            .map(data_before)
            .collect();
        places.dedup();
        places
    };
    let again = placed(Some(refresh));
    assert_eq!(again[0], 0, "before the first record");
    let longest = again.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest <= Some(100), "{again:?}");
    let once = placed(None);
    assert!(once.len() <= 12, "each shape is announced once: {once:?}");
    assert!(again.len() > once.len());
}
